//! The loop's place among all that want a CPU. The kernel queues ten beats, and refuses the
//! rest until the loop has been let run.

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
