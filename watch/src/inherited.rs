//! Descriptors that this process was given by number.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Takes one that was passed to this process to be its own. To be called once for each.
pub(crate) fn take(number: i32) -> io::Result<OwnedFd> {
    // The standard ones belong to the standard library, and -1 is no descriptor.
    if number < 3 {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::BADF.raw_os_error()));
    }
    // SAFETY: it is not -1, and borrowed for one call only, which fails if it is not open.
    let open = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(open, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, was passed to this process by number to be its own, and nobody
    // else here takes it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
