//! Agents, tasks and counters as JavaScript objects.

use napi_derive::napi;
use varta_observer::{AgentInfo, CauseInfo, Counters, Late, TaskInfo};

use crate::task::bits;

/// A tracked agent.
#[napi(object)]
#[derive(Debug)]
pub struct Agent {
    /// The agent's number.
    pub agent: f64,
    /// The name of its program.
    pub name: String,
    /// Its pid in the observer's namespace.
    pub pid: u32,
    /// The pid in its frames.
    pub claimed_pid: u32,
    /// The origin's number.
    pub origin: u32,
    /// The uid of its process.
    pub uid: Option<u32>,
    /// Its network address.
    pub address: Option<String>,
    /// The status's number.
    pub status: u32,
    /// When its last beat arrived.
    pub last_ns: napi::bindgen_prelude::BigInt,
    /// How long ago that was.
    pub age_ns: napi::bindgen_prelude::BigInt,
    /// The number of beats received.
    pub beats: f64,
    /// The number of missing beats.
    pub missed: f64,
    /// How long it may be silent.
    pub threshold_ns: napi::bindgen_prelude::BigInt,
    /// Whether it is silent.
    pub stalled: bool,
    /// Whether its identity is not confirmed.
    pub unconfirmed: bool,
    /// Whether it beats through shared memory.
    pub lane: bool,
    /// How many of its tasks are followed.
    pub tasks: u32,
    /// How many of them are late.
    pub tasks_late: u32,
    /// The name to show for it.
    pub label: String,
}

/// Counters increase by one at a time, so none reaches 2^53.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn count(number: u64) -> f64 {
    number as f64
}

impl From<&AgentInfo> for Agent {
    fn from(info: &AgentInfo) -> Self {
        Self {
            agent: count(info.agent),
            name: info.name.to_string(),
            pid: info.pid,
            claimed_pid: info.claimed_pid,
            origin: info.origin as u32,
            uid: info.uid,
            address: info.address.map(|address| address.to_string()),
            status: info.status as u32,
            last_ns: info.last_ns.into(),
            age_ns: info.age_ns.into(),
            beats: count(info.beats),
            missed: count(info.missed),
            threshold_ns: info.threshold_ns.into(),
            stalled: info.stalled,
            unconfirmed: info.unconfirmed,
            lane: info.lane,
            tasks: info.tasks,
            tasks_late: info.tasks_late,
            label: info.label.to_string(),
        }
    }
}

/// Why a process is silent.
#[napi(object)]
#[derive(Debug)]
pub struct Cause {
    /// The cause's number.
    pub cause: u32,
    /// The certainty's number.
    pub certainty: u32,
    /// What else is known: bits.
    pub flags: u32,
    /// The thread that hangs.
    pub thread: u32,
    /// The other process or thread.
    pub other: u32,
    /// When it was looked at.
    pub looked_ns: napi::bindgen_prelude::BigInt,
    /// The signal that stopped it.
    pub signal: u32,
    /// The time between the two readings.
    pub window_ns: napi::bindgen_prelude::BigInt,
    /// How long the thread ran.
    pub run_ns: napi::bindgen_prelude::BigInt,
    /// How long it was ready but did not run.
    pub wait_ns: napi::bindgen_prelude::BigInt,
    /// How often it began to run.
    pub switches: u32,
    /// How often it waited for a page.
    pub major_faults: u32,
    /// What it waits in.
    pub detail: String,
}

impl From<&CauseInfo> for Cause {
    fn from(info: &CauseInfo) -> Self {
        Self {
            cause: info.why.cause as u32,
            certainty: info.why.certainty as u32,
            flags: info.why.flags.bits().into(),
            thread: info.why.thread,
            other: info.why.other,
            looked_ns: info.looked_ns.into(),
            signal: info.signal.into(),
            window_ns: info.window_ns.into(),
            run_ns: info.run_ns.into(),
            wait_ns: info.wait_ns.into(),
            switches: info.switches,
            major_faults: info.major_faults,
            detail: info.detail.to_string(),
        }
    }
}

/// A task of an agent.
#[napi(object)]
#[derive(Debug)]
pub struct Task {
    /// The task's number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The longest time between two calls.
    pub threshold_ns: napi::bindgen_prelude::BigInt,
    /// The status's number.
    pub status: u32,
    /// The number in its last beat.
    pub payload: u32,
    /// When its last call was made.
    pub last_ns: napi::bindgen_prelude::BigInt,
    /// How long ago that was.
    pub age_ns: napi::bindgen_prelude::BigInt,
    /// What is due next, or was due first.
    pub due: Option<Due>,
    /// Whether it is idle.
    pub idle: bool,
    /// The checkpoint where it is.
    pub checkpoint: u32,
    /// What it has done.
    pub done: u32,
    /// What is left.
    pub left: u32,
    /// The calls that were reported.
    pub beats: f64,
    /// The violations that were reported.
    pub violations: f64,
    /// A bit for each promise that is broken.
    pub broken: u32,
}

/// What is due.
#[napi(object)]
#[derive(Debug)]
pub struct Due {
    /// The promise's number.
    pub promise: u32,
    /// When it is due.
    pub due_ns: napi::bindgen_prelude::BigInt,
    /// The checkpoint, or the label of the span.
    pub checkpoint: u32,
}

impl From<Late> for Due {
    fn from(late: Late) -> Self {
        Self {
            promise: late.promise as u32,
            due_ns: late.due_ns.into(),
            checkpoint: late.checkpoint.into(),
        }
    }
}

impl From<&TaskInfo> for Task {
    fn from(info: &TaskInfo) -> Self {
        Self {
            number: info.number,
            name: info.name.as_str().to_owned(),
            threshold_ns: info.threshold_ns.into(),
            status: info.status as u32,
            payload: info.payload,
            last_ns: info.last_ns.into(),
            age_ns: info.age_ns.into(),
            due: info.due.map(Due::from),
            idle: info.idle,
            checkpoint: info.checkpoint.into(),
            done: info.done,
            left: info.left,
            beats: count(info.beats),
            violations: count(info.violations),
            broken: bits(|promise| info.is_broken(promise)),
        }
    }
}

macro_rules! stats {
    ([$($datagram:ident)*] [$($other:ident)*]) => {
        stats! { @ [$($datagram)*] $($other)* }
    };
    // All but this one, which may be any number, are numbers in JavaScript.
    (@ [$($before:ident)*] missed $($after:ident)*) => {
        stats! { @@ $($before)* $($after)* }
    };
    (@ [$($before:ident)*] $next:ident $($after:ident)*) => {
        stats! { @ [$($before)* $next] $($after)* }
    };
    (@@ $($counter:ident)*) => {
        /// The counters of an observer.
        #[napi(object)]
        #[derive(Debug)]
        pub struct Stats {
            $(
                #[doc = concat!("Same as `Counters::", stringify!($counter), "`.")]
                pub $counter: f64,
            )*
            /// Same as `Counters::missed`. Any sender can drive this to an arbitrary value.
            pub missed: napi::bindgen_prelude::BigInt,
        }

        impl From<&Counters> for Stats {
            fn from(counters: &Counters) -> Self {
                Self {
                    $($counter: count(counters.$counter),)*
                    missed: counters.missed.into(),
                }
            }
        }
    };
}

varta_observer::for_each_counter!(stats);
