//! The counters of an observer.

use ::varta_observer::{Counters, for_each_counter};

use super::{AnyObserver, varta_observer, with};
use crate::guard::{self, Code};
use crate::sized::{OutputArray, Sized};

/// The counters of an observer since it started. Each datagram is counted in exactly one of the
/// fields from beats to probes, so their sum is received; the other fields count other things.
/// Initialise with VARTA_OBSERVER_COUNTERS_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_observer_counters {
    /// sizeof(varta_observer_counters).
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Beats that were accepted and became events.
    pub beats: u64,
    /// 32 bytes that do not begin like a frame.
    pub bad_magic: u64,
    /// Frames of a version that the observer does not accept.
    pub bad_version: u64,
    /// Frames that were damaged in transit.
    pub bad_crc: u64,
    /// Frames with an unknown status.
    pub bad_status: u64,
    /// Frames with the status stall, which only an observer may use.
    pub stall_on_wire: u64,
    /// Frames with a process id that no agent can have.
    pub bad_pid: u64,
    /// Frames with a timestamp that has all bits set.
    pub bad_timestamp: u64,
    /// Frames with the terminal nonce and a status that is not critical.
    pub bad_nonce: u64,
    /// Datagrams of a length that no frame has.
    pub wrong_length: u64,
    /// Frames that name a different process than the one that sent them.
    pub auth_failures: u64,
    /// Datagrams that are not sealed with any of the observer's keys.
    pub decrypt_failures: u64,
    /// Beats over a network whose nonce or counter did not advance.
    pub replays: u64,
    /// Beats over the agent's rate limit. They still show that the agent lives.
    pub rate_limited_agent: u64,
    /// Beats over the rate limit for all agents. They still show that a known agent lives.
    pub rate_limited_global: u64,
    /// Beats of new agents while the table of agents was full.
    pub capacity_exceeded: u64,
    /// Beats of new agents over secure UDP while the table of prefixes was full.
    pub sender_memory_full: u64,
    /// Beats of users that are not admitted.
    pub uid_refused: u64,
    /// Beats from another pid namespace that is not admitted or cannot be followed.
    pub namespace_refused: u64,
    /// Beats over the network from this host that name a process which the observer follows
    /// with the kernel's attestation.
    pub origin_conflicts: u64,
    /// Datagrams whose kernel control data was incomplete.
    pub control_truncated: u64,
    /// Empty datagrams: another observer checking whether the socket is in use.
    pub probes: u64,
    /// All datagrams that were received.
    pub received: u64,
    /// Datagrams that the kernel dropped before they could be received.
    pub kernel_drops: u64,
    /// Agents that were gone and were removed to make room for new ones.
    pub evictions: u64,
    /// Lost beats, according to the nonces. Any sender can drive this to an arbitrary value.
    pub missed: u64,
    /// Accepted beats whose nonce did not advance.
    pub not_forward: u64,
    /// Stalls reported.
    pub stalls: u64,
    /// Recoveries reported.
    pub recoveries: u64,
    /// Exits reported.
    pub exits: u64,
    /// Pauses reported.
    pub pauses: u64,
    /// Those of the stalls that were marked VARTA_EVENT_DEAF.
    pub stalls_deaf: u64,
    /// How often a Unix socket's queue was found full.
    pub full_looks: u64,
    /// Times that a socket failed.
    pub io_errors: u64,
    /// Tries to open a sealed datagram, one for each key that was tried on it.
    pub open_attempts: u64,
    /// Pages of shared memory that were given to processes.
    pub lane_attached: u64,
    /// Processes that asked for a page and were refused.
    pub lane_refused: u64,
    /// Connections of processes that were ended because of a message of a wrong size or kind.
    pub lane_bad_messages: u64,
    /// Times that a process was not heard for a moment because it asked for too many looks.
    pub lane_muted: u64,
    /// Looks at pages.
    pub lane_looks: u64,
    /// Beats of processes that were found in pages.
    pub lane_beats: u64,
    /// Lines in which a look found something that no process may write. It is not news.
    pub lane_invalid: u64,
    /// Times that the period of looks at a page had to be longer than half of the shortest time
    /// on it.
    pub lane_raised: u64,
    /// Looks at pages of processes for which there was no room.
    pub lane_without_room: u64,
    /// Tasks that were followed.
    pub tasks: u64,
    /// Tasks of which an end was reported.
    pub tasks_ended: u64,
    /// Tasks that were not followed for a time, because there was no room.
    pub tasks_without_room: u64,
    /// Calls of tasks.
    pub task_beats: u64,
    /// Stalls of tasks reported.
    pub task_stalls: u64,
    /// Recoveries of tasks reported.
    pub task_recoveries: u64,
    /// Violations of rules by tasks.
    pub violations: u64,
    /// Readings of silent processes to find out why they are silent.
    pub cause_looks: u64,
    /// Readings that were put off or left out because others had taken too long.
    pub cause_refused: u64,
    /// The time that all readings took, in nanoseconds.
    pub cause_ns: u64,
    /// Threads that were lost because a reading of a process did not return. There are four.
    pub cause_stuck: u64,
}

// cbindgen expands no macros, so the struct above is written out. That it has every counter and no
// other field is checked here: a missing or an unknown one does not compile.
macro_rules! counters {
    ([$($datagram:ident)*] [$($other:ident)*]) => {
        // SAFETY: it begins with its size and holds numbers.
        unsafe impl Sized for varta_observer_counters {
            const ZERO: Self = Self { size: 0, reserved: 0, $($datagram: 0,)* $($other: 0,)* };
        }

        impl From<&Counters> for varta_observer_counters {
            fn from(counters: &Counters) -> Self {
                Self {
                    size: 0,
                    reserved: 0,
                    $($datagram: counters.$datagram,)*
                    $($other: counters.$other,)*
                }
            }
        }
    };
}

for_each_counter!(counters);

/// Reads the counters of an observer.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: receives the counters; initialise it with VARTA_OBSERVER_COUNTERS_INIT.
///
/// Returns 0, or
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
pub unsafe extern "C" fn varta_observer_stats(
    obs: *mut varta_observer,
    ret: *mut varta_observer_counters,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave a struct or NULL.
        let output = unsafe { OutputArray::new(ret) }?;
        let stats = |observer: &mut AnyObserver| {
            let counters = match observer {
                AnyObserver::Bound(observer) => observer.stats()?,
                AnyObserver::Simulated(observer) => observer.stats(),
            };
            // SAFETY: the array has one element.
            unsafe { output.write(0, &varta_observer_counters::from(&counters)) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, stats) }
    })
}
