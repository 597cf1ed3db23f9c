//! A socket that only its owner can close.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// A fork copies the descriptor table first and the memory later, while the other threads
/// keep running. If one of them makes a new session in between, the child has the number of a
/// descriptor that is not in its table. By the time the child makes its own session, that
/// number may be free or belong to another file. So a socket is closed only if it is still
/// the one that was opened.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: ManuallyDrop<OwnedFd>,
    inode: u64,
}

impl Socket {
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let inode = sys::inode(descriptor.as_fd())?;
        Ok(Self { descriptor: ManuallyDrop::new(descriptor), inode })
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if sys::inode(self.as_fd()).is_ok_and(|inode| inode == self.inode) {
            sys::close(&mut self.descriptor);
        }
    }
}
