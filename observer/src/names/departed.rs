//! The names of agents that are no longer followed, for the events that name them.

use super::Label;
use crate::memory::{self, OutOfMemory};

/// How many agents are remembered.
const REMEMBERED: usize = 256;

/// The agents that left during one batch of events may fill half of the room. The rest is for
/// those that left earlier, in a call whose events were not all fetched then.
const IN_A_BATCH: u64 = REMEMBERED as u64 / 2;

/// The labels of the agents that were released last.
#[derive(Debug)]
pub(crate) struct Departed {
    labels: Vec<(u64, Label)>,
    /// The place of the next one.
    next: usize,
    /// How many have been added since the batch began.
    in_batch: u64,
}

impl Departed {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { labels: memory::vector(REMEMBERED)?, next: 0, in_batch: 0 })
    }

    pub(crate) fn add(&mut self, agent: u64, label: Label) {
        match self.labels.get_mut(self.next) {
            Some(oldest) => *oldest = (agent, label),
            None => self.labels.push((agent, label)),
        }
        self.next = (self.next + 1) % REMEMBERED;
        self.in_batch += 1;
    }

    /// The label of an agent that left a short time ago.
    pub(crate) fn find(&self, agent: u64) -> Option<Label> {
        let (later, earlier) = self.labels.split_at_checked(self.next)?;
        let latest_first = later.iter().rev().chain(earlier.iter().rev());
        latest_first.copied().find(|(number, _)| *number == agent).map(|(_, label)| label)
    }

    /// Forgets no agent that leaves from now on, until [`is_full`](Self::is_full).
    pub(crate) const fn begin_batch(&mut self) {
        self.in_batch = 0;
    }

    /// Whether the batch must end, so that no agent is forgotten whose events are in it.
    pub(crate) const fn is_full(&self) -> bool {
        self.in_batch >= IN_A_BATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(agent: u64) -> Label {
        Label::new(agent.to_string().as_bytes())
    }

    #[test]
    fn the_agents_that_left_last_are_remembered() {
        let mut departed = Departed::new().unwrap();
        assert_eq!(departed.find(0), None);
        let room = REMEMBERED as u64;
        for agent in 0..3 * room {
            departed.add(agent, label(agent));
            let oldest = (agent + 1).saturating_sub(room);
            for known in [agent, oldest, agent.midpoint(oldest)] {
                assert_eq!(departed.find(known), Some(label(known)), "after {agent}");
            }
            assert_eq!(oldest.checked_sub(1).and_then(|gone| departed.find(gone)), None);
        }
    }

    #[test]
    fn a_batch_ends_before_it_forgets_an_agent_that_left_in_it() {
        let mut departed = Departed::new().unwrap();
        for batch in 1..5 {
            departed.begin_batch();
            let first = batch * 1_000_000;
            let mut agent = first;
            while !departed.is_full() {
                departed.add(agent, label(agent));
                agent += 1;
            }
            assert_eq!(departed.find(first), Some(label(first)));
        }
    }
}
