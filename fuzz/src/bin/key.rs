//! A key is exactly 64 hex digits, and it is never printed.

#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use varta::secure::{Key, KeyError};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let not_hex = data.iter().position(|byte| !byte.is_ascii_hexdigit());
    match Key::from_hex(text) {
        Ok(key) => {
            assert_eq!((data.len(), not_hex), (64, None));
            let again: String =
                key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(again, text.to_ascii_lowercase());
            assert_eq!(format!("{key:?}"), "Key(..)");
        }
        Err(error) => {
            let expected = match (data.len(), not_hex) {
                (64, Some(at)) => KeyError::NotHex(at + 1),
                (length, _) => KeyError::Length(length),
            };
            assert_eq!(error, expected);
            assert!(!error.to_string().is_empty());
        }
    }
});
