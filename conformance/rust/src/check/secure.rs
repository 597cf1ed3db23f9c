//! Checks of sealing and key derivation.

use std::fmt::Debug;

use varta::internal::derive_epoch_key;
use varta::secure::{
    Cipher, Iv, KdfError, Key, MASTER_BYTES, SHARED_BYTES, derive_agent_key, derive_iv_prefix,
};

use crate::failure::{Failure, hex, same};
use crate::fields::Fields;

// The result of opening a datagram whose length is wrong.
const AUTH_ERROR: &str = "AuthError";

pub(super) fn kdf_agent_key(vector: &Fields<'_>) -> Result<(), Failure> {
    let master = key(vector, "master_key_hex")?;
    let derived = derive_agent_key(&master, vector.number("agent_id")?);
    same_key(vector, "expected_okm_hex", derived)
}

pub(super) fn kdf_iv_prefix(vector: &Fields<'_>) -> Result<(), Failure> {
    let expected: [u8; 8] = vector.array("expected_iv_prefix_hex")?;
    let salt = vector.array("session_salt_hex")?;
    let derived = derive_iv_prefix(&salt, vector.number("prefix_index")?);
    same("derivation", &hex(&expected), &text_of(derived))
}

pub(super) fn kdf_epoch_key(vector: &Fields<'_>) -> Result<(), Failure> {
    let agent = key(vector, "agent_key_hex")?;
    let derived = derive_epoch_key(&agent, vector.number("epoch")?);
    same_key(vector, "expected_okm_hex", derived)
}

pub(super) fn shared_key_seal(vector: &Fields<'_>) -> Result<(), Failure> {
    let cipher = Cipher::new(&key(vector, "key_hex")?);
    let plain = vector.array("plaintext_hex")?;
    let wire: [u8; SHARED_BYTES] = vector.array("expected_wire_hex")?;
    same("sealing", &hex(&wire), &text_of(cipher.seal(iv(vector)?, &plain)))?;
    same("opening", &hex(&plain), &text_of(cipher.open(&wire)))
}

pub(super) fn master_key_seal(vector: &Fields<'_>) -> Result<(), Failure> {
    let pid: u32 = vector.number("agent_pid")?;
    let master = key(vector, "master_key_hex")?;
    same_key(vector, "derived_agent_key_hex", derive_agent_key(&master, pid))?;

    let cipher = Cipher::new(&key(vector, "derived_agent_key_hex")?);
    let plain: [u8; 32] = vector.array("plaintext_hex")?;
    let wire: [u8; MASTER_BYTES] = vector.array("expected_wire_hex")?;
    same("sealing", &hex(&wire), &text_of(cipher.seal_as(pid, iv(vector)?, &plain)))?;

    // A sealing vector may contain any 32 bytes. Only a frame with that pid can be opened.
    let names_pid = plain.get(4..8) == Some(pid.to_le_bytes().as_slice());
    let opened = if names_pid { hex(&plain) } else { AUTH_ERROR.to_owned() };
    same("opening", &opened, &text_of(cipher.open_from(&wire)))
}

pub(super) fn open_error(vector: &Fields<'_>) -> Result<(), Failure> {
    let wire = vector.bytes("wire_hex")?;
    let opened = if vector.has("master_key_hex") {
        open_master(&key(vector, "master_key_hex")?, &wire)
    } else {
        open_shared(&key(vector, "key_hex")?, &wire)
    };
    same("opening", vector.text("expected_open_error")?, &opened)
}

fn open_shared(key: &Key, wire: &[u8]) -> String {
    match wire.try_into() {
        Ok(wire) => text_of(Cipher::new(key).open(wire)),
        Err(_) => AUTH_ERROR.to_owned(),
    }
}

/// Opens it as an observer does: the key depends on the pid in the first four bytes.
fn open_master(master: &Key, wire: &[u8]) -> String {
    let (Ok(wire), Some(pid)) = (wire.try_into(), wire.first_chunk()) else {
        return AUTH_ERROR.to_owned();
    };
    match derive_agent_key(master, u32::from_le_bytes(*pid)) {
        Ok(key) => text_of(Cipher::new(&key).open_from(wire)),
        Err(error) => format!("{error:?}"),
    }
}

fn key(vector: &Fields<'_>, name: &str) -> Result<Key, Failure> {
    Ok(Key::from_bytes(vector.array(name)?))
}

fn iv(vector: &Fields<'_>) -> Result<Iv, Failure> {
    Ok(Iv { prefix: vector.array("iv_random_hex")?, counter: vector.number("iv_counter")? })
}

fn same_key(
    vector: &Fields<'_>,
    name: &str,
    derived: Result<Key, KdfError>,
) -> Result<(), Failure> {
    let expected: [u8; 32] = vector.array(name)?;
    same("derivation", &hex(&expected), &text_of(derived.map(|key| *key.as_bytes())))
}

fn text_of<B: AsRef<[u8]>, E: Debug>(result: Result<B, E>) -> String {
    match result {
        Ok(bytes) => hex(bytes.as_ref()),
        Err(error) => format!("{error:?}"),
    }
}
