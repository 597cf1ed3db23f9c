//! The mark of a pair: who writes its lines at this moment.
//!
//! A call marks the pair while it writes both the private copy and the page. An attach marks
//! all pairs while it moves the page: meanwhile calls write the private copies only, and leave
//! a note that the attach has to copy the pair again. Nobody ever waits for a mark.

use std::sync::atomic::Ordering;

use super::atomic::AtomicU64;
use crate::status::Status;

/// A call writes.
const WRITING: u64 = 1;
/// An attach copies.
const COPYING: u64 = 2;
/// The private copy has changed since.
const CHANGED: u64 = 4;

/// Whether a call may write to the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It has the mark, and must release it.
    Granted,
    /// An attach has the mark, and will copy the private copy.
    Copied,
}

/// The mark of a pair.
#[derive(Clone, Copy)]
pub(super) struct Mark<'a>(pub(super) &'a AtomicU64);

impl Mark<'_> {
    /// For the only holder of a pair, which has written its private copy already.
    #[inline]
    pub(super) fn take_alone(self) -> Access {
        while self.try_set(0, WRITING).is_err() {
            if self.0.fetch_or(CHANGED, Ordering::AcqRel) & COPYING != 0 {
                return Access::Copied;
            }
            // The attach ended in between. Nobody else takes a mark that has a note.
            self.0.store(0, Ordering::Release);
        }
        Access::Granted
    }

    /// For one of the handles that share a pair, with what it is going to write. If the mark
    /// is taken, returns it.
    #[inline]
    pub(super) fn take(self, writing: u64) -> Result<(), u64> {
        self.try_set(0, writing)
    }

    /// Releases the mark after it was granted.
    #[inline]
    pub(super) fn release(self) {
        self.0.store(0, Ordering::Release);
    }

    /// For an attach. False if a call is writing.
    pub(super) fn take_to_copy(self) -> bool {
        /// A call takes a few nanoseconds, unless its thread was interrupted.
        const TRIES: u32 = 100;
        (0..TRIES).any(|_| {
            let taken = self.try_set(0, COPYING).is_ok();
            if !taken {
                std::hint::spin_loop();
            }
            taken
        })
    }

    /// Releases the mark after copying, unless the private copy has changed: then it must be
    /// copied once more.
    pub(super) fn release_if_unchanged(self) -> bool {
        if self.try_set(COPYING, 0).is_ok() {
            return true;
        }
        self.0.fetch_and(!CHANGED, Ordering::AcqRel);
        false
    }

    #[inline]
    fn try_set(self, from: u64, to: u64) -> Result<(), u64> {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(|_| ())
    }
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
