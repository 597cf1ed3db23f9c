//! The observer's own time.

use crate::sys;

/// The observer's time: nanoseconds since it started, suspend included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: u64,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { start: sys::boottime_ns() }
    }

    pub(crate) fn now(self) -> u64 {
        sys::boottime_ns().saturating_sub(self.start)
    }

    /// The same time on the clock that counts from boot.
    pub(crate) const fn since_boot(self, ns: u64) -> u64 {
        self.start.saturating_add(ns)
    }

    /// The time spent suspended since boot.
    pub(crate) fn asleep() -> u64 {
        let before = sys::monotonic_ns();
        sys::boottime_ns().saturating_sub(before)
    }
}
