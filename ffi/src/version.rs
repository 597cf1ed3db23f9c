//! Which library this is.

use std::ffi::{CStr, c_int};

use crate::guard::{self, Code, Text};

/// The version of this header: major * 65536 + minor * 256 + patch.
pub const VARTA_VERSION: c_int = 0x0000_0300;

/// The number in the soname. Programs built for one run with any library of the same.
pub const VARTA_ABI_VERSION: c_int = 0;

const VERSION_STRING: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"unknown",
    };

/// The version of the library that is loaded, to be compared with VARTA_VERSION, that of the
/// header.
///
/// Returns major * 65536 + minor * 256 + patch.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_version() -> Code {
    guard::answer(|| Ok(VARTA_VERSION))
}

/// The version of the library that is loaded, in words, such as "0.3.0".
///
/// Returns a text of static storage.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_version_string() -> Text {
    guard::text(|| VERSION_STRING)
}

/// The version of the interface, which is the number in the soname: libvarta.so.0.
///
/// Returns VARTA_ABI_VERSION of the library that is loaded.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_abi_version() -> Code {
    guard::answer(|| Ok(VARTA_ABI_VERSION))
}
