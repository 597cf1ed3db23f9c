//! A handle: a value that one call at a time may use.

use std::cell::UnsafeCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use varta::internal::ProcessToken;

use crate::errors::{Failure, VARTA_EPANIC};

/// No call is using the handle. No process has this number.
const FREE: u64 = 0;

/// A value with a lock that fails rather than waits. What is beside it needs no lock.
pub(crate) struct Handle<T, B = ()> {
    /// The number of the process in which a call is using the handle, or [`FREE`]. A forked
    /// child ignores its parent's number: a lock does not survive the fork.
    lock: AtomicU64,
    process: ProcessToken,
    poisoned: AtomicBool,
    value: UnsafeCell<T>,
    beside: B,
}

impl<T, B> Handle<T, B> {
    /// Makes the value and what is beside it, and a handle for both.
    pub(crate) fn make(make: impl FnOnce() -> io::Result<(T, B)>) -> io::Result<*mut Self> {
        let process = ProcessToken::find()?;
        let (value, beside) = make()?;
        let handle = Box::new(Self {
            lock: AtomicU64::new(FREE),
            process,
            poisoned: AtomicBool::new(false),
            value: UnsafeCell::new(value),
            beside,
        });
        let handle = Box::into_raw(handle);
        #[cfg(debug_assertions)]
        closed::forget(handle);
        Ok(handle)
    }

    /// Runs `body` with the value, or fails if another call is using it.
    ///
    /// # Safety
    ///
    /// `handle` is NULL, or came from [`make`](Self::make) and was not closed.
    #[inline]
    pub(crate) unsafe fn with<R>(
        handle: *mut Self,
        body: impl FnOnce(&mut T) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        #[cfg(debug_assertions)]
        closed::check(handle);
        // SAFETY: as the caller promised.
        let handle = unsafe { handle.as_ref() }.ok_or(Failure::INVALID)?;
        let mut guard = handle.try_lock()?;
        // SAFETY: this call holds the lock on the value until `guard` is dropped.
        let value = unsafe { &mut *handle.value.get() };
        let result = body(value);
        guard.finished = true;
        result
    }

    /// What is beside the value, which other calls may be using too.
    ///
    /// # Safety
    ///
    /// As for [`with`](Self::with); the handle is not closed during `'a`.
    #[inline]
    pub(crate) unsafe fn beside<'a>(handle: *mut Self) -> Result<&'a B, Failure>
    where
        T: 'a,
    {
        #[cfg(debug_assertions)]
        closed::check(handle);
        // SAFETY: as the caller promised.
        let handle = unsafe { handle.as_ref() }.ok_or(Failure::INVALID)?;
        match handle.poisoned.load(Ordering::Relaxed) {
            true => Err(Failure::PANICKED),
            false => Ok(&handle.beside),
        }
    }

    /// The value, without locking it.
    ///
    /// # Safety
    ///
    /// The handle is open, and no other call uses it.
    #[cfg(feature = "faults")]
    pub(crate) unsafe fn without_lock<'a>(handle: *mut Self) -> &'a mut T {
        // SAFETY: as the caller promised.
        let handle = unsafe { &*handle };
        // SAFETY: as the caller promised.
        unsafe { &mut *handle.value.get() }
    }

    /// Drops the handle, and returns the value; None if the handle is NULL.
    ///
    /// # Safety
    ///
    /// As for [`with`](Self::with); no call is using the handle, and none follows.
    pub(crate) unsafe fn close(handle: *mut Self) -> Option<T> {
        #[cfg(debug_assertions)]
        closed::check(handle);
        // SAFETY: as the caller promised.
        #[cfg_attr(not(debug_assertions), allow(unused_variables, reason = "for the check"))]
        let open = unsafe { handle.as_ref() }?;
        #[cfg(debug_assertions)]
        if open.is_locked() {
            closed::misuse("libvarta: a handle was closed while a call was using it\n");
        }
        #[cfg(debug_assertions)]
        closed::remember(handle);
        // SAFETY: `make` got it from a box, and no call uses it now or later.
        Some(unsafe { Box::from_raw(handle) }.value.into_inner())
    }

    #[cfg(debug_assertions)]
    fn is_locked(&self) -> bool {
        let holder = self.lock.load(Ordering::Acquire);
        holder != FREE && self.process.number() == Some(holder)
    }

    #[inline]
    fn try_lock(&self) -> Result<LockGuard<'_, T, B>, Failure> {
        const BUSY: Failure = Failure::errno(libc::EBUSY);
        let process = self.process.number().ok_or(BUSY)?;
        let mut seen = FREE;
        while let Err(holder) =
            self.lock.compare_exchange(seen, process, Ordering::Acquire, Ordering::Relaxed)
        {
            if holder == process {
                return Err(BUSY);
            }
            // The holder is a call in a parent process, which does not exist in this child.
            seen = holder;
        }
        let guard = LockGuard { handle: self, finished: self.poisoned.load(Ordering::Relaxed) };
        if guard.finished { Err(Failure::PANICKED) } else { Ok(guard) }
    }
}

impl Failure {
    const PANICKED: Self = Self::of_code(VARTA_EPANIC);
}

/// The lock on a handle. A body that panics poisons the handle.
struct LockGuard<'a, T, B> {
    handle: &'a Handle<T, B>,
    finished: bool,
}

impl<T, B> Drop for LockGuard<'_, T, B> {
    #[inline]
    fn drop(&mut self) {
        if !self.finished {
            self.handle.poisoned.store(true, Ordering::Relaxed);
        }
        self.handle.lock.store(FREE, Ordering::Release);
    }
}

/// Debug builds remember the addresses of recently closed handles, so that they can detect
/// misuse without reading freed memory.
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

    /// A new handle now has this address.
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

    /// Writes a message to stderr and aborts the program.
    pub(super) fn misuse(message: &str) -> ! {
        // SAFETY: pointer and length are those of a live string.
        unsafe { libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len()) };
        std::process::abort();
    }
}
