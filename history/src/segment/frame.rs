//! A record with what is stored around it:
//!
//! | what | how |
//! | --- | --- |
//! | the length of the next four together | varint |
//! | kind | 1 byte; the highest bit marks state that is repeated at the beginning of a segment |
//! | seq | varint |
//! | time | varint, in nanoseconds since the observer started |
//! | body | fields |
//! | checksum of all that | CRC-32C, 4 bytes, the lowest first |

use std::ops::Range;

use varta::crc32c;

use crate::record::Record;
use crate::wire::{put_number, take_number};

/// No frame is longer. A length beyond this is damaged.
pub(crate) const LONGEST: usize = 16 * 1024;

const AGAIN: u8 = 0x80;

const CHECKSUM: usize = 4;

/// A frame in a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) code: u8,
    pub(crate) again: bool,
    pub(crate) seq: u64,
    pub(crate) observer_ns: u64,
    /// Where its body is.
    pub(crate) body: Range<usize>,
    /// How many bytes it has.
    pub(crate) length: usize,
}

/// Why bytes do not begin with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// More bytes may make it one.
    Incomplete,
    /// They are damaged.
    Invalid,
}

/// Appends a frame. Returns false if the record is too long, and then appends nothing.
pub(crate) fn put(
    record: &Record,
    again: bool,
    seq: u64,
    observer_ns: u64,
    out: &mut Vec<u8>,
) -> bool {
    let mut content = Vec::with_capacity(64);
    content.push(record.kind().code() | if again { AGAIN } else { 0 });
    put_number(seq, &mut content);
    put_number(observer_ns, &mut content);
    record.encode(&mut content);
    let start = out.len();
    put_number(content.len() as u64, out);
    out.extend_from_slice(&content);
    let checksum = crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
    let fits = out.len() - start <= LONGEST;
    if !fits {
        out.truncate(start);
    }
    fits
}

/// Parses the frame at the beginning of bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Frame, NoFrame> {
    parse_if(bytes, |_| true)
}

/// Parses it if its numbers are as they must be, which is cheaper to find out than whether its
/// checksum is.
pub(crate) fn parse_if(
    bytes: &[u8],
    is_wanted: impl FnOnce(&Frame) -> bool,
) -> Result<Frame, NoFrame> {
    let mut rest = bytes;
    let length = match take_number(&mut rest) {
        Some(length) => usize::try_from(length).map_err(|_| NoFrame::Invalid)?,
        None if bytes.len() < 3 => return Err(NoFrame::Incomplete),
        None => return Err(NoFrame::Invalid),
    };
    let start = bytes.len() - rest.len();
    if !(3..=LONGEST - start - CHECKSUM).contains(&length) {
        return Err(NoFrame::Invalid);
    }
    let end = start + length;
    let (covered, checksum) = bytes.split_at_checked(end).ok_or(NoFrame::Incomplete)?;
    let checksum = checksum.first_chunk::<CHECKSUM>().ok_or(NoFrame::Incomplete)?;
    let mut content = covered.get(start..).unwrap_or_default();
    let (kind, rest) = content.split_first().ok_or(NoFrame::Invalid)?;
    content = rest;
    let seq = take_number(&mut content).ok_or(NoFrame::Invalid)?;
    let observer_ns = take_number(&mut content).ok_or(NoFrame::Invalid)?;
    let frame = Frame {
        code: kind & !AGAIN,
        again: kind & AGAIN != 0,
        seq,
        observer_ns,
        body: end - content.len()..end,
        length: end + CHECKSUM,
    };
    let is_intact = is_wanted(&frame) && crc32c(covered) == u32::from_le_bytes(*checksum);
    if is_intact { Ok(frame) } else { Err(NoFrame::Invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Gap, Kind, Recovery, Stopped};

    fn gap() -> Vec<u8> {
        let gap = Gap { agent: 1_000, silent_ns: 612_345_678, ..Gap::default() };
        let mut bytes = Vec::new();
        assert!(put(&gap.into(), false, 1_440_000, 86_400_000_000_000, &mut bytes));
        bytes
    }

    /// The size of a history depends on this.
    #[test]
    fn a_gap_has_at_most_26_bytes() {
        assert_eq!(gap().len(), 25);
    }

    #[test]
    fn a_frame_is_parsed_as_it_was_put() {
        let mut bytes = gap();
        let length = bytes.len();
        bytes.extend_from_slice(b"more");
        let frame = parse(&bytes).unwrap();
        assert_eq!((frame.seq, frame.observer_ns), (1_440_000, 86_400_000_000_000));
        assert_eq!((frame.code, frame.again), (Kind::Gap.code(), false));
        assert_eq!(frame.length, length);
        let record = Record::decode(Kind::Gap, &bytes[frame.body]);
        assert_eq!(record.and_then(|record| record.agent()), Some(1_000));
    }

    #[test]
    fn a_frame_that_is_cut_is_incomplete_and_one_with_a_wrong_bit_is_invalid() {
        let bytes = gap();
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Err(NoFrame::Incomplete), "{cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&wrong).is_err(), "{bit}");
        }
        assert_eq!(parse(&[0; 64]), Err(NoFrame::Invalid));
    }

    #[test]
    fn the_longest_record_fits_into_a_frame() {
        let text = || Some("x".repeat(5_000).into());
        let long = Recovery {
            task_name: text(),
            promise: text(),
            command: text(),
            error: text(),
            reason: text(),
            ending: text(),
            ..Recovery::default()
        };
        let mut bytes = Vec::new();
        assert!(put(&long.into(), false, u64::MAX, u64::MAX, &mut bytes));
        let length = bytes.len();
        assert_eq!(parse(&bytes).unwrap().length, length);
        assert!(put(&Stopped::default().into(), true, 0, 0, &mut bytes));
        assert!(parse(&bytes[length..]).unwrap().again);
    }
}
