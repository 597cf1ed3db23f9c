//! Frames, and their checksum.

use std::ffi::c_int;

use varta::{FRAME_BYTES, Frame, Status, v1};

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};

/// The length of a frame, whatever its version.
pub const VARTA_FRAME_BYTES: usize = 32;

/// The length of a frame sealed with a shared key.
pub const VARTA_SEALED_BYTES: usize = 60;

/// The length of a frame sealed with an agent's own key, derived from a master key.
pub const VARTA_SEALED_AS_BYTES: usize = 64;

/// The length of every key.
pub const VARTA_KEY_BYTES: usize = 32;

/// The nonce that, with VARTA_STATUS_CRITICAL, marks the last words of a process.
#[allow(dead_code, reason = "for C; Rust has its own, which it is compared with below")]
pub const VARTA_NONCE_TERMINAL: u64 = 0xffff_ffff_ffff_ffff;

const _: () = {
    assert!(VARTA_FRAME_BYTES == FRAME_BYTES);
    assert!(VARTA_SEALED_BYTES == varta::secure::SHARED_BYTES);
    assert!(VARTA_SEALED_AS_BYTES == varta::secure::MASTER_BYTES);
    assert!(VARTA_NONCE_TERMINAL == varta::NONCE_TERMINAL);
};

/// One beat as it travels, taken apart. 40 bytes in every version of this library.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct varta_frame {
    /// Nanoseconds since the sender connected, on its own monotonic clock.
    pub timestamp: u64,
    /// Counts the beats of a process to an endpoint, from 1.
    pub nonce: u64,
    /// The application's. Version 2 has 32 bits for it, version 1 has 64.
    pub payload: u64,
    /// The sender's process id when it sent.
    pub pid: u32,
    /// VARTA_STATUS_.
    pub status: u8,
    /// The version of the wire: 2, or 1 for observers that know nothing newer.
    pub version: u8,
    /// Zero.
    pub reserved: [u8; 10],
}

const _: () = assert!(size_of::<varta_frame>() == 40);

/// Puts a frame into the bytes that travel. What the fields mean is not checked: decoding is
/// the judge of that.
///
/// ret: where 32 bytes are written.
/// frame: version is 1 or 2, and status one of VARTA_STATUS_.
///
/// Returns 0, or -EINVAL: a pointer is NULL, the version or the status is unknown, a reserved
/// byte is not zero, or the payload does not fit the version.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_encode(ret: *mut u8, frame: *const varta_frame) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave one frame or NULL.
        let [frame] = (unsafe { args::values(frame, 1) })? else {
            return Err(Failure::INVALID);
        };
        let status = Status::from_wire(frame.status).ok_or(Failure::INVALID)?;
        if frame.reserved != [0; 10] {
            return Err(Failure::INVALID);
        }
        let varta_frame { pid, timestamp, nonce, payload, .. } = *frame;
        let mut wire = [0; FRAME_BYTES];
        match frame.version {
            varta::VERSION => {
                let payload = u32::try_from(payload).map_err(|_| Failure::INVALID)?;
                Frame::new(status, pid, timestamp, nonce, payload).encode(&mut wire);
            }
            v1::VERSION => {
                v1::Frame::new(status, pid, timestamp, nonce, payload).encode(&mut wire);
            }
            _ => return Err(Failure::INVALID),
        }
        // SAFETY: the caller gave room for so many bytes.
        unsafe { args::write(ret.cast(), wire) };
        Ok(0)
    })
}

/// Takes a frame apart.
///
/// ret: where the frame is written, if it is one.
/// wire: the bytes of a datagram.
/// length: how many they are.
/// version: what is taken: 2, or 1. A frame of the other is VARTA_DECODE_BAD_VERSION.
///
/// Returns 0 if it is a frame. A positive number says what is wrong with it, the first thing
/// in this order: VARTA_DECODE_BAD_MAGIC, _BAD_VERSION, _BAD_CRC (version 2 only),
/// _BAD_STATUS, _STALL_ON_WIRE, _BAD_PID, _BAD_TIMESTAMP, _BAD_NONCE. A negative one says
/// what is wrong with the call:
///     -EINVAL     a pointer is NULL, or the version is unknown
///     -EMSGSIZE   a frame has 32 bytes
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_decode(
    ret: *mut varta_frame,
    wire: *const u8,
    length: usize,
    version: u8,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        if wire.is_null() || !matches!(version, varta::VERSION | v1::VERSION) {
            return Err(Failure::INVALID);
        }
        if length != FRAME_BYTES {
            return Err(Failure::errno(libc::EMSGSIZE));
        }
        // SAFETY: the caller gave so many bytes.
        let wire = unsafe { args::bytes(wire) }?;
        let decoded = match version {
            v1::VERSION => v1::Frame::decode(&wire)
                .map(|f| (f.status, f.pid, f.timestamp, f.nonce, f.payload)),
            _ => Frame::decode(&wire)
                .map(|f| (f.status, f.pid, f.timestamp, f.nonce, f.payload.into())),
        };
        let (status, pid, timestamp, nonce, payload) = match decoded {
            Ok(fields) => fields,
            Err(error) => return Ok(error.code().into()),
        };
        let status = status as u8;
        let frame =
            varta_frame { timestamp, nonce, payload, pid, status, version, reserved: [0; 10] };
        // SAFETY: there is room, as was checked.
        unsafe { args::write(ret, frame) };
        Ok(0)
    })
}

/// The CRC-32C (Castagnoli) of some bytes.
///
/// ret: where the checksum is written.
/// bytes: the bytes; may be NULL if there are none.
/// length: how many they are.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_crc32c(ret: *mut u32, bytes: *const u8, length: usize) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave so many bytes.
        let bytes = unsafe { args::values(bytes, length) }?;
        // SAFETY: there is room, as was checked.
        unsafe { args::write(ret, varta::crc32c(bytes)) };
        Ok::<c_int, Failure>(0)
    })
}
