//! Version 1 of the wire format, for observers that know nothing newer. It has a 64-bit
//! payload, no checksum, and a nonce that stops where that of version 2 wraps.

use crate::frame::{
    DecodeError, FRAME_BYTES, Head, LEAST_PID, check_version, head, write_words,
};
use crate::status::Status;

#[cfg(all(unix, not(bare)))]
pub use crate::agent::v1::Varta;

/// The version byte that [`Frame`] writes and accepts.
pub const VERSION: u8 = 1;

/// One beat, version 1.
///
/// ```
/// use varta::{DecodeError, Status, v1};
///
/// let frame = v1::Frame::new(Status::Ok, 2, 0, 1, u64::MAX);
/// let mut wire = [0; 32];
/// frame.encode(&mut wire);
/// assert_eq!(v1::Frame::decode(&wire), Ok(frame));
/// assert_eq!(varta::Frame::decode(&wire), Err(DecodeError::BadVersion));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The state that the agent reports.
    pub status: Status,
    /// The process id of the sender at the time of the beat.
    pub pid: u32,
    /// Nanoseconds since the sender connected, on its own monotonic clock.
    pub timestamp: u64,
    /// Counts the beats of a process to an endpoint, from 1.
    pub nonce: u64,
    /// A number chosen by the application.
    pub payload: u64,
}

impl Frame {
    /// Makes a frame. The values are not checked; [`decode`](Self::decode) checks them.
    #[must_use]
    pub const fn new(
        status: Status,
        pid: u32,
        timestamp: u64,
        nonce: u64,
        payload: u64,
    ) -> Self {
        Self { status, pid, timestamp, nonce, payload }
    }

    /// Writes the frame in its wire format.
    pub fn encode(&self, out: &mut [u8; FRAME_BYTES]) {
        let head = head(VERSION, self.status, self.pid, self.timestamp, self.nonce);
        write_words(head, self.payload, out);
    }

    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// The first [`DecodeError`] that applies, in the order of its variants.
    pub fn decode(wire: &[u8; FRAME_BYTES]) -> Result<Self, DecodeError> {
        Self::decode_with(wire, LEAST_PID)
    }

    /// As [`decode`](Self::decode), with another least pid.
    pub(crate) fn decode_with(
        wire: &[u8; FRAME_BYTES],
        least_pid: u32,
    ) -> Result<Self, DecodeError> {
        check_version(wire, VERSION)?;
        let Head { status, pid, timestamp, nonce } = Head::decode(wire, least_pid)?;
        let payload = u64::from_le_bytes([
            wire[24], wire[25], wire[26], wire[27], wire[28], wire[29], wire[30], wire[31],
        ]);
        Ok(Self { status, pid, timestamp, nonce, payload })
    }
}
