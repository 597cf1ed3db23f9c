//! The mark of a pair: who writes its lines at this moment.
//!
//! A call marks the pair while it writes both the private copy and the page. An attach marks
//! all pairs while it moves the page: meanwhile calls write the private copies only, and leave
//! a note that the attach has to copy the pair again. Nobody ever waits for a mark.
//!
//! Taking a mark costs a locked instruction. A holder that has no competitors needs none: while
//! it is allowed to write alone, it sets `writing`, finds that it is still allowed, writes, and
//! clears `writing`. A competitor first withdraws the permission, then makes all threads see
//! that by a [`barrier`], and only then reads `writing`: a holder that was about to write has
//! either set it or finds that it is no longer allowed to write.

use std::sync::atomic::{Ordering, compiler_fence};

use super::atomic::{AtomicU64, barrier};
use crate::status::Status;

/// A call writes.
const WRITING: u64 = 1;
/// An attach copies.
const COPYING: u64 = 2;
/// The private copy has changed since.
const CHANGED: u64 = 4;

/// No holder has these numbers.
const NOBODY: u64 = 0;
const WITHDRAWN: u64 = u64::MAX;

/// Whether a call may write to the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It has the mark, and must release it.
    Granted,
    /// An attach has the mark, and will copy the private copy.
    Copied,
}

/// The mark of a pair. Nobody has it, or may write alone, if its bytes are zero.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Mark {
    /// Who has the mark; 0 for nobody.
    taken: AtomicU64,
    /// The holder that may write without taking the mark, or [`NOBODY`] if none ever was, or
    /// [`WITHDRAWN`].
    alone: AtomicU64,
    /// Nonzero while that holder writes.
    writing: AtomicU64,
}

/// How often to look whether a call has ended. It takes a few nanoseconds, unless its thread was
/// interrupted.
const TRIES: u32 = 100;

impl Mark {
    /// Begins to write without taking the mark, if this holder may. Then it must
    /// [`leave`](Self::leave).
    #[inline]
    pub(super) fn enter(&self, holder: u64) -> bool {
        // Only the one that may write alone touches `writing`.
        if self.alone.load(Ordering::Acquire) != holder {
            return false;
        }
        self.writing.store(1, Ordering::Relaxed);
        // The other half of this fence is the barrier of the one who withdraws.
        compiler_fence(Ordering::SeqCst);
        let is_allowed = self.alone.load(Ordering::Acquire) == holder;
        if !is_allowed {
            self.leave();
        }
        is_allowed
    }

    #[inline]
    pub(super) fn leave(&self) {
        self.writing.store(0, Ordering::Release);
    }

    /// Allows a holder, which has the mark, to write alone from now on.
    #[inline]
    pub(super) fn allow(&self, holder: u64) {
        self.alone.store(holder, Ordering::SeqCst);
    }

    /// Withdraws what [`allow`](Self::allow) allowed. After a [`barrier`],
    /// [`is_written_alone`](Self::is_written_alone) is true as long as that holder writes.
    pub(super) fn withdraw(&self) {
        self.alone.store(WITHDRAWN, Ordering::SeqCst);
    }

    /// Whether a holder that did not take the mark may be writing.
    #[inline]
    pub(super) fn is_written_alone(&self) -> bool {
        self.writing.load(Ordering::Acquire) != 0
    }

    /// For the only holder of a pair, which has written its private copy already.
    #[inline]
    pub(super) fn take_alone(&self) -> Access {
        while self.try_set(0, WRITING).is_err() {
            if self.taken.fetch_or(CHANGED, Ordering::AcqRel) & COPYING != 0 {
                return Access::Copied;
            }
            // The attach ended in between. Nobody else takes a mark that has a note.
            self.taken.store(0, Ordering::Release);
        }
        Access::Granted
    }

    /// For one of the handles that share a pair, with what it is going to write. If the mark
    /// is taken, returns it.
    #[inline]
    pub(super) fn take(&self, writing: u64) -> Result<(), u64> {
        self.try_set(0, writing)
    }

    /// Releases the mark after it was granted.
    #[inline]
    pub(super) fn release(&self) {
        self.taken.store(0, Ordering::Release);
    }

    /// For an attach, after which [`are_calm`] is asked. False if a call is writing.
    pub(super) fn take_to_copy(&self) -> bool {
        is_soon(|| self.try_set(0, COPYING).is_ok())
    }

    /// Releases the mark after copying, unless the private copy has changed: then it must be
    /// copied once more.
    pub(super) fn release_if_unchanged(&self) -> bool {
        if self.try_set(COPYING, 0).is_ok() {
            return true;
        }
        self.taken.fetch_and(!CHANGED, Ordering::AcqRel);
        false
    }

    /// Zeroes it in a child.
    pub(crate) fn forget(&self) {
        for word in [&self.taken, &self.alone, &self.writing] {
            word.store(0, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        [&self.taken, &self.writing].iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    #[inline]
    fn try_set(&self, from: u64, to: u64) -> Result<(), u64> {
        self.taken.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(|_| ())
    }
}

/// Makes sure that nobody writes alone to any of these pairs, whose marks the caller has taken to
/// copy. False if somebody does.
pub(super) fn are_calm<'a>(marks: impl Iterator<Item = &'a Mark> + Clone) -> bool {
    // Only one that has the mark is allowed to write alone, so this cannot change now.
    if marks.clone().all(|mark| mark.alone.load(Ordering::Acquire) == NOBODY) {
        return true;
    }
    marks.clone().for_each(Mark::withdraw);
    barrier() && marks.into_iter().all(|mark| is_soon(|| !mark.is_written_alone()))
}

fn is_soon(mut check: impl FnMut() -> bool) -> bool {
    (0..TRIES).any(|_| {
        let is = check();
        if !is {
            std::hint::spin_loop();
        }
        is
    })
}

/// The unit of the time in a mark, as a power of two nanoseconds.
const TICK: u32 = 14;
/// For how many ticks a beat that is being written counts for an equal one.
const TICKS: u64 = 1_000_000 >> TICK;
const TIME: u64 = (1 << 27) - 1;

/// The mark of a beat that begins now.
#[inline]
pub(super) fn beating(now: u64, status: Status, payload: u32) -> u64 {
    WRITING | (status as u64) << 3 | (now >> TICK & TIME) << 5 | u64::from(payload) << 32
}

/// Whether a beat that is being written says the same as another one, and began at most a
/// millisecond before it.
#[inline]
pub(super) fn says_the_same(writing: u64, mine: u64) -> bool {
    const TIMES: u64 = TIME << 5;
    let age = (mine >> 5 & TIME).wrapping_sub(writing >> 5 & TIME) & TIME;
    // A beat that began a little later, on another CPU, is as good.
    let is_recent = !(TICKS..=TIME - TICKS).contains(&age);
    writing & WRITING != 0 && (writing ^ mine) & !TIMES == 0 && is_recent
}
