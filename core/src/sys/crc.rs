//! The CRC instruction of x86-64.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

/// The CRC-32C, computed by the CPU's instruction; None if the CPU does not have it.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> Option<u32> {
    if !is_x86_feature_detected!("sse4.2") {
        return None;
    }
    // SAFETY: SSE 4.2, which the function requires, was found just above.
    Some(unsafe { with_sse42(bytes) })
}

#[target_feature(enable = "sse4.2")]
#[allow(unused_unsafe, reason = "the intrinsics are safe functions from Rust 1.87 on")]
unsafe fn with_sse42(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.split_at(bytes.len() & !7);
    let mut crc = u64::from(u32::MAX);
    for word in words.chunks_exact(8) {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        // SAFETY: the caller checked that the CPU has SSE 4.2.
        crc = unsafe { _mm_crc32_u64(crc, u64::from_le_bytes(eight)) };
    }
    #[allow(clippy::cast_possible_truncation, reason = "the instruction zeroes the rest")]
    let mut crc = crc as u32;
    for byte in rest {
        // SAFETY: as above.
        crc = unsafe { _mm_crc32_u8(crc, *byte) };
    }
    !crc
}

/// As [`crc32c`], of three words and a half word in little-endian byte order.
#[inline]
pub(crate) fn of_words([a, b, c]: [u64; 3], half: u32) -> Option<u32> {
    if !is_x86_feature_detected!("sse4.2") {
        return None;
    }
    // SAFETY: SSE 4.2, which the function requires, was found just above.
    Some(unsafe { words_with_sse42(a, b, c, half) })
}

#[target_feature(enable = "sse4.2")]
#[allow(unused_unsafe, reason = "the intrinsics are safe functions from Rust 1.87 on")]
unsafe fn words_with_sse42(a: u64, b: u64, c: u64, half: u32) -> u32 {
    let mut crc = u64::from(u32::MAX);
    for word in [a, b, c] {
        // SAFETY: the caller checked that the CPU has SSE 4.2.
        crc = unsafe { _mm_crc32_u64(crc, word) };
    }
    #[allow(clippy::cast_possible_truncation, reason = "the instruction zeroes the rest")]
    let crc = crc as u32;
    // SAFETY: as above.
    !unsafe { _mm_crc32_u32(crc, half) }
}
