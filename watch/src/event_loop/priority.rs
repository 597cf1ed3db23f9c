//! The loop's place among all that want a CPU. The kernel queues ten beats, and refuses the
//! rest until the loop has been let run.
#![allow(unsafe_code, reason = "rustix does not have the call")]

use std::io;
use std::mem;

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
    if let Some(niceness) = told.or_else(|| (!given()).then_some(FIRST)) {
        match setpriority_process(None, niceness) {
            Ok(()) => debug!(niceness, "the loop's niceness is set"),
            Err(error) if told.is_some() => warn!(%error, "--nice {niceness} cannot be set"),
            // Few may go before others, and a daemon that may not does what it can.
            Err(error) => debug!(%error, niceness, "the loop's niceness cannot be set"),
        }
    }
    if let Err(error) = take_short_turns() {
        debug!(%error, "the loop's turns are as long as any");
    }
}

/// The kernel lets whoever runs finish a turn of some milliseconds before one that is woken,
/// unless the turns of that one are shorter (6.12 and later). The loop is woken often and
/// needs little each time. Among equals it would lose more than it gains: a crowd of agents
/// that beat in one instant would interrupt it after each of them.
fn take_short_turns() -> io::Result<()> {
    let (this_thread, no_flags) = (0, 0);
    // SAFETY: numbers, all of which may be zero.
    let mut has: libc::sched_attr = unsafe { mem::zeroed() };
    let (get, set) = (libc::SYS_sched_getattr, libc::SYS_sched_setattr);
    // SAFETY: takes numbers, and writes to `has` no more than its size.
    checked(unsafe {
        libc::syscall(get, this_thread, &raw mut has, size_of_val(&has), no_flags)
    })?;
    if has.sched_policy != libc::SCHED_OTHER.unsigned_abs() || has.sched_nice >= 0 {
        return Ok(());
    }
    has.sched_runtime = SHORTEST_TURN_NS;
    // SAFETY: takes numbers, and reads `has`, which says its size itself.
    checked(unsafe { libc::syscall(set, this_thread, &raw const has, no_flags) })
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
