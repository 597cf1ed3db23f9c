//! Which agents have label sets of their own: the first so many, as long as they are there.

/// Keeps the number of label sets in bounds. An agent that found no room is counted in the
/// sum of the others for ever: were it given a label set later, that sum would fall.
#[derive(Debug)]
pub(super) struct Bound {
    most: usize,
    /// In order.
    own: Vec<u64>,
    /// The highest number that has been looked at.
    seen: u64,
}

impl Bound {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, own: Vec::new(), seen: 0 }
    }

    /// Takes in who is there, in order of their numbers.
    pub(super) fn look_at(&mut self, present: &[u64]) {
        let mut own = Vec::with_capacity(present.len().min(self.most));
        own.extend(present.iter().copied().filter(|&agent| self.has(agent)));
        let new = present.iter().copied().filter(|&agent| agent > self.seen);
        own.extend(new.take(self.most.saturating_sub(own.len())));
        self.own = own;
        self.seen = self.seen.max(present.last().copied().unwrap_or_default());
    }

    /// Whether an agent has a label set of its own.
    pub(super) fn has(&self, agent: u64) -> bool {
        self.own.binary_search(&agent).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_found_no_room_never_gets_any() {
        let mut bound = Bound::new(2);
        bound.look_at(&[1, 2, 3]);
        assert_eq!([1, 2, 3].map(|agent| bound.has(agent)), [true, true, false]);
        bound.look_at(&[2, 3, 4, 5]);
        assert_eq!([2, 3, 4, 5].map(|agent| bound.has(agent)), [true, false, true, false]);
        bound.look_at(&[3]);
        bound.look_at(&[3, 5, 6]);
        assert_eq!([3, 5, 6].map(|agent| bound.has(agent)), [false, false, true]);
    }
}
