//! Version 1 of the wire: a 64-bit payload, no checksum, and a nonce that stops where
//! version 2 wraps. For observers that know nothing newer.

use crate::frame::{DecodeError, FRAME_BYTES, Head, check_version, head, write_words};
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
    /// What the agent says of itself.
    pub status: Status,
    /// The sender's process id when it sent.
    pub pid: u32,
    /// Nanoseconds since the sender connected, on its own monotonic clock.
    pub timestamp: u64,
    /// Counts the beats of a process to an endpoint, from 1.
    pub nonce: u64,
    /// The application's, carried untouched.
    pub payload: u64,
}

impl Frame {
    /// Puts a frame together. Nothing is checked: [`decode`](Self::decode) is the judge.
    ///
    /// ```
    /// let frame = varta::v1::Frame::new(varta::Status::Ok, 4321, 0, 1, 1 << 40);
    /// assert_eq!(frame.payload, 1 << 40);
    /// ```
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

    /// Writes the frame as it travels.
    ///
    /// ```
    /// let mut wire = [0; 32];
    /// varta::v1::Frame::new(varta::Status::Ok, 2, 0, 1, 5).encode(&mut wire);
    /// assert_eq!((wire[2], wire[24]), (1, 5));
    /// ```
    pub fn encode(&self, out: &mut [u8; FRAME_BYTES]) {
        let head = head(VERSION, self.status, self.pid, self.timestamp, self.nonce);
        write_words(head, self.payload, out);
    }

    /// Reads a frame; the first thing wrong with it is the error, in the order of
    /// version 2 less its checksum.
    ///
    /// ```
    /// use varta::{DecodeError, v1};
    ///
    /// assert_eq!(v1::Frame::decode(&[0; 32]), Err(DecodeError::BadMagic));
    /// ```
    ///
    /// # Errors
    ///
    /// The first [`DecodeError`] that applies.
    pub fn decode(wire: &[u8; FRAME_BYTES]) -> Result<Self, DecodeError> {
        check_version(wire, VERSION)?;
        let Head { status, pid, timestamp, nonce } = Head::decode(wire)?;
        let payload = u64::from_le_bytes([
            wire[24], wire[25], wire[26], wire[27], wire[28], wire[29], wire[30], wire[31],
        ]);
        Ok(Self { status, pid, timestamp, nonce, payload })
    }
}
