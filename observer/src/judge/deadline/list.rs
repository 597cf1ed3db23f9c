//! Linked lists whose links are stored in the entries of a table: they need no allocation, and
//! an entry can be removed from anywhere at the same cost.

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// The links that lists and the wheel keep in each entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    /// When the entry is due, while it is in the wheel.
    pub(crate) deadline: u64,
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl Links {
    pub(crate) const LOOSE: Self = Self::due_at(0);

    /// Those of an entry that is in no list.
    pub(crate) const fn due_at(deadline: u64) -> Self {
        Self { deadline, previous: NONE, next: NONE }
    }
}

/// An entry of a table that can be in a list.
pub(crate) trait Linked {
    fn links(&self) -> &Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// The entry at an index that came from the table itself.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a wrong index must not look like an empty list")]
pub(super) fn at<E>(entries: &[E], index: u32) -> &E {
    &entries[index as usize]
}

#[inline]
#[allow(clippy::indexing_slicing, reason = "a wrong index must not look like an empty list")]
pub(super) fn at_mut<E>(entries: &mut [E], index: u32) -> &mut E {
    &mut entries[index as usize]
}

/// Entries in the order in which they were added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    pub(super) first: u32,
    last: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE };

    #[inline]
    pub(crate) const fn first(&self) -> Option<u32> {
        if self.first == NONE { None } else { Some(self.first) }
    }

    pub(crate) const fn last(&self) -> Option<u32> {
        if self.last == NONE { None } else { Some(self.last) }
    }

    /// The entry after this one.
    #[inline]
    pub(crate) fn after<E: Linked>(entries: &[E], index: u32) -> Option<u32> {
        let next = at(entries, index).links().next;
        if next == NONE { None } else { Some(next) }
    }

    pub(crate) fn append<E: Linked>(&mut self, entries: &mut [E], index: u32) {
        let links = at_mut(entries, index).links_mut();
        links.previous = self.last;
        links.next = NONE;
        match self.last {
            NONE => self.first = index,
            last => at_mut(entries, last).links_mut().next = index,
        }
        self.last = index;
    }

    pub(crate) fn remove<E: Linked>(&mut self, entries: &mut [E], index: u32) {
        let Links { previous, next, .. } = *at(entries, index).links();
        match previous {
            NONE => self.first = next,
            previous => at_mut(entries, previous).links_mut().next = next,
        }
        match next {
            NONE => self.last = previous,
            next => at_mut(entries, next).links_mut().previous = previous,
        }
    }
}
