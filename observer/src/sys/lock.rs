//! Locks on open files, which end with the processes that hold them.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::checked;

/// Locks a file against other processes that do the same, and waits for them up to `patience`.
pub(crate) fn lock(file: &File, patience: Duration) -> io::Result<()> {
    const LOOK_AGAIN: Duration = Duration::from_millis(1);
    let deadline = Instant::now() + patience;
    loop {
        match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(LOOK_AGAIN),
            Ok(()) => return Ok(()),
        }
    }
}

/// Releases a lock, even if processes that were forked meanwhile hold copies of the descriptor
/// and with it the lock.
pub(crate) fn unlock(file: &File) {
    let _ = flock(file, libc::LOCK_UN);
}

fn flock(file: &File, operation: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::flock(file.as_raw_fd(), operation) })?;
    Ok(())
}
