//! CRC-32C, the checksum of a frame. It uses the CPU's instruction if there is one, and a
//! table otherwise.

/// Castagnoli's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Returns the CRC-32C of the bytes.
///
/// ```
/// assert_eq!(varta::crc32c(b"123456789"), 0xe306_9283);
/// assert_eq!(varta::crc32c(b""), 0);
/// ```
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(bare)))]
    if let Some(crc) = crate::sys::crc::crc32c(bytes) {
        return crc;
    }
    by_table(bytes)
}

/// The CRC-32C of the bytes of a frame before its checksum: three words and a half word.
#[inline]
pub(crate) fn of_words(words: [u64; 3], half: u32) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(bare)))]
    if let Some(crc) = crate::sys::crc::of_words(words, half) {
        return crc;
    }
    words_by_table(words, half)
}

fn words_by_table(words: [u64; 3], half: u32) -> u32 {
    let mut bytes = [0; 28];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes[24..].copy_from_slice(&half.to_le_bytes());
    by_table(&bytes)
}

// Not inlined where the instruction is used: there the unrolled loop would be many times as
// large.
#[inline(never)]
fn by_table(bytes: &[u8]) -> u32 {
    let mut crc = !0;
    for byte in bytes {
        #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
        #[allow(clippy::cast_possible_truncation, reason = "the lowest byte is wanted")]
        let entry = TABLE[usize::from(crc as u8 ^ byte)];
        crc = (crc >> 8) ^ entry;
    }
    !crc
}

static TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing, reason = "the loop stays below the length")]
#[allow(clippy::cast_possible_truncation, reason = "the index stays below 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        for (bytes, crc) in [
            (&b""[..], 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
        ] {
            assert_eq!(crc32c(bytes), crc);
            assert_eq!(by_table(bytes), crc);
        }
    }

    #[cfg(target_arch = "x86_64")]
    proptest::proptest! {
        #[test]
        fn the_instruction_and_the_table_agree(bytes: Vec<u8>, skip in 0usize..9) {
            let bytes = bytes.get(skip..).unwrap_or_default();
            if let Some(crc) = crate::sys::crc::crc32c(bytes) {
                proptest::prop_assert_eq!(crc, by_table(bytes));
            } else {
                assert!(!std::arch::is_x86_feature_detected!("sse4.2"));
            }
        }

        #[test]
        fn words_have_the_checksum_of_their_bytes(words: [u64; 3], half: u32) {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.extend(half.to_le_bytes());
            proptest::prop_assert_eq!(of_words(words, half), by_table(&bytes));
            proptest::prop_assert_eq!(words_by_table(words, half), by_table(&bytes));
        }
    }
}
