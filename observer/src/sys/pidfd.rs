//! Descriptors that refer to a process, even if its pid is reused later.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use super::{checked, new_fd};

/// Opens the process that has this pid now.
pub(crate) fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    // A number larger than any pid refers to no process.
    let pid = libc::pid_t::try_from(pid).unwrap_or(libc::pid_t::MAX);
    // SAFETY: takes numbers alone.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: just created, and the kernel closes it on exec.
    unsafe { new_fd(answer.try_into().unwrap_or(-1)) }
}

/// The number that the kernel gives a process and does not reuse until it reboots; `None` if
/// the kernel has no such numbers (before 6.9).
pub(crate) fn process_number(pidfd: BorrowedFd<'_>) -> Option<u64> {
    // All pidfds are of one file system. Before pidfs they shared one inode.
    static IS_PIDFS: OnceLock<bool> = OnceLock::new();
    let is_pidfs = match IS_PIDFS.get() {
        Some(known) => *known,
        None => is_on_pidfs(pidfd).map(|it| *IS_PIDFS.get_or_init(|| it))?,
    };
    if !is_pidfs {
        return None;
    }
    // SAFETY: numbers, all of which may be zero.
    let mut file: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `file` may be written.
    checked(unsafe { libc::fstat(pidfd.as_raw_fd(), &raw mut file) }).ok()?;
    #[allow(clippy::useless_conversion, reason = "narrower on some targets")]
    Some(file.st_ino.into())
}

fn is_on_pidfs(pidfd: BorrowedFd<'_>) -> Option<bool> {
    const PIDFS_MAGIC: u64 = 0x5049_4446;
    // SAFETY: numbers, all of which may be zero.
    let mut system: libc::statfs = unsafe { mem::zeroed() };
    // SAFETY: `system` may be written.
    checked(unsafe { libc::fstatfs(pidfd.as_raw_fd(), &raw mut system) }).ok()?;
    Some(u64::try_from(system.f_type).ok()? == PIDFS_MAGIC)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// At least one of its threads runs.
    Running,
    /// It has exited. Before 6.9 the kernel reports no more than that.
    Exited,
    /// It has exited, and its parent has reaped it.
    Reaped,
}

/// The state of a process; `None` if it cannot be determined.
pub(crate) fn life(pidfd: BorrowedFd<'_>) -> Option<Life> {
    let mut asked = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours; it does not wait.
    checked(unsafe { libc::poll(&raw mut asked, 1, 0) }).ok()?;
    match asked.revents {
        0 => Some(Life::Running),
        events if events & libc::POLLNVAL != 0 => None,
        events if events & libc::POLLHUP != 0 => Some(Life::Reaped),
        _ => Some(Life::Exited),
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl ExitStatus {
    /// From the format that `wait` and the kernel's own tables use.
    pub(crate) fn from_wait(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Code(libc::WEXITSTATUS(status))
        } else {
            Self::Signal(libc::WTERMSIG(status))
        }
    }
}

/// What the kernel reports about the exit of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitInformation {
    Known(ExitStatus),
    /// Not available before the process is reaped.
    NotYet,
}

/// The beginning of `struct pidfd_info`, in its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and four pairs of uid and gid.
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<PidfdInfo>(0xFF, 11);
const _: () = assert!(size_of::<PidfdInfo>() == 64, "PIDFD_INFO_SIZE_VER0");

/// Queries the pidfd itself (6.15; before that the answer never becomes known). An error if
/// the pidfd cannot be queried, or the process is not in this pid namespace.
pub(crate) fn exit_information(pidfd: BorrowedFd<'_>) -> io::Result<ExitInformation> {
    let asked = || {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: writes no more than the size in the request's number, which is that of
        // `info`.
        checked(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) })?;
        io::Result::Ok(match info.mask & PIDFD_INFO_EXIT {
            0 => ExitInformation::NotYet,
            _ => ExitInformation::Known(ExitStatus::from_wait(info.exit_code)),
        })
    };
    match asked() {
        // The kernel looks for the cause first, then for the process. A process that is reaped
        // in between has no cause at the first step and is gone at the second; asking again
        // returns the cause.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => asked(),
        answer => answer,
    }
}

/// How a child of this process ended, without reaping it; `None` if it is not a child or has
/// been reaped.
pub(crate) fn status_of_child(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let id = pidfd.as_raw_fd().unsigned_abs();
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `info` may be written.
    checked(unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) }).ok()?;
    // SAFETY: waitid has filled it in as for SIGCHLD, or left it zero.
    let status = unsafe { info.si_status() };
    match info.si_code {
        libc::CLD_EXITED => Some(ExitStatus::Code(status)),
        libc::CLD_KILLED | libc::CLD_DUMPED => Some(ExitStatus::Signal(status)),
        _ => None,
    }
}
