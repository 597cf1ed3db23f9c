//! Events that have not been fetched yet.

use crate::event::Event;

/// More events than one call of a judge ever emits.
const ROOM: usize = 4;

#[derive(Debug)]
pub(crate) struct Queue {
    events: [Event; ROOM],
    next: usize,
    free: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { events: [Event::NOTHING; ROOM], next: 0, free: 0 }
    }
}

impl Queue {
    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        debug_assert!(self.free < ROOM, "events must be fetched before the next call");
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
