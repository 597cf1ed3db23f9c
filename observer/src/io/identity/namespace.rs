//! The pid namespace of a process, relative to the observer's.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::{ProcessHandle, proc};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// The observer's.
    Same,
    /// One below it, where the process has another pid.
    Within { innermost: u32 },
    /// One that is not visible from here: above it, or beside it.
    Outside,
    /// The process has ended, or its namespace cannot be determined.
    Unknown,
}

/// The namespace of the process behind a pidfd, regardless of which process has its pid now.
pub(crate) fn namespace_of(watch: &ProcessHandle) -> Namespace {
    let mut buffer = [0; 1_024];
    let fd = watch.as_fd().as_raw_fd();
    let text = proc::read(format_args!("/proc/self/fdinfo/{fd}"), &mut buffer);
    text.map_or(Namespace::Unknown, parse)
}

/// The namespace of the process that has this pid now. Pid 0 means a process that is not
/// visible from here.
pub(crate) fn namespace_of_pid(pid: u32) -> Namespace {
    if pid == 0 {
        return Namespace::Outside;
    }
    let mut buffer = [0; 4_096];
    let text = proc::read(format_args!("/proc/{pid}/status"), &mut buffer);
    text.map_or(Namespace::Unknown, parse)
}

/// The pid of the process behind a descriptor from elsewhere, if that is a pidfd. This calls
/// nothing of the descriptor that could sleep.
pub(crate) fn pid_of_pidfd(descriptor: BorrowedFd<'_>) -> Option<u32> {
    let mut buffer = [0; 1_024];
    let fd = descriptor.as_raw_fd();
    let text = proc::read(format_args!("/proc/self/fdinfo/{fd}"), &mut buffer)?;
    let pid = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:"))?;
    std::str::from_utf8(pid).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Whether the process table in /proc is that of this process's own pid namespace. A container
/// may still see that of its host.
pub(super) fn proc_matches_own() -> bool {
    let pid = std::process::id().to_string();
    let mut buffer = [0; 4_096];
    let own = proc::read(format_args!("/proc/self/status"), &mut buffer).map(parse);
    // It has the same pid there, and no other.
    fs::read_link("/proc/self").is_ok_and(|there| there.as_os_str() == pid.as_str())
        && own == Some(Namespace::Same)
}

/// Parses the line of pids, from this namespace down to the process's own. A kernel without
/// pid namespaces has no such line, and only one namespace.
fn parse(text: &[u8]) -> Namespace {
    let line_of = |name: &[u8]| {
        text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))
    };
    let Some(line) = line_of(b"NSpid:").or_else(|| line_of(b"Pid:")) else {
        return Namespace::Unknown;
    };
    let mut pids = std::str::from_utf8(line).unwrap_or_default().split_ascii_whitespace();
    let outermost = pids.next().and_then(|pid| pid.parse::<i64>().ok());
    match (outermost, pids.last()) {
        // -1 means a process that has been reaped.
        (None | Some(..0), _) => Namespace::Unknown,
        (Some(0), _) => Namespace::Outside,
        (Some(_), None) => Namespace::Same,
        (Some(_), Some(innermost)) => match innermost.parse() {
            Ok(innermost) => Namespace::Within { innermost },
            Err(_) => Namespace::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_parsed_from_the_status_file() {
        for (text, meaning) in [
            ("pos:\t0\nPid:\t7\nNSpid:\t7\n", Namespace::Same),
            ("Pid:\t7\nNSpid:\t7\t3\t1\n", Namespace::Within { innermost: 1 }),
            (
                "Name:\tNSpid:\nPid:\t7\nNStgid:\t9\nNSpid:\t7\t7\n",
                Namespace::Within { innermost: 7 },
            ),
            ("Pid:\t0\nNSpid:\t0\n", Namespace::Outside),
            ("Pid:\t-1\nNSpid:\t-1\n", Namespace::Unknown),
            ("Pid:\t7\n", Namespace::Same),
            ("NSpid:\t\n", Namespace::Unknown),
            ("NSpid:\t7\tx\n", Namespace::Unknown),
            ("", Namespace::Unknown),
        ] {
            assert_eq!(parse(text.as_bytes()), meaning, "{text:?}");
        }
    }
}
