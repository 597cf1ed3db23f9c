//! Errors on their way to JavaScript, which makes system errors of them: `code` is the
//! operating system's number in digits, or else a word.

use std::io;

use varta::BeatError;
use varta::internal::errno_or_that_of_kind;

/// What a call comes to when it fails.
pub(crate) type Failure = napi::Error<String>;

/// What an export answers.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A handle that was closed, by its owner or by a panic.
pub(crate) fn closed() -> Failure {
    named("closed", "")
}

/// An error that has a word of its own.
pub(crate) fn named(word: &str, text: impl ToString) -> Failure {
    Failure::new(word.to_owned(), text.to_string())
}

/// Keeps the text and the number.
pub(crate) fn from_io(error: &io::Error) -> Failure {
    Failure::new(errno(BeatError::from_io(error)).to_string(), error.to_string())
}

/// The error's own number, or that of its kind, because every system error in Node has one.
pub(crate) fn errno(error: BeatError) -> i32 {
    errno_or_that_of_kind(error).unwrap_or(libc::EIO)
}
