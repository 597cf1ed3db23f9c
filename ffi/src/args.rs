//! What C hands over, checked.

use std::ffi::{CStr, OsStr, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::{ptr, slice};

use varta::Endpoint;

use crate::errors::Failure;

/// The endpoint in a text; NULL is the default one.
///
/// # Safety
///
/// `text` is NULL or a text that ends in NUL.
pub(crate) unsafe fn endpoint(text: *const c_char) -> io::Result<Endpoint> {
    if text.is_null() {
        return Ok(Endpoint::from_env()?);
    }
    // SAFETY: as the caller promised.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(Endpoint::from_os_str(OsStr::from_bytes(text.to_bytes()))?)
}

/// So many values.
///
/// # Safety
///
/// Unless it is NULL, `first` leads to `count` of them, which nobody changes meanwhile.
pub(crate) unsafe fn values<'a, T>(first: *const T, count: usize) -> Result<&'a [T], Failure> {
    match (first.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::INVALID),
        // SAFETY: as the caller promised.
        (false, _) if first.is_aligned() => Ok(unsafe { slice::from_raw_parts(first, count) }),
        (false, _) => Err(Failure::INVALID),
    }
}

/// A fixed number of bytes.
///
/// # Safety
///
/// `first` is NULL or leads to N bytes.
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
/// `to` leads to writable room for one.
pub(crate) unsafe fn write<T>(to: *mut T, value: T) {
    // SAFETY: as the caller promised.
    unsafe { to.write_unaligned(value) };
}

/// An error if there is no room for a result.
pub(crate) fn room<T>(to: *mut T) -> Result<*mut T, Failure> {
    if to.is_null() { Err(Failure::INVALID) } else { Ok(to) }
}

/// Room for a sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) to: *mut c_char,
    pub(crate) size: usize,
}

impl Words {
    /// Writes a sentence as far as it fits, and a NUL behind it.
    ///
    /// # Safety
    ///
    /// Unless it is NULL, `to` leads to `size` writable bytes.
    pub(crate) unsafe fn say(self, sentence: &str) {
        let Some(room) = self.size.checked_sub(1).filter(|_| !self.to.is_null()) else {
            return;
        };
        let mut length = sentence.len().min(room);
        while !sentence.is_char_boundary(length) {
            length -= 1;
        }
        // SAFETY: one byte fewer than there are at most, and the sentence is elsewhere.
        unsafe { ptr::copy_nonoverlapping(sentence.as_ptr(), self.to.cast::<u8>(), length) };
        // SAFETY: at most the last byte.
        let end = unsafe { self.to.add(length) };
        // SAFETY: as above.
        unsafe { end.write(0) };
    }
}
