//! The 32 bytes of a beat, version 2.

use core::fmt;

use crate::crc32c;
use crate::status::Status;

/// The first two bytes of every frame: "VA".
pub const MAGIC: [u8; 2] = *b"VA";

/// The version byte that [`Frame`] writes and accepts.
pub const VERSION: u8 = 2;

/// The length of a frame of either version. A datagram of any other length is not a frame.
pub const FRAME_BYTES: usize = 32;

/// The least pid that a frame can name, unless the kernel names its sender.
pub(crate) const LEAST_PID: u32 = 2;

/// The nonce that, together with [`Status::Critical`], marks the last words of a process.
pub const NONCE_TERMINAL: u64 = u64::MAX;

/// One beat.
///
/// ```
/// use varta::{Frame, Status};
///
/// let frame = Frame::new(Status::Ok, 2, 0, 1, 0);
/// let mut wire = [0; 32];
/// frame.encode(&mut wire);
/// assert_eq!(wire[..4], [0x56, 0x41, 2, 0]);
/// assert_eq!(Frame::decode(&wire), Ok(frame));
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
    pub payload: u32,
}

impl Frame {
    /// Makes a frame. The values are not checked; [`decode`](Self::decode) checks them.
    #[must_use]
    pub const fn new(
        status: Status,
        pid: u32,
        timestamp: u64,
        nonce: u64,
        payload: u32,
    ) -> Self {
        Self { status, pid, timestamp, nonce, payload }
    }

    /// Writes the frame in its wire format.
    #[inline]
    pub fn encode(&self, out: &mut [u8; FRAME_BYTES]) {
        // Whole words are written because the checksum and the kernel read whole words: a
        // word written in pieces can only be read once all pieces have reached the cache.
        let head = head(VERSION, self.status, self.pid, self.timestamp, self.nonce);
        let crc = crc32c::of_words(head, self.payload);
        let last = u64::from(crc) << 32 | u64::from(self.payload);
        write_words(head, last, out);
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
        let computed = checksum(wire);
        let stored = u32::from_le_bytes([wire[28], wire[29], wire[30], wire[31]]);
        if computed != stored {
            return Err(DecodeError::BadCrc { expected: computed, actual: stored });
        }
        let Head { status, pid, timestamp, nonce } = Head::decode(wire, least_pid)?;
        let payload = u32::from_le_bytes([wire[24], wire[25], wire[26], wire[27]]);
        Ok(Self { status, pid, timestamp, nonce, payload })
    }
}

/// Why 32 bytes are not a valid frame. The variants are listed in the order of the checks,
/// and their numbers are the same in every language.
///
/// ```
/// use varta::DecodeError;
///
/// let error = DecodeError::BadStatus(9);
/// assert_eq!((error.name(), error.code()), ("BadStatus", 4));
/// assert_eq!(error.to_string(), "bad status: 9 is not 0, 1 or 2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The first two bytes are not "VA", so this is another protocol.
    BadMagic,
    /// The decoder does not accept this version of the protocol.
    BadVersion,
    /// The bytes were damaged in transit.
    BadCrc {
        /// The checksum computed from the bytes.
        expected: u32,
        /// The checksum in the frame.
        actual: u32,
    },
    /// The status byte is not a valid status.
    BadStatus(u8),
    /// The status is Stall, which only an observer may report.
    StallOnWire,
    /// The process id is 0, or it is 1 and nothing proves that the sender is the first process
    /// of its pid namespace. Only an observer at a Unix socket can accept 1.
    BadPid(u32),
    /// The timestamp is all ones.
    BadTimestamp(u64),
    /// The terminal nonce is used with a status other than Critical.
    BadNonce {
        /// The nonce in the frame.
        nonce: u64,
        /// The status in the frame.
        status: Status,
    },
}

impl DecodeError {
    /// The variant's name, as the shared test vectors spell it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BadMagic => "BadMagic",
            Self::BadVersion => "BadVersion",
            Self::BadCrc { .. } => "BadCrc",
            Self::BadStatus(_) => "BadStatus",
            Self::StallOnWire => "StallOnWire",
            Self::BadPid(_) => "BadPid",
            Self::BadTimestamp(_) => "BadTimestamp",
            Self::BadNonce { .. } => "BadNonce",
        }
    }

    /// The variant's number, 1 to 8 in the order of decoding.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::BadMagic => 1,
            Self::BadVersion => 2,
            Self::BadCrc { .. } => 3,
            Self::BadStatus(_) => 4,
            Self::StallOnWire => 5,
            Self::BadPid(_) => 6,
            Self::BadTimestamp(_) => 7,
            Self::BadNonce { .. } => 8,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMagic => f.write_str("bad magic: the bytes do not begin with 56 41"),
            Self::BadVersion => f.write_str("bad version: this decoder does not accept it"),
            Self::BadCrc { expected, actual } => {
                write!(f, "bad checksum: computed {expected:08x}, the frame has {actual:08x}")
            }
            Self::BadStatus(byte) => write!(f, "bad status: {byte} is not 0, 1 or 2"),
            Self::StallOnWire => {
                f.write_str("stall on wire: only an observer may report a stall")
            }
            Self::BadPid(pid) => write!(f, "bad pid: {pid} is reserved"),
            Self::BadTimestamp(_) => f.write_str("bad timestamp: all ones"),
            Self::BadNonce { status, .. } => {
                write!(f, "bad nonce: terminal nonce requires status critical, got {status}")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// The fields that both versions have at the same offsets, bytes 3 to 24.
pub(crate) struct Head {
    pub(crate) status: Status,
    pub(crate) pid: u32,
    pub(crate) timestamp: u64,
    pub(crate) nonce: u64,
}

impl Head {
    pub(crate) fn decode(
        wire: &[u8; FRAME_BYTES],
        least_pid: u32,
    ) -> Result<Self, DecodeError> {
        let status = match Status::from_wire(wire[3]) {
            None => return Err(DecodeError::BadStatus(wire[3])),
            Some(Status::Stall) => return Err(DecodeError::StallOnWire),
            Some(status) => status,
        };
        let pid = u32::from_le_bytes([wire[4], wire[5], wire[6], wire[7]]);
        let timestamp = u64::from_le_bytes([
            wire[8], wire[9], wire[10], wire[11], wire[12], wire[13], wire[14], wire[15],
        ]);
        let nonce = u64::from_le_bytes([
            wire[16], wire[17], wire[18], wire[19], wire[20], wire[21], wire[22], wire[23],
        ]);
        if pid < least_pid {
            return Err(DecodeError::BadPid(pid));
        }
        if timestamp == u64::MAX {
            return Err(DecodeError::BadTimestamp(timestamp));
        }
        if nonce == NONCE_TERMINAL && status != Status::Critical {
            return Err(DecodeError::BadNonce { nonce, status });
        }
        Ok(Self { status, pid, timestamp, nonce })
    }
}

/// The first 24 bytes, which have the same layout in both versions, as little-endian words.
#[inline]
pub(crate) fn head(
    version: u8,
    status: Status,
    pid: u32,
    timestamp: u64,
    nonce: u64,
) -> [u64; 3] {
    let [v, a] = MAGIC;
    let front = u32::from_le_bytes([v, a, version, status as u8]);
    [u64::from(pid) << 32 | u64::from(front), timestamp, nonce]
}

#[inline]
pub(crate) fn write_words(head: [u64; 3], last: u64, out: &mut [u8; FRAME_BYTES]) {
    let [first, second, third] = head;
    for (place, word) in out.chunks_exact_mut(8).zip([first, second, third, last]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

pub(crate) fn check_version(wire: &[u8; FRAME_BYTES], version: u8) -> Result<(), DecodeError> {
    if wire[..2] != MAGIC {
        return Err(DecodeError::BadMagic);
    }
    if wire[2] != version {
        return Err(DecodeError::BadVersion);
    }
    Ok(())
}

/// The CRC-32C of the 28 bytes before the checksum.
#[inline]
fn checksum(wire: &[u8; FRAME_BYTES]) -> u32 {
    let mut words = [0; 3];
    for (word, bytes) in words.iter_mut().zip(wire.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        *word = u64::from_le_bytes(eight);
    }
    crc32c::of_words(words, u32::from_le_bytes([wire[24], wire[25], wire[26], wire[27]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "564102000200000000000000000000000100000000000000 00000000e4116baa";
    const LAST: &str = "5641020202000000e703000000000000ffffffffffffffff 00000000a299eeed";

    fn bytes(hex: &str) -> [u8; 32] {
        let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').collect();
        core::array::from_fn(|i| {
            u8::from_str_radix(core::str::from_utf8(&digits[2 * i..2 * i + 2]).unwrap(), 16)
                .unwrap()
        })
    }

    #[test]
    fn known_frames_encode_and_decode() {
        for (hex, frame) in [
            (OK, Frame::new(Status::Ok, 2, 0, 1, 0)),
            (LAST, Frame::new(Status::Critical, 2, 999, NONCE_TERMINAL, 0)),
        ] {
            let mut wire = [0; 32];
            frame.encode(&mut wire);
            assert_eq!(wire, bytes(hex));
            assert_eq!(Frame::decode(&wire), Ok(frame));
        }
    }

    #[test]
    fn a_checksum_error_has_both_checksums() {
        let mut wire = bytes(OK);
        wire[24] ^= 1;
        let Err(DecodeError::BadCrc { expected, actual }) = Frame::decode(&wire) else {
            panic!("the damage must be detected");
        };
        assert_eq!(actual, 0xaa6b_11e4);
        assert_eq!(expected, crc32c(&wire[..28]));
    }

    proptest::proptest! {
        #[test]
        fn an_encoded_frame_decodes_to_itself(
            status in 0u8..3, pid in 2u32.., timestamp in 0..u64::MAX,
            nonce in 0..u64::MAX, payload: u32,
        ) {
            let frame = Frame::new(
                Status::from_wire(status).unwrap(), pid, timestamp, nonce, payload);
            let mut wire = [0; 32];
            frame.encode(&mut wire);
            proptest::prop_assert_eq!(Frame::decode(&wire), Ok(frame));
        }

        #[test]
        fn a_decoded_frame_encodes_to_the_same_bytes(mut wire: [u8; 32]) {
            wire[..3].copy_from_slice(&[0x56, 0x41, 2]);
            wire[3] %= 4;
            let crc = checksum(&wire);
            wire[28..].copy_from_slice(&crc.to_le_bytes());
            if let Ok(frame) = Frame::decode(&wire) {
                let mut again = [0; 32];
                frame.encode(&mut again);
                proptest::prop_assert_eq!(again, wire);
            }
        }
    }
}
