//! Sealed frames and their keys.

use std::ffi::c_int;

use varta::FRAME_BYTES;
use varta::secure::{AuthError, Cipher, Iv, Key, derive_agent_key, derive_iv_prefix};

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};

const NOT_OPENED: Failure = Failure::errno(libc::EBADMSG);

/// The cipher failed to derive or to seal, which it never does for these lengths.
const REFUSED: Failure = Failure::errno(libc::EIO);

unsafe fn key(bytes: *const u8) -> Result<Key, Failure> {
    // SAFETY: as the caller promised.
    unsafe { args::bytes(bytes) }.map(Key::from_bytes)
}

/// Seals a frame with a shared key.
///
/// ret: receives 60 bytes: prefix, counter, ciphertext, tag.
/// key: 32 bytes.
/// iv_prefix: 8 bytes, random for each session.
/// iv_counter: must change with every seal. Never seal twice with the same key, prefix and
///     counter: that reveals both frames and allows forgeries.
/// frame: the 32 bytes of a frame.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_seal(
    ret: *mut u8,
    key: *const u8,
    iv_prefix: *const u8,
    iv_counter: u32,
    frame: *const u8,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let key = unsafe { self::key(key) }?;
        // SAFETY: the caller gave 8 bytes or NULL.
        let prefix = unsafe { args::bytes(iv_prefix) }?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let frame = unsafe { args::bytes(frame) }?;
        let iv = Iv { prefix, counter: iv_counter };
        let wire = Cipher::new(&key).seal(iv, &frame).map_err(|_| REFUSED)?;
        // SAFETY: the caller's buffer has this many bytes.
        unsafe { args::write(ret.cast(), wire) };
        Ok(0)
    })
}

/// Seals a frame with an agent's own key.
///
/// ret: receives 64 bytes: pid, prefix, counter, ciphertext, tag.
/// key: 32 bytes, from varta_derive_agent_key.
/// pid: the agent's process id, which is authenticated too.
/// iv_prefix, iv_counter, frame: as for varta_frame_seal.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
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
        let ret = args::not_null(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let key = unsafe { self::key(key) }?;
        // SAFETY: the caller gave 8 bytes or NULL.
        let prefix = unsafe { args::bytes(iv_prefix) }?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let frame = unsafe { args::bytes(frame) }?;
        let iv = Iv { prefix, counter: iv_counter };
        let wire = Cipher::new(&key).seal_as(pid, iv, &frame).map_err(|_| REFUSED)?;
        // SAFETY: the caller's buffer has this many bytes.
        unsafe { args::write(ret.cast(), wire) };
        Ok(0)
    })
}

/// Opens a datagram of N bytes.
///
/// # Safety
///
/// Each pointer is NULL, or `ret` points to 32 writable bytes, `key` to 32 bytes and `wire` to
/// `length` bytes.
unsafe fn open<const N: usize>(
    ret: *mut u8,
    key: *const u8,
    wire: *const u8,
    length: usize,
    open: impl FnOnce(&Cipher, &[u8; N]) -> Result<[u8; FRAME_BYTES], AuthError>,
) -> Result<c_int, Failure> {
    let ret = args::not_null(ret)?;
    // SAFETY: as the caller promised.
    let key = unsafe { self::key(key) }?;
    if !wire.is_null() && length != N {
        return Err(NOT_OPENED);
    }
    // SAFETY: as the caller promised; it has N bytes.
    let wire = unsafe { args::bytes(wire) }?;
    let frame = open(&Cipher::new(&key), &wire).map_err(|_| NOT_OPENED)?;
    // SAFETY: as the caller promised.
    unsafe { args::write(ret.cast(), frame) };
    Ok(0)
}

/// Opens a frame that varta_frame_seal sealed.
///
/// ret: receives the 32 bytes of the frame.
/// key: 32 bytes.
/// wire: the bytes of a datagram.
/// length: the number of bytes.
///
/// Returns 0, or
///     -EINVAL    a pointer is NULL
///     -EBADMSG   not sealed with this key, changed in transit, or not 60 bytes
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_open(
    ret: *mut u8,
    key: *const u8,
    wire: *const u8,
    length: usize,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave 32 bytes for the frame, 32 and `length` bytes, or NULL.
        unsafe { open(ret, key, wire, length, Cipher::open) }
    })
}

/// Opens a frame that varta_frame_seal_as sealed. The first four bytes of the datagram,
/// little-endian, are the pid of the agent whose key opens it; the frame must contain the same
/// pid.
///
/// ret: receives the 32 bytes of the frame.
/// key: 32 bytes, from varta_derive_agent_key.
/// wire: the bytes of a datagram.
/// length: the number of bytes.
///
/// Returns 0, or
///     -EINVAL    a pointer is NULL
///     -EBADMSG   not sealed with this key, changed in transit, a frame of another pid, or not
///                64 bytes
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_open_from(
    ret: *mut u8,
    key: *const u8,
    wire: *const u8,
    length: usize,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave 32 bytes for the frame, 32 and `length` bytes, or NULL.
        unsafe { open(ret, key, wire, length, Cipher::open_from) }
    })
}

/// Derives an agent's own key from a master key.
///
/// ret: receives 32 bytes.
/// master: 32 bytes.
/// pid: the agent's process id.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_derive_agent_key(
    ret: *mut u8,
    master: *const u8,
    pid: u32,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        // SAFETY: the caller gave 32 bytes or NULL.
        let master = unsafe { key(master) }?;
        let derived = derive_agent_key(&master, pid).map_err(|_| REFUSED)?;
        // SAFETY: the caller's buffer has this many bytes.
        unsafe { args::write(ret.cast(), *derived.as_bytes()) };
        Ok(0)
    })
}

/// Derives an IV prefix from a session's salt.
///
/// ret: receives 8 bytes.
/// salt: 16 bytes.
/// index: 0 at first; add one whenever the counter would wrap.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_derive_iv_prefix(
    ret: *mut u8,
    salt: *const u8,
    index: u32,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        // SAFETY: the caller gave 16 bytes or NULL.
        let salt = unsafe { args::bytes(salt) }?;
        let prefix = derive_iv_prefix(&salt, index).map_err(|_| REFUSED)?;
        // SAFETY: the caller's buffer has this many bytes.
        unsafe { args::write(ret.cast(), prefix) };
        Ok(0)
    })
}
