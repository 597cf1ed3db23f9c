//! Memory that JavaScript lends for the time of a call.
#![allow(unsafe_code, reason = "it is JavaScript's")]

use napi::bindgen_prelude::BigUint64ArraySlice;

/// The words of an array, to write to.
pub(crate) fn words<'a>(array: &'a mut BigUint64ArraySlice<'_>) -> &'a mut [u64] {
    // SAFETY: JavaScript does not run while a native function does, and `lib/` never lends
    // one array twice in a call, nor one that another thread can see.
    unsafe { array.as_mut() }
}
