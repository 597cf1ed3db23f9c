//! How much time the readings may take.

/// In each period the readings may take this long, and one reading more.
const PERIOD_NS: u64 = 10_000_000;
const READING_NS: u64 = 2_000_000;

/// Of that, the readings of agents that beat may take this long.
const LEARNING_NS: u64 = READING_NS / 2;

/// The time that readings have taken since a period began.
#[derive(Debug, Default)]
pub(super) struct Budget {
    began: u64,
    spent_ns: u64,
}

impl Budget {
    /// Whether there is time for another reading.
    pub(super) fn allows(&mut self, now: u64) -> bool {
        self.has_left(READING_NS, now)
    }

    /// Whether there is time to learn about an agent that beats. Some of the time is left for
    /// those that are silent.
    pub(super) fn allows_learning(&mut self, now: u64) -> bool {
        self.has_left(LEARNING_NS, now)
    }

    fn has_left(&mut self, most_ns: u64, now: u64) -> bool {
        if now >= self.began.saturating_add(PERIOD_NS) {
            (self.began, self.spent_ns) = (now, 0);
        }
        self.spent_ns < most_ns
    }

    pub(super) const fn spend(&mut self, spent_ns: u64) {
        self.spent_ns = self.spent_ns.saturating_add(spent_ns);
    }

    /// Leaves no time for another reading in this period.
    pub(super) const fn use_up(&mut self) {
        self.spend(READING_NS);
    }

    /// When there is time for a reading that is due then.
    pub(super) fn next(&self, due: u64) -> u64 {
        if self.spent_ns < READING_NS { due } else { due.max(self.began + PERIOD_NS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_take_at_most_two_of_ten_milliseconds_and_one_reading_more() {
        let mut budget = Budget::default();
        assert!(budget.allows(20_000_000) && budget.allows_learning(20_000_000));
        budget.spend(1_900_000);
        assert!(!budget.allows_learning(21_000_000));
        assert!(budget.allows(21_000_000));
        budget.spend(700_000);
        assert!(!budget.allows(29_999_999));
        assert_eq!(budget.next(21_000_000), 30_000_000);
        assert!(budget.allows(30_000_000));
        assert_eq!(budget.next(21_000_000), 21_000_000);
    }
}
