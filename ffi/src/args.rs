//! Checks of the arguments from C.

use std::ffi::{CStr, OsStr, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::{ptr, slice};

use varta::Endpoint;

use crate::errors::Failure;

/// Parses an endpoint; NULL is the default one.
///
/// # Safety
///
/// `text` is NULL or a string that ends in NUL.
pub(crate) unsafe fn endpoint(text: *const c_char) -> io::Result<Endpoint> {
    if text.is_null() {
        return Ok(Endpoint::from_env()?);
    }
    // SAFETY: as the caller promised.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(Endpoint::from_os_str(OsStr::from_bytes(text.to_bytes()))?)
}

/// A string that must be UTF-8, or None for NULL.
///
/// # Safety
///
/// `text` is NULL, or a string that ends in NUL and does not change during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promised.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Failure::INVALID)
}

/// An array as a slice.
///
/// # Safety
///
/// `first` is NULL, or points to `count` values that do not change during `'a`.
pub(crate) unsafe fn values<'a, T>(first: *const T, count: usize) -> Result<&'a [T], Failure> {
    match (first.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::INVALID),
        // SAFETY: as the caller promised.
        (false, _) if first.is_aligned() => Ok(unsafe { slice::from_raw_parts(first, count) }),
        (false, _) => Err(Failure::INVALID),
    }
}

/// Reads a fixed number of bytes.
///
/// # Safety
///
/// `first` is NULL or points to N bytes.
pub(crate) unsafe fn bytes<const N: usize>(first: *const u8) -> Result<[u8; N], Failure> {
    if first.is_null() {
        return Err(Failure::INVALID);
    }
    // SAFETY: as the caller promised; bytes need no alignment.
    Ok(unsafe { first.cast::<[u8; N]>().read() })
}

/// Writes a result.
///
/// # Safety
///
/// `to` points to writable memory for one.
pub(crate) unsafe fn write<T>(to: *mut T, value: T) {
    // SAFETY: as the caller promised.
    unsafe { to.write_unaligned(value) };
}

/// Fails if there is nowhere to write a result.
pub(crate) fn not_null<T>(to: *mut T) -> Result<*mut T, Failure> {
    if to.is_null() { Err(Failure::INVALID) } else { Ok(to) }
}

/// A buffer of the caller for a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) to: *mut c_char,
    pub(crate) size: usize,
}

impl Message {
    /// Writes a sentence, truncated to fit, and a NUL after it.
    ///
    /// # Safety
    ///
    /// `to` is NULL or points to `size` writable bytes.
    pub(crate) unsafe fn write(self, sentence: &str) {
        let Some(longest) = self.size.checked_sub(1).filter(|_| !self.to.is_null()) else {
            return;
        };
        let mut length = sentence.len().min(longest);
        while !sentence.is_char_boundary(length) {
            length -= 1;
        }
        // SAFETY: `length` is less than `size`, and the sentence does not overlap the buffer.
        unsafe { ptr::copy_nonoverlapping(sentence.as_ptr(), self.to.cast::<u8>(), length) };
        // SAFETY: at most the last byte of the buffer.
        let end = unsafe { self.to.add(length) };
        // SAFETY: as above.
        unsafe { end.write(0) };
    }
}
