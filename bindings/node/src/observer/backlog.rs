//! The queue of events for JavaScript, which may be busy for a long time.

use std::collections::{HashSet, VecDeque};
use std::io;

use varta_observer::{Event, Observer, What};

use crate::record::Name;

/// Keeps events in order. Beats and the events of invalid datagrams may fill only half of it, and
/// are counted as skipped beyond that, so that a flood of them displaces no verdict. Verdicts may
/// fill all of it.
#[derive(Debug)]
pub(super) struct Backlog {
    events: VecDeque<Waiting>,
    /// The agents whose names JavaScript knows, or will when it gets there.
    named: HashSet<u64>,
    /// The capacity of one half.
    half: usize,
    skipped: u64,
}

/// An event, and the name of its agent if it is the first one with this name.
#[derive(Debug)]
struct Waiting {
    event: Event,
    name: Option<Box<Name>>,
}

/// So many names are kept even if fewer agents are followed.
const FEW: usize = 1024;

/// The capacity that stays allocated when JavaScript has caught up.
const MIN_CAPACITY: usize = 4096;

impl Backlog {
    pub(super) fn new(half: usize) -> Self {
        Self { events: VecDeque::new(), named: HashSet::new(), half, skipped: 0 }
    }

    /// Adds the events of the observer's last poll.
    pub(super) fn extend(
        &mut self,
        events: &[Event],
        observer: &mut Observer,
    ) -> io::Result<()> {
        while let Some(renamed) = observer.take_renamed() {
            self.named.remove(&renamed);
        }
        for event in events {
            if self.events.len() < self.half || is_verdict(&event.what) {
                let name = self.name(event, observer)?.map(Box::new);
                self.events.push_back(Waiting { event: *event, name });
            } else {
                self.skipped += 1;
            }
        }
        Ok(())
    }

    /// The name of an event's agent, unless it is known.
    fn name(&mut self, event: &Event, observer: &Observer) -> io::Result<Option<Name>> {
        let Some(agent) = event.about.map(|about| about.agent) else { return Ok(None) };
        let is_last = matches!(event.what, What::Exit { .. });
        let is_known =
            if is_last { self.named.remove(&agent) } else { !self.named.insert(agent) };
        if is_known {
            return Ok(None);
        }
        // Agents that were evicted have no last event.
        let alone = self.named.len() > FEW.max(2 * observer.snapshot_into(&mut [])?);
        if alone {
            self.named.clear();
            self.named.extend((!is_last).then_some(agent));
        }
        Ok(Some(Name { label: observer.label(agent), alone }))
    }

    /// Whether a batch of this size might not fit.
    pub(super) fn is_full(&self, batch: usize) -> bool {
        self.events.len() + batch > self.half * 2
    }

    /// Takes the oldest events.
    pub(super) fn take(
        &mut self,
        at_most: usize,
    ) -> impl Iterator<Item = (Event, Option<Name>)> {
        let count = at_most.min(self.events.len());
        self.events
            .drain(..count)
            .map(|waiting| (waiting.event, waiting.name.map(|name| *name)))
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
