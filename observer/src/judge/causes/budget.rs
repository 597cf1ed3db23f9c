//! How much time the readings may take.

/// In each period the readings may take this long, and one reading more.
const PERIOD_NS: u64 = 10_000_000;
pub(super) const READING_NS: u64 = 2_000_000;

/// Of that, the readings of agents that beat may take this long.
const LEARNING_NS: u64 = READING_NS / 2;

/// The time that readings have taken since a period began. Those that explain a silence have
/// their time even if earlier ones took too long, as each may on a busy machine.
#[derive(Debug, Default)]
pub(super) struct Budget {
    began: u64,
    /// Of readings that explain a silence.
    spent_ns: u64,
    /// Of readings before that: of agents that beat, and of those that may become silent.
    before_ns: u64,
}

impl Budget {
    /// Whether there is time for another reading that explains a silence.
    pub(super) fn allows(&mut self, now: u64) -> bool {
        self.renew(now);
        self.spent_ns < READING_NS
    }

    /// Whether there is time to read an agent whose silence may have to be explained.
    pub(super) fn allows_early(&mut self, now: u64) -> bool {
        self.renew(now);
        self.spent_ns.saturating_add(self.before_ns) < READING_NS
    }

    /// Whether there is time to learn about an agent that beats. Some of the time is left for
    /// those that are silent.
    pub(super) fn allows_learning(&mut self, now: u64) -> bool {
        self.renew(now);
        self.spent_ns.saturating_add(self.before_ns) < LEARNING_NS
    }

    fn renew(&mut self, now: u64) {
        if now >= self.began.saturating_add(PERIOD_NS) {
            *self = Self { began: now, ..Self::default() };
        }
    }

    pub(super) const fn spend(&mut self, spent_ns: u64) {
        self.spent_ns = self.spent_ns.saturating_add(spent_ns);
    }

    /// Counts the time of a reading that explains nothing yet.
    pub(super) const fn spend_before(&mut self, spent_ns: u64) {
        self.before_ns = self.before_ns.saturating_add(spent_ns);
    }

    /// Leaves no time for another reading in this period.
    pub(super) const fn use_up(&mut self) {
        self.spend(READING_NS);
    }

    /// When there is time for a reading that is due then and explains a silence.
    pub(super) fn next(&self, due: u64) -> u64 {
        if self.spent_ns < READING_NS { due } else { due.max(self.next_period()) }
    }

    pub(super) const fn next_period(&self) -> u64 {
        self.began.saturating_add(PERIOD_NS)
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
        assert!(budget.allows(21_000_000) && budget.allows_early(21_000_000));
        budget.spend(700_000);
        assert!(!budget.allows(29_999_999) && !budget.allows_early(29_999_999));
        assert_eq!(budget.next(21_000_000), 30_000_000);
        assert!(budget.allows(30_000_000));
        assert_eq!(budget.next(21_000_000), 21_000_000);
    }

    #[test]
    fn an_earlier_reading_that_takes_too_long_leaves_time_to_explain_a_silence() {
        let mut budget = Budget::default();
        assert!(budget.allows_early(20_000_000));
        budget.spend_before(5_000_000);
        assert!(!budget.allows_early(21_000_000) && !budget.allows_learning(21_000_000));
        assert_eq!(budget.next_period(), 30_000_000);
        assert!(budget.allows(21_000_000));
        assert_eq!(budget.next(21_000_000), 21_000_000);
    }
}
