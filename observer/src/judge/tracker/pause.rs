//! The pauses of the observer itself.

/// Remembers pauses, so that an agent's deadline can be extended by the pause that fell into
/// its silence when the deadline comes. This way a pause does not have to visit every agent
/// when it ends.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// When each pause ended and how long it was, in the order of time. A later pause is
    /// always shorter: a silence that contains a longer later pause has no use for a shorter
    /// earlier one, so that one is dropped.
    known: [(u64, u64); 16],
    count: usize,
}

impl Pauses {
    pub(crate) fn add(&mut self, ended_at: u64, amount: u64) {
        while self.last().is_some_and(|(_, before)| before <= amount) {
            self.count -= 1;
        }
        if self.count == self.known.len() {
            // The oldest two are merged, with the end of the later and the length of the
            // earlier one: this extends deadlines too much rather than too little.
            let (_, longest) = self.known[0];
            self.known.copy_within(1.., 0);
            self.known[0].1 = longest;
            self.count -= 1;
        }
        if let Some(free) = self.known.get_mut(self.count) {
            *free = (ended_at, amount);
            self.count += 1;
        }
    }

    /// The longest pause in a silence that began then.
    pub(crate) fn within_silence_since(&self, last_ns: u64) -> Option<u64> {
        let known = self.known.get(..self.count)?;
        known.iter().find(|(ended_at, _)| *ended_at > last_ns).map(|(_, amount)| *amount)
    }

    /// As [`within_silence_since`](Self::within_silence_since), but of a pause that had begun
    /// before the silence only what lies in the silence: a process may write into its page
    /// while the observer is paused.
    pub(crate) fn overlap_of_silence_since(&self, last_ns: u64) -> Option<u64> {
        let known = self.known.get(..self.count)?;
        let within = known.iter().filter(|(ended_at, _)| *ended_at > last_ns);
        within.map(|(ended_at, amount)| (*amount).min(ended_at - last_ns)).max()
    }

    /// Moves all pauses by this much.
    pub(crate) fn shift(&mut self, by: u64) {
        for (ended_at, _) in self.known.iter_mut().take(self.count) {
            *ended_at = ended_at.saturating_add(by);
        }
    }

    fn last(&self) -> Option<(u64, u64)> {
        self.known.get(self.count.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_within_the_silence_counts() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.within_silence_since(0), None);
        pauses.add(100, 50);
        pauses.add(200, 10);
        pauses.add(300, 20);
        assert_eq!(pauses.within_silence_since(99), Some(50));
        assert_eq!(pauses.within_silence_since(100), Some(20));
        assert_eq!(pauses.within_silence_since(299), Some(20));
        assert_eq!(pauses.within_silence_since(300), None);
    }

    #[test]
    fn of_a_pause_that_had_begun_before_the_silence_a_part_counts() {
        let mut pauses = Pauses::default();
        pauses.add(100, 50);
        pauses.add(200, 10);
        let overlaps =
            [0, 50, 60, 95, 100, 195, 200].map(|since| pauses.overlap_of_silence_since(since));
        let expected = [Some(50), Some(50), Some(40), Some(10), Some(10), Some(5), None];
        assert_eq!(overlaps, expected);
        pauses.shift(5);
        assert_eq!(pauses.overlap_of_silence_since(200), Some(5));
    }

    #[test]
    fn more_pauses_than_fit_give_back_too_much_rather_than_too_little() {
        let mut pauses = Pauses::default();
        for pause in 0..40 {
            pauses.add(100 * (pause + 1), 1000 - pause);
        }
        for since in [0, 2000, 3950] {
            let exact = 1000 - since / 100;
            assert!(pauses.within_silence_since(since).is_some_and(|amount| amount >= exact));
        }
        assert_eq!(pauses.within_silence_since(3950), Some(1000 - 39));
        assert_eq!(pauses.within_silence_since(4000), None);
    }
}
