//! Errors of the operating system, as Python raises them.

use std::io::{self, ErrorKind};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use rustix::io::Errno;
use varta::BeatError;

/// The subclass of OSError that the errno stands for. What the caller has written wrongly,
/// an endpoint or a key file, is a ValueError.
pub(crate) fn from_io(error: &io::Error) -> PyErr {
    let known = BeatError::from_io(error);
    let errno = match known.errno {
        BeatError::UNKNOWN_ERRNO => errno_of(known.kind),
        errno => Some(errno),
    };
    match errno {
        Some(errno) => PyOSError::new_err((errno, without_errno(&error.to_string(), errno))),
        None if matches!(known.kind, ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
            PyValueError::new_err(error.to_string())
        }
        None => PyOSError::new_err(error.to_string()),
    }
}

/// What stands for a kind in Python is found by its errno.
fn errno_of(kind: ErrorKind) -> Option<i32> {
    let errno = match kind {
        ErrorKind::AddrInUse => Errno::ADDRINUSE,
        ErrorKind::NotFound => Errno::NOENT,
        ErrorKind::PermissionDenied => Errno::ACCESS,
        ErrorKind::WouldBlock => Errno::AGAIN,
        ErrorKind::Unsupported => Errno::OPNOTSUPP,
        _ => return None,
    };
    Some(errno.raw_os_error())
}

/// Python puts the number in front by itself.
fn without_errno(text: &str, errno: i32) -> String {
    text.trim_end_matches(&format!(" (os error {errno})")).to_owned()
}

/// Raises the errors of a function that answers as Rust does.
pub(crate) trait Raise<T> {
    fn raise(self) -> PyResult<T>;
}

impl<T> Raise<T> for io::Result<T> {
    fn raise(self) -> PyResult<T> {
        self.map_err(|error| from_io(&error))
    }
}
