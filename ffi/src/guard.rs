//! The only way out of an exported function. A [`Code`] or [`Text`] can be made nowhere
//! else, so that a function whose body no guard has run has nothing to return.

use std::ffi::{CStr, c_char, c_int};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::errors::{Failure, VARTA_EPANIC};

/// `int` in C.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(c_int);

/// `const char *` in C, of static storage.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub struct Text(*const c_char);

/// Runs the body of a function that answers with a number.
#[inline]
pub(crate) fn answer(body: impl FnOnce() -> Result<c_int, Failure>) -> Code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(number)) => Code(number),
        Ok(Err(failure)) => Code(failure.code()),
        Err(payload) => {
            // What was thrown may throw again when it is dropped.
            mem::forget(payload);
            Code(VARTA_EPANIC)
        }
    }
}

/// Runs the body of a function that cannot fail.
pub(crate) fn end(body: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
        mem::forget(payload);
    }
}

/// Runs the body of a function that answers with words.
pub(crate) fn text(body: impl FnOnce() -> &'static CStr) -> Text {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(text) => Text(text.as_ptr()),
        Err(payload) => {
            mem::forget(payload);
            Text(c"unknown".as_ptr())
        }
    }
}

/// A panic is told by a code and by nothing else: the library writes to nobody's stderr. The
/// hook is that of this library's own copy of Rust's runtime, set before anything can panic.
/// Debug builds leave the message where whoever debugs looks for it.
#[cfg(not(debug_assertions))]
mod silence {
    extern "C" fn hush() {
        std::panic::set_hook(Box::new(|_| {}));
    }

    #[used]
    #[unsafe(link_section = ".init_array")]
    static WHEN_LOADED: extern "C" fn() = hush;
}

#[cfg(test)]
impl Code {
    pub(crate) const fn number(self) -> c_int {
        self.0
    }
}

#[cfg(test)]
impl Text {
    pub(crate) fn words(self) -> &'static str {
        // SAFETY: made of a static C string, above.
        unsafe { CStr::from_ptr(self.0) }.to_str().unwrap()
    }
}
