//! Inherited descriptors that are passed by number.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Takes ownership of a descriptor that this process inherited when it was started.
///
/// A descriptor that survived exec does not have the close-on-exec flag, and every descriptor
/// that this program opens itself does. So the flag distinguishes the two: a descriptor that
/// already has an owner here is refused, and so is a second call for the same number. Call
/// this before other threads are started, because the flag is read and then set.
pub(crate) fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: passes only numbers, and only reads flags.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    let why = match flags {
        -1 => "is not open",
        // The standard library owns these.
        _ if number < 3 => "is a standard stream",
        0 => {
            // SAFETY: the descriptor is open and nothing here owns it, as described above.
            let taken = unsafe { OwnedFd::from_raw_fd(number) };
            fcntl_setfd(&taken, FdFlags::CLOEXEC)?;
            return Ok(taken);
        }
        _ => "was not inherited",
    };
    let why = format!("descriptor {number} {why}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn a_descriptor_that_has_an_owner_is_refused() {
        let own = File::open("/dev/null").unwrap();
        assert!(take(own.as_raw_fd()).unwrap_err().to_string().contains("was not inherited"));
        assert!(own.metadata().is_ok());

        let inherited = rustix::io::dup(&own).unwrap();
        fcntl_setfd(&inherited, FdFlags::empty()).unwrap();
        let number = inherited.into_raw_fd();
        let taken = take(number).unwrap();
        assert!(take(number).unwrap_err().to_string().contains("was not inherited"));
        drop(taken);
        assert!(take(-1).unwrap_err().to_string().ends_with("descriptor -1 is not open"));
        assert!(take(1).unwrap_err().to_string().ends_with("is a standard stream"));
    }
}
