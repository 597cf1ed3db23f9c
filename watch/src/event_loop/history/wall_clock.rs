//! The wall clock, by which the observer's times are shown.

use varta_history::ClockPair;
use varta_observer::Observer;

use crate::platform::clock::wall_ns;

/// How often the wall clock is looked at while something happens.
const CHECK_INTERVAL_NS: u64 = 1_000_000_000;

/// The wall clock was set if it has moved by more than this against the observer's clock.
const CLOCK_SET_NS: u64 = 1_000_000;

/// Converts times of the observer. All times between two pairs in the history are converted by
/// the first of them.
#[derive(Debug)]
pub(super) struct WallClock {
    pair: ClockPair,
    check_ns: u64,
}

impl WallClock {
    pub(super) fn new(observer: &Observer) -> Self {
        let pair = pair(observer);
        Self { pair, check_ns: pair.observer_ns.saturating_add(CHECK_INTERVAL_NS) }
    }

    pub(super) const fn pair(&self) -> ClockPair {
        self.pair
    }

    pub(super) fn at(&self, observer_ns: u64) -> u64 {
        self.pair.wall_at(observer_ns)
    }

    /// Reads the clock. The pair has to be recorded.
    pub(super) fn read(&mut self, observer: &Observer) -> ClockPair {
        *self = Self::new(observer);
        self.pair
    }

    /// Looks at the clock once a second. Returns a pair, which has to be recorded, if the clock
    /// was set.
    pub(super) fn check(&mut self, now_ns: u64, observer: &Observer) -> Option<ClockPair> {
        if now_ns < self.check_ns {
            return None;
        }
        self.check_ns = now_ns.saturating_add(CHECK_INTERVAL_NS);
        let now = pair(observer);
        let moved_ns = now.wall_ns.abs_diff(self.at(now.observer_ns));
        if moved_ns <= CLOCK_SET_NS {
            return None;
        }
        self.pair = now;
        Some(now)
    }
}

/// The observer's clock and the wall clock at the same moment.
fn pair(observer: &Observer) -> ClockPair {
    let read = || {
        let before = observer.now_ns();
        let wall_ns = wall_ns();
        let after = observer.now_ns();
        (after.saturating_sub(before), ClockPair { observer_ns: after, wall_ns })
    };
    // Between two readings this thread may not have run for a while.
    let readings = [read(), read(), read()];
    let closest = readings.into_iter().min_by_key(|(apart, _)| *apart);
    closest.map_or(ClockPair::default(), |(_, pair)| pair)
}
