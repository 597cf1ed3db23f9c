//! The loop's place among all that want a CPU. The kernel queues ten beats, and refuses the
//! rest until the loop has been let run.
#![allow(unsafe_code, reason = "rustix does not have the call")]

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tracing::{debug, warn};

/// Before all that is not run in real time.
const FIRST: i32 = -20;

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
}

/// Lets this thread interrupt no other when it is woken. Otherwise the kernel may run it in
/// the loop's place once the loop has handed something to it, for milliseconds.
pub(crate) fn behind() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // By number, because musl's function only pretends.
    let (call, this_thread) = (libc::SYS_sched_setscheduler, 0);
    // SAFETY: takes numbers, and reads `parameters`.
    let set =
        unsafe { libc::syscall(call, this_thread, libc::SCHED_BATCH, &raw const parameters) };
    if set != 0 {
        let error = io::Error::last_os_error();
        debug!(%error, "a thread stays among the loop's equals");
    }
}
