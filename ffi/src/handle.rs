//! A handle: a value that one call at a time may use.

use std::cell::UnsafeCell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use varta::internal::{CallGuard, CallLock};

use crate::errors::{Failure, VARTA_EPANIC};

/// A value with a lock that fails rather than waits. What is beside it needs no lock.
pub(crate) struct Handle<T, B = ()> {
    lock: CallLock,
    poisoned: AtomicBool,
    value: UnsafeCell<T>,
    beside: B,
}

impl<T, B> Handle<T, B> {
    /// Makes the value and what is beside it, and a handle for both.
    pub(crate) fn make(make: impl FnOnce() -> io::Result<(T, B)>) -> io::Result<*mut Self> {
        let lock = CallLock::new()?;
        let (value, beside) = make()?;
        let handle = Box::new(Self {
            lock,
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
        if open.lock.is_locked() {
            closed::misuse("libvarta: a handle was closed while a call was using it\n");
        }
        #[cfg(debug_assertions)]
        closed::remember(handle);
        // SAFETY: `make` got it from a box, and no call uses it now or later.
        Some(unsafe { Box::from_raw(handle) }.value.into_inner())
    }

    #[inline]
    fn try_lock(&self) -> Result<LockGuard<'_>, Failure> {
        let call = self.lock.try_lock().ok_or(Failure::errno(libc::EBUSY))?;
        match self.poisoned.load(Ordering::Relaxed) {
            true => Err(Failure::PANICKED),
            false => Ok(LockGuard { poisoned: &self.poisoned, finished: false, _call: call }),
        }
    }
}

impl Failure {
    const PANICKED: Self = Self::of_code(VARTA_EPANIC);
}

/// The lock on a handle. A body that panics poisons the handle.
struct LockGuard<'a> {
    poisoned: &'a AtomicBool,
    finished: bool,
    _call: CallGuard<'a>,
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.finished {
            self.poisoned.store(true, Ordering::Relaxed);
        }
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
