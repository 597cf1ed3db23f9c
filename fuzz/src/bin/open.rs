//! A sealed frame can be opened if it was not changed, and never otherwise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varta::secure::{AuthError, Cipher, Iv, Key, derive_agent_key};

// The input is a key and a datagram. The bytes of the datagram are also used as an IV, a frame
// to seal, the difference between the sealer's pid and the frame's, and changes in transit.
fuzz_target!(|data: &[u8]| {
    let Some((key, wire)) = data.split_first_chunk() else { return };
    let key = Key::from_bytes(*key);
    if let Some(wire) = wire.first_chunk() {
        open(&key, wire);
    }
    if let Some(wire) = wire.first_chunk() {
        open_from(&key, wire);
    }
    if let Some((iv, rest)) = wire.split_first_chunk()
        && let Some((frame, changes)) = rest.split_first_chunk()
    {
        let iv = Iv::from_bytes(*iv);
        let (other, changes) = changes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        seal_and_change(&key, iv, frame, changes);
        seal_as_and_change(&key, iv, frame, *other, changes);
    }
});

/// If a datagram can be opened, sealing its frame again gives the same bytes.
fn open(key: &Key, wire: &[u8; 60]) {
    let cipher = Cipher::new(key);
    if let Ok(frame) = cipher.open(wire) {
        let iv = wire.first_chunk().expect("it is longer");
        assert_eq!(cipher.seal(Iv::from_bytes(*iv), &frame), Ok(*wire));
    }
}

fn open_from(master: &Key, wire: &[u8; 64]) {
    let (pid, rest) = wire.split_first_chunk().expect("it is longer");
    let cipher = agent(master, pid);
    if let Ok(frame) = cipher.open_from(wire) {
        assert_eq!(frame[4..8], *pid);
        let iv = Iv::from_bytes(*rest.first_chunk().expect("it is longer"));
        assert_eq!(cipher.seal_as(u32::from_le_bytes(*pid), iv, &frame), Ok(*wire));
    }
}

fn seal_and_change(key: &Key, iv: Iv, frame: &[u8; 32], changes: &[u8]) {
    let cipher = Cipher::new(key);
    let mut wire = cipher.seal(iv, frame).expect("any frame can be sealed");
    let touched = change(&mut wire, changes);
    assert_eq!(cipher.open(&wire), if touched { Err(AuthError) } else { Ok(*frame) });
}

fn seal_as_and_change(master: &Key, iv: Iv, frame: &[u8; 32], other: [u8; 4], changes: &[u8]) {
    let mut pid = other;
    change(&mut pid, &frame[4..8]);
    let sealer = agent(master, &pid);
    let mut wire =
        sealer.seal_as(u32::from_le_bytes(pid), iv, frame).expect("any frame can be sealed");
    let touched = change(&mut wire, changes);
    let expected = if touched || other != [0; 4] { Err(AuthError) } else { Ok(*frame) };
    assert_eq!(sealer.open_from(&wire), expected);
    let named = wire.first_chunk().expect("it is longer");
    assert_eq!(agent(master, named).open_from(&wire), expected);
}

/// The agent's cipher, made as an observer does for the pid on the wire.
fn agent(master: &Key, pid: &[u8; 4]) -> Cipher {
    let key = derive_agent_key(master, u32::from_le_bytes(*pid));
    Cipher::new(&key.expect("any pid has a key"))
}

/// Changes the bytes, and returns whether that made a difference.
fn change(wire: &mut [u8], changes: &[u8]) -> bool {
    for (byte, change) in wire.iter_mut().zip(changes) {
        *byte ^= change;
    }
    changes.iter().take(wire.len()).any(|change| *change != 0)
}
