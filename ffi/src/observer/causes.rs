//! The causes of silences.

use std::ffi::{c_char, c_int};

use ::varta_observer::{Cause, CauseFlags, CauseInfo, Certainty};

use super::{AnyObserver, varta_observer, with};
use crate::constants::UNKNOWN;
use crate::guard::{self, Code, Text};
use crate::sized::{OutputArray, Sized};

/// Cause of a silence: it was not looked at, or could not be seen.
pub const VARTA_CAUSE_UNKNOWN: u8 = 0;
/// Cause of a silence: the system was suspended.
pub const VARTA_CAUSE_SUSPENDED: u8 = 10;
/// Cause of a silence: a signal stopped it.
pub const VARTA_CAUSE_STOPPED: u8 = 11;
/// Cause of a silence: a debugger has stopped it.
pub const VARTA_CAUSE_TRACED: u8 = 12;
/// Cause of a silence: its control group is frozen.
pub const VARTA_CAUSE_FROZEN: u8 = 13;
/// Cause of a silence: it crashed, and the kernel is writing its core file.
pub const VARTA_CAUSE_DUMPING: u8 = 14;
/// Cause of a silence: it is ending.
pub const VARTA_CAUSE_DYING: u8 = 15;
/// Cause of a silence: its control group has used up its share of the CPU.
pub const VARTA_CAUSE_THROTTLED: u8 = 16;
/// Cause of a silence: other processes have the CPU.
pub const VARTA_CAUSE_STARVED: u8 = 17;
/// Cause of a silence: the kernel waits for a device or a file system on its behalf.
pub const VARTA_CAUSE_IO: u8 = 20;
/// Cause of a silence: the kernel waits for memory on its behalf.
pub const VARTA_CAUSE_MEMORY: u8 = 21;
/// Cause of a silence: it uses the CPU but does not beat.
pub const VARTA_CAUSE_BUSY: u8 = 30;
/// Cause of a silence: it waits for a lock.
pub const VARTA_CAUSE_LOCK: u8 = 31;
/// Cause of a silence: it waits for a condition, a semaphore or the end of a thread.
pub const VARTA_CAUSE_WAITING: u8 = 32;
/// Cause of a silence: it waits for a child process.
pub const VARTA_CAUSE_CHILD: u8 = 33;
/// Cause of a silence: it wakes up again and again, but does not beat.
pub const VARTA_CAUSE_AWAKE: u8 = 34;
/// Cause of a silence: it sleeps in a call such as recv, poll or nanosleep.
pub const VARTA_CAUSE_IDLE: u8 = 35;
/// Cause of a silence: it sleeps, and there is no permission to see on what.
pub const VARTA_CAUSE_ASLEEP: u8 = 36;
/// Cause of a silence: it said so itself.
pub const VARTA_CAUSE_SELF_REPORTED: u8 = 37;
/// Cause of a silence: it executes another program since it beat.
pub const VARTA_CAUSE_EXEC: u8 = 40;
/// Cause of a silence: its first thread has ended, others have not.
pub const VARTA_CAUSE_LEADER_EXITED: u8 = 41;
/// Cause of a silence: the thread that made the beats has ended.
pub const VARTA_CAUSE_THREAD_GONE: u8 = 42;

/// Certainty of a cause: it may well be another one.
pub const VARTA_CERTAINTY_GUESS: u8 = 0;
/// Certainty of a cause: what was read is typical for it.
pub const VARTA_CERTAINTY_LIKELY: u8 = 1;
/// Certainty of a cause: the kernel reports it.
pub const VARTA_CERTAINTY_CERTAIN: u8 = 2;

/// Flag of a cause: its event loop waits for events.
pub const VARTA_CAUSE_FLAG_IN_EVENT_WAIT: u8 = 1;
/// Flag of a cause: a debugger or tracer is attached.
pub const VARTA_CAUSE_FLAG_TRACER: u8 = 2;
/// Flag of a cause: the process has more than one thread.
pub const VARTA_CAUSE_FLAG_MANY_THREADS: u8 = 4;
/// Flag of a cause: the observer has no permission to see everything.
pub const VARTA_CAUSE_FLAG_NO_PERMISSION: u8 = 8;
/// Flag of a cause: the time between the two readings was too short to tell much.
pub const VARTA_CAUSE_FLAG_SHORT_WINDOW: u8 = 16;
/// Flag of a cause: other is the thread that holds the lock.
pub const VARTA_CAUSE_FLAG_OWNER: u8 = 32;
/// Flag of a cause: the thread that holds the lock itself waits for a lock.
pub const VARTA_CAUSE_FLAG_CYCLE: u8 = 64;

const _: () = {
    assert!(VARTA_CAUSE_UNKNOWN == Cause::Unknown as u8);
    assert!(VARTA_CAUSE_SUSPENDED == Cause::Suspended as u8);
    assert!(VARTA_CAUSE_STOPPED == Cause::Stopped as u8);
    assert!(VARTA_CAUSE_TRACED == Cause::Traced as u8);
    assert!(VARTA_CAUSE_FROZEN == Cause::Frozen as u8);
    assert!(VARTA_CAUSE_DUMPING == Cause::Dumping as u8);
    assert!(VARTA_CAUSE_DYING == Cause::Dying as u8);
    assert!(VARTA_CAUSE_THROTTLED == Cause::Throttled as u8);
    assert!(VARTA_CAUSE_STARVED == Cause::Starved as u8);
    assert!(VARTA_CAUSE_IO == Cause::Io as u8);
    assert!(VARTA_CAUSE_MEMORY == Cause::Memory as u8);
    assert!(VARTA_CAUSE_BUSY == Cause::Busy as u8);
    assert!(VARTA_CAUSE_LOCK == Cause::Lock as u8);
    assert!(VARTA_CAUSE_WAITING == Cause::Waiting as u8);
    assert!(VARTA_CAUSE_CHILD == Cause::Child as u8);
    assert!(VARTA_CAUSE_AWAKE == Cause::Awake as u8);
    assert!(VARTA_CAUSE_IDLE == Cause::Idle as u8);
    assert!(VARTA_CAUSE_ASLEEP == Cause::Asleep as u8);
    assert!(VARTA_CAUSE_SELF_REPORTED == Cause::SelfReported as u8);
    assert!(VARTA_CAUSE_EXEC == Cause::Exec as u8);
    assert!(VARTA_CAUSE_LEADER_EXITED == Cause::LeaderExited as u8);
    assert!(VARTA_CAUSE_THREAD_GONE == Cause::ThreadGone as u8);
    assert!(VARTA_CAUSE_FLAG_IN_EVENT_WAIT == CauseFlags::IN_EVENT_WAIT.bits());
    assert!(VARTA_CAUSE_FLAG_TRACER == CauseFlags::TRACER.bits());
    assert!(VARTA_CAUSE_FLAG_MANY_THREADS == CauseFlags::MANY_THREADS.bits());
    assert!(VARTA_CAUSE_FLAG_NO_PERMISSION == CauseFlags::NO_PERMISSION.bits());
    assert!(VARTA_CAUSE_FLAG_SHORT_WINDOW == CauseFlags::SHORT_WINDOW.bits());
    assert!(VARTA_CAUSE_FLAG_OWNER == CauseFlags::OWNER.bits());
    assert!(VARTA_CAUSE_FLAG_CYCLE == CauseFlags::CYCLE.bits());
    assert!(VARTA_CERTAINTY_GUESS == Certainty::Guess as u8);
    assert!(VARTA_CERTAINTY_LIKELY == Certainty::Likely as u8);
    assert!(VARTA_CERTAINTY_CERTAIN == Certainty::Certain as u8);
};

/// What was found out about a silence. Initialise with VARTA_CAUSE_INFO_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_cause_info {
    /// sizeof(varta_cause_info).
    pub size: u32,
    /// VARTA_CAUSE_ constant. Its tens are the class: 1 held from outside, 2 in the kernel, 3 its
    /// own, 4 changed, 0 unknown.
    pub cause: u8,
    /// VARTA_CERTAINTY_ constant.
    pub certainty: u8,
    /// VARTA_CAUSE_FLAG_ bits.
    pub flags: u8,
    /// The signal that stopped the process; 0 if none, or it is not known.
    pub signal: u8,
    /// The thread that hangs; 0 if it is the whole process, or not known.
    pub thread: u32,
    /// The other process or thread: the tracer, the owner of the lock, the child; 0 if there is
    /// none, or it is not known.
    pub other: u32,
    /// How often the thread began to run between the two readings that were compared.
    pub switches: u32,
    /// How often it waited for a page to be read.
    pub major_faults: u32,
    /// When it was looked at last, in nanoseconds since the observer started; 0 if never.
    pub looked_ns: u64,
    /// The time between the two readings; 0 if there was only one.
    pub window_ns: u64,
    /// How long the thread ran in that time.
    pub run_ns: u64,
    /// How long it was ready to run but did not.
    pub wait_ns: u64,
    /// What it waits in or is held by, such as "futex_do_wait futex": up to 64 bytes and a NUL.
    /// Names that a process chose are in it, so escape it before you print it.
    pub detail: [c_char; 72],
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_cause_info {
    const ZERO: Self = Self {
        size: 0,
        cause: 0,
        certainty: 0,
        flags: 0,
        signal: 0,
        thread: 0,
        other: 0,
        switches: 0,
        major_faults: 0,
        looked_ns: 0,
        window_ns: 0,
        run_ns: 0,
        wait_ns: 0,
        detail: [0; 72],
    };
}

impl From<&CauseInfo> for varta_cause_info {
    fn from(info: &CauseInfo) -> Self {
        let mut detail = [0; 72];
        for (to, from) in detail.iter_mut().zip(info.detail.as_bytes()) {
            *to = c_char::from_ne_bytes([*from]);
        }
        Self {
            size: 0,
            cause: info.why.cause as u8,
            certainty: info.why.certainty as u8,
            flags: info.why.flags.bits(),
            signal: info.signal,
            thread: info.why.thread,
            other: info.why.other,
            switches: info.switches,
            major_faults: info.major_faults,
            looked_ns: info.looked_ns,
            window_ns: info.window_ns,
            run_ns: info.run_ns,
            wait_ns: info.wait_ns,
            detail,
        }
    }
}

/// Tells why an agent is silent, or one of its tasks. The observer looks up causes if it was
/// created with VARTA_OBSERVER_CAUSES.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// agent: the agent's number, as in events.
/// task: the task's number, as in events; 0 for the process.
/// ret: receives the cause if the return value is 1; initialise it with VARTA_CAUSE_INFO_INIT.
///
/// Returns 1 if a stall was reported that is not over, 0 if not, or if causes are not looked up; or
///     -EINVAL        a pointer is NULL, or ret was not initialised
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
pub unsafe extern "C" fn varta_observer_cause(
    obs: *mut varta_observer,
    agent: u64,
    task: u32,
    ret: *mut varta_cause_info,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave a struct or NULL.
        let output = unsafe { OutputArray::new(ret) }?;
        let find = |observer: &mut AnyObserver| {
            let info = match observer {
                AnyObserver::Bound(observer) => observer.cause(agent, task)?,
                AnyObserver::Simulated(observer) => observer.cause(agent, task),
            };
            if let Some(info) = &info {
                // SAFETY: the array has at least one element.
                unsafe { output.write(0, &info.into()) };
            }
            Ok(c_int::from(info.is_some()))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, find) }
    })
}

/// Returns the name of a cause, such as "lock", "stopped" or "leader-exited".
///
/// cause: a VARTA_CAUSE_ number.
///
/// Returns a static string, "unknown" for VARTA_CAUSE_UNKNOWN and for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_cause_name(cause: u8) -> Text {
    guard::text(|| match cause {
        VARTA_CAUSE_SUSPENDED => c"suspended",
        VARTA_CAUSE_STOPPED => c"stopped",
        VARTA_CAUSE_TRACED => c"traced",
        VARTA_CAUSE_FROZEN => c"frozen",
        VARTA_CAUSE_DUMPING => c"dumping",
        VARTA_CAUSE_DYING => c"dying",
        VARTA_CAUSE_THROTTLED => c"throttled",
        VARTA_CAUSE_STARVED => c"starved",
        VARTA_CAUSE_IO => c"io",
        VARTA_CAUSE_MEMORY => c"memory",
        VARTA_CAUSE_BUSY => c"busy",
        VARTA_CAUSE_LOCK => c"lock",
        VARTA_CAUSE_WAITING => c"waiting",
        VARTA_CAUSE_CHILD => c"child",
        VARTA_CAUSE_AWAKE => c"awake",
        VARTA_CAUSE_IDLE => c"idle",
        VARTA_CAUSE_ASLEEP => c"asleep",
        VARTA_CAUSE_SELF_REPORTED => c"self-reported",
        VARTA_CAUSE_EXEC => c"exec",
        VARTA_CAUSE_LEADER_EXITED => c"leader-exited",
        VARTA_CAUSE_THREAD_GONE => c"thread-gone",
        _ => UNKNOWN,
    })
}
