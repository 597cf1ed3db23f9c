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

    /// Takes in who is there, in order of their numbers. Answers of each whether it has a
    /// label set of its own.
    pub(super) fn look_at(&mut self, present: &[u64]) -> Vec<bool> {
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
    fn an_agent_refused_once_stays_refused() {
        let mut bound = Bound::new(2);
        assert_eq!(bound.look_at(&[1, 2, 3]), [true, true, false]);
        assert_eq!(bound.look_at(&[2, 3, 4, 5]), [true, false, true, false]);
        assert_eq!(bound.look_at(&[3]), [false]);
        assert_eq!(bound.look_at(&[3, 5, 6]), [false, false, true]);
        assert!(bound.look_at(&[]).is_empty());
        assert_eq!(bound.look_at(&[3, 5, 6, 7, 8]), [false, false, false, true, true]);
    }
}
