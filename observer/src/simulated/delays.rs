//! Delays of the observer itself.

use super::Simulated;
use crate::event::Lateness;

impl Simulated {
    /// Simulates an observer that is late: it was due at `due_ns` and runs only at `at_ns`.
    ///
    /// ```
    /// use varta_observer::{Observer, What};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.late(5_000_000_000, 1_000_000_000);
    /// assert_eq!(observer.poll().unwrap().what, What::Paused { ns: 4_000_000_000 });
    /// ```
    pub fn late(&mut self, at_ns: u64, due_ns: u64) {
        self.pause_detector.has_looked(due_ns);
        self.pause_detector.expect(Some(due_ns));
        self.look(at_ns);
    }

    /// Simulates that the observer was away, from the three numbers by which it knows: it runs
    /// at `at_ns`, this long after it was due and that long after it last ran, and within that
    /// time the system was suspended for `suspended_ns`. Whether that is a pause depends on the
    /// shortest threshold.
    ///
    /// ```
    /// use varta_observer::{Observer, What};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.away(2_000_000_000, 900_000_000, 950_000_000, 0);
    /// assert_eq!(observer.poll(), None, "it is less than half of the threshold of 2 s");
    /// observer.away(5_000_000_000, 1_200_000_000, 1_250_000_000, 0);
    /// assert_eq!(observer.poll().unwrap().what, What::Paused { ns: 1_250_000_000 });
    /// ```
    pub fn away(&mut self, at_ns: u64, late_ns: u64, away_ns: u64, suspended_ns: u64) {
        self.asleep = self.asleep.saturating_add(suspended_ns);
        self.pause_detector.has_looked(at_ns.saturating_sub(away_ns));
        self.pause_detector.expect(Some(at_ns.saturating_sub(late_ns)));
        self.look(at_ns);
    }

    /// Simulates a suspend of this length that has just ended.
    ///
    /// ```
    /// use varta_observer::{Observer, What};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.suspended(60_000_000_000, 59_000_000_000);
    /// assert_eq!(observer.poll().unwrap().what, What::Paused { ns: 59_000_000_000 });
    /// ```
    pub fn suspended(&mut self, at_ns: u64, ns: u64) {
        self.asleep = self.asleep.saturating_add(ns);
        // The last look was before the suspend.
        self.pause_detector.has_looked(at_ns.saturating_sub(ns));
        self.look(at_ns);
    }

    /// As [`Observer::take_lateness`](crate::Observer::take_lateness).
    pub fn take_lateness(&mut self) -> Option<Lateness> {
        self.pause_detector.take_lateness()
    }

    fn look(&mut self, at_ns: u64) {
        self.set_time(at_ns);
        let asleep = self.asleep;
        let pause = self.pause_detector.look(self.now, || asleep);
        self.judge.set_clocks(self.now, self.now.saturating_sub(asleep));
        if let Some(pause) = pause {
            self.judge.pause(self.now, pause);
            self.collect_events();
        }
    }
}
