//! Parsers for the files that describe a thread or a process in /proc.

use super::text::{number, words};
use crate::program_name::ProgramName;

/// The fields of a `stat` file that are needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: ProgramName,
    pub(super) state: u8,
    pub(super) flags: u32,
    pub(super) major_faults: u64,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    /// How many threads the process has; 0 if it has ended.
    pub(super) threads: u64,
    /// Where its stack begins, which each exec changes; 0 without permission.
    pub(super) stack: u64,
    /// It sleeps, and this process may see on what.
    pub(super) sleeps_visibly: bool,
    /// The signal that stopped a stopped process; 0 if that is not known.
    pub(super) signal: u8,
}

pub(super) fn stat(text: &[u8]) -> Option<Stat> {
    // The name may contain anything, even brackets and spaces.
    let open = text.iter().position(|byte| *byte == b'(')? + 1;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let name = ProgramName::from_bytes(text.get(open..close)?);
    let mut fields = Fields { words: words(text.get(close + 1..)?), next: 3 };
    Some(Stat {
        name,
        state: *fields.word(3)?.first()?,
        flags: fields.number(9)?.try_into().ok()?,
        major_faults: fields.number(12)?,
        user_ticks: fields.number(14)?,
        system_ticks: fields.number(15)?,
        threads: fields.number(20)?,
        stack: fields.number(28)?,
        sleeps_visibly: fields.number(35)? == 1,
        signal: fields.number(52).and_then(|code| u8::try_from(code & 0x7f).ok()).unwrap_or(0),
    })
}

/// The fields of a line, which proc(5) counts from 1.
struct Fields<I> {
    words: I,
    next: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Fields<I> {
    fn word(&mut self, field: usize) -> Option<&'a [u8]> {
        let skipped = field.checked_sub(self.next)?;
        self.next = field + 1;
        self.words.nth(skipped)
    }

    fn number(&mut self, field: usize) -> Option<u64> {
        number(self.word(field)?)
    }
}

/// How long a thread has run and waited for a CPU, in nanoseconds, and how often it was put on
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SchedStat {
    pub(super) run_ns: u64,
    pub(super) wait_ns: u64,
    pub(super) slices: u64,
}

pub(super) fn schedstat(text: &[u8]) -> Option<SchedStat> {
    let mut numbers = words(text).map(number);
    let mut next = || numbers.next().flatten();
    Some(SchedStat { run_ns: next()?, wait_ns: next()?, slices: next()? })
}

/// The lines of a `status` file that are needed here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) threads: u32,
    pub(super) tracer: u32,
    pub(super) is_dumping: bool,
    /// A SIGKILL is pending.
    pub(super) is_killed: bool,
}

pub(super) fn status(text: &[u8]) -> Status {
    let mut status = Status::default();
    // The kernel escapes line breaks in the name, so no line can be forged.
    for line in text.split(|byte| *byte == b'\n') {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (Some(key), Some(value)) = (halves.next(), halves.next()) else { continue };
        let count = || number(value).and_then(|value| value.try_into().ok()).unwrap_or(0);
        match key {
            b"Threads" => status.threads = count(),
            b"TracerPid" => status.tracer = count(),
            b"CoreDumping" => status.is_dumping = count() != 0,
            b"SigPnd" | b"ShdPnd" => {
                let pending = hexadecimal(value.trim_ascii()).unwrap_or(0);
                status.is_killed |= pending & (1 << (libc::SIGKILL - 1)) != 0;
            }
            _ => {}
        }
    }
    status
}

/// The numbers of a process or thread in a `status` file, from the observer's pid namespace to its
/// own. A kernel without pid namespaces lists none.
pub(super) fn pids(text: &[u8]) -> impl Iterator<Item = u32> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"NSpid:")).unwrap_or_default();
    words(line).filter_map(|word| number(word)?.try_into().ok())
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// What a `syscall` file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syscall {
    Running,
    /// It is blocked, but not in a system call.
    Blocked,
    Call {
        number: u32,
        arguments: [u64; 6],
    },
}

pub(super) fn syscall(text: &[u8]) -> Option<Syscall> {
    let mut words = words(text);
    let first = words.next()?;
    if first == b"running" {
        return Some(Syscall::Running);
    }
    if first == b"-1" {
        return Some(Syscall::Blocked);
    }
    let number = number(first)?.try_into().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hexadecimal(words.next()?.strip_prefix(b"0x")?)?;
    }
    Some(Syscall::Call { number, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat_of(name: &str, state: &str) -> Vec<u8> {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        format!("17 ({name}) {state} {}\n", fields.join(" ")).into_bytes()
    }

    #[test]
    fn the_fields_of_stat_are_where_proc_5_counts_them() {
        for name in ["cat", "a) Z 1 (b", ") T (", ""] {
            let found = stat(&stat_of(name, "D")).unwrap();
            assert_eq!(found.name.as_bytes(), name.as_bytes());
            assert_eq!((found.state, found.flags, found.major_faults), (b'D', 9, 12));
            assert_eq!((found.user_ticks, found.system_ticks, found.threads), (14, 15, 20));
            assert_eq!((found.stack, found.sleeps_visibly, found.signal), (28, false, 52));
        }
        let whole = stat_of("cat", "D");
        for cut in 0..whole.len() - "52\n".len() {
            let _ = stat(&whole[..cut]);
        }
        assert_eq!(stat(b""), None);
        assert_eq!(stat(b") ("), None);
    }

    #[test]
    fn a_name_cannot_forge_lines_of_status() {
        let text = b"Name:\tx\\nCoreDumping:\\t1\nTracerPid:\t7\nThreads:\t3\nSigPnd:\t00\n\
            ShdPnd:\t0000000000000100\nCoreDumping:\t0\n";
        let expected = Status { threads: 3, tracer: 7, is_dumping: false, is_killed: true };
        assert_eq!(status(text), expected);
        assert_eq!(status(b""), Status::default());
    }

    #[test]
    fn the_numbers_in_nested_namespaces_are_those_of_one_line() {
        let text = b"Name:\tNSpid:\nPid:\t7\nNStgid:\t9\nNSpid:\t7\t3\t1\nNSpgid:\t5\n";
        assert!(pids(text).eq([7, 3, 1]));
        assert_eq!(pids(b"Pid:\t7\n").count(), 0);
    }

    #[test]
    fn each_form_of_the_syscall_file_is_parsed() {
        assert_eq!(syscall(b"running\n"), Some(Syscall::Running));
        assert_eq!(syscall(b"-1 0x7ffd 0x7f01\n"), Some(Syscall::Blocked));
        let call = b"202 0x55ce13bbc420 0x80 0x2 0x0 0x0 0xffffffffffffffff 0x7ff 0x7fc\n";
        let arguments = [0x55ce_13bb_c420, 0x80, 2, 0, 0, u64::MAX];
        assert_eq!(syscall(call), Some(Syscall::Call { number: 202, arguments }));
        for bad in [&b""[..], b"202", b"202 0x1 0x2 3 0x4 0x5 0x6", b"-2 0x1", b"x"] {
            assert_eq!(syscall(bad), None);
        }
    }

    #[test]
    fn schedstat_is_three_numbers() {
        let found = SchedStat { run_ns: 4_700_408, wait_ns: 1_899_295, slices: 35 };
        assert_eq!(schedstat(b"4700408 1899295 35\n"), Some(found));
        assert_eq!(schedstat(b"4700408 1899295\n"), None);
    }
}
