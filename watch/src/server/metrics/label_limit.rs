//! Limits the number of agents with label sets of their own.

/// Limits the number of label sets. An agent that got none is counted in the sum of the others
/// for ever. If it got a label set later, that sum would decrease.
#[derive(Debug)]
pub(super) struct LabelLimit {
    most: usize,
    /// In order.
    own: Vec<u64>,
    /// The highest number so far.
    seen: u64,
}

impl LabelLimit {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, own: Vec::new(), seen: 0 }
    }

    /// Returns for each present agent whether it has a label set of its own. `present` must be
    /// in order of their numbers.
    pub(super) fn update(&mut self, present: &[u64]) -> Vec<bool> {
        let had = std::mem::take(&mut self.own);
        let mut had = had.into_iter().peekable();
        let with_own = |&agent: &u64| {
            while had.next_if(|&other| other < agent).is_some() {}
            let has = match agent > self.seen {
                true => self.own.len() < self.most,
                false => had.next_if_eq(&agent).is_some(),
            };
            if has {
                self.own.push(agent);
            }
            has
        };
        let marks = present.iter().map(with_own).collect();
        self.seen = self.seen.max(present.last().copied().unwrap_or_default());
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_a_label_set_never_gets_one_later() {
        let mut limit = LabelLimit::new(2);
        assert_eq!(limit.update(&[1, 2, 3]), [true, true, false]);
        assert_eq!(limit.update(&[2, 3, 4, 5]), [true, false, true, false]);
        assert_eq!(limit.update(&[3]), [false]);
        assert_eq!(limit.update(&[3, 5, 6]), [false, false, true]);
        assert!(limit.update(&[]).is_empty());
        assert_eq!(limit.update(&[3, 5, 6, 7, 8]), [false, false, false, true, true]);
    }
}
