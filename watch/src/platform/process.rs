//! Processes by their pidfds and pids.

use std::fs;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::param::clock_ticks_per_second;

/// Whether the process behind a pidfd has ended.
pub(crate) fn has_ended(pidfd: &impl AsFd) -> bool {
    let mut descriptors = [PollFd::new(pidfd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut descriptors, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// When the process with this pid was started, in nanoseconds of the boot clock, rounded down to
/// what the kernel tells. `None` if no such process can be seen.
pub(crate) fn started_ns(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    // Of all fields it is the 22nd, and the state, which follows the name, is the third.
    let ticks: u64 = after_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    ticks.checked_mul(1_000_000_000 / clock_ticks_per_second())
}
