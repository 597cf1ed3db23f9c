//! A list that only grows and takes no lock, so that a fork at any moment leaves the child
//! a consistent list.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The items live as long as the process.
pub(crate) struct List<T: 'static> {
    head: AtomicPtr<Node<T>>,
}

struct Node<T: 'static> {
    item: T,
    next: Option<&'static Self>,
}

impl<T: Sync> List<T> {
    pub(crate) const fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The items, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> + use<T> {
        std::iter::successors(self.head(), |node| node.next).map(|node| &node.item)
    }

    /// Returns the item for which `wanted` is true, or else adds the one that `make` makes.
    /// Concurrent callers get the same item.
    pub(crate) fn find_or_add<E>(
        &self,
        wanted: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<&'static T, E> {
        let find = || self.iter().find(|item| wanted(item));
        if let Some(found) = find() {
            return Ok(found);
        }
        let mut node = Box::new(Node { item: make()?, next: None });
        loop {
            // The head is read before the search, so that an item added after the search
            // makes the exchange fail.
            node.next = self.head();
            if let Some(found) = find() {
                return Ok(found);
            }
            let seen = node.next.map_or(ptr::null_mut(), |next| ptr::from_ref(next).cast_mut());
            let new = Box::into_raw(node);
            match self.head.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: the node was leaked into the list and is never freed.
                Ok(_) => return Ok(unsafe { &(*new).item }),
                // SAFETY: `new` came from `into_raw` just above, and no other thread saw it.
                Err(_) => node = unsafe { Box::from_raw(new) },
            }
        }
    }

    fn head(&self) -> Option<&'static Node<T>> {
        // SAFETY: the head is null or a leaked node that was complete when it was published
        // with Release, and is never freed or changed.
        unsafe { self.head.load(Ordering::Acquire).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_get_the_same_items() {
        static LIST: List<(u32, std::thread::ThreadId)> = List::new();
        let find = || {
            (0..500_u32).map(|wanted| {
                let made = || Ok::<_, ()>((wanted, std::thread::current().id()));
                *LIST.find_or_add(|item| item.0 == wanted, made).unwrap()
            })
        };
        let found: Vec<Vec<_>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| find().collect())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(LIST.iter().count(), 500);
    }
}
