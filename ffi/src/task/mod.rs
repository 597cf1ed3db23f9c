//! Tasks: how a program declares one, and its calls.

pub(crate) mod counters;
pub(crate) mod info;
pub(crate) mod names;
pub(crate) mod options;

use std::ffi::{CStr, c_char};
use std::io;
use std::str::Utf8Error;
use std::time::Duration;

use varta::{NEVER, SpanId, SpanLimits, Status, Task};

use self::options::varta_task_options;
use crate::agent::{self, Agent, failure_with_message, varta_agent};
use crate::args::{self, Message};
use crate::errors::Failure;
use crate::guard::{self, Code, Wide};
use crate::handle::Handle;
use crate::sized;

/// A task: a named part of this process that is watched on its own, such as a thread, a worker, a
/// loop, or a kind of job. varta_task_open declares it and varta_task_close ends it.
#[derive(Debug)]
pub struct varta_task {
    /// A pointer to this type really points to a `Handle<Task>`.
    _handle: (),
}

/// No limit: as a threshold, as the longest time of a span or a step, and for idling.
pub const VARTA_NEVER: u64 = u64::MAX;

/// A time that may be [`VARTA_NEVER`].
#[inline]
pub(crate) fn duration(ns: u64) -> Duration {
    if ns == VARTA_NEVER { NEVER } else { Duration::from_nanos(ns) }
}

/// The reverse of [`duration`].
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(VARTA_NEVER)
}

/// Runs `body` with the task, or fails if another call is using it.
///
/// # Safety
///
/// The handle is open, or NULL.
#[inline]
unsafe fn with<R>(
    task: *mut varta_task,
    body: impl FnOnce(&mut Task) -> Result<R, Failure>,
) -> Result<R, Failure> {
    // SAFETY: as the caller promised.
    unsafe { Handle::<Task>::with(task.cast(), body) }
}

/// Declares a task, which is its first sign of life.
///
/// Each call of a task is a sign of life, and a promise to make the next call within the
/// threshold. An observer that is asked for tasks reports each one by itself: that it was
/// declared, its beats, its stalls and recoveries, and its end. For any other observer,
/// varta_beat includes the tasks: a late task makes the status of the process critical. Keep one
/// varta_beat in the main loop.
///
/// ret: receives the new handle. The caller owns it and ends it with varta_task_close. It does not
///     need the agent any more.
/// agent: from varta_connect. All agents of a process with the same endpoint share their tasks.
/// name: 1 to 23 bytes of UTF-8 without control characters. Several tasks may have the same name.
/// threshold_ns: the longest time between two calls: 1 ms to 30 days, or VARTA_NEVER.
/// opt: options, or NULL for the defaults. Not used after the call returns.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, or the name, the threshold or an option is invalid
///     -E2BIG         opt sets fields that this library does not know
///     -ENOSPC        the process already has 31 tasks
///     -ENOMEM        there is not enough memory for opt->spans spans
///     -EBUSY         another call is using this agent
///     VARTA_EPANIC   the library has a bug; the agent can only be closed
/// If opt->message is set, an error message is written there.
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_open(
    ret: *mut *mut varta_task,
    agent: *mut varta_agent,
    name: *const c_char,
    threshold_ns: u64,
    opt: *const varta_task_options,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        if name.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave options or NULL.
        let options = unsafe { sized::read(opt) }?;
        // SAFETY: its pointers are valid.
        let declared = unsafe { options.of_task(duration(threshold_ns)) }?;
        let message = Message { to: options.message, size: options.message_size };
        let open = |agent: &mut Agent| {
            let declare = || {
                // SAFETY: the caller gave a string.
                let name = unsafe { CStr::from_ptr(name) }.to_str().map_err(not_utf8)?;
                Ok((agent.task_with(name, declared)?, ()))
            };
            let task = Handle::<Task>::make(declare)
                .map_err(|error| failure_with_message(&error, message))?;
            // SAFETY: ret is not NULL, as checked above.
            unsafe { args::write(ret, task.cast()) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), open) }
    })
}

fn not_utf8(error: Utf8Error) -> io::Error {
    let problem = format!("cannot declare the task: its name is not UTF-8: {error}");
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// Reports that the task is here, with a status and a number that the application chooses.
///
/// It is a few stores, and never blocks, allocates or logs. It makes a system call only to let the
/// observer look at once, for example at a new status, and ten times a second to check whether the
/// observer is there. All other calls of a task cost the same.
///
/// task: from varta_task_open.
/// status: VARTA_STATUS_OK, VARTA_STATUS_DEGRADED or VARTA_STATUS_CRITICAL.
/// payload: delivered unchanged in the observer's event.
///
/// Returns 0 (VARTA_SENT): it was recorded; or
///     -EINVAL        task is NULL, or the status is VARTA_STATUS_STALL or unknown
///     -ENOSPC        this process is a forked child that has no room for the task
///     -EBUSY         another call is using this task; nothing was recorded
///     VARTA_EPANIC   the library has a bug; the task can only be closed
/// Threads: one call at a time per task. It may be called from a signal handler; if that
/// interrupted a call on the same task, it gets -EBUSY. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_beat(
    task: *mut varta_task,
    status: u8,
    payload: u32,
) -> Code {
    guard::answer(|| {
        let Some(status) = Status::from_wire(status) else { return Err(Failure::INVALID) };
        let beat = |task: &mut Task| agent::code(task.beat(status, payload));
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(task, beat) }
    })
}

/// Nothing is due until the next call of any kind, which ends this. Call it before waiting for
/// work. The time of open spans, of steps and of progress stands still meanwhile.
///
/// task: from varta_task_open.
/// at_most_ns: the next call is due within this time; VARTA_NEVER for no limit.
///
/// Returns 0, or
///     -EINVAL        task is NULL
///     -EBUSY         another call is using this task; nothing was recorded
///     VARTA_EPANIC   the library has a bug; the task can only be closed
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_idle(task: *mut varta_task, at_most_ns: u64) -> Code {
    guard::answer(|| {
        let idle = |task: &mut Task| {
            task.idle_at_most(duration(at_most_ns));
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(task, idle) }
    })
}

/// Watches a block, which varta_task_unwatch ends. Blocks may be nested, and may overlap.
///
/// task: from varta_task_open.
/// min_ns: the block must not end before this time has passed; 0 for no limit.
/// max_ns: it must end before this time has passed; VARTA_NEVER for no limit.
///
/// Returns a positive number for varta_task_unwatch; 0 if the block is not watched, because as
/// many are open as the option spans permits; or an error of varta_task_idle.
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_watch(
    task: *mut varta_task,
    min_ns: u64,
    max_ns: u64,
) -> Wide {
    guard::wide(|| {
        let limits = SpanLimits::new(duration(max_ns)).min(duration(min_ns));
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { watch(task, limits) }
    })
}

/// As varta_task_watch, with a label that events about the block contain.
///
/// task, min_ns, max_ns: as for varta_task_watch.
/// label: a number that the application chooses; 0 for none.
///
/// Returns what varta_task_watch returns.
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_watch_labelled(
    task: *mut varta_task,
    min_ns: u64,
    max_ns: u64,
    label: u16,
) -> Wide {
    guard::wide(|| {
        let limits = SpanLimits::new(duration(max_ns)).min(duration(min_ns)).label(label);
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { watch(task, limits) }
    })
}

/// # Safety
///
/// The handle is open, or NULL.
#[inline]
unsafe fn watch(task: *mut varta_task, limits: SpanLimits) -> Result<i64, Failure> {
    let open = |task: &mut Task| {
        // A span's number has 63 bits.
        i64::try_from(task.open_span(limits).to_raw())
            .map_err(|_| Failure::errno(libc::EOVERFLOW))
    };
    // SAFETY: as the caller promised.
    unsafe { with(task, open) }
}

/// Ends a block that varta_task_watch began.
///
/// task: from varta_task_open.
/// span: what varta_task_watch returned. Any other number ends nothing.
///
/// Returns 1 if the block was open, 0 if it was not; or an error of varta_task_idle.
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_unwatch(task: *mut varta_task, span: i64) -> Code {
    guard::answer(|| {
        let id = u64::try_from(span).map_or(SpanId::UNWATCHED, SpanId::from_raw);
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(task, |task| Ok(task.close_span(id).into())) }
    })
}

/// The task is at a checkpoint. With the option edges, only the steps that they permit are legal,
/// and each must be made in its time.
///
/// task: from varta_task_open.
/// checkpoint: a number from 1 that the application chooses; 0 is outside of all, where a task
///     begins.
///
/// Returns 0, or an error of varta_task_idle.
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_reach(task: *mut varta_task, checkpoint: u16) -> Code {
    guard::answer(|| {
        let reach = |task: &mut Task| {
            task.reach(checkpoint);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(task, reach) }
    })
}

/// Reports how much is done and how much is left. While something is left, done must change as
/// often as the option progress_ns requires.
///
/// task: from varta_task_open.
/// done: how much is done. It may wrap.
/// left: how much is waiting.
///
/// Returns 0, or an error of varta_task_idle.
/// Threads: as for varta_task_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_progress(
    task: *mut varta_task,
    done: u32,
    left: u32,
) -> Code {
    guard::answer(|| {
        let progress = |task: &mut Task| {
            task.progress(done, left);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(task, progress) }
    })
}

/// Ends a task, as planned. A task whose thread ends without this call is reported when it breaks
/// a promise.
///
/// task: from varta_task_open, or NULL, which is ignored. No other call may be using it, and none
///     may follow; debug builds of the library check that, and abort.
/// Threads: any. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_close(task: *mut varta_task) {
    guard::end(|| {
        // SAFETY: the caller gave an open handle or NULL, and this is the last call on it.
        drop(unsafe { Handle::<Task>::close(task.cast()) });
    });
}

/// Ends a task that has failed: the observer reports VARTA_ENDED_FAILED.
///
/// task: as for varta_task_close.
/// Threads: any. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_task_fail(task: *mut varta_task) {
    guard::end(|| {
        // SAFETY: the caller gave an open handle or NULL, and this is the last call on it.
        if let Some(task) = unsafe { Handle::<Task>::close(task.cast()) } {
            task.fail();
        }
    });
}
