//! Calls that do not fail when the process is held.

use std::io;

/// Repeats a call as long as it is interrupted. The kernel interrupts a receive from a socket with
/// a timeout when the process is stopped and continued, even if no signal handler runs.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
