//! The time in which each agent, and each listening socket, may cause a limited amount of work.

/// How long a turn lasts.
const TURN_NS: u64 = 5_000_000;

/// How often one agent may ring in a turn.
pub(super) const BELLS: u32 = 20;

/// How many connections may come to nothing in a turn.
const WASTED: u32 = 16;

/// The current turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) until: u64,
    wasted: u32,
}

impl Turn {
    /// Begins a new turn if this one is over. Returns whether it did.
    pub(super) fn advance(&mut self, now: u64) -> bool {
        if now < self.until {
            return false;
        }
        *self = Self { number: self.number + 1, until: now.saturating_add(TURN_NS), wasted: 0 };
        true
    }

    /// Counts a connection that came to nothing.
    pub(super) fn waste(&mut self) {
        self.wasted = self.wasted.saturating_add(1);
    }

    /// Whether no more connections are accepted in this turn.
    pub(super) fn is_spent(&self) -> bool {
        self.wasted >= WASTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_in_a_turn_is_back_in_the_next() {
        let mut turn = Turn::default();
        assert!(turn.advance(7));
        (0..WASTED).for_each(|_| turn.waste());
        assert!(turn.is_spent() && !turn.advance(7 + TURN_NS - 1) && turn.is_spent());
        assert!(turn.advance(7 + TURN_NS) && !turn.is_spent());
        assert_eq!((turn.number, turn.until), (2, 7 + 2 * TURN_NS));
    }
}
