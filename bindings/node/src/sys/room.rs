//! Arrays that JavaScript passes in, for the duration of a call.
#![allow(unsafe_code, reason = "the memory belongs to JavaScript")]

use napi::bindgen_prelude::BigUint64ArraySlice;

/// The words of an array, for writing.
pub(crate) fn words<'a>(array: &'a mut BigUint64ArraySlice<'_>) -> &'a mut [u64] {
    // SAFETY: JavaScript does not run while a native function runs, and `lib/` never passes
    // one array twice in a call, nor one that is shared with another thread.
    unsafe { array.as_mut() }
}
