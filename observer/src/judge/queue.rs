//! Events that have not been fetched yet.

use crate::event::Event;
use crate::memory::{self, OutOfMemory};

/// More events than one call of a judge without pages ever emits.
pub(crate) const ROOM: usize = 4;

#[derive(Debug)]
pub(crate) struct Queue {
    events: Box<[Event]>,
    next: usize,
    free: usize,
}

impl Queue {
    /// For this many events of one call.
    pub(crate) fn new(room: usize) -> Result<Self, OutOfMemory> {
        let mut events = memory::vector(room)?;
        events.resize(room, Event::NOTHING);
        Ok(Self { events: events.into_boxed_slice(), next: 0, free: 0 })
    }

    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        debug_assert!(
            self.free < self.events.len(),
            "events must be fetched before the next call"
        );
        if let Some(free) = self.events.get_mut(self.free) {
            *free = event;
            self.free += 1;
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.next == self.free
    }

    /// Writes the next event to `place`, if there is one. Returning it through several
    /// functions would copy it in each, which costs more than creating it.
    #[inline]
    pub(crate) fn pop_into(&mut self, place: &mut Event) -> bool {
        if self.is_empty() {
            return false;
        }
        let Some(event) = self.events.get(self.next) else { return false };
        *place = *event;
        self.next += 1;
        if self.next == self.free {
            (self.next, self.free) = (0, 0);
        }
        true
    }
}
