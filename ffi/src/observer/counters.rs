//! What an observer has counted.

use ::varta_observer::Counters;

use super::{Watcher, varta_observer, with};
use crate::guard::{self, Code};
use crate::sized::{Room, Sized};

/// What an observer has counted since it began. Each datagram received ends in exactly one of
/// the fields from beats to probes, so that their sum is received; the others count what
/// datagrams led to. Initialise it with VARTA_OBSERVER_COUNTERS_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_observer_counters {
    /// sizeof(varta_observer_counters).
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Accepted, and said as a Beat.
    pub beats: u64,
    /// 32 bytes that do not begin as a frame does.
    pub bad_magic: u64,
    /// A version that is not taken.
    pub bad_version: u64,
    /// Damaged on the way.
    pub bad_crc: u64,
    /// A status that means nothing.
    pub bad_status: u64,
    /// A Stall from an agent.
    pub stall_on_wire: u64,
    /// A process id that is no agent's.
    pub bad_pid: u64,
    /// A timestamp of all ones.
    pub bad_timestamp: u64,
    /// The terminal nonce with a status that does not go with it.
    pub bad_nonce: u64,
    /// Of a length that no frame has.
    pub wrong_length: u64,
    /// The frame named another process than the one that sent it.
    pub auth_failures: u64,
    /// Not sealed with a key that is held.
    pub decrypt_failures: u64,
    /// Over a network, and not forward of what was heard.
    pub replays: u64,
    /// More than the agent's share. It proved life all the same.
    pub rate_limited_agent: u64,
    /// More than everyone's share. From an agent that is followed, it proved life all the
    /// same.
    pub rate_limited_global: u64,
    /// From a newcomer for whom there was no room.
    pub capacity_exceeded: u64,
    /// From a newcomer over secure UDP whose prefixes could not be remembered.
    pub sender_memory_full: u64,
    /// From a user whose beats do not count.
    pub uid_refused: u64,
    /// From another pid namespace, which is not allowed or cannot be followed.
    pub namespace_refused: u64,
    /// Over the network from this host, naming a process that is followed by what the
    /// kernel says of it.
    pub origin_conflicts: u64,
    /// Came without the whole of what the kernel has to say about it.
    pub control_truncated: u64,
    /// Empty: another observer asking whether someone is there.
    pub probes: u64,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams that the kernel dropped before they could be received.
    pub kernel_drops: u64,
    /// Agents that were gone and made room.
    pub evictions: u64,
    /// Beats that never came, by their nonces. Who may beat may make this any number.
    pub missed: u64,
    /// Accepted beats whose nonce did not move forward.
    pub not_forward: u64,
    /// Stalls said.
    pub stalls: u64,
    /// Recoveries said.
    pub recoveries: u64,
    /// Exits said.
    pub exits: u64,
    /// Pauses said.
    pub pauses: u64,
    /// The stalls, of all of them, that were marked VARTA_EVENT_DEAF.
    pub stalls_deaf: u64,
    /// Looks at a Unix socket that found its queue at its length.
    pub full_looks: u64,
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_observer_counters {
    const ZERO: Self = Self {
        size: 0,
        reserved: 0,
        beats: 0,
        bad_magic: 0,
        bad_version: 0,
        bad_crc: 0,
        bad_status: 0,
        stall_on_wire: 0,
        bad_pid: 0,
        bad_timestamp: 0,
        bad_nonce: 0,
        wrong_length: 0,
        auth_failures: 0,
        decrypt_failures: 0,
        replays: 0,
        rate_limited_agent: 0,
        rate_limited_global: 0,
        capacity_exceeded: 0,
        sender_memory_full: 0,
        uid_refused: 0,
        namespace_refused: 0,
        origin_conflicts: 0,
        control_truncated: 0,
        probes: 0,
        received: 0,
        kernel_drops: 0,
        evictions: 0,
        missed: 0,
        not_forward: 0,
        stalls: 0,
        recoveries: 0,
        exits: 0,
        pauses: 0,
        stalls_deaf: 0,
        full_looks: 0,
    };
}

impl From<&Counters> for varta_observer_counters {
    fn from(counters: &Counters) -> Self {
        Self {
            size: 0,
            reserved: 0,
            beats: counters.beats,
            bad_magic: counters.bad_magic,
            bad_version: counters.bad_version,
            bad_crc: counters.bad_crc,
            bad_status: counters.bad_status,
            stall_on_wire: counters.stall_on_wire,
            bad_pid: counters.bad_pid,
            bad_timestamp: counters.bad_timestamp,
            bad_nonce: counters.bad_nonce,
            wrong_length: counters.wrong_length,
            auth_failures: counters.auth_failures,
            decrypt_failures: counters.decrypt_failures,
            replays: counters.replays,
            rate_limited_agent: counters.rate_limited_agent,
            rate_limited_global: counters.rate_limited_global,
            capacity_exceeded: counters.capacity_exceeded,
            sender_memory_full: counters.sender_memory_full,
            uid_refused: counters.uid_refused,
            namespace_refused: counters.namespace_refused,
            origin_conflicts: counters.origin_conflicts,
            control_truncated: counters.control_truncated,
            probes: counters.probes,
            received: counters.received,
            kernel_drops: counters.kernel_drops,
            evictions: counters.evictions,
            missed: counters.missed,
            not_forward: counters.not_forward,
            stalls: counters.stalls,
            recoveries: counters.recoveries,
            exits: counters.exits,
            pauses: counters.pauses,
            stalls_deaf: counters.stalls_deaf,
            full_looks: counters.full_looks,
        }
    }
}

/// Says what an observer has counted.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: a struct that was initialised with VARTA_OBSERVER_COUNTERS_INIT.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, or ret was not initialised
///     -E2BIG         ret is of a newer header and holds what this library does not know
///     -EBUSY         another call is on this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_stats(
    obs: *mut varta_observer,
    ret: *mut varta_observer_counters,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave room or NULL.
        let room = unsafe { Room::new(ret) }?;
        let stats = |watcher: &mut Watcher| {
            let counters = match watcher {
                Watcher::Bound(observer) => observer.stats()?,
                Watcher::Simulated(observer) => observer.stats(),
            };
            // SAFETY: there is room for one.
            unsafe { room.write(0, &varta_observer_counters::from(&counters)) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, stats) }
    })
}
