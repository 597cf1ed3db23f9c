//! The queue of events for JavaScript, which may be busy for a long time.

use std::collections::VecDeque;

use varta_observer::{Event, What};

/// Keeps events in order. Beats and the events of invalid datagrams may fill only half of it, and
/// are counted as skipped beyond that, so that a flood of them displaces no verdict. Verdicts may
/// fill all of it.
#[derive(Debug)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    /// The capacity of one half.
    half: usize,
    skipped: u64,
}

/// The capacity that stays allocated when JavaScript has caught up.
const MIN_CAPACITY: usize = 4096;

impl Backlog {
    pub(super) fn new(half: usize) -> Self {
        Self { events: VecDeque::new(), half, skipped: 0 }
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() < self.half || is_verdict(&event.what) {
            self.events.push_back(event);
        } else {
            self.skipped += 1;
        }
    }

    /// Whether a batch of this size might not fit.
    pub(super) fn is_full(&self, batch: usize) -> bool {
        self.events.len() + batch > self.half * 2
    }

    /// Takes the oldest events.
    pub(super) fn take(&mut self, at_most: usize) -> impl Iterator<Item = Event> {
        let count = at_most.min(self.events.len());
        self.events.drain(..count)
    }

    /// Frees memory after a burst.
    pub(super) fn shrink(&mut self) {
        if self.events.is_empty() && self.events.capacity() > MIN_CAPACITY {
            self.events.shrink_to(MIN_CAPACITY);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events were skipped.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }
}

fn is_verdict(what: &What) -> bool {
    !matches!(what, What::Beat { .. } | What::Decode(_) | What::AuthFailure { .. })
}
