//! Events that wait to be fetched.

use crate::event::Event;

/// More than one step of a judge ever says.
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
        debug_assert!(self.free < ROOM, "events are fetched before the next step");
        if let Some(free) = self.events.get_mut(self.free) {
            *free = event;
            self.free += 1;
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.next == self.free
    }

    /// Puts the next event where it is wanted, if there is one. Handed from function to
    /// function it would be copied in each, which costs more than making it.
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
