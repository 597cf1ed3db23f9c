//! Counters of datagrams and events.

use varta::DecodeError;

/// Defines the counters, and `for_each_counter`, which hands their list to the crates that copy
/// them: the C ABI, the bindings and the tests.
macro_rules! counters {
    (
        $d:tt
        $(#[$meta:meta])*
        pub struct $Counters:ident {
            $($(#[$about:meta])* pub $datagram:ident: u64,)*
        } and {
            $($(#[$of:meta])* pub $other:ident: u64,)*
        }
    ) => {
        $(#[$meta])*
        pub struct $Counters {
            $($(#[$about])* pub $datagram: u64,)*
            $($(#[$of])* pub $other: u64,)*
        }

        /// Calls a macro with the names of all counters in two brackets: those that a datagram
        /// ends in, and the others. Not part of the stable API.
        #[doc(hidden)]
        #[macro_export]
        macro_rules! for_each_counter {
            ($d then:ident) => {
                $d then! { [$($datagram)*] [$($other)*] }
            };
        }
    };
}

counters! {
$
/// What an observer has counted since it started.
///
/// Each received datagram is counted in exactly one of the fields down to `probes`, so their
/// sum, [`settled`](Self::settled), equals `received`. The other fields count other things.
///
/// ```
/// let mut counters = varta_observer::Counters::default();
/// counters.probes = 2;
/// assert_eq!(counters.settled(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Accepted and reported as a Beat.
    pub beats: u64,
    /// 32 bytes that do not begin with the magic bytes.
    pub bad_magic: u64,
    /// A version that is not accepted.
    pub bad_version: u64,
    /// A wrong checksum.
    pub bad_crc: u64,
    /// An undefined status.
    pub bad_status: u64,
    /// The status Stall, which only an observer may report.
    pub stall_on_wire: u64,
    /// A process id that no agent can have.
    pub bad_pid: u64,
    /// A timestamp of all ones.
    pub bad_timestamp: u64,
    /// The terminal nonce with a status that it does not allow.
    pub bad_nonce: u64,
    /// A length that no frame has.
    pub wrong_length: u64,
    /// The frame named another process than the one that sent it.
    pub auth_failures: u64,
    /// Not sealed with any of the observer's keys.
    pub decrypt_failures: u64,
    /// Over a network, with a nonce or counter that is not above the last one.
    pub replays: u64,
    /// Over the rate limit of the agent. Such a beat still counts as a sign of life.
    pub rate_limited_agent: u64,
    /// Over the global rate limit. From a tracked agent, such a beat still counts as a sign of
    /// life.
    pub rate_limited_global: u64,
    /// From a new agent for which there was no room.
    pub capacity_exceeded: u64,
    /// A new session over secure UDP for which there was no room.
    pub sender_memory_full: u64,
    /// From a user that is not admitted.
    pub uid_refused: u64,
    /// From another pid namespace, if that is not allowed or the process cannot be tracked.
    pub namespace_refused: u64,
    /// Over the network from this host, with the pid of an agent that the kernel attests.
    pub origin_conflicts: u64,
    /// Arrived without all of the kernel's information about it, as happens to datagrams that
    /// were queued at an inherited socket before it passed credentials.
    pub control_truncated: u64,
    /// Empty: a probe of another observer that checks whether the socket is in use.
    pub probes: u64,
} and {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams that the kernel dropped before they could be received.
    pub kernel_drops: u64,
    /// Times that a socket failed.
    pub io_errors: u64,
    /// Attempts to open a sealed datagram, one for each key that was tried. This is the most
    /// expensive work that a stranger can cause.
    pub open_attempts: u64,
    /// Agents that were evicted to make room.
    pub evictions: u64,
    /// Beats that never arrived, by their nonces. Any sender can drive this to an arbitrary
    /// value.
    pub missed: u64,
    /// Accepted beats whose nonce did not move forward.
    pub not_forward: u64,
    /// Stalls reported.
    pub stalls: u64,
    /// Stalls among those that are marked as deaf: the observer may have missed beats.
    pub stalls_deaf: u64,
    /// Looks at a Unix socket that found its queue full.
    pub full_looks: u64,
    /// Recoveries reported.
    pub recoveries: u64,
    /// Exits reported.
    pub exits: u64,
    /// Pauses reported.
    pub pauses: u64,
    /// Pages of shared memory that were given to processes.
    pub lane_attached: u64,
    /// Processes that asked for a page and were refused.
    pub lane_refused: u64,
    /// Connections of processes that were ended because of a message of a wrong size or kind.
    pub lane_bad_messages: u64,
    /// Times that a process was ignored for a moment because it asked for too many looks.
    pub lane_muted: u64,
    /// Looks at pages.
    pub lane_looks: u64,
    /// Beats of processes that were found in pages.
    pub lane_beats: u64,
    /// Lines in which a look found something that no process may write. They are ignored.
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
}

impl Counters {
    /// How many datagrams have been counted in one of the fields down to `probes`.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        macro_rules! sum {
            ([$($datagram:ident)*] $others:tt) => { 0 $(+ self.$datagram)* };
        }
        for_each_counter!(sum)
    }

    /// Datagrams of the right length that were not a valid frame, for any reason.
    #[must_use]
    pub const fn decode_errors(&self) -> u64 {
        self.bad_magic
            + self.bad_version
            + self.bad_crc
            + self.bad_status
            + self.stall_on_wire
            + self.bad_pid
            + self.bad_timestamp
            + self.bad_nonce
    }

    pub(crate) const fn decode_error(&mut self, error: &DecodeError) {
        *match error {
            DecodeError::BadMagic => &mut self.bad_magic,
            DecodeError::BadVersion => &mut self.bad_version,
            DecodeError::BadCrc { .. } => &mut self.bad_crc,
            DecodeError::BadStatus(_) => &mut self.bad_status,
            DecodeError::StallOnWire => &mut self.stall_on_wire,
            DecodeError::BadPid(_) => &mut self.bad_pid,
            DecodeError::BadTimestamp(_) => &mut self.bad_timestamp,
            DecodeError::BadNonce { .. } => &mut self.bad_nonce,
        } += 1;
    }
}
