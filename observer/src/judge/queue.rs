//! Events that wait to be fetched.

use crate::event::Event;

/// More than one step of a judge ever says.
const ROOM: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: [Option<Event>; ROOM],
    next: usize,
    free: usize,
}

impl Queue {
    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        debug_assert!(self.free < ROOM, "events are fetched before the next step");
        if let Some(free) = self.events.get_mut(self.free) {
            *free = Some(event);
            self.free += 1;
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.next == self.free
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.is_empty() {
            return None;
        }
        let event = self.events.get_mut(self.next)?.take();
        self.next += 1;
        if self.next == self.free {
            (self.next, self.free) = (0, 0);
        }
        event
    }
}
