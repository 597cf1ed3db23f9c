//! Errors for JavaScript, which converts them to system errors: `code` is the errno in decimal
//! digits, or else a name.

use std::io;

use varta::BeatError;
use varta::internal::errno_or_that_of_kind;

/// Why a call failed.
pub(crate) type Failure = napi::Error<String>;

/// The result of an export.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The handle was closed, by its owner or by a panic.
pub(crate) fn closed() -> Failure {
    named("closed", "")
}

/// An error with a name instead of an errno.
pub(crate) fn named(name: &str, text: impl ToString) -> Failure {
    Failure::new(name.to_owned(), text.to_string())
}

/// Converts an error, with its message and errno.
pub(crate) fn from_io(error: &io::Error) -> Failure {
    Failure::new(errno(BeatError::from_io(error)).to_string(), error.to_string())
}

/// The error's errno, or that of its kind, because every system error in Node has one.
pub(crate) fn errno(error: BeatError) -> i32 {
    errno_or_that_of_kind(error).unwrap_or(libc::EIO)
}
