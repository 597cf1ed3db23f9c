//! Waiting for a descriptor, in a way that can be ended from another thread.
#![allow(unsafe_code, reason = "system calls")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Ends a wait.
#[derive(Debug)]
pub(crate) struct Waker(File);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made here and is nobody else's.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(owned.into()))
    }

    /// Ends the wait that is under way, or else the next.
    pub(crate) fn wake(&self) {
        // It fails only when so many wakings are pending that one more changes nothing.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    fn answered(&self) {
        // It fails only when there was no waking to take away.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

/// Waits until a descriptor is readable, if one is given, or until woken.
pub(crate) fn wait(descriptor: Option<RawFd>, waker: &Waker) -> io::Result<()> {
    let slot = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // A negative descriptor is passed over.
    let mut slots = [slot(waker.0.as_raw_fd()), slot(descriptor.unwrap_or(-1))];
    // SAFETY: the pointer and the count are those of an array that outlives the call.
    let ready = unsafe { libc::poll(slots.as_mut_ptr(), 2, -1) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    if slots[0].revents != 0 {
        waker.answered();
    }
    Ok(())
}
