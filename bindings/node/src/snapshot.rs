//! Agents and counters as JavaScript objects.

use napi_derive::napi;
use varta_observer::{AgentInfo, Counters};

/// An agent that is followed.
#[napi(object)]
#[derive(Debug)]
pub struct Agent {
    /// The agent's number.
    pub agent: f64,
    /// The name of its program.
    pub name: String,
    /// Its process id here.
    pub pid: u32,
    /// The one its frames name.
    pub claimed_pid: u32,
    /// The origin's number.
    pub origin: u32,
    /// Whose process it is.
    pub uid: Option<u32>,
    /// Where it beats from.
    pub address: Option<String>,
    /// The status's number.
    pub status: u32,
    /// When it was last heard.
    pub last_ns: napi::bindgen_prelude::BigInt,
    /// How long ago that is.
    pub age_ns: napi::bindgen_prelude::BigInt,
    /// Beats heard.
    pub beats: f64,
    /// Beats that never came.
    pub missed: f64,
    /// How long it may be silent.
    pub threshold_ns: napi::bindgen_prelude::BigInt,
    /// Whether it is silent.
    pub stalled: bool,
    /// Whether it may be another than it seems.
    pub unconfirmed: bool,
}

/// Counted one by one: none of it comes near 2^53.
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
    ($($counter:ident)*) => {
        /// What an observer has counted.
        #[napi(object)]
        #[derive(Debug)]
        pub struct Stats {
            $(
                #[doc = concat!("As `Counters::", stringify!($counter), "`.")]
                pub $counter: f64,
            )*
            /// As `Counters::missed`; whoever may beat may make it any number.
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

stats! {
    beats bad_magic bad_version bad_crc bad_status stall_on_wire bad_pid bad_timestamp
    bad_nonce wrong_length auth_failures decrypt_failures replays rate_limited_agent
    rate_limited_global capacity_exceeded sender_memory_full uid_refused namespace_refused
    origin_conflicts control_truncated probes received kernel_drops io_errors open_attempts evictions not_forward
    stalls recoveries exits pauses stalls_deaf full_looks
}
