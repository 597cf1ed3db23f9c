//! Events on their way to JavaScript, which may be busy for long.

use std::collections::VecDeque;

use varta_observer::{Event, What};

/// Keeps events in order. It is filled by halves: beats and what rubbish leads to go into
/// the first alone, and are counted where it is full, so that a flood of them pushes no
/// verdict out; verdicts go into the second too.
#[derive(Debug)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    /// How many there are in one half.
    half: usize,
    skipped: u64,
}

/// What is kept allocated when JavaScript has caught up.
const KEPT: usize = 4096;

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

    /// Whether so many more might not fit.
    pub(super) fn is_full(&self, batch: usize) -> bool {
        self.events.len() + batch > self.half * 2
    }

    /// The oldest of them.
    pub(super) fn take(&mut self, at_most: usize) -> impl Iterator<Item = Event> {
        let count = at_most.min(self.events.len());
        self.events.drain(..count)
    }

    /// Gives memory back after a crowd.
    pub(super) fn shrink(&mut self) {
        if self.events.is_empty() && self.events.capacity() > KEPT {
            self.events.shrink_to(KEPT);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many found no room.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }
}

fn is_verdict(what: &What) -> bool {
    !matches!(what, What::Beat { .. } | What::Decode(_) | What::AuthFailure { .. })
}
