//! What a handle points to: one thing, used by one call at a time.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use varta::process::Here;

use crate::errors::{Failure, VARTA_EPANIC};

/// Nobody is in a call. Numbers of processes are never this.
const FREE: u64 = 0;

/// A thing, and who uses it. It starts and ends in the functions below.
pub(crate) struct Handle<T> {
    /// The number of the process that a call on the handle is in, or [`FREE`]. In a forked
    /// child a number of its parent's is nobody's: the mark does not outlive the fork.
    mark: AtomicU64,
    here: Here,
    poisoned: AtomicBool,
    #[cfg(debug_assertions)]
    closed: AtomicBool,
    thing: UnsafeCell<Option<T>>,
}

impl<T> Handle<T> {
    /// Makes the thing and a handle for it.
    pub(crate) fn make(thing: impl FnOnce() -> io::Result<T>) -> io::Result<*mut Self> {
        let handle = Box::new(Self {
            mark: AtomicU64::new(FREE),
            here: Here::find()?,
            poisoned: AtomicBool::new(false),
            #[cfg(debug_assertions)]
            closed: AtomicBool::new(false),
            thing: UnsafeCell::new(Some(thing()?)),
        });
        Ok(Box::into_raw(handle))
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
        // SAFETY: as the caller promised; only `close` takes it away.
        let handle = unsafe { handle.as_ref() }.ok_or(Failure::INVALID)?;
        #[cfg(debug_assertions)]
        handle.check_open();
        let mut held = handle.hold()?;
        // SAFETY: the mark is ours, and with it the thing, until `held` is dropped.
        let thing = unsafe { &mut *handle.thing.get() };
        let answer = match thing {
            Some(thing) => body(thing),
            None => Err(Failure::INVALID),
        };
        held.whole = true;
        answer
    }

    /// Ends the thing and the handle. NULL is none.
    ///
    /// # Safety
    ///
    /// As for [`with`](Self::with); no call is on the handle, and none follows.
    pub(crate) unsafe fn close(handle: *mut Self) {
        // SAFETY: as the caller promised.
        let Some(known) = (unsafe { handle.as_ref() }) else { return };
        #[cfg(debug_assertions)]
        known.check_closing();
        // SAFETY: no call is on it, so that the thing is ours alone.
        let thing = unsafe { (*known.thing.get()).take() };
        #[cfg(debug_assertions)]
        quarantine::keep(handle);
        #[cfg(not(debug_assertions))]
        // SAFETY: `make` got it from a box, and nobody will use it again.
        drop(unsafe { Box::from_raw(handle) });
        drop(thing);
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

#[cfg(debug_assertions)]
impl<T> Handle<T> {
    fn check_open(&self) {
        if self.closed.load(Ordering::Acquire) {
            quarantine::misuse("libvarta: a handle was used after it was closed\n");
        }
    }

    fn check_closing(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            quarantine::misuse("libvarta: a handle was closed twice\n");
        }
        let holder = self.mark.load(Ordering::Acquire);
        if holder != FREE && self.here.number() == Some(holder) {
            quarantine::misuse("libvarta: a handle was closed while a call was on it\n");
        }
    }
}

/// Debug builds keep what is left of closed handles, so that one used again is known.
#[cfg(debug_assertions)]
mod quarantine {
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};

    struct Kept {
        _handle: *mut u8,
        _next: *mut Self,
    }

    static LATEST: AtomicPtr<Kept> = AtomicPtr::new(ptr::null_mut());

    /// Keeps it reachable, so that nobody takes it for a leak.
    pub(super) fn keep<T>(handle: *mut T) {
        let kept = Box::into_raw(Box::new(Kept {
            _handle: handle.cast(),
            _next: LATEST.load(Ordering::Acquire),
        }));
        let mut latest = LATEST.load(Ordering::Acquire);
        loop {
            // SAFETY: ours until it is published.
            unsafe { (*kept)._next = latest };
            match LATEST.compare_exchange(latest, kept, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => latest = other,
            }
        }
    }

    /// Says what is wrong with the program, and ends it.
    pub(super) fn misuse(what: &str) -> ! {
        // SAFETY: pointer and length are those of a live text.
        unsafe { libc::write(libc::STDERR_FILENO, what.as_ptr().cast(), what.len()) };
        std::process::abort();
    }
}
