//! Counters of notifications.

/// What an observer has counted of the messages at its notify socket. Each received message is
/// counted in exactly one of the fields down to `malformed`.
///
/// ```
/// use varta_observer::NotifyCounters;
///
/// assert_eq!(NotifyCounters::default().received, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NotifyCounters {
    /// Messages received.
    pub received: u64,
    /// From a service, and applied.
    pub applied: u64,
    /// Barriers, of which each was released once everything before it had been applied.
    pub barriers: u64,
    /// From a process that is not a service, and that does not become one by this message.
    pub unknown: u64,
    /// From a child of a service, while only main processes are admitted.
    pub not_main: u64,
    /// From a process that had ended before it became a service.
    pub ended: u64,
    /// From a user that is not admitted.
    pub uid_refused: u64,
    /// From another pid namespace, if that is not allowed or the process has no pid here.
    pub namespace_refused: u64,
    /// From a new service for which there was no room.
    pub no_room: u64,
    /// Arrived without all of the kernel's information about it.
    pub control_truncated: u64,
    /// Empty: a probe of another observer that checks whether the socket is in use.
    pub probes: u64,
    /// Too long, with a zero byte, or with a barrier beside other lines.
    pub malformed: u64,

    /// WATCHDOG=1 that was applied.
    pub pings: u64,
    /// WATCHDOG=1 over a rate limit. It still counts as a sign of life.
    pub rate_limited: u64,
    /// WATCHDOG=trigger that was applied.
    pub triggers: u64,
    /// Messages that asked for something that is not supported, such as FDSTORE=1.
    pub unsupported: u64,
    /// Values that could not be parsed.
    pub unparsable: u64,
    /// Changes of the main process that were applied, and those that were refused.
    pub main_changed: u64,
    /// See [`main_changed`](Self::main_changed).
    pub main_refused: u64,
    /// Exits of services that had announced them.
    pub expected_exits: u64,
    /// Notes that the host did not fetch in time.
    pub notes_lost: u64,
}
