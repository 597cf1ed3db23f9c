//! Agents and counters as JavaScript objects.

use napi_derive::napi;
use varta_observer::{AgentInfo, Counters};

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
