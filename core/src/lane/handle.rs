//! A handle's share in the line of the process, which all handles write.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use super::atomic::barrier;
use super::attach::Lane;
use super::pairs::Pairs;

/// A handle that beats into the pairs of its process. While it is the only one, it may do so
/// without taking the mark; see [`Mark`](super::mark::Mark).
pub(crate) struct Handle {
    pairs: &'static Pairs,
    pub(super) lane: &'static Lane,
    /// What no other handle of these pairs has, and not 0.
    pub(super) number: u64,
    /// Whether no other handle can be in a beat that it began while it was the only one.
    pub(super) is_calm: bool,
}

impl Handle {
    /// None if there is no lane; and if another handle writes alone and the kernel refuses what
    /// it takes to find out when it no longer does, which a sandbox may cause.
    pub(crate) fn new(pairs: &'static Pairs) -> Option<Self> {
        let lane = pairs.lane.as_ref()?;
        let number = pairs.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let handle = Self { pairs, lane, number, is_calm: false };
        // A handle allows itself to write alone before it reads the number of handles.
        if pairs.handles.fetch_add(1, Ordering::SeqCst) != 0 {
            pairs.own_place().mark.withdraw();
            return barrier().then_some(handle);
        }
        Some(handle)
    }

    #[inline]
    pub(crate) fn pairs(&self) -> &'static Pairs {
        self.pairs
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // What this handle wrote is there for the one that is the only one then.
        self.pairs.handles.fetch_sub(1, Ordering::Release);
    }
}

impl Deref for Handle {
    type Target = Pairs;

    #[inline]
    fn deref(&self) -> &Pairs {
        self.pairs
    }
}
