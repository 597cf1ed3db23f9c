//! Guards that catch panics. Every exported function runs its body in one: only a guard can
//! make the [`Code`], [`Wide`] or [`Text`] that the function must return.

use std::ffi::{CStr, c_char, c_int};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::errors::{Failure, VARTA_EPANIC};

/// `int` in C.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(c_int);

/// `int64_t` in C, for results that an `int` cannot hold.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wide(i64);

/// `const char *` in C, a static string.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub struct Text(*const c_char);

/// Runs the body of a function that returns a number.
#[inline]
pub(crate) fn answer(body: impl FnOnce() -> Result<c_int, Failure>) -> Code {
    Code(number_of(body))
}

/// Runs the body of a function that returns a number of 64 bits.
#[inline]
pub(crate) fn wide(body: impl FnOnce() -> Result<i64, Failure>) -> Wide {
    Wide(number_of(body))
}

#[inline]
fn number_of<N: From<c_int>>(body: impl FnOnce() -> Result<N, Failure>) -> N {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(number)) => number,
        Ok(Err(failure)) => failure.code().into(),
        Err(payload) => {
            // Dropping the payload could panic again.
            mem::forget(payload);
            VARTA_EPANIC.into()
        }
    }
}

/// Runs the body of a function that cannot fail.
pub(crate) fn end(body: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
        mem::forget(payload);
    }
}

/// Runs the body of a function that returns a string.
pub(crate) fn text(body: impl FnOnce() -> &'static CStr) -> Text {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(text) => Text(text.as_ptr()),
        Err(payload) => {
            mem::forget(payload);
            Text(c"unknown".as_ptr())
        }
    }
}

/// Only the returned code reports a panic: the library does not write to stderr. The hook is
/// set in this library's own copy of Rust's runtime, before anything can panic. Debug builds
/// keep the message on stderr for debugging.
#[cfg(not(debug_assertions))]
mod silence {
    extern "C" fn set_silent_hook() {
        std::panic::set_hook(Box::new(|_| {}));
    }

    #[used]
    #[unsafe(link_section = ".init_array")]
    static WHEN_LOADED: extern "C" fn() = set_silent_hook;
}

#[cfg(test)]
impl Code {
    pub(crate) const fn number(self) -> c_int {
        self.0
    }
}

#[cfg(test)]
impl Wide {
    pub(crate) const fn number(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
impl Text {
    pub(crate) fn words(self) -> &'static str {
        // SAFETY: a guard made it from a static C string.
        unsafe { CStr::from_ptr(self.0) }.to_str().unwrap()
    }
}
