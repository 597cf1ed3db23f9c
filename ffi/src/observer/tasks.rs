//! The list of the tasks of an agent.

use super::{AnyObserver, varta_observer, with};
use crate::guard::{self, Code};
use crate::task::info::{TaskArray, varta_task_info};

/// Lists the tasks of an agent, as they are now.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// agent: the agent's number, as in events.
/// ret: an array that receives the tasks. Initialise its first element with
///     VARTA_TASK_INFO_INIT; the size there is the distance between elements. May be NULL if
///     cap is 0.
/// cap: the number of elements in the array; no more are written.
///
/// Returns the number of tasks that the observer follows, which may be more than cap; 0 also if it
/// follows no agent with this number, or no tasks; or
///     -EINVAL        obs is NULL, ret is NULL while cap is not 0, or ret was not initialised
///     -E2BIG         ret is from a newer header and sets fields that this library does not know
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_tasks(
    obs: *mut varta_observer,
    agent: u64,
    ret: *mut varta_task_info,
    cap: usize,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an array or NULL.
        let output = unsafe { TaskArray::new(ret, cap) }?;
        let list = |observer: &mut AnyObserver| {
            let tasks = match observer {
                AnyObserver::Bound(observer) => observer.tasks(agent)?,
                AnyObserver::Simulated(observer) => observer.tasks(agent),
            };
            output.write(tasks.iter().map(varta_task_info::from))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, list) }
    })
}
