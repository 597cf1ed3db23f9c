//! Converts errors of the operating system to exceptions.

use std::io::{self, ErrorKind};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use varta::BeatError;
use varta::internal::errno_or_that_of_kind;

/// Returns the subclass of OSError for the errno. An invalid endpoint or key file is a
/// ValueError.
pub(crate) fn from_io(error: &io::Error) -> PyErr {
    let known = BeatError::from_io(error);
    if known.errno == BeatError::UNKNOWN_ERRNO
        && matches!(known.kind, ErrorKind::InvalidInput | ErrorKind::InvalidData)
    {
        return PyValueError::new_err(error.to_string());
    }
    match errno_or_that_of_kind(known) {
        Some(errno) => PyOSError::new_err((errno, without_errno(&error.to_string(), errno))),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// Removes the errno from a text, because Python adds it itself.
fn without_errno(text: &str, errno: i32) -> String {
    text.trim_end_matches(&format!(" (os error {errno})")).to_owned()
}

/// Converts the error of a Rust result to an exception.
pub(crate) trait Raise<T> {
    fn raise(self) -> PyResult<T>;
}

impl<T> Raise<T> for io::Result<T> {
    fn raise(self) -> PyResult<T> {
        self.map_err(|error| from_io(&error))
    }
}
