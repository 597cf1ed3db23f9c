//! Waits for a descriptor, such that another thread can end the wait.
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
        // SAFETY: the descriptor was created here and has no other owner.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(owned.into()))
    }

    /// Ends the current wait, or else the next one.
    pub(crate) fn wake(&self) {
        // This fails only if the counter is at its maximum, and then the wait ends anyway.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    fn reset(&self) {
        // This fails only if the counter is already 0.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

/// Waits until a descriptor is readable, if one is given, or until woken.
pub(crate) fn wait(descriptor: Option<RawFd>, waker: &Waker) -> io::Result<()> {
    let slot = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // poll ignores a negative descriptor.
    let mut slots = [slot(waker.0.as_raw_fd()), slot(descriptor.unwrap_or(-1))];
    // SAFETY: the pointer and the count are those of an array that outlives the call.
    let ready = unsafe { libc::poll(slots.as_mut_ptr(), 2, -1) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    if slots[0].revents != 0 {
        waker.reset();
    }
    Ok(())
}
