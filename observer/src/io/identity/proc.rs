//! Reading the process table in /proc without allocating.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::names::Group;
use crate::program_name::ProgramName;
use crate::sys::ExitStatus;

/// A path built on the stack.
struct ProcPath {
    bytes: [u8; 48],
    length: usize,
}

impl ProcPath {
    fn new(path: fmt::Arguments<'_>) -> Option<Self> {
        let mut made = Self { bytes: [0; 48], length: 0 };
        made.write_fmt(path).ok()?;
        Some(made)
    }

    fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.bytes.get(..self.length).unwrap_or_default()))
    }
}

impl Write for ProcPath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Reads the beginning of a file, as much as fits the buffer.
pub(super) fn read<'a>(path: fmt::Arguments<'_>, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // The standard library opens short paths without allocating.
    let mut file = File::open(ProcPath::new(path)?.as_path()).ok()?;
    let mut filled = 0;
    loop {
        match file.read(buffer.get_mut(filled..)?) {
            Ok(0) => return buffer.get(..filled),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// The fields of /proc/PID/stat that are needed here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) is_zombie: bool,
    /// The start time in ticks since boot.
    pub(super) started: u64,
    /// The exit status of a zombie. For a running process, and for readers without permission,
    /// it is 0.
    pub(super) exit_status: Option<ExitStatus>,
}

/// Only for a process that has exited, or on kernels whose processes have no numbers: a process
/// that executes a program can keep a reader of this file waiting.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    let mut buffer = [0; 1_024];
    parse_stat(read(format_args!("/proc/{pid}/stat"), &mut buffer)?)
}

/// Whether a running process has no such thread any more. The first thread of a process stays
/// in the table after it has ended.
pub(crate) fn thread_is_gone(pid: u32, thread: u32) -> bool {
    if let Some(found) = status(format_args!("/proc/{pid}/task/{thread}/status")) {
        return found.is_zombie;
    }
    // What cannot be read may still be there.
    let is_missing = |path: ProcPath| {
        fs::metadata(path.as_path()).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    ProcPath::new(format_args!("/proc/{pid}/task/{thread}")).is_some_and(is_missing)
        && status(format_args!("/proc/{pid}/status")).is_some()
}

/// The fields of a `status` file that are needed here. No process can keep its reader waiting.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    is_zombie: bool,
    parent: u32,
}

fn status(path: fmt::Arguments<'_>) -> Option<Status> {
    // They are near its beginning.
    let mut buffer = [0; 512];
    parse_status(read(path, &mut buffer)?)
}

fn parse_status(text: &[u8]) -> Option<Status> {
    // The kernel escapes line breaks in the name, so no line can be forged.
    let field = |name: &[u8]| {
        let line =
            text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        Some(std::str::from_utf8(line).ok()?.trim_ascii())
    };
    let state = field(b"State:")?;
    let parent = field(b"PPid:")?.parse().ok()?;
    Some(Status { is_zombie: state.starts_with(['Z', 'X']), parent })
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The program name may contain anything, even brackets and spaces.
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(text.get(after_name..)?).ok()?;
    // Fields are counted from 1. After the name, the third is read first.
    const THIRD: usize = 3;
    const STARTED: usize = 22;
    const EXIT_CODE: usize = 52;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(STARTED - THIRD - 1)?.parse().ok()?;
    // Missing before Linux 3.5.
    let exit_code = fields.nth(EXIT_CODE - STARTED - 1).and_then(|code| code.parse().ok());
    Some(Stat {
        is_zombie: matches!(state, "Z" | "X"),
        started,
        exit_status: exit_code.map(ExitStatus::from_wait),
    })
}

/// Whether this process may read the protected fields of that one.
pub(super) fn may_trace(pid: u32) -> bool {
    // Reading this link requires the same permission as the exit code.
    ProcPath::new(format_args!("/proc/{pid}/ns/pid"))
        .is_some_and(|path| fs::metadata(path.as_path()).is_ok())
}

/// What the control group of the process that has this pid now tells about it.
pub(crate) fn group(pid: u32, buffer: &mut [u8]) -> Option<Group> {
    let room = buffer.len();
    let text = read(format_args!("/proc/{pid}/cgroup"), buffer)?;
    // Part of the text could be about another hierarchy than the whole.
    (text.len() < room).then(|| Group::parse(text))
}

/// The parent of the process that has this pid now.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    status(format_args!("/proc/{pid}/status")).map(|status| status.parent)
}

/// The user of the process that has this pid now; root for one that must not be traced.
pub(crate) fn user(pid: u32) -> Option<u32> {
    let path = ProcPath::new(format_args!("/proc/{pid}"))?;
    fs::metadata(path.as_path()).ok().map(|about| about.uid())
}

/// The program name of the process that has this pid now.
pub(crate) fn program_name(pid: u32) -> Option<ProgramName> {
    let mut buffer = [0; 64];
    let name = read(format_args!("/proc/{pid}/comm"), &mut buffer)?;
    let name = name.strip_suffix(b"\n").unwrap_or(name);
    Some(ProgramName::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_is_parsed() {
        let fields: Vec<String> = (4..=51).map(|field| field.to_string()).collect();
        let fields = fields.join(" ");
        let name = "(a) Z 1 (b) ) ";
        for (state, is_zombie) in [("S", false), ("Z", true), ("X", true), ("R", false)] {
            for (code, status) in [(0x700, ExitStatus::Code(7)), (139, ExitStatus::Signal(11))]
            {
                let text = format!("12 ({name}) {state} {fields} {code}\n");
                let exit_status = Some(status);
                let expected = Stat { is_zombie, started: 22, exit_status };
                assert_eq!(parse_stat(text.as_bytes()), Some(expected), "{text}");
            }
        }
        let before_exit_codes = format!("12 ({name}) S {fields}\n");
        assert_eq!(parse_stat(before_exit_codes.as_bytes()).unwrap().exit_status, None);
        for text in ["", "12", "12 (a)", "12 (a) S", "12 (a) S 4 5"] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_state_and_the_parent_are_parsed_from_the_status_file() {
        for (state, is_zombie) in
            [("S (sleeping)", false), ("Z (zombie)", true), ("X (dead)", true)]
        {
            let name = r"State:\nState:\tZ";
            let text = format!("Name:\t{name}\nState:\t{state}\nPid:\t9\nPPid:\t7\n");
            let expected = Status { is_zombie, parent: 7 };
            assert_eq!(parse_status(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "State:\tS\n", "PPid:\t7\n", "State:\tS\nPPid:\tx\n"] {
            assert_eq!(parse_status(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_is_in_the_table() {
        let pid = std::process::id();
        let stat = stat(pid).unwrap();
        assert!(!stat.is_zombie && stat.started > 0);
        assert_eq!(parent(pid), Some(std::os::unix::process::parent_id()));
        assert_eq!(user(pid), Some(crate::sys::effective_uid()));
        assert!(may_trace(pid));
        let name = program_name(pid).unwrap();
        let comm = fs::read(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!([name.as_bytes(), b"\n"].concat(), comm);
        assert_eq!(program_name(u32::MAX), None);
    }

    #[test]
    fn a_thread_is_gone_once_it_has_ended() {
        let pid = std::process::id();
        let thread_id = || {
            // SAFETY: takes nothing and cannot fail.
            #[allow(unsafe_code, reason = "the standard library does not have it")]
            let thread = unsafe { libc::gettid() };
            thread.unsigned_abs()
        };
        let thread = std::thread::scope(|threads| {
            let thread = threads.spawn(|| {
                assert!(!thread_is_gone(pid, thread_id()));
                thread_id()
            });
            thread.join().unwrap()
        });
        crate::testing::wait_until(|| thread_is_gone(pid, thread));
        assert!(!thread_is_gone(u32::MAX, 1), "there is no such process");

        // The first thread of a process stays in the table.
        let child = crate::testing::Child::start(|| {
            std::thread::spawn(crate::testing::pause);
            // SAFETY: ends this thread, which owns nothing that the other one uses.
            #[allow(unsafe_code, reason = "ends a thread but not the process")]
            unsafe {
                libc::syscall(libc::SYS_exit, 0)
            };
        });
        crate::testing::wait_until(|| thread_is_gone(child.pid(), child.pid()));
    }

    #[test]
    fn a_long_file_is_read_up_to_the_size_of_the_buffer() {
        let mut buffer = [0; 16];
        let text = read(format_args!("/proc/self/status"), &mut buffer).unwrap();
        assert!(text.starts_with(b"Name:\t") && text.len() == 16);
        let long = "x".repeat(48);
        assert_eq!(read(format_args!("/proc/{long}"), &mut buffer), None);
    }
}
