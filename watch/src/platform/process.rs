//! Processes by their pidfds.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether the process behind a pidfd has ended.
pub(crate) fn has_ended(pidfd: &impl AsFd) -> bool {
    let mut descriptors = [PollFd::new(pidfd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut descriptors, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
