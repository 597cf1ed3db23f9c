//! Where each datagram ended.

use varta::DecodeError;

/// What an observer has counted since it began.
///
/// Each datagram received ends in exactly one of the fields down to `probes`, so that
/// their sum, [`settled`](Self::settled), is `received`. The others count what datagrams
/// led to.
///
/// ```
/// let counters = varta_observer::Counters::default();
/// assert_eq!(counters.settled(), counters.received);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
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
    /// Came without the whole of what the kernel has to say about it, as datagrams do that were
    /// queued at an inherited socket before it passed credentials.
    pub control_truncated: u64,
    /// Empty: another observer asking whether someone is there.
    pub probes: u64,

    /// Datagrams received.
    pub received: u64,
    /// Datagrams that the kernel dropped before they could be received.
    pub kernel_drops: u64,
    /// Times that a socket failed.
    pub io_errors: u64,
    /// Tries to open a sealed datagram, one for each key that was tried on it. They are the
    /// dearest thing that a stranger can have done here.
    pub open_attempts: u64,
    /// Agents that were gone and made room.
    pub evictions: u64,
    /// Beats that never came, by their nonces. Who may beat may make this any number.
    pub missed: u64,
    /// Accepted beats whose nonce did not move forward.
    pub not_forward: u64,
    /// Stalls said.
    pub stalls: u64,
    /// Stalls said, of those, that are marked as deaf: the observer may have missed beats.
    pub stalls_deaf: u64,
    /// Looks at a Unix socket that found its queue at its length.
    pub full_looks: u64,
    /// Recoveries said.
    pub recoveries: u64,
    /// Exits said.
    pub exits: u64,
    /// Pauses said.
    pub pauses: u64,
}

impl Counters {
    /// How many datagrams have found their one counter.
    ///
    /// ```
    /// let mut counters = varta_observer::Counters::default();
    /// counters.probes = 2;
    /// assert_eq!(counters.settled(), 2);
    /// ```
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.beats
            + self.decode_errors()
            + self.wrong_length
            + self.auth_failures
            + self.decrypt_failures
            + self.replays
            + self.rate_limited_agent
            + self.rate_limited_global
            + self.capacity_exceeded
            + self.sender_memory_full
            + self.uid_refused
            + self.namespace_refused
            + self.origin_conflicts
            + self.control_truncated
            + self.probes
    }

    /// Datagrams of the right length that were no frame, for whatever reason.
    ///
    /// ```
    /// let mut counters = varta_observer::Counters::default();
    /// counters.bad_crc = 3;
    /// assert_eq!(counters.decode_errors(), 3);
    /// ```
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
