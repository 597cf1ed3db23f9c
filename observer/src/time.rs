//! Times in nanoseconds.

use std::time::Duration;

/// A duration in nanoseconds, as long as they can be counted.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
