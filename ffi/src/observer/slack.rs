//! How late tasks may be before that is reported.

use std::ffi::c_char;

use ::varta_observer::Slack;
use varta::TaskName;

use super::{AnyObserver, varta_observer, with};
use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::task::duration;

/// How late the tasks of a program, or the tasks of a name, may be before their broken promises
/// are reported. 24 bytes in every version of this library.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_slack {
    /// The name of a program, of which the kernel keeps the first 15 bytes; or NULL.
    pub program: *const c_char,
    /// The name of a task, which counts more than that of its program; or NULL. One of the two
    /// must be set and the other NULL.
    pub task: *const c_char,
    /// How late they may be.
    pub slack_ns: u64,
}

/// The slack of these entries.
///
/// # Safety
///
/// `first` is NULL or points to as many entries, whose strings are NULL or valid.
pub(super) unsafe fn slack(first: *const varta_slack, count: usize) -> Result<Slack, Failure> {
    let mut slack = Slack::new();
    // SAFETY: as the caller promised.
    for entry in unsafe { args::values(first, count) }? {
        let time = duration(entry.slack_ns);
        // SAFETY: as the caller promised.
        let program = unsafe { args::text(entry.program) }?;
        // SAFETY: as the caller promised.
        let task = unsafe { args::text(entry.task) }?;
        slack = match (program, task) {
            (Some(program), None) if !program.is_empty() => slack.program(program, time),
            (None, Some(task)) if TaskName::new(task).is_some() => slack.task(task, time),
            _ => return Err(Failure::INVALID),
        };
    }
    Ok(slack)
}

/// Sets how late tasks may be before that is reported. It replaces what the options or an earlier
/// call set, and counts for what is due from now on.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// slack: an array of entries, of which a later one for the same name counts; may be NULL if count
///     is 0, for no slack. Not used after the call returns.
/// count: the number of entries.
///
/// Returns 0, or
///     -EINVAL        obs is NULL, slack is NULL while count is not 0, or a name is missing or invalid
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_set_slack(
    obs: *mut varta_observer,
    slack: *const varta_slack,
    count: usize,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller's pointers are valid.
        let slack = unsafe { self::slack(slack, count) }?;
        let set = |observer: &mut AnyObserver| {
            match observer {
                AnyObserver::Bound(observer) => observer.set_slack(&slack)?,
                AnyObserver::Simulated(observer) => observer.set_slack(&slack),
            }
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, set) }
    })
}
