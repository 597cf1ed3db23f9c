//! Frames and their checksum.

use std::ffi::c_int;

use varta::{FRAME_BYTES, Frame, Status, v1};

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};

/// The length of a frame of any version.
pub const VARTA_FRAME_BYTES: usize = 32;

/// The length of a frame sealed with a shared key.
pub const VARTA_SEALED_BYTES: usize = 60;

/// The length of a frame sealed with an agent's own key, derived from a master key.
pub const VARTA_SEALED_AS_BYTES: usize = 64;

/// The length of every key.
pub const VARTA_KEY_BYTES: usize = 32;

/// The nonce that, with VARTA_STATUS_CRITICAL, marks the final beat of a process.
#[allow(dead_code, reason = "for C; the assertion below compares it with Rust's own")]
pub const VARTA_NONCE_TERMINAL: u64 = 0xffff_ffff_ffff_ffff;

const _: () = {
    assert!(VARTA_FRAME_BYTES == FRAME_BYTES);
    assert!(VARTA_SEALED_BYTES == varta::secure::SHARED_BYTES);
    assert!(VARTA_SEALED_AS_BYTES == varta::secure::MASTER_BYTES);
    assert!(VARTA_NONCE_TERMINAL == varta::NONCE_TERMINAL);
};

/// The fields of one frame, which carries one beat. 40 bytes in every version of this library.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct varta_frame {
    /// Nanoseconds since the sender connected, on the sender's monotonic clock.
    pub timestamp: u64,
    /// Number of the beat from this process to this endpoint, counting from 1.
    pub nonce: u64,
    /// The application's number: 32 bits in version 2, 64 bits in version 1.
    pub payload: u64,
    /// The sender's process id at the time of sending.
    pub pid: u32,
    /// VARTA_STATUS_ constant.
    pub status: u8,
    /// The wire version: 2, or 1 for observers that do not understand 2.
    pub version: u8,
    /// Zero.
    pub reserved: [u8; 10],
}

const _: () = assert!(size_of::<varta_frame>() == 40);

/// Encodes a frame. Except for what is listed below, the values of the fields are not checked;
/// varta_frame_decode does that.
///
/// ret: receives 32 bytes.
/// frame: version is 1 or 2, and status is a VARTA_STATUS_ constant.
///
/// Returns 0, or -EINVAL: a pointer is NULL, the version or the status is unknown, a reserved
/// byte is not zero, or the payload does not fit the version.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_encode(ret: *mut u8, frame: *const varta_frame) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
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
        // SAFETY: the caller's buffer has this many bytes.
        unsafe { args::write(ret.cast(), wire) };
        Ok(0)
    })
}

/// Decodes a frame.
///
/// ret: receives the frame, if it is valid.
/// wire: the bytes of a datagram.
/// length: the number of bytes.
/// version: the wire version to accept, 1 or 2. A frame of the other version is
///     VARTA_DECODE_BAD_VERSION.
///
/// Returns 0 if the frame is valid. A positive number is the first error found, in this order:
/// VARTA_DECODE_BAD_MAGIC, _BAD_VERSION, _BAD_CRC (version 2 only), _BAD_STATUS,
/// _STALL_ON_WIRE, _BAD_PID, _BAD_TIMESTAMP, _BAD_NONCE. A negative number means that the call
/// was wrong:
///     -EINVAL     a pointer is NULL, or the version is unknown
///     -EMSGSIZE   length is not 32
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_frame_decode(
    ret: *mut varta_frame,
    wire: *const u8,
    length: usize,
    version: u8,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        if wire.is_null() || !matches!(version, varta::VERSION | v1::VERSION) {
            return Err(Failure::INVALID);
        }
        if length != FRAME_BYTES {
            return Err(Failure::errno(libc::EMSGSIZE));
        }
        // SAFETY: the caller gave `length` bytes, which is what a frame has.
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
        // SAFETY: ret is not NULL, as checked above.
        unsafe { args::write(ret, frame) };
        Ok(0)
    })
}

/// Computes the CRC-32C (Castagnoli) of some bytes.
///
/// ret: receives the checksum.
/// bytes: the bytes; may be NULL if length is 0.
/// length: the number of bytes.
///
/// Returns 0, or -EINVAL: a pointer is NULL.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_crc32c(ret: *mut u32, bytes: *const u8, length: usize) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        // SAFETY: the caller gave `length` bytes.
        let bytes = unsafe { args::values(bytes, length) }?;
        // SAFETY: ret is not NULL, as checked above.
        unsafe { args::write(ret, varta::crc32c(bytes)) };
        Ok::<c_int, Failure>(0)
    })
}
