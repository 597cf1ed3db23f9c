//! Which conversations may stay open: beyond the most, the one that has been idle for longest
//! is ended for a new one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The most conversations at once.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Places(RefCell<Vec<Rc<Conversation>>>);

#[derive(Debug)]
struct Conversation {
    /// Since when a question is waited for, if it is.
    idle_since: Cell<Option<Instant>>,
    ended: Notify,
}

/// A conversation's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Rc<Places>,
    conversation: Rc<Conversation>,
}

impl Places {
    /// None where there is no place and no other conversation is idle.
    pub(super) fn take(self: &Rc<Self>) -> Option<Place> {
        let mut open = self.0.borrow_mut();
        if open.len() >= MOST {
            let idle = open.iter().enumerate();
            let idle = idle.filter_map(|(at, it)| Some((it.idle_since.get()?, at)));
            let (_, oldest) = idle.min()?;
            open.swap_remove(oldest).ended.notify_one();
        }
        let conversation = Rc::new(Conversation {
            idle_since: Some(Instant::now()).into(),
            ended: Notify::new(),
        });
        open.push(Rc::clone(&conversation));
        Some(Place { places: Rc::clone(self), conversation })
    }
}

impl Place {
    /// A question is waited for.
    pub(super) fn idle(&self) {
        self.conversation.idle_since.set(Some(Instant::now()));
    }

    /// A question is being answered.
    pub(super) fn busy(&self) {
        self.conversation.idle_since.set(None);
    }

    /// Returns when the place was given to another conversation.
    pub(super) async fn ended(&self) {
        self.conversation.ended.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.borrow_mut().retain(|it| !Rc::ptr_eq(it, &self.conversation));
    }
}
