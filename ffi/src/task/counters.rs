//! What a task counted.

use varta::Task;

use super::{varta_task, with};
use crate::guard::{self, Code};
use crate::sized::{OutputArray, Sized};

/// What a task counted. The counts of violations wrap and, in a forked child, begin at 0. Initialise
/// with VARTA_TASK_COUNTERS_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_task_counters {
    /// sizeof(varta_task_counters).
    pub size: u32,
    /// The task's number, which no other task of the process has had. In a forked child the next
    /// call gives it another.
    pub number: u32,
    /// Spans and steps that ended before their shortest time.
    pub too_early: u32,
    /// Spans and steps that ended after their longest time.
    pub too_late: u32,
    /// Steps for which there is no edge.
    pub wrong_order: u32,
    /// Cycles with too few beats.
    pub too_few: u32,
    /// Cycles with too many beats.
    pub too_many: u32,
    /// Zero.
    pub reserved: u32,
    /// Spans that were not watched, because as many as possible were open.
    pub unwatched: u64,
    /// Calls in a forked child that had no room for the task.
    pub undeclared: u64,
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_task_counters {
    const ZERO: Self = Self {
        size: 0,
        number: 0,
        too_early: 0,
        too_late: 0,
        wrong_order: 0,
        too_few: 0,
        too_many: 0,
        reserved: 0,
        unwatched: 0,
        undeclared: 0,
    };
}

impl From<&Task> for varta_task_counters {
    fn from(task: &Task) -> Self {
        let counts = task.counts();
        Self {
            number: task.number(),
            too_early: counts.too_early,
            too_late: counts.too_late,
            wrong_order: counts.wrong_order,
            too_few: counts.too_few,
            too_many: counts.too_many,
            unwatched: counts.unwatched,
            undeclared: counts.undeclared,
            ..Self::ZERO
        }
    }
}

/// Reads the counters of a task: what its calls did wrong so far.
///
/// task: from varta_task_open.
/// ret: receives the counters; initialise it with VARTA_TASK_COUNTERS_INIT.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, or ret was not initialised
///     -E2BIG         ret is from a newer header and sets fields that this library does not know
///     -EBUSY         another call is using this task
///     VARTA_EPANIC   the library has a bug; the task can only be closed
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_counts(
    task: *mut varta_task,
    ret: *mut varta_task_counters,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave a struct or NULL.
        let output = unsafe { OutputArray::new(ret) }?;
        let counts = |task: &mut Task| {
            // SAFETY: the array has one element.
            unsafe { output.write(0, &varta_task_counters::from(&*task)) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(task, counts) }
    })
}
