//! Error codes.

use std::ffi::{CStr, c_int};
use std::io::{self, ErrorKind};

use varta::BeatError;
use varta::internal::errno_or_that_of_kind;

use crate::guard::{self, Text};

/// A bug in the library caused a panic, which was caught. Every later call on the handle
/// returns this code too; the handle can only be closed.
pub const VARTA_EPANIC: c_int = -4001;

/// The key file does not hold a key: it is not a regular file of 64 hex digits.
pub const VARTA_EKEY: c_int = -4002;

/// Why a call failed: a negative code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure(c_int);

impl Failure {
    pub(crate) const fn errno(errno: c_int) -> Self {
        Self(-errno)
    }

    /// A `VARTA_E` code, where no errno fits.
    pub(crate) const fn of_code(code: c_int) -> Self {
        Self(code)
    }

    /// An argument is invalid.
    pub(crate) const INVALID: Self = Self::errno(libc::EINVAL);

    pub(crate) const fn code(self) -> c_int {
        self.0
    }

    /// The code of an error that did not come from the operating system.
    #[cold]
    fn of_kind(error: BeatError) -> Self {
        match error.kind {
            ErrorKind::InvalidData => Self(VARTA_EKEY),
            _ => Self::errno(errno_or_that_of_kind(error).unwrap_or(libc::EIO)),
        }
    }
}

impl From<BeatError> for Failure {
    #[inline]
    fn from(error: BeatError) -> Self {
        match error.errno {
            BeatError::UNKNOWN_ERRNO => Self::of_kind(error),
            errno => Self::errno(errno),
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        BeatError::from_io(error).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        (&error).into()
    }
}

/// Describes an error code.
///
/// The text is that of the operating system, except where this library gives a code a more
/// specific meaning (EBUSY, ECHILD, E2BIG and others).
///
/// code: what a function of this library returned. For 0 and positive numbers the text is
///     "no error".
///
/// Returns a static string, never NULL; "unknown error" for an unknown number. Do not free it.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_strerror(code: c_int) -> Text {
    guard::text(|| own_text(code).unwrap_or_else(|| system_text(code)))
}

fn own_text(code: c_int) -> Option<&'static CStr> {
    Some(match code {
        0.. => c"no error",
        VARTA_EPANIC => c"a bug in libvarta was contained; the handle can only be closed",
        VARTA_EKEY => c"the key file is not a regular file of 64 hex digits",
        _ => match code.wrapping_neg() {
            libc::EINVAL => c"an argument is NULL, unknown or out of range",
            libc::EBUSY => c"another call is using the same handle",
            libc::ECHILD => c"the observer belongs to the parent of this process",
            libc::E2BIG => {
                c"the struct holds values that this version of libvarta does not know"
            }
            libc::EBADMSG => c"not sealed with this key, or changed in transit",
            libc::EMSGSIZE => c"not the 32 bytes of a frame",
            libc::ESRCH => c"the observer follows no agent with this number",
            libc::EADDRINUSE => c"an observer is already listening there",
            libc::ENOSPC => c"the process has 31 tasks, or the file system is full",
            libc::EOPNOTSUPP => {
                c"a simulated observer cannot do this, or only a simulated one can"
            }
            _ => return None,
        },
    })
}

fn system_text(code: c_int) -> &'static CStr {
    /// The largest errno of Linux. For larger numbers strerror formats its text into a buffer.
    const LARGEST: c_int = 133;
    let errno = code.wrapping_neg();
    if !(1..=LARGEST).contains(&errno) {
        return c"unknown error";
    }
    // SAFETY: strerror accepts any number.
    let text = unsafe { libc::strerror(errno) };
    if text.is_null() {
        return c"unknown error";
    }
    // SAFETY: for a known number the C library returns a static string that ends in NUL.
    unsafe { CStr::from_ptr(text) }
}
