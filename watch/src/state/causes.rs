//! Counts of the causes of stalls.

use varta_observer::{Cause, Event, What};

/// How often each cause was found, for stalls of agents and of tasks. Never decreases.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StallCauses([u64; Cause::ALL.len()]);

impl StallCauses {
    /// Adds an event. A stall whose cause changes counts again, under the new cause.
    pub(super) fn note(&mut self, event: &Event) {
        let (What::Stall { why: Some(why), .. } | What::Cause { why }) = event.what else {
            return;
        };
        let count = self.0.iter_mut().zip(Cause::ALL).find(|(_, cause)| *cause == why.cause);
        if let Some((count, _)) = count {
            *count += 1;
        }
    }

    /// All causes in the order of their numbers, with their counts.
    pub(crate) fn by_cause(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }
}
