//! Errors of the operating system, as Python raises them.

use std::io::{self, ErrorKind};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use varta::BeatError;
use varta::internal::errno_or_that_of_kind;

/// The subclass of OSError that the errno stands for. What the caller has written wrongly,
/// an endpoint or a key file, is a ValueError.
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
