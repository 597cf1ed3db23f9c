//! What a handle points to: one thing, used by one call at a time.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use varta::internal::ProcessToken;

use crate::errors::{Failure, VARTA_EPANIC};

/// Nobody is in a call. Numbers of processes are never this.
const FREE: u64 = 0;

/// A thing, and who uses it. It starts and ends in the functions below.
pub(crate) struct Handle<T> {
    /// The number of the process that a call on the handle is in, or [`FREE`]. In a forked
    /// child a number of its parent's is nobody's: the mark does not outlive the fork.
    mark: AtomicU64,
    here: ProcessToken,
    poisoned: AtomicBool,
    thing: UnsafeCell<T>,
}

impl<T> Handle<T> {
    /// Makes the thing and a handle for it.
    pub(crate) fn make(thing: impl FnOnce() -> io::Result<T>) -> io::Result<*mut Self> {
        let handle = Box::new(Self {
            mark: AtomicU64::new(FREE),
            here: ProcessToken::find()?,
            poisoned: AtomicBool::new(false),
            thing: UnsafeCell::new(thing()?),
        });
        let handle = Box::into_raw(handle);
        #[cfg(debug_assertions)]
        closed::forget(handle);
        Ok(handle)
    }

    /// Uses the thing, unless another call does.
    ///
    /// # Safety
    ///
    /// `handle` is NULL, or came from [`make`](Self::make) and was not closed.
    #[inline]
    pub(crate) unsafe fn with(
        handle: *mut Self,
        body: impl FnOnce(&mut T) -> Result<c_int, Failure>,
    ) -> Result<c_int, Failure> {
        #[cfg(debug_assertions)]
        closed::check(handle);
        // SAFETY: as the caller promised.
        let handle = unsafe { handle.as_ref() }.ok_or(Failure::INVALID)?;
        let mut held = handle.hold()?;
        // SAFETY: the mark is ours, and with it the thing, until `held` is dropped.
        let thing = unsafe { &mut *handle.thing.get() };
        let answer = body(thing);
        held.whole = true;
        answer
    }

    /// The thing, taken from whoever uses it.
    ///
    /// # Safety
    ///
    /// The handle is open, and nobody uses it.
    #[cfg(feature = "faults")]
    pub(crate) unsafe fn without_mark<'a>(handle: *mut Self) -> &'a mut T {
        // SAFETY: as the caller promised.
        let handle = unsafe { &*handle };
        // SAFETY: as the caller promised.
        unsafe { &mut *handle.thing.get() }
    }

    /// Ends the thing and the handle. NULL is none.
    ///
    /// # Safety
    ///
    /// As for [`with`](Self::with); no call is on the handle, and none follows.
    pub(crate) unsafe fn close(handle: *mut Self) {
        #[cfg(debug_assertions)]
        closed::check(handle);
        // SAFETY: as the caller promised.
        #[cfg_attr(not(debug_assertions), allow(unused_variables, reason = "for the check"))]
        let Some(known) = (unsafe { handle.as_ref() }) else { return };
        #[cfg(debug_assertions)]
        if known.is_held() {
            closed::misuse("libvarta: a handle was closed while a call was on it\n");
        }
        #[cfg(debug_assertions)]
        closed::remember(handle);
        // SAFETY: `make` got it from a box, and nobody uses it, now or again.
        drop(unsafe { Box::from_raw(handle) });
    }

    #[cfg(debug_assertions)]
    fn is_held(&self) -> bool {
        let holder = self.mark.load(Ordering::Acquire);
        holder != FREE && self.here.number() == Some(holder)
    }

    #[inline]
    fn hold(&self) -> Result<Held<'_, T>, Failure> {
        const BUSY: Failure = Failure::errno(libc::EBUSY);
        let here = self.here.number().ok_or(BUSY)?;
        let mut seen = FREE;
        while let Err(holder) =
            self.mark.compare_exchange(seen, here, Ordering::Acquire, Ordering::Relaxed)
        {
            if holder == here {
                return Err(BUSY);
            }
            // A call of another process, a parent's, that the fork has cut off here.
            seen = holder;
        }
        let held = Held { handle: self, whole: self.poisoned.load(Ordering::Relaxed) };
        if held.whole { Err(Failure::PANICKED) } else { Ok(held) }
    }
}

impl Failure {
    const PANICKED: Self = Self::of_code(VARTA_EPANIC);
}

/// The mark on a handle. A body that did not come to its end leaves the thing poisoned.
struct Held<'a, T> {
    handle: &'a Handle<T>,
    whole: bool,
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if !self.whole {
            self.handle.poisoned.store(true, Ordering::Relaxed);
        }
        self.handle.mark.store(FREE, Ordering::Release);
    }
}

/// Debug builds know the handles that were closed lately by their addresses, without
/// looking at memory that is no longer theirs.
#[cfg(debug_assertions)]
mod closed {
    use std::sync::atomic::{AtomicUsize, Ordering};

    const REMEMBERED: usize = 256;

    static ADDRESSES: [AtomicUsize; REMEMBERED] = [const { AtomicUsize::new(0) }; REMEMBERED];

    pub(super) fn remember<T>(handle: *mut T) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
        if let Some(place) = ADDRESSES.get(next) {
            place.store(handle.addr(), Ordering::Release);
        }
    }

    /// The memory is another handle's from now on.
    pub(super) fn forget<T>(handle: *mut T) {
        for place in &ADDRESSES {
            let address = handle.addr();
            let _ = place.compare_exchange(address, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    pub(super) fn check<T>(handle: *mut T) {
        let address = handle.addr();
        if address != 0 && ADDRESSES.iter().any(|a| a.load(Ordering::Acquire) == address) {
            misuse("libvarta: a handle was used after it was closed\n");
        }
    }

    /// Says what is wrong with the program, and ends it.
    pub(super) fn misuse(what: &str) -> ! {
        // SAFETY: pointer and length are those of a live text.
        unsafe { libc::write(libc::STDERR_FILENO, what.as_ptr().cast(), what.len()) };
        std::process::abort();
    }
}
