//! Detects, without a system call, that this process is a forked child of the one that created
//! an object.

use std::fmt;
use std::io;
use std::process;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

const BYTES: usize = size_of::<AtomicU64>();
const HERE: u64 = 1;

/// The process that created an object.
pub(crate) struct Owner {
    pid: u32,
    /// A word that the kernel zeroes in a forked child. A pid is not enough: the first child
    /// in a new pid namespace has the same pid as its parent if that was the first in its own.
    mark: Option<NonNull<AtomicU64>>,
}

// SAFETY: the mark is an atomic in memory that is unmapped only when the owner is dropped.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

impl Owner {
    /// This process.
    pub(crate) fn here() -> Self {
        Self { pid: process::id(), mark: mark().ok() }
    }

    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        match self.mark {
            // SAFETY: mapped until drop.
            Some(mark) => unsafe { mark.as_ref() }.load(Ordering::Relaxed) == HERE,
            None => process::id() == self.pid,
        }
    }

    /// Returns an error (ECHILD) in any other process.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_here() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ECHILD)) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(mark) = self.mark {
            // SAFETY: `mark` mapped it, and nothing refers to it any more.
            unsafe { libc::munmap(mark.as_ptr().cast(), BYTES) };
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Maps a page that is filled with zeros in a forked child.
fn mark() -> io::Result<NonNull<AtomicU64>> {
    // SAFETY: asks for new memory at a place of the kernel's choosing.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let advise = |advice| {
        // SAFETY: the range is the mapping above; it is meant to be wiped in a child.
        unsafe { libc::madvise(page, BYTES, advice) }
    };
    // A user-mode emulator may accept any advice, even invalid advice; then its answer proves
    // nothing.
    const NO_SUCH_ADVICE: libc::c_int = -1;
    let wiped = advise(NO_SUCH_ADVICE) != 0 && advise(libc::MADV_WIPEONFORK) == 0;
    match NonNull::new(page.cast::<AtomicU64>()) {
        Some(mark) if wiped => {
            // SAFETY: mapped above, zeroed, aligned to a page.
            unsafe { mark.as_ref() }.store(HERE, Ordering::Relaxed);
            Ok(mark)
        }
        _ => {
            // SAFETY: the mapping above, to which nothing else refers.
            unsafe { libc::munmap(page, BYTES) };
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Child, in_child, is_root};

    fn owners() -> [Owner; 2] {
        let owner = Owner::here();
        assert!(owner.mark.is_some(), "MADV_WIPEONFORK exists since Linux 4.14");
        let by_pid = Owner { mark: None, pid: process::id() };
        [owner, by_pid]
    }

    #[test]
    fn a_child_is_not_the_owner() {
        for owner in owners() {
            assert!(owner.is_here());
            in_child(|| {
                assert!(!owner.is_here());
                assert!(Owner::here().is_here());
                in_child(|| assert!(!owner.is_here()));
            });
            assert!(owner.is_here());
        }
    }

    #[test]
    fn a_thread_is_the_owner() {
        let owner = Owner::here();
        std::thread::spawn(move || assert!(owner.is_here())).join().unwrap();
    }

    /// This happens in a container whose first process starts another container.
    #[test]
    fn a_child_with_the_same_pid_is_not_the_owner() {
        if !is_root() {
            return;
        }
        let first_of_namespace = |run: &dyn Fn()| {
            in_child(|| {
                // SAFETY: takes a number; affects only the children of this child.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
                Child::start(run).finish();
            });
        };
        first_of_namespace(&|| {
            let owner = Owner::here();
            assert_eq!(process::id(), 1);
            first_of_namespace(&|| {
                assert_eq!(process::id(), 1);
                assert!(!owner.is_here());
            });
            assert!(owner.is_here());
        });
    }
}
