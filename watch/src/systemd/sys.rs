//! Taking what was inherited by number.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

/// The first of them; the rest follow.
const FIRST: i32 = 3;

/// The descriptors that the service manager has passed. To be called once.
pub(super) fn inherited(count: i32) -> io::Result<Vec<OwnedFd>> {
    (FIRST..FIRST.saturating_add(count))
        .map(|number| {
            // SAFETY: borrowed for one look only, which answers EBADF if it is not open.
            let open = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(open, rustix::io::FdFlags::CLOEXEC)?;
            // SAFETY: it is open, was passed to this process to be its own (LISTEN_PID), and
            // nobody else takes it: this is called once.
            Ok(unsafe { OwnedFd::from_raw_fd(number) })
        })
        .collect()
}
