//! The shortest silence of an agent that is recorded.

/// A floor is raised when a second silence ends within this time.
const MINUTE_NS: u64 = 60_000_000_000;

/// A floor is lowered after this time without a silence.
const HOUR_NS: u64 = 3_600_000_000_000;

/// The floor of an agent: a quarter of its threshold at first, up to the threshold while it has
/// more than one gap a minute. So the number of records is bounded, and each silence that could
/// be a stall under a shorter threshold is there, down to the floor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    ns: u64,
    threshold_ns: u64,
    /// When the last gap ended, or the floor was changed.
    last_ns: u64,
    /// Whether there was a gap since the floor was changed.
    had_gap: bool,
    /// An agent with shared memory is looked at only from time to time, so that nothing shorter
    /// than its threshold can be known.
    is_fixed: bool,
}

impl Floor {
    pub(super) fn new(threshold_ns: u64, is_fixed: bool, now_ns: u64) -> Self {
        let ns = if is_fixed { threshold_ns } else { threshold_ns / 4 };
        Self { ns, threshold_ns, last_ns: now_ns, had_gap: false, is_fixed }
    }

    #[inline]
    pub(super) const fn ns(&self) -> u64 {
        self.ns
    }

    pub(super) const fn threshold_ns(&self) -> u64 {
        self.threshold_ns
    }

    /// A gap has ended. Returns whether the floor was raised.
    pub(super) fn note_gap(&mut self, now_ns: u64) -> bool {
        let is_second = self.had_gap && now_ns.saturating_sub(self.last_ns) < MINUTE_NS;
        (self.last_ns, self.had_gap) = (now_ns, true);
        is_second && self.change(now_ns, self.ns.saturating_mul(2).min(self.threshold_ns))
    }

    /// Some time has passed. Returns whether the floor was lowered.
    pub(super) fn pass(&mut self, now_ns: u64) -> bool {
        let is_quiet = !self.is_fixed && now_ns.saturating_sub(self.last_ns) >= HOUR_NS;
        is_quiet && self.change(now_ns, (self.ns / 2).max(self.threshold_ns / 4))
    }

    fn change(&mut self, now_ns: u64, ns: u64) -> bool {
        let before = std::mem::replace(&mut self.ns, ns);
        if before != ns {
            (self.last_ns, self.had_gap) = (now_ns, false);
        }
        before != ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn more_than_one_gap_a_minute_raises_the_floor_up_to_the_threshold() {
        let mut floor = Floor::new(8 * SECOND, false, 0);
        let mut floors = Vec::new();
        for gap in 1..=6 {
            floor.note_gap(gap * 10 * SECOND);
            floors.push(floor.ns() / SECOND);
        }
        assert_eq!(floors, [2, 4, 4, 8, 8, 8]);
        let mut rare = Floor::new(8 * SECOND, false, 0);
        assert!((1..=100).all(|minute| !rare.note_gap(minute * MINUTE_NS)));
    }

    #[test]
    fn an_hour_without_a_gap_lowers_the_floor_down_to_a_quarter() {
        let mut floor = Floor::new(8 * SECOND, false, 0);
        for second in 0..4 {
            floor.note_gap(second * SECOND);
        }
        assert_eq!(floor.ns(), 8 * SECOND);
        assert!(!floor.pass(HOUR_NS));
        let hours = [2, 4, 6, 8].map(|hours| {
            floor.pass(hours * HOUR_NS);
            floor.ns() / SECOND
        });
        assert_eq!(hours, [4, 2, 2, 2]);
    }

    #[test]
    fn the_floor_of_an_agent_with_shared_memory_is_its_threshold() {
        let mut floor = Floor::new(8 * SECOND, true, 0);
        assert!(!floor.note_gap(1) && !floor.note_gap(2) && !floor.pass(HOUR_NS * 3));
        assert_eq!(floor.ns(), 8 * SECOND);
    }
}
