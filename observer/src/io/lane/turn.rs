//! The time in which each agent, and each listening socket, may cause a limited amount of work.

/// How long a turn lasts. The end of each may wake the observer.
const TURN_NS: u64 = 20_000_000;

/// How often one process may ring in a turn.
pub(super) const BELLS: u32 = 20;

/// How many connections may come to nothing in a turn.
const WASTED: u32 = 64;

/// How much CPU time they may take: 1 % of a CPU. What a process has sent over a connection is
/// freed when that is closed, so one can take longer than a turn may, and later turns pay for it.
const WASTED_NS: u64 = TURN_NS / 100;

/// The current turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) until: u64,
    wasted: u32,
    wasted_ns: u64,
}

impl Turn {
    /// Begins a new turn if this one is over. Returns whether it did.
    pub(super) fn advance(&mut self, now: u64) -> bool {
        if now < self.until {
            return false;
        }
        let turns = 1 + (now - self.until) / TURN_NS;
        self.wasted_ns = self.wasted_ns.saturating_sub(turns.saturating_mul(WASTED_NS));
        self.wasted = 0;
        (self.number, self.until) = (self.number + 1, now.saturating_add(TURN_NS));
        true
    }

    /// Counts a connection that came to nothing, and the CPU time that it took.
    pub(super) fn waste(&mut self, cpu_ns: u64) {
        self.wasted = self.wasted.saturating_add(1);
        self.wasted_ns = self.wasted_ns.saturating_add(cpu_ns);
    }

    /// Whether no more connections are accepted in this turn.
    pub(super) fn is_spent(&self) -> bool {
        self.wasted >= WASTED || self.wasted_ns >= WASTED_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_in_a_turn_is_back_in_the_next() {
        let mut turn = Turn::default();
        assert!(turn.advance(7));
        (0..WASTED).for_each(|_| turn.waste(1));
        assert!(turn.is_spent() && !turn.advance(7 + TURN_NS - 1) && turn.is_spent());
        assert!(turn.advance(7 + TURN_NS) && !turn.is_spent());
        assert_eq!((turn.number, turn.until), (2, 7 + 2 * TURN_NS));
        turn.waste(WASTED_NS - 1);
        assert!(!turn.is_spent());
        turn.waste(1);
        assert!(turn.is_spent(), "one that took long is as much as sixteen");
        turn.waste(2 * WASTED_NS);
        let spent = [2, 3, 4].map(|turns| {
            assert!(turn.advance(7 + turns * TURN_NS));
            turn.is_spent()
        });
        assert_eq!(spent, [true, true, false]);
        turn.waste(9 * WASTED_NS);
        assert!(turn.advance(1_000 * TURN_NS) && !turn.is_spent(), "long ago");
    }
}
