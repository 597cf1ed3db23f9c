//! The observer's time, for threads that have no observer, and the wall clock.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the observer started, on the clock that counts suspend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start_ns: u64,
}

impl Clock {
    /// Returns the clock of an observer that reads `now_ns` at this moment.
    pub(crate) fn of(now_ns: u64) -> Self {
        Self { start_ns: boottime_ns().saturating_sub(now_ns) }
    }

    pub(crate) fn now(self) -> u64 {
        boottime_ns().saturating_sub(self.start_ns)
    }

    /// When the observer started, on the clock that starts at boot.
    pub(crate) const fn start_ns(self) -> u64 {
        self.start_ns
    }
}

/// The wall clock: nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    nanoseconds_of(ClockId::Realtime)
}

/// A duration in nanoseconds, as long as they can be counted.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn boottime_ns() -> u64 {
    nanoseconds_of(ClockId::Boottime)
}

fn nanoseconds_of(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let (seconds, rest) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
