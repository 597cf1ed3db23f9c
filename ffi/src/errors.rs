//! Errors as numbers.

use std::ffi::{CStr, c_int};
use std::io::{self, ErrorKind};

use varta::BeatError;

use crate::guard::{self, Text};

/// The library has a bug that would have brought down a Rust program. It was contained; the
/// handle it happened on answers so from then on, and can only be closed.
pub const VARTA_EPANIC: c_int = -4001;

/// The key file holds no key: it is not a regular file of 64 hex digits.
pub const VARTA_EKEY: c_int = -4002;

/// Why a call did not do what it was asked to: a negative code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure(c_int);

impl Failure {
    pub(crate) const fn errno(errno: c_int) -> Self {
        Self(-errno)
    }

    /// One of the codes for what errno has no word for.
    pub(crate) const fn of_code(code: c_int) -> Self {
        Self(code)
    }

    /// What was given cannot be meant.
    pub(crate) const INVALID: Self = Self::errno(libc::EINVAL);

    pub(crate) const fn code(self) -> c_int {
        self.0
    }
}

impl From<BeatError> for Failure {
    #[inline]
    fn from(error: BeatError) -> Self {
        match error.errno {
            BeatError::UNKNOWN_ERRNO => Self(of_kind(error.kind)),
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

/// The code of an error that did not come from the operating system.
fn of_kind(kind: ErrorKind) -> c_int {
    match kind {
        ErrorKind::InvalidData => VARTA_EKEY,
        ErrorKind::InvalidInput => -libc::EINVAL,
        ErrorKind::PermissionDenied => -libc::EACCES,
        ErrorKind::AddrInUse => -libc::EADDRINUSE,
        ErrorKind::NotFound => -libc::ENOENT,
        ErrorKind::AlreadyExists => -libc::EEXIST,
        ErrorKind::ConnectionRefused => -libc::ECONNREFUSED,
        ErrorKind::NotConnected => -libc::ENOTCONN,
        ErrorKind::WouldBlock => -libc::EAGAIN,
        ErrorKind::Interrupted => -libc::EINTR,
        ErrorKind::OutOfMemory => -libc::ENOMEM,
        ErrorKind::Unsupported => -libc::EOPNOTSUPP,
        _ => -libc::EIO,
    }
}

/// Says in words what a negative code means.
///
/// The words are those of the operating system, but where this library means something of
/// its own by a code (EBUSY, ECHILD, E2BIG and others).
///
/// code: what a function of this library returned. 0 and positive numbers are no errors, and
/// are said to be none.
///
/// Returns a text of static storage, never NULL; "unknown error" for a number that is no
/// code. It must not be freed.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_strerror(code: c_int) -> Text {
    guard::text(|| match own_words(code) {
        Some(words) => words,
        None => words_of_system(code),
    })
}

fn own_words(code: c_int) -> Option<&'static CStr> {
    Some(match code {
        0.. => c"no error",
        VARTA_EPANIC => c"a bug in libvarta was contained; the handle can only be closed",
        VARTA_EKEY => c"the key file is not a regular file of 64 hex digits",
        _ => match code.wrapping_neg() {
            libc::EINVAL => c"an argument is NULL, unknown or out of range",
            libc::EBUSY => c"another call on the same handle is not over yet",
            libc::ECHILD => c"the observer belongs to the parent of this process",
            libc::E2BIG => {
                c"the struct holds values that this version of libvarta does not know"
            }
            libc::EBADMSG => c"not sealed with this key, or changed on the way",
            libc::EMSGSIZE => c"a frame has 32 bytes",
            libc::ESRCH => c"no such agent is followed",
            libc::EADDRINUSE => c"an observer is already listening there",
            libc::EOPNOTSUPP => {
                c"an observer without sockets cannot do this, nor can one with sockets be fed"
            }
            _ => return None,
        },
    })
}

fn words_of_system(code: c_int) -> &'static CStr {
    /// The largest errno of Linux. Words up to here are static; beyond, they are made up.
    const LARGEST: c_int = 133;
    let errno = code.wrapping_neg();
    if !(1..=LARGEST).contains(&errno) {
        return c"unknown error";
    }
    // SAFETY: takes any number.
    let words = unsafe { libc::strerror(errno) };
    if words.is_null() {
        return c"unknown error";
    }
    // SAFETY: for a number that it knows, the C library answers with a text of static
    // storage that ends in NUL.
    unsafe { CStr::from_ptr(words) }
}
