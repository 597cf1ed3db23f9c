//! The timestamp of a beat: nanoseconds since connect, which never decrease.

/// Turns readings of a clock into timestamps.
#[derive(Debug)]
pub(crate) struct Stamps {
    start: u64,
    last: u64,
    regressions: u64,
}

impl Stamps {
    pub(crate) const fn from(now: u64) -> Self {
        Self { start: now, last: 0, regressions: 0 }
    }

    /// Starts again at `now`. The number of regressions is kept.
    pub(crate) fn restart(&mut self, now: u64) {
        self.start = now;
        self.last = 0;
    }

    #[inline]
    pub(crate) fn at(&mut self, now: u64) -> u64 {
        // All ones is not a valid timestamp.
        let stamp = now.saturating_sub(self.start).min(u64::MAX - 1);
        if stamp < self.last || now < self.start {
            self.regressions = self.regressions.saturating_add(1);
        } else {
            self.last = stamp;
        }
        self.last
    }

    pub(crate) const fn regressions(&self) -> u64 {
        self.regressions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_count_from_the_start() {
        let mut stamps = Stamps::from(1_000);
        assert_eq!([1_000, 1_000, 1_007].map(|now| stamps.at(now)), [0, 0, 7]);
        assert_eq!(stamps.regressions(), 0);
    }

    #[test]
    fn the_last_value_is_repeated_when_the_clock_goes_back() {
        let mut stamps = Stamps::from(1_000);
        assert_eq!([1_050, 1_049, 900, 1_051].map(|now| stamps.at(now)), [50, 50, 50, 51]);
        assert_eq!(stamps.regressions(), 2);
        stamps.restart(2_000);
        assert_eq!(stamps.at(2_001), 1);
        assert_eq!(stamps.regressions(), 2);
    }

    #[test]
    fn a_timestamp_is_never_all_ones() {
        assert_eq!(Stamps::from(0).at(u64::MAX), u64::MAX - 1);
    }
}
