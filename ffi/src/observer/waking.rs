//! How another thread ends the wait of a poll.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use varta::internal::ProcessToken;

use super::{ObserverHandle, varta_observer};
use crate::errors::Failure;
use crate::guard::{self, Code};

/// An eventfd for which the observer waits too. It is beside the observer in its handle, because
/// it is used while a poll has the observer.
pub(crate) struct Waker {
    event: OwnedFd,
    process: ProcessToken,
    /// The process of the observer. A forked child shares the eventfd, but must not wake its parent.
    owner: Option<u64>,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: it accepts any arguments.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if event == -1 {
            return Err(io::Error::last_os_error());
        }
        let process = ProcessToken::find()?;
        Ok(Self {
            // SAFETY: the call returned a new descriptor.
            event: unsafe { OwnedFd::from_raw_fd(event) },
            owner: process.number(),
            process,
        })
    }

    fn wake(&self) -> Result<(), Failure> {
        if self.process.number() != self.owner {
            return Err(Failure::errno(libc::ECHILD));
        }
        let one = 1_u64.to_ne_bytes();
        // SAFETY: pointer and length are those of `one`.
        let written =
            unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        let error = (written == -1).then(io::Error::last_os_error);
        // A full eventfd is readable.
        match error.filter(|error| error.kind() != io::ErrorKind::WouldBlock) {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Takes all wakes so far. Returns whether there was one.
    pub(super) fn take(&self) -> bool {
        let mut count = [0_u8; 8];
        // SAFETY: pointer and length are those of `count`.
        let read = unsafe {
            libc::read(self.event.as_raw_fd(), count.as_mut_ptr().cast(), count.len())
        };
        read > 0
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Ends the wait of a poll: the call of varta_observer_poll or varta_observer_poll_many that is
/// waiting returns -EINTR, or if none is, the next one that would wait. Several wakes before that
/// count as one. The observer's descriptor becomes readable too.
///
/// obs: from varta_observer_bind.
///
/// Returns 0, or
///     -EINVAL        obs is NULL
///     -ECHILD        the observer belongs to the parent of this process
///     -EOPNOTSUPP    obs is a simulated observer, which never waits
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: any, also while another call is using the observer, and in a signal handler; but before
/// varta_observer_close. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_wake(obs: *mut varta_observer) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle or NULL.
        let waker = unsafe { ObserverHandle::beside(obs.cast()) }?;
        waker.as_ref().ok_or(super::OTHER_KIND)?.wake()?;
        Ok(0)
    })
}
