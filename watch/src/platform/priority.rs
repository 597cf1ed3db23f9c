//! The scheduling priority of the event loop. The kernel queues ten beats by default and
//! refuses further ones until the loop runs.
#![allow(unsafe_code, reason = "rustix does not have the call")]

use std::io;
use std::mem;

use rustix::process::{getpriority_process, setpriority_process};
use tracing::{debug, warn};

/// The nice value that precedes everything except real-time threads.
const FIRST: i32 = -20;

/// The shortest time slice that the kernel accepts.
const SHORTEST_SLICE_NS: u64 = 100_000;

/// Sets the nice value of this thread alone. Without `nice`, it becomes -20 if that is
/// permitted and the daemon was started with nice value 0.
pub(crate) fn raise(nice: Option<i32>) {
    let inherited = || getpriority_process(None).unwrap_or(0) != 0;
    if let Some(niceness) = nice.or_else(|| (!inherited()).then_some(FIRST)) {
        match setpriority_process(None, niceness) {
            Ok(()) => debug!(niceness, "nice value of the event loop set"),
            Err(error) if nice.is_some() => warn!(%error, "cannot set --nice {niceness}"),
            // An unprivileged daemon works with its default priority.
            Err(error) => {
                debug!(%error, niceness, "cannot raise the priority of the event loop")
            }
        }
    }
    if let Err(error) = use_short_slices() {
        debug!(%error, "cannot shorten the time slices of the event loop");
    }
}

/// The kernel lets the running thread finish a time slice of some milliseconds before it runs
/// one that woke up, unless that one has shorter slices (since 6.12). The loop wakes up often
/// and needs little time. With an ordinary nice value it would lose more than it gains:
/// many agents that beat at the same instant would each preempt it.
fn use_short_slices() -> io::Result<()> {
    let (this_thread, no_flags) = (0, 0);
    // SAFETY: numbers, all of which may be zero.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let (get, set) = (libc::SYS_sched_getattr, libc::SYS_sched_setattr);
    // SAFETY: takes numbers, and writes to `attributes` no more than its size.
    checked(unsafe {
        libc::syscall(get, this_thread, &raw mut attributes, size_of_val(&attributes), no_flags)
    })?;
    if attributes.sched_policy != libc::SCHED_OTHER.unsigned_abs() || attributes.sched_nice >= 0
    {
        return Ok(());
    }
    attributes.sched_runtime = SHORTEST_SLICE_NS;
    // SAFETY: takes numbers, and reads `attributes`, which contains its own size.
    checked(unsafe { libc::syscall(set, this_thread, &raw const attributes, no_flags) })
}

/// Keeps this thread from preempting others when it wakes up. Otherwise the kernel may run it
/// in place of the event loop, for milliseconds, when the loop hands something to it.
pub(crate) fn lower() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // As a raw system call, because musl's function does nothing.
    let (call, this_thread) = (libc::SYS_sched_setscheduler, 0);
    // SAFETY: takes numbers, and reads `parameters`.
    let set = checked(unsafe {
        libc::syscall(call, this_thread, libc::SCHED_BATCH, &raw const parameters)
    });
    if let Err(error) = set {
        debug!(%error, "cannot lower the priority of a thread");
    }
}

fn checked(answer: libc::c_long) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
