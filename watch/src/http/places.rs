//! How many connections may be open: in all, and of one source, so that nobody who holds
//! on to many keeps the others out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use super::source::Source;

const MOST: usize = 256;
const MOST_OF_ONE: usize = 32;

/// The connections that are open, by source.
#[derive(Debug, Default)]
pub(super) struct Places(RefCell<HashMap<Source, usize>>);

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Rc<Places>,
    source: Source,
}

impl Places {
    /// None where there is no more room.
    pub(super) fn take(self: &Rc<Self>, source: Source) -> Option<Place> {
        let mut open = self.0.borrow_mut();
        let all: usize = open.values().sum();
        let of_one = open.get(&source).copied().unwrap_or_default();
        if all >= MOST || of_one >= MOST_OF_ONE {
            return None;
        }
        open.insert(source, of_one + 1);
        Some(Place { places: Rc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut of_one) = self.places.0.borrow_mut().entry(self.source) {
            *of_one.get_mut() -= 1;
            if *of_one.get() == 0 {
                of_one.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(last: u8) -> Source {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)).into()
    }

    #[test]
    fn neither_one_source_nor_all_together_hold_more_than_their_share() {
        let places = Rc::new(Places::default());
        let take = |last| places.take(source(last));
        let mut held: Vec<_> = (0..MOST_OF_ONE).map(|_| take(0).unwrap()).collect();
        assert!(take(0).is_none());
        for last in 1..=7 {
            held.extend((0..MOST_OF_ONE).map(|_| take(last).unwrap()));
        }
        assert_eq!(held.len(), MOST);
        assert!(take(8).is_none());
        held.pop();
        held.push(take(8).unwrap());
        assert!(take(7).is_none());
        drop(held);
        assert!(places.0.borrow().is_empty());
    }
}
