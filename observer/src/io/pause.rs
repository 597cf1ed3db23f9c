//! Detects that the observer itself was late: stopped, starved or suspended.

use crate::event::Lateness;

/// Tracks when the observer was due and when it ran.
#[derive(Debug)]
pub(crate) struct PauseDetector {
    /// The shortest delay that counts as a pause, if the host has set it.
    configured: Option<u64>,
    /// The shortest delay that counts: that one, or one derived from the shortest threshold.
    pause_after: u64,
    /// When the observer is due to run next, as far as it knows.
    due: Option<u64>,
    /// The boot clock minus the monotonic clock at the last look: the time spent suspended.
    asleep: u64,
    /// When the observer last ran (a look).
    looked: u64,
    latest: LatestLateness,
}

/// The latest times when the observer was late and that were not taken yet.
#[derive(Debug)]
struct LatestLateness {
    ring: [Lateness; MOST_KEPT],
    next: usize,
    count: usize,
}

/// How many times are kept. More can pass in one poll only while nothing else happens.
const MOST_KEPT: usize = 64;

impl LatestLateness {
    const NONE: Self = Self { ring: [Lateness::NONE; MOST_KEPT], next: 0, count: 0 };

    fn add(&mut self, lateness: Lateness) {
        if let Some(place) = self.ring.get_mut(self.next) {
            *place = lateness;
        }
        self.next = (self.next + 1) % MOST_KEPT;
        self.count = (self.count + 1).min(MOST_KEPT);
    }

    fn take_first(&mut self) -> Option<Lateness> {
        self.count = self.count.checked_sub(1)?;
        let first = (self.next + MOST_KEPT - 1 - self.count) % MOST_KEPT;
        self.ring.get(first).copied()
    }
}

/// The two clocks diverge only during suspend, but they are not read at the same instant.
const SUSPENDED_NS: u64 = 1_000_000;

/// Unless the host sets it, no shorter delay counts as a pause.
const LEAST_PAUSE_NS: u64 = 50_000_000;

impl PauseDetector {
    pub(crate) fn new(configured: Option<u64>, shortest_threshold: u64, asleep: u64) -> Self {
        let latest = LatestLateness::NONE;
        let mut made =
            Self { configured, pause_after: 0, due: None, asleep, looked: 0, latest };
        made.set_shortest_threshold(shortest_threshold);
        made
    }

    /// Sets when the next look is due. `None` means whenever the host likes.
    pub(crate) fn expect(&mut self, due: Option<u64>) {
        self.due = due;
    }

    /// Records a look, and returns the length of the pause that it ends, if there was one.
    /// `asleep` compares the clocks.
    ///
    /// How late the look is determines whether there was a pause. But the stop may have begun
    /// at any time since the last look, and nothing could be received from then on. So the
    /// pause is as long as the time since the last look.
    pub(crate) fn look(&mut self, now: u64, asleep: impl FnOnce() -> u64) -> Option<u64> {
        let away = now.saturating_sub(self.looked);
        // A suspend takes longer than this.
        let asleep = match away {
            ..SUSPENDED_NS => self.asleep,
            _ => asleep(),
        };
        // If it was due before the last look, it was that look which was late.
        let late = self.due.map_or(0, |due| now.saturating_sub(due.max(self.looked)));
        let suspended = asleep.saturating_sub(self.asleep);
        self.asleep = asleep;
        self.looked = now;
        self.due = None;
        let stopped = if late > self.pause_after { away } else { 0 };
        let suspended = if suspended > SUSPENDED_NS { suspended } else { 0 };
        // If it was due during the suspend, it is late by only part of it.
        let pause = stopped.max(suspended);
        if late > LEAST_PAUSE_NS || pause != 0 {
            self.latest.add(Lateness {
                observer_ns: now,
                late_ns: late,
                away_ns: away,
                suspended_ns: suspended,
                forgiven_ns: pause,
            });
        }
        Some(pause).filter(|pause| *pause != 0)
    }

    /// Takes the first lateness of more than 50 ms, or pause, that was not taken yet.
    pub(crate) fn take_lateness(&mut self) -> Option<Lateness> {
        self.latest.take_first()
    }

    /// The time spent suspended, at the last look.
    pub(crate) fn asleep(&self) -> u64 {
        self.asleep
    }

    /// Sets the time of the last look.
    pub(crate) fn has_looked(&mut self, at: u64) {
        self.looked = at;
    }

    pub(crate) fn set_shortest_threshold(&mut self, ns: u64) {
        self.pause_after = self.configured.unwrap_or((ns / 2).max(LEAST_PAUSE_NS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn after(pause_after: u64) -> PauseDetector {
        PauseDetector::new(Some(pause_after), 0, 0)
    }

    #[test]
    fn the_shortest_pause_is_half_the_shortest_threshold() {
        let mut pause_detector = PauseDetector::new(None, 1_000 * MS, 0);
        for (shortest, least) in [(1_000, 500), (200, 100), (10, 50), (3_000, 1_500)] {
            pause_detector.set_shortest_threshold(shortest * MS);
            assert_eq!(pause_detector.pause_after, least * MS);
        }
        let mut fixed = after(7);
        fixed.set_shortest_threshold(1_000 * MS);
        assert_eq!(fixed.pause_after, 7);
    }

    #[test]
    fn a_poll_in_time_is_not_a_pause() {
        let mut pause_detector = after(50 * MS);
        pause_detector.expect(Some(100 * MS));
        assert_eq!(pause_detector.look(90 * MS, || 0), None);
        pause_detector.expect(Some(200 * MS));
        assert_eq!(pause_detector.look(250 * MS, || 0), None);
    }

    #[test]
    fn a_late_poll_is_reported_as_a_pause_once() {
        let mut pause_detector = after(50 * MS);
        pause_detector.has_looked(80 * MS);
        pause_detector.expect(Some(100 * MS));
        assert_eq!(pause_detector.look(400 * MS, || 0), Some(320 * MS));
        assert_eq!(pause_detector.look(900 * MS, || 0), None);
    }

    #[test]
    fn a_deadline_before_the_last_poll_does_not_make_the_next_one_late() {
        let mut pause_detector = after(50 * MS);
        pause_detector.expect(Some(100 * MS));
        assert_eq!(pause_detector.look(400 * MS, || 0), Some(400 * MS));
        pause_detector.expect(Some(100 * MS));
        assert_eq!(pause_detector.look(401 * MS, || 0), None);
    }

    #[test]
    fn each_lateness_of_more_than_50_ms_is_kept_whether_or_not_it_was_a_pause() {
        let mut pause_detector = after(200 * MS);
        let mut at = 0;
        for late in [50, 51, 200, 201] {
            at += 1_000 * MS;
            pause_detector.has_looked(at - 10 * MS);
            pause_detector.expect(Some(at));
            pause_detector.look(at + late * MS, || 0);
        }
        pause_detector.look(at + 900 * MS, || 30 * MS);
        let lateness = |observer, late, away, suspended, forgiven| Lateness {
            observer_ns: observer * MS,
            late_ns: late * MS,
            away_ns: away * MS,
            suspended_ns: suspended * MS,
            forgiven_ns: forgiven * MS,
        };
        let taken: Vec<_> = std::iter::from_fn(|| pause_detector.take_lateness()).collect();
        let expected = [
            lateness(2_051, 51, 61, 0, 0),
            lateness(3_200, 200, 210, 0, 0),
            lateness(4_201, 201, 211, 0, 211),
            lateness(4_900, 0, 699, 30, 30),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn of_more_times_than_are_kept_the_latest_remain() {
        let mut latest = LatestLateness::NONE;
        for observer_ns in 0..100 {
            latest.add(Lateness { observer_ns, ..Lateness::NONE });
        }
        let taken: Vec<_> = std::iter::from_fn(|| latest.take_first()).collect();
        assert!(taken.iter().map(|lateness| lateness.observer_ns).eq(36..100));
    }

    #[test]
    fn an_observer_without_a_deadline_is_never_late() {
        let mut pause_detector = after(50 * MS);
        pause_detector.expect(None);
        assert_eq!(pause_detector.look(5_000 * MS, || 0), None);
    }

    #[test]
    fn suspended_time_of_any_length_is_a_pause() {
        let mut pause_detector = after(50 * MS);
        assert_eq!(pause_detector.look(30 * MS, || 20 * MS), Some(20 * MS));
        assert_eq!(pause_detector.look(60 * MS, || 20 * MS), None);
        pause_detector.expect(Some(100 * MS));
        assert_eq!(pause_detector.look(1_100 * MS, || 820 * MS), Some(1_040 * MS));
    }
}
