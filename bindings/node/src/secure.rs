//! Sealing of frames, and key derivation.

use napi::bindgen_prelude::Buffer;
use varta::secure::{AuthError, Cipher, Iv, Key, derive_agent_key, derive_iv_prefix};

use crate::agent::secret;
use crate::failure::{from_io, named};

exported! {
    /// Seals a frame. With a pid, the key must be the key of that agent.
    fn secure_seal(
        key: &[u8],
        prefix: &[u8],
        counter: u32,
        frame: &[u8],
        pid: Option<u32>,
    ) -> Result<Buffer> {
        let cipher = Cipher::new(&secret(key)?);
        let iv = Iv { prefix: array(prefix)?, counter };
        let frame = array(frame)?;
        let sealed: Result<Vec<u8>, _> = match pid {
            Some(pid) => cipher.seal_as(pid, iv, &frame).map(|wire| wire.to_vec()),
            None => cipher.seal(iv, &frame).map(|wire| wire.to_vec()),
        };
        sealed.map(Buffer::from).map_err(|error| named("5", error))
    }
}

exported! {
    /// Opens a frame that was sealed with a shared key, or with a key derived from a master key.
    fn secure_open(key: &[u8], wire: &[u8], master: bool) -> Result<Buffer> {
        let key = secret(key)?;
        let opened = if master { open_from(&key, wire)? } else { open(&key, wire) };
        opened.map(|frame| frame.as_slice().into()).map_err(|error| named("AuthError", error))
    }
}

fn open(key: &Key, wire: &[u8]) -> Result<[u8; 32], AuthError> {
    Cipher::new(key).open(wire.try_into().map_err(|_| AuthError)?)
}

/// Derives the key from the pid in the first four bytes, as an observer does.
fn open_from(master: &Key, wire: &[u8]) -> crate::Result<Result<[u8; 32], AuthError>> {
    let (Ok(wire), Some(pid)) = (wire.try_into(), wire.first_chunk()) else {
        return Ok(Err(AuthError));
    };
    let key = derive_agent_key(master, u32::from_le_bytes(*pid))
        .map_err(|error| named("5", error))?;
    Ok(Cipher::new(&key).open_from(wire))
}

exported! {
    /// Derives the key of one agent.
    fn secure_agent_key(master: &[u8], pid: u32) -> Result<Buffer> {
        derive_agent_key(&secret(master)?, pid)
            .map(|key| key.as_bytes().as_slice().into())
            .map_err(|error| named("5", error))
    }
}

exported! {
    /// Derives the prefix of a session's nonces.
    fn secure_iv_prefix(salt: &[u8], index: u32) -> Result<Buffer> {
        derive_iv_prefix(&array(salt)?, index)
            .map(|prefix| prefix.as_slice().into())
            .map_err(|error| named("5", error))
    }
}

exported! {
    /// Reads a key from a file of 64 hex digits that other users cannot read.
    fn secure_key_file(path: String) -> Result<Buffer> {
        Key::from_file(path)
            .map(|key| key.as_bytes().as_slice().into())
            .map_err(|error| from_io(&error))
    }
}

fn array<const N: usize>(bytes: &[u8]) -> crate::Result<[u8; N]> {
    bytes.try_into().map_err(|_| named("22", format!("expected {N} bytes")))
}
