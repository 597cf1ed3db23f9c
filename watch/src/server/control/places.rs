//! Limits the number of connections. A new one beyond the limit replaces the one that has been
//! idle for the longest time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The maximum number of connections.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Places(RefCell<Vec<Rc<Connection>>>);

#[derive(Debug)]
struct Connection {
    /// Since when the daemon has been waiting for a request, if it is.
    idle_since: Cell<Option<Instant>>,
    ended: Notify,
}

/// The place of a connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Rc<Places>,
    connection: Rc<Connection>,
}

impl Places {
    /// Returns None if there is no place and no other connection is idle.
    pub(super) fn take(self: &Rc<Self>) -> Option<Place> {
        let mut open = self.0.borrow_mut();
        if open.len() >= MOST {
            let idle = open.iter().enumerate();
            let idle = idle.filter_map(|(at, it)| Some((it.idle_since.get()?, at)));
            let (_, oldest) = idle.min()?;
            open.swap_remove(oldest).ended.notify_one();
        }
        let connection = Rc::new(Connection {
            idle_since: Some(Instant::now()).into(),
            ended: Notify::new(),
        });
        open.push(Rc::clone(&connection));
        Some(Place { places: Rc::clone(self), connection })
    }
}

impl Place {
    /// The daemon is waiting for a request.
    pub(super) fn idle(&self) {
        self.connection.idle_since.set(Some(Instant::now()));
    }

    /// The daemon is handling a request.
    pub(super) fn busy(&self) {
        self.connection.idle_since.set(None);
    }

    /// Returns when another connection took the place.
    pub(super) async fn ended(&self) {
        self.connection.ended.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.borrow_mut().retain(|it| !Rc::ptr_eq(it, &self.connection));
    }
}
