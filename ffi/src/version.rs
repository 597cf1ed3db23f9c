//! The version of the library.

use std::ffi::{CStr, c_int};

use crate::guard::{self, Code, Text};

/// The version of this header: major * 65536 + minor * 256 + patch.
pub const VARTA_VERSION: c_int = 0x0000_0300;

/// The number in the soname. A program runs with any library that has the same number as the
/// header it was built with.
pub const VARTA_ABI_VERSION: c_int = 0;

const VERSION_STRING: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"unknown",
    };

/// Returns the version of the loaded library: major * 65536 + minor * 256 + patch. Compare it
/// with VARTA_VERSION, the version of the header.
///
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_version() -> Code {
    guard::answer(|| Ok(VARTA_VERSION))
}

/// Returns the version of the loaded library as a static string, such as "0.3.0".
///
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_version_string() -> Text {
    guard::text(|| VERSION_STRING)
}

/// Returns the ABI version of the loaded library, which is the number in its soname:
/// libvarta.so.0. Compare it with VARTA_ABI_VERSION.
///
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_abi_version() -> Code {
    guard::answer(|| Ok(VARTA_ABI_VERSION))
}
