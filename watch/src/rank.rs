//! The loop's place among all that want a CPU. The kernel queues ten beats, and refuses the
//! rest until the loop has been let run.
#![allow(unsafe_code, reason = "rustix does not have the call")]

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tracing::{debug, warn};

/// Before all that is not run in real time.
const FIRST: i32 = -20;

/// The kernel takes no shorter one.
const SHORTEST_TURN_NS: u64 = 100_000;

/// Gives this thread alone a niceness. Where none is told, it goes before all others if it
/// may and nobody has given the daemon one.
pub(crate) fn take(told: Option<i32>) {
    let given = || getpriority_process(None).unwrap_or(0) != 0;
    let niceness = match told {
        Some(niceness) => niceness,
        None if given() => return,
        None => FIRST,
    };
    match setpriority_process(None, niceness) {
        Ok(()) => debug!(niceness, "the loop's niceness is set"),
        Err(error) if told.is_some() => warn!(%error, "--nice {niceness} cannot be set"),
        // Few may go before others, and a daemon that may not does what it can.
        Err(error) => debug!(%error, niceness, "the loop's niceness cannot be set"),
    }
    if let Err(error) = take_short_turns() {
        debug!(%error, "the loop's turns are as long as any");
    }
}

/// The kernel lets whoever runs finish a turn of some milliseconds before one that is woken,
/// unless the turns of that one are shorter (6.12 and later). The loop is woken often and
/// needs little each time.
fn take_short_turns() -> io::Result<()> {
    let this_thread = 0;
    // SAFETY: takes a number.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, this_thread) };
    if policy != libc::c_long::from(libc::SCHED_OTHER) {
        return Ok(());
    }
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>().try_into().map_err(io::Error::other)?,
        sched_policy: libc::SCHED_OTHER.unsigned_abs(),
        sched_flags: 0,
        sched_nice: getpriority_process(None)?,
        sched_priority: 0,
        sched_runtime: SHORTEST_TURN_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    let (call, no_flags) = (libc::SYS_sched_setattr, 0);
    // SAFETY: takes numbers, and reads `attributes`.
    checked(unsafe { libc::syscall(call, this_thread, &raw const attributes, no_flags) })
}

/// Lets this thread interrupt no other when it is woken. Otherwise the kernel may run it in
/// the loop's place once the loop has handed something to it, for milliseconds.
pub(crate) fn behind() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // By number, because musl's function only pretends.
    let (call, this_thread) = (libc::SYS_sched_setscheduler, 0);
    // SAFETY: takes numbers, and reads `parameters`.
    let set = checked(unsafe {
        libc::syscall(call, this_thread, libc::SCHED_BATCH, &raw const parameters)
    });
    if let Err(error) = set {
        debug!(%error, "a thread stays among the loop's equals");
    }
}

fn checked(answer: libc::c_long) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
