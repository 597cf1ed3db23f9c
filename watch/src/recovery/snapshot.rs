//! Files with what can be read about a process before its recovery command ends it.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, unlinkat};
use tracing::{Level, info, warn};

use super::report::Subject;
use crate::output::log::LineLimit;
use crate::platform::process::has_ended;

/// The folder keeps this many files.
const KEPT: usize = 100;

/// At most this many threads are read, and this many bytes of each file.
const MOST_THREADS: usize = 64;
const MOST_BYTES: u64 = 16_384;

/// What the names of the files begin with. The time follows, so that they are in its order.
const PREFIX: &str = "varta-stall-";

/// Reading a process takes no longer than this, unless the kernel does not answer.
const LONGEST: Duration = Duration::from_secs(2);

/// At most this many threads that read are lost.
const MOST_LOST: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Snapshots {
    losses: LineLimit,
    /// Threads whose readings have not returned in time.
    lost: Vec<JoinHandle<()>>,
}

impl Snapshots {
    /// Writes a file about the process behind a pidfd. If that fails, recovery goes on without.
    pub(super) fn take(
        &mut self,
        folder: &Path,
        subject: &Subject,
        pidfd: BorrowedFd<'_>,
        now_ns: u64,
    ) {
        let (agent, pid) = (subject.agent, subject.pid);
        let text = self.describe_in_time(subject);
        match text.and_then(|text| write(folder, pid, &text, pidfd)) {
            Ok(None) => {}
            Ok(Some(file)) => {
                info!(agent, pid, file = %file.display(), "wrote what the process does")
            }
            Err(error) if self.losses.admits(now_ns, subject.uid) => warn!(
                agent,
                pid,
                "cannot write what the process does to --recovery-snapshot-dir {}: {error}; the \
                 command starts without it",
                folder.display()
            ),
            Err(_) => {}
        }
    }

    /// Describes a process in a thread of its own, which is lost if a reading does not return.
    fn describe_in_time(&mut self, subject: &Subject) -> io::Result<String> {
        self.lost.retain(|thread| !thread.is_finished());
        if self.lost.len() >= MOST_LOST {
            return Err(io::Error::other("readings of other processes do not return"));
        }
        let silent_ms = subject.silent_ns / 1_000_000;
        let why = subject.phrase().unwrap_or_default();
        let pid = subject.pid;
        let head =
            format!("{} (pid {pid}), silent for {silent_ms} ms: {why}\n", subject.program);
        let suspect = subject.why.map_or(0, |info| info.why.thread);
        let (done, text) = channel();
        let describe = move || {
            // Nobody may wait for it any more.
            let _ = done.send(describe(head, pid, suspect));
        };
        let thread = thread::Builder::new().name("snapshot".to_owned()).spawn(describe)?;
        text.recv_timeout(LONGEST).map_err(|_| {
            self.lost.push(thread);
            io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer a reader of it")
        })
    }

    /// When the next summary of omitted log lines is due, if any were omitted.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.losses.due_ns()
    }

    /// Logs one summary of the omitted lines, once their second is over.
    pub(super) fn sum_up(&mut self, now_ns: u64) {
        self.losses.sum_up(now_ns, "snapshot lost", Level::WARN);
    }
}

/// Writes what was read about a process to a new file in a folder. Returns its path, or None if
/// the process has ended.
fn write(
    folder: &Path,
    pid: u32,
    text: &str,
    pidfd: BorrowedFd<'_>,
) -> io::Result<Option<PathBuf>> {
    if has_ended(&pidfd) {
        // Another process may have its pid.
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("{PREFIX}{:013}-{}", now.as_millis(), pid);
    // The folder itself must not be a symbolic link either.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = open(folder, flags, Mode::empty())?;
    make_room(&directory)?;
    // EXCL never follows a symbolic link.
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(&directory, &*name, new, Mode::RUSR | Mode::WUSR)?;
    if let Err(error) = File::from(file).write_all(text.as_bytes()) {
        // Half of a file would only mislead.
        unlinkat(&directory, &*name, AtFlags::empty())?;
        return Err(error);
    }
    Ok(Some(folder.join(name)))
}

/// Removes the oldest files, so that there is room for one more.
fn make_room(directory: &OwnedFd) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        // Not every file system tells the type.
        let is_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
        if is_file && entry.file_name().to_bytes().starts_with(PREFIX.as_bytes()) {
            names.push(CString::from(entry.file_name()));
        }
    }
    names.sort_unstable();
    let surplus = (names.len() + 1).saturating_sub(KEPT);
    for name in names.iter().take(surplus) {
        unlinkat(directory, name.as_c_str(), AtFlags::empty())?;
    }
    Ok(())
}

fn describe(head: String, pid: u32, suspect: u32) -> String {
    let mut text = head;
    for name in ["status", "limits", "cgroup"] {
        section(&mut text, &format!("/proc/{pid}/{name}"));
    }
    let others = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let others = others.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let threads = std::iter::once(suspect).filter(|thread| *thread != 0);
    let threads = threads.chain(others.filter(|thread| *thread != suspect));
    for thread in threads.take(MOST_THREADS) {
        for name in ["comm", "stat", "wchan", "syscall", "stack"] {
            section(&mut text, &format!("/proc/{pid}/task/{thread}/{name}"));
        }
    }
    text
}

/// Adds a file, or why it cannot be read.
fn section(text: &mut String, path: &str) {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    let content = String::from_utf8_lossy(&bytes);
    let _ = match read {
        Ok(_) => write!(text, "\n{path}:\n{content}"),
        Err(error) => write!(text, "\n{path}: {error}"),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
}
