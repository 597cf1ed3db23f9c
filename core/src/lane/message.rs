//! The messages with which a page is handed over, on a SOCK_SEQPACKET connection.
//!
//! The agent sends HELLO. The observer answers with PAGE, which carries two descriptors (the
//! agent's page and the observer's own), or with REFUSED. When the agent has mapped the page it
//! sends MAPPED, and from then on the observer reads it. Later the agent may send BELL to make
//! the observer look at once.

use std::ops::Range;

/// The size of every message but BELL.
pub const MESSAGE_BYTES: usize = 128;

/// The size of BELL.
pub const BELL_BYTES: usize = 16;

/// The version of these messages.
pub const VERSION: u16 = 1;

/// The longest reason that REFUSED carries, in bytes.
pub const REASON_BYTES: usize = 112;

/// The longest name that HELLO carries, in bytes.
pub const NAME_BYTES: usize = 64;

/// A flag of PAGE: the observer reads the lines of tasks.
pub const TASKS_WANTED: u32 = 1;

const MAGIC: [u8; 4] = *b"VRTL";

/// A message in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a message is encoded or read, and not kept")]
pub enum Message {
    /// From the agent: it asks for a page.
    Hello(Hello),
    /// From the observer: the page.
    Page(PageOffer),
    /// From the observer: why there is no page.
    Refused(Refused),
    /// From the agent: the page is mapped.
    Mapped,
    /// From the agent: look at this pair now.
    Bell {
        /// The pair.
        pair: u32,
    },
}

/// The agent asks for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The process id in the agent's own namespace. It is only a label.
    pub pid: u32,
    /// Zero.
    pub flags: u32,
    /// The agent's monotonic clock.
    pub monotonic_ns: u64,
    /// The last nonce that the process used.
    pub nonce: u64,
    /// The name of the service, padded with zeros; all zeros if it has none.
    pub name: [u8; NAME_BYTES],
}

/// The observer offers a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOffer {
    /// Where pair 0 begins.
    pub offset: u32,
    /// How many pairs the page has.
    pub pairs: u32,
    /// The threshold of the agent, in nanoseconds.
    pub threshold_ns: u64,
    /// The agent's monotonic clock less the observer's, which the agent adds to the time of
    /// the observer's last look. It is not 0 only if the agent is in another time namespace.
    pub clock_offset: i64,
    /// [`TASKS_WANTED`], or 0.
    pub flags: u32,
}

/// The observer refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// An error number that fits.
    pub errno: u32,
    /// The reason in words, padded with zeros.
    pub reason: [u8; REASON_BYTES],
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// The length or the magic number is wrong, the kind is unknown or has another length, or
    /// a byte that must be zero is not.
    Malformed,
    /// It is of another version.
    Version(u16),
}

impl Message {
    /// The message's bytes, and how many of them are sent.
    #[must_use]
    pub fn encode(&self) -> ([u8; MESSAGE_BYTES], usize) {
        let mut bytes = [0; MESSAGE_BYTES];
        put(&mut bytes, 0..4, &MAGIC);
        put(&mut bytes, 4..6, &VERSION.to_le_bytes());
        put(&mut bytes, 6..8, &self.kind().to_le_bytes());
        let mut length = MESSAGE_BYTES;
        match self {
            Self::Hello(hello) => {
                put(&mut bytes, 8..12, &hello.pid.to_le_bytes());
                put(&mut bytes, 12..16, &hello.flags.to_le_bytes());
                put(&mut bytes, 16..24, &hello.monotonic_ns.to_le_bytes());
                put(&mut bytes, 24..32, &hello.nonce.to_le_bytes());
                put(&mut bytes, 32..96, &hello.name);
            }
            Self::Page(page) => {
                put(&mut bytes, 8..12, &page.offset.to_le_bytes());
                put(&mut bytes, 12..16, &page.pairs.to_le_bytes());
                put(&mut bytes, 16..24, &page.threshold_ns.to_le_bytes());
                put(&mut bytes, 24..32, &page.clock_offset.to_le_bytes());
                put(&mut bytes, 32..36, &page.flags.to_le_bytes());
            }
            Self::Refused(refused) => {
                put(&mut bytes, 8..12, &refused.errno.to_le_bytes());
                put(&mut bytes, 16..128, &refused.reason);
            }
            Self::Mapped => {}
            Self::Bell { pair } => {
                put(&mut bytes, 8..12, &pair.to_le_bytes());
                length = BELL_BYTES;
            }
        }
        (bytes, length)
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// The bytes are not a message of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let whole = bytes.len() == MESSAGE_BYTES || bytes.len() == BELL_BYTES;
        if !whole || !bytes.starts_with(&MAGIC) {
            return Err(MessageError::Malformed);
        }
        let version = u16::from_le_bytes(take(bytes, 4)?);
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        let message = match (u16::from_le_bytes(take(bytes, 6)?), bytes.len()) {
            (1, MESSAGE_BYTES) => Self::Hello(Hello {
                pid: number(bytes, 8)?,
                flags: number(bytes, 12)?,
                monotonic_ns: long(bytes, 16)?,
                nonce: long(bytes, 24)?,
                name: take(bytes, 32)?,
            }),
            (2, MESSAGE_BYTES) => Self::Page(PageOffer {
                offset: number(bytes, 8)?,
                pairs: number(bytes, 12)?,
                threshold_ns: long(bytes, 16)?,
                clock_offset: i64::from_le_bytes(take(bytes, 24)?),
                flags: number(bytes, 32)?,
            }),
            (3, MESSAGE_BYTES) => {
                Self::Refused(Refused { errno: number(bytes, 8)?, reason: take(bytes, 16)? })
            }
            (4, MESSAGE_BYTES) => Self::Mapped,
            (5, BELL_BYTES) => Self::Bell { pair: number(bytes, 8)? },
            _ => return Err(MessageError::Malformed),
        };
        // Whatever is not a field must be zero, so that it can become one.
        match message.encode() {
            (again, length) if again.get(..length) == Some(bytes) => Ok(message),
            _ => Err(MessageError::Malformed),
        }
    }

    const fn kind(&self) -> u16 {
        match self {
            Self::Hello(_) => 1,
            Self::Page(_) => 2,
            Self::Refused(_) => 3,
            Self::Mapped => 4,
            Self::Bell { .. } => 5,
        }
    }
}

impl Refused {
    /// A refusal with a reason in words, which is cut if it is too long.
    #[must_use]
    pub fn new(errno: u32, reason: &str) -> Self {
        let mut bytes = [0; REASON_BYTES];
        for (byte, of_reason) in bytes.iter_mut().zip(reason.bytes()) {
            *byte = of_reason;
        }
        Self { errno, reason: bytes }
    }
}

fn put(bytes: &mut [u8], range: Range<usize>, field: &[u8]) {
    if let Some(place) = bytes.get_mut(range) {
        place.copy_from_slice(field);
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], MessageError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.copied().ok_or(MessageError::Malformed)
}

fn number(bytes: &[u8], at: usize) -> Result<u32, MessageError> {
    take(bytes, at).map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Result<u64, MessageError> {
    take(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Message; 5] {
        let mut name = [0; NAME_BYTES];
        name[..5].copy_from_slice(b"store");
        [
            Message::Hello(Hello { pid: 1, flags: 0, monotonic_ns: 2, nonce: 3, name }),
            Message::Page(PageOffer {
                offset: 128,
                pairs: 32,
                threshold_ns: 5,
                clock_offset: -6,
                flags: TASKS_WANTED,
            }),
            Message::Refused(Refused::new(12, "there is no room")),
            Message::Mapped,
            Message::Bell { pair: 31 },
        ]
    }

    #[test]
    fn every_message_is_read_as_it_was_encoded() {
        for (kind, message) in (1..).zip(all()) {
            let (bytes, length) = message.encode();
            assert_eq!(bytes[..8], [b'V', b'R', b'T', b'L', 1, 0, kind, 0]);
            assert_eq!(Message::decode(&bytes[..length]), Ok(message));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for message in all() {
            let (bytes, length) = message.encode();
            for cut in (0..length).chain([length + 1]) {
                let bytes = &[bytes.as_slice(), &[0]].concat()[..cut];
                assert_eq!(Message::decode(bytes), Err(MessageError::Malformed), "{cut} bytes");
            }
            let mut other = bytes;
            other[4] = 2;
            assert_eq!(Message::decode(&other[..length]), Err(MessageError::Version(2)));
            for at in [0, 6, 7, length - 1] {
                let mut other = bytes;
                other[at] ^= 0x80;
                let read = Message::decode(&other[..length]);
                let in_a_field = matches!(message, Message::Refused(_)) && at == length - 1;
                assert_eq!(read.is_ok(), in_a_field, "byte {at} of {message:?}");
            }
        }
    }
}
