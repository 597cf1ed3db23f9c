//! Sealed frames, and the keys they are sealed with.

use varta::secure::{
    Cipher, Iv, Key, MASTER_BYTES, SHARED_BYTES, derive_agent_key, derive_epoch_key,
    derive_iv_prefix,
};

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};

const NOT_OPENED: Failure = Failure::errno(libc::EBADMSG);

/// A derivation or a seal that the cipher refuses, which it never does for these lengths.
const REFUSED: Failure = Failure::errno(libc::EIO);

unsafe fn key(bytes: *const u8) -> Result<Key, Failure> {
    // SAFETY: as the caller promised.
    unsafe { args::bytes(bytes) }.map(Key::from_bytes)
}

/// Seals a frame with a shared key.
///
/// ret: where 60 bytes are written: prefix, counter, ciphertext, tag.
/// key: 32 bytes.
/// iv_prefix: 8 bytes, random to the session.
/// iv_counter: moves with every seal. One key must never seal twice with the same prefix and
///     counter: that gives both frames away, and lets others forge.
/// frame: the 32 bytes of a frame.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_seal(
    ret: *mut u8,
    key: *const u8,
    iv_prefix: *const u8,
    iv_counter: u32,
    frame: *const u8,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let key = unsafe { self::key(key) }?;
        // SAFETY: the caller gave 8 bytes or NULL.
        let prefix = unsafe { args::bytes(iv_prefix) }?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let frame = unsafe { args::bytes(frame) }?;
        let iv = Iv { prefix, counter: iv_counter };
        let wire = Cipher::new(&key).seal(iv, &frame).map_err(|_| REFUSED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), wire) };
        Ok(0)
    })
}

/// Seals a frame with the key that was derived for an agent.
///
/// ret: where 64 bytes are written: pid, prefix, counter, ciphertext, tag.
/// key: 32 bytes, from varta_derive_agent_key.
/// pid: the agent's; it is authenticated with the rest.
/// iv_prefix, iv_counter, frame: as for varta_frame_seal.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_seal_as(
    ret: *mut u8,
    key: *const u8,
    pid: u32,
    iv_prefix: *const u8,
    iv_counter: u32,
    frame: *const u8,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let key = unsafe { self::key(key) }?;
        // SAFETY: the caller gave 8 bytes or NULL.
        let prefix = unsafe { args::bytes(iv_prefix) }?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let frame = unsafe { args::bytes(frame) }?;
        let iv = Iv { prefix, counter: iv_counter };
        let wire = Cipher::new(&key).seal_as(pid, iv, &frame).map_err(|_| REFUSED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), wire) };
        Ok(0)
    })
}

/// Opens what varta_frame_seal made.
///
/// ret: where the 32 bytes of the frame are written.
/// key: 32 bytes.
/// wire: the bytes of a datagram.
/// length: how many they are.
///
/// Returns 0, or
///     -EINVAL    a pointer is NULL
///     -EBADMSG   not sealed with this key, changed on the way, or not 60 bytes
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_open(
    ret: *mut u8,
    key: *const u8,
    wire: *const u8,
    length: usize,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let key = unsafe { self::key(key) }?;
        if !wire.is_null() && length != SHARED_BYTES {
            return Err(NOT_OPENED);
        }
        // SAFETY: the caller gave so many bytes, or NULL.
        let wire = unsafe { args::bytes(wire) }?;
        let frame = Cipher::new(&key).open(&wire).map_err(|_| NOT_OPENED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), frame) };
        Ok(0)
    })
}

/// Opens what varta_frame_seal_as made. The first four bytes of the datagram, little-endian,
/// name the pid whose key it takes; the frame inside must name the same.
///
/// ret: where the 32 bytes of the frame are written.
/// key: 32 bytes, from varta_derive_agent_key.
/// wire: the bytes of a datagram.
/// length: how many they are.
///
/// Returns 0, or
///     -EINVAL    a pointer is NULL
///     -EBADMSG   not sealed with this key, changed on the way, another pid inside, or not 64
///                bytes
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_open_from(
    ret: *mut u8,
    key: *const u8,
    wire: *const u8,
    length: usize,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let key = unsafe { self::key(key) }?;
        if !wire.is_null() && length != MASTER_BYTES {
            return Err(NOT_OPENED);
        }
        // SAFETY: the caller gave so many bytes, or NULL.
        let wire = unsafe { args::bytes(wire) }?;
        let frame = Cipher::new(&key).open_from(&wire).map_err(|_| NOT_OPENED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), frame) };
        Ok(0)
    })
}

/// Derives the key of the agent with a pid from a master key.
///
/// ret: where 32 bytes are written.
/// master: 32 bytes.
/// pid: the agent's.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_derive_agent_key(
    ret: *mut u8,
    master: *const u8,
    pid: u32,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let master = unsafe { key(master) }?;
        let derived = derive_agent_key(&master, pid).map_err(|_| REFUSED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), *derived.as_bytes()) };
        Ok(0)
    })
}

/// Derives an IV prefix from the salt of a session.
///
/// ret: where 8 bytes are written.
/// salt: 16 bytes.
/// index: 0 at first; one more whenever the counter would wrap.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_derive_iv_prefix(
    ret: *mut u8,
    salt: *const u8,
    index: u32,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 16 bytes or NULL.
        let salt = unsafe { args::bytes(salt) }?;
        let prefix = derive_iv_prefix(&salt, index).map_err(|_| REFUSED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), prefix) };
        Ok(0)
    })
}

/// Derives the key of an epoch from an agent's key. Reserved: nothing on the wire uses it yet.
///
/// ret: where 32 bytes are written.
/// agent_key: 32 bytes.
/// epoch: its number.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_derive_epoch_key(
    ret: *mut u8,
    agent_key: *const u8,
    epoch: u64,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let agent_key = unsafe { key(agent_key) }?;
        let derived = derive_epoch_key(&agent_key, epoch).map_err(|_| REFUSED)?;
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), *derived.as_bytes()) };
        Ok(0)
    })
}
