//! A frame of either version decodes to the fields on the wire, or fails with the first error
//! that applies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varta::{DecodeError, Frame, NONCE_TERMINAL, crc32c, v1};

fuzz_target!(|data: &[u8]| {
    let Some(wire) = data.first_chunk() else { return };
    decode(wire);
    decode_v1(wire);
    // Few mutations keep the first bytes and the checksum valid, so these are repaired.
    let mut repaired = *wire;
    repaired[..3].copy_from_slice(b"VA\x01");
    decode_v1(&repaired);
    repaired[2] = 2;
    let crc = crc32c(&repaired[..28]);
    repaired[28..].copy_from_slice(&crc.to_le_bytes());
    decode(&repaired);
});

fn decode(wire: &[u8; 32]) {
    match Frame::decode(wire) {
        Ok(frame) => {
            assert_eq!(first_error(wire, 2), None);
            let mut again = [0; 32];
            frame.encode(&mut again);
            assert_eq!(again, *wire);
        }
        Err(error) => check_error(&error, wire, 2),
    }
}

fn decode_v1(wire: &[u8; 32]) {
    match v1::Frame::decode(wire) {
        Ok(frame) => {
            assert_eq!(first_error(wire, 1), None);
            let mut again = [0; 32];
            frame.encode(&mut again);
            assert_eq!(again, *wire);
        }
        Err(error) => check_error(&error, wire, 1),
    }
}

fn check_error(error: &DecodeError, wire: &[u8; 32], version: u8) {
    assert_eq!(Some((error.code(), error.name())), first_error(wire, version));
    assert!(!error.to_string().is_empty());
    let values_match = match *error {
        DecodeError::BadCrc { expected, actual } => {
            expected == crc32c(&wire[..28]) && actual.to_le_bytes() == wire[28..]
        }
        DecodeError::BadStatus(byte) => byte == wire[3],
        DecodeError::BadPid(pid) => pid.to_le_bytes() == wire[4..8],
        DecodeError::BadTimestamp(timestamp) => timestamp == u64::MAX,
        DecodeError::BadNonce { nonce, status } => {
            nonce == NONCE_TERMINAL && status as u8 == wire[3]
        }
        _ => true,
    };
    assert!(values_match, "{error:?} has other values than {wire:02x?}");
}

/// The first error that applies. Each one is checked independently of the others.
fn first_error(wire: &[u8; 32], version: u8) -> Option<(u8, &'static str)> {
    let crc = crc32c(&wire[..28]).to_le_bytes();
    (1..)
        .zip([
            ("BadMagic", wire[..2] != *b"VA"),
            ("BadVersion", wire[2] != version),
            ("BadCrc", version != 1 && wire[28..] != crc),
            ("BadStatus", wire[3] > 3),
            ("StallOnWire", wire[3] == 3),
            ("BadPid", wire[4] < 2 && wire[5..8] == [0; 3]),
            ("BadTimestamp", wire[8..16] == [0xff; 8]),
            ("BadNonce", wire[16..24] == [0xff; 8] && wire[3] != 2),
        ])
        .find_map(|(code, (name, wrong))| wrong.then_some((code, name)))
}
