//! The state of a task, as its process or an observer sees it.

use std::ffi::{c_char, c_int};

use ::varta_observer::TaskInfo;
use varta::{Promise, TaskReport};

use super::nanoseconds;
use super::options::VARTA_TASK_VITAL;
use crate::agent::{Agent, varta_agent};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::handle::Handle;
use crate::sized::{OutputArray, Sized};

/// Task info flag: the task is idle.
pub const VARTA_TASK_IDLE: u32 = 4;
/// Task info flag: a promise is broken.
pub const VARTA_TASK_LATE: u32 = 8;

/// The state of a task. Initialise the first element of an array with VARTA_TASK_INFO_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_task_info {
    /// sizeof(varta_task_info).
    pub size: u32,
    /// VARTA_TASK_IDLE, VARTA_TASK_LATE; varta_agent_tasks also sets VARTA_TASK_VITAL.
    pub flags: u32,
    /// The task's number, from 1. No other task of the process has had it. An observer has numbers
    /// of its own, as in events.
    pub number: u32,
    /// The status of its last beat: VARTA_STATUS_ constant.
    pub status: u8,
    /// The promises that are broken: bit p - 1 is set for VARTA_PROMISE_ constant p. For an observer,
    /// those of which it has reported a stall.
    pub broken: u8,
    /// From an observer: the promise that is due next, or was due first of those that are broken:
    /// VARTA_PROMISE_ constant. 0 if nothing is due.
    pub promise: u8,
    /// Zero.
    pub reserved: u8,
    /// The application's number in its last beat.
    pub payload: u32,
    /// From an observer: the checkpoint where it is; 0 outside of all.
    pub checkpoint: u16,
    /// From an observer: the checkpoint or the label of the span that is due.
    pub label: u16,
    /// The longest time between two calls; VARTA_NEVER for no limit.
    pub threshold_ns: u64,
    /// How long ago its last call was made.
    pub age_ns: u64,
    /// From an observer: when its last call was made, in nanoseconds since the observer started.
    pub last_ns: u64,
    /// From an observer: when the promise is due, in nanoseconds since the observer started.
    pub due_ns: u64,
    /// From an observer: the calls that were reported.
    pub beats: u64,
    /// The number of violations. From varta_agent_tasks it wraps at 2^32; from an observer it is the
    /// number that was reported.
    pub violations: u64,
    /// How much it has done.
    pub done: u32,
    /// How much is left.
    pub left: u32,
    /// Its name: up to 23 bytes and a NUL.
    pub name: [c_char; 24],
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_task_info {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        number: 0,
        status: 0,
        broken: 0,
        promise: 0,
        reserved: 0,
        payload: 0,
        checkpoint: 0,
        label: 0,
        threshold_ns: 0,
        age_ns: 0,
        last_ns: 0,
        due_ns: 0,
        beats: 0,
        violations: 0,
        done: 0,
        left: 0,
        name: [0; 24],
    };
}

impl From<&TaskReport> for varta_task_info {
    fn from(task: &TaskReport) -> Self {
        Self {
            flags: flag(task.vital, VARTA_TASK_VITAL)
                | flag(task.idle, VARTA_TASK_IDLE)
                | flag(task.is_late(), VARTA_TASK_LATE),
            number: task.number,
            status: task.status as u8,
            broken: broken(|promise| task.is_broken(promise)),
            payload: task.payload,
            threshold_ns: nanoseconds(task.threshold),
            age_ns: nanoseconds(task.age),
            violations: task.violations.into(),
            done: task.done,
            left: task.left,
            name: name(task.name),
            ..Self::ZERO
        }
    }
}

impl From<&TaskInfo> for varta_task_info {
    fn from(task: &TaskInfo) -> Self {
        Self {
            size: 0,
            flags: flag(task.idle, VARTA_TASK_IDLE) | flag(task.is_late(), VARTA_TASK_LATE),
            number: task.number,
            status: task.status as u8,
            broken: broken(|promise| task.is_broken(promise)),
            promise: task.due.map_or(0, |due| due.promise as u8),
            reserved: 0,
            payload: task.payload,
            checkpoint: task.checkpoint,
            label: task.due.map_or(0, |due| due.checkpoint),
            threshold_ns: task.threshold_ns,
            age_ns: task.age_ns,
            last_ns: task.last_ns,
            due_ns: task.due.map_or(0, |due| due.due_ns),
            beats: task.beats,
            violations: task.violations,
            done: task.done,
            left: task.left,
            name: name(task.name),
        }
    }
}

fn flag(set: bool, flag: u32) -> u32 {
    if set { flag } else { 0 }
}

fn broken(is_broken: impl Fn(Promise) -> bool) -> u8 {
    let bits = Promise::ALL.into_iter().filter(|promise| is_broken(*promise));
    bits.fold(0, |bits, promise| bits | promise.bit())
}

fn name(name: varta::TaskName) -> [c_char; 24] {
    name.to_bytes().map(|byte| c_char::from_ne_bytes([byte]))
}

/// An array of the caller for `cap` tasks, which may be NULL if that is 0.
pub(crate) struct TaskArray {
    output: Option<OutputArray<varta_task_info>>,
    cap: usize,
}

impl TaskArray {
    /// # Safety
    ///
    /// `ret` is NULL or points to `cap` structs, the first of which declares its size.
    pub(crate) unsafe fn new(ret: *mut varta_task_info, cap: usize) -> Result<Self, Failure> {
        let output = match cap {
            0 => None,
            // SAFETY: as the caller promised.
            _ => Some(unsafe { OutputArray::new(ret) }?),
        };
        Ok(Self { output, cap })
    }

    /// Writes as many tasks as fit, and returns how many there are.
    pub(crate) fn write(
        &self,
        tasks: impl Iterator<Item = varta_task_info>,
    ) -> Result<c_int, Failure> {
        let mut count = 0;
        for task in tasks {
            if let Some(output) = self.output.as_ref().filter(|_| count < self.cap) {
                // SAFETY: the caller's array has `cap` elements.
                unsafe { output.write(count, &task) };
            }
            count += 1;
        }
        c_int::try_from(count).map_err(|_| Failure::errno(libc::EOVERFLOW))
    }
}

/// Lists the tasks of this process, with what is late, for example for its own health check. They
/// are those of all its agents with the same endpoint.
///
/// agent: from varta_connect.
/// ret: an array that receives the tasks. Initialise its first element with
///     VARTA_TASK_INFO_INIT; the size there is the distance between elements. May be NULL if
///     cap is 0.
/// cap: the number of elements in the array; no more are written. A process has at most 31 tasks.
///
/// Returns the number of tasks, which may be more than cap; or
///     -EINVAL        agent is NULL, ret is NULL while cap is not 0, or ret was not initialised
///     -E2BIG         ret is from a newer header and sets fields that this library does not know
///     -EBUSY         another call is using this agent
///     VARTA_EPANIC   the library has a bug; the agent can only be closed
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_agent_tasks(
    agent: *mut varta_agent,
    ret: *mut varta_task_info,
    cap: usize,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an array or NULL.
        let output = unsafe { TaskArray::new(ret, cap) }?;
        let list = |agent: &mut Agent| {
            output.write(agent.tasks().map(|task| varta_task_info::from(&task)))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), list) }
    })
}
