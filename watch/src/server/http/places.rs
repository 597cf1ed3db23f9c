//! Limits the number of connections. Every new connection is accepted. If there is no place
//! left, another one is closed, so that nobody can keep others out by holding many.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::source::Source;

/// The maximum number of open connections.
const MOST: usize = 256;

/// Places reserved for this machine and for sources that have sent the token.
const RESERVED: usize = 32;

/// The maximum number of sources that have sent the token to remember.
const MOST_KNOWN: usize = 64;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Places {
    open: RefCell<Vec<Rc<Connection>>>,
    /// The sources that have sent the token, the latest one last.
    known: RefCell<VecDeque<Source>>,
}

#[derive(Debug)]
struct Connection {
    source: Source,
    /// Its source is this machine, or has sent the token.
    trusted: Cell<bool>,
    /// It has sent the token itself.
    has_token: Cell<bool>,
    /// A whole request has arrived, and its response is not ready yet.
    answering: Cell<bool>,
    /// When it was accepted, the last request was complete, or its response was ready.
    since: Cell<Instant>,
    closed: Notify,
}

/// The place of a connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Rc<Places>,
    connection: Rc<Connection>,
}

impl Places {
    /// Takes a place, and returns whether another connection had to be closed for it.
    pub(super) fn take(self: &Rc<Self>, source: Source) -> (Place, bool) {
        let source = source.machine();
        let trusted = source.is_loopback() || self.known.borrow().contains(&source);
        let mut open = self.open.borrow_mut();
        let outsiders = open.iter().filter(|it| !it.trusted.get()).count();
        let no_reserve = !trusted && outsiders >= MOST - RESERVED;
        let full = no_reserve || open.len() >= MOST;
        if full {
            close_one(&mut open, source, no_reserve);
        }
        let connection = Rc::new(Connection {
            source,
            trusted: trusted.into(),
            has_token: false.into(),
            answering: false.into(),
            since: Instant::now().into(),
            closed: Notify::new(),
        });
        open.push(Rc::clone(&connection));
        (Place { places: Rc::clone(self), connection }, full)
    }
}

/// Closes a connection of the source that has the most, counting the new one. Connections that
/// have not sent the token and do not wait for a response are closed first, and of these the
/// one that has been inactive for the longest time.
fn close_one(open: &mut Vec<Rc<Connection>>, newcomer: Source, of_outsiders: bool) {
    let mut held = HashMap::from([(newcomer, 1_usize)]);
    for connection in open.iter() {
        *held.entry(connection.source).or_default() += 1;
    }
    let candidates = open.iter().enumerate();
    let candidates = candidates.filter(|(_, it)| !of_outsiders || !it.trusted.get());
    let victim = candidates.min_by_key(|(_, it)| {
        let held = held.get(&it.source).copied().unwrap_or_default();
        (Reverse(held), it.has_token.get(), it.answering.get(), it.since.get())
    });
    if let Some((at, _)) = victim {
        open.swap_remove(at).closed.notify_one();
    }
}

impl Place {
    /// A whole request has arrived.
    pub(super) fn request_arrived(&self) {
        self.connection.answering.set(true);
        self.connection.since.set(Instant::now());
    }

    /// The response to it is ready.
    pub(super) fn response_ready(&self) {
        self.connection.answering.set(false);
        self.connection.since.set(Instant::now());
    }

    /// A request has sent the token.
    pub(super) fn trust(&self) {
        let Connection { source, trusted, has_token, .. } = &*self.connection;
        trusted.set(true);
        has_token.set(true);
        let mut known = self.places.known.borrow_mut();
        known.retain(|it| it != source);
        if known.len() >= MOST_KNOWN {
            known.pop_front();
        }
        known.push_back(*source);
    }

    /// When it was accepted, the last request was complete, or its response was ready.
    pub(super) fn since(&self) -> Instant {
        self.connection.since.get()
    }

    /// Returns when another connection took the place.
    pub(super) async fn closed(&self) {
        self.connection.closed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.borrow_mut().retain(|it| !Rc::ptr_eq(it, &self.connection));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn remote(last: u8) -> Source {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)).into()
    }

    fn local(last: u8) -> Source {
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)).into()
    }

    /// Takes a place, with a distinct time.
    fn take(places: &Rc<Places>, source: Source, age: &mut u64) -> Place {
        let (place, _) = places.take(source);
        *age += 1;
        place.connection.since.set(place.since() + std::time::Duration::from_millis(*age));
        place
    }

    fn is_open(place: &Place) -> bool {
        place.places.open.borrow().iter().any(|it| Rc::ptr_eq(it, &place.connection))
    }

    fn held(places: &[Place]) -> usize {
        places.iter().filter(|place| is_open(place)).count()
    }

    #[test]
    fn the_oldest_connection_of_the_source_with_the_most_is_closed() {
        let (places, mut age) = (Rc::new(Places::default()), 0);
        let few: Vec<_> = (0..8).map(|_| take(&places, remote(1), &mut age)).collect();
        let many: Vec<_> = (0..=255).map(|last| take(&places, local(last), &mut age)).collect();
        assert_eq!((held(&few), held(&many)), (8, MOST - 8));
        assert!(!many[..8].iter().any(is_open), "the oldest of the most");
        many[8].request_arrived();
        many[9].trust();
        let newcomer = take(&places, remote(2), &mut age);
        assert!(is_open(&newcomer) && is_open(&many[8]) && is_open(&many[9]));
        assert!(!is_open(&many[10]), "it waits for no response and has sent no token");
        drop((few, many, newcomer));
        assert!(places.open.borrow().is_empty());
    }

    #[test]
    fn places_are_reserved_for_this_machine_and_for_sources_that_have_sent_the_token() {
        let (places, mut age) = (Rc::new(Places::default()), 0);
        let peers: Vec<_> =
            (0..=255).map(|last| take(&places, remote(last), &mut age)).collect();
        assert_eq!(held(&peers), MOST - RESERVED);
        let probe = take(&places, local(1), &mut age);
        let first = take(&places, remote(0), &mut age);
        first.trust();
        let again: Vec<_> = (0..4).map(|_| take(&places, remote(0), &mut age)).collect();
        let more: Vec<_> = (0..64).map(|last| take(&places, remote(last), &mut age)).collect();
        assert!(is_open(&probe) && is_open(&first) && again.iter().all(is_open));
        drop(more);
    }
}
