//! The beginning of a segment: who wrote it, and when.
//!
//! | what | how |
//! | --- | --- |
//! | magic | `varta-history`, a NUL, and `\r\n` |
//! | version | 4 bytes, the lowest first; a reader leaves a file with a higher one alone |
//! | length of the fields | 4 bytes |
//! | fields | as those of a record |
//! | checksum of all that | CRC-32C, 4 bytes |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use varta::crc32c;

use crate::clock::ClockPair;
use crate::record::{Body, Text, body};
use crate::run::Run;

const MAGIC: &[u8; 16] = b"varta-history\0\r\n";

const VERSION: u32 = 1;

/// No header is longer.
const LONGEST: usize = 4096;

/// What a segment says about all of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name of the host.
    pub host: String,
    /// The run of the daemon.
    pub run: Run,
    /// The boot clock when the observer's time was 0, in nanoseconds.
    pub boot_ns: u64,
    /// When the segment began.
    pub began: ClockPair,
    /// The number of the last record before it; 0 at the beginning of a run.
    pub seq: u64,
}

body! {
    #[allow(unreachable_pub, missing_docs, reason = "other bodies are public")]
    Fields {
        1 host: Text,
        2 run: Text,
        3 boot_ns: u64,
        4 observer_ns: u64,
        5 wall_ns: u64,
        6 seq: u64,
    }
}

/// What a file begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    Header(Header, u64),
    /// It ends before its header does.
    Incomplete,
    /// A version that this one does not know has written it.
    Newer(u32),
    Damaged,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let ClockPair { observer_ns, wall_ns } = self.began;
        let fields = Fields {
            host: self.host.clone().into(),
            run: self.run.to_string().into(),
            boot_ns: self.boot_ns,
            observer_ns,
            wall_ns,
            seq: self.seq,
        };
        let mut encoded = Vec::new();
        fields.encode(&mut encoded);
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.append(&mut encoded);
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        bytes
    }
}

impl Beginning {
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let mut bytes = vec![0; LONGEST];
        let mut length = 0;
        while let Some(room) = bytes.get_mut(length..).filter(|room| !room.is_empty()) {
            match file.read_at(room, length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::parse(bytes.get(..length).unwrap_or_default()))
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let Some(magic) = take::<16>(&mut rest) else {
            let is_start = MAGIC.starts_with(bytes);
            return if is_start { Self::Incomplete } else { Self::Damaged };
        };
        if magic != *MAGIC {
            return Self::Damaged;
        }
        match take(&mut rest).map(u32::from_le_bytes) {
            None => return Self::Incomplete,
            Some(VERSION) => {}
            Some(0) => return Self::Damaged,
            Some(newer) => return Self::Newer(newer),
        }
        let Some(length) = take(&mut rest).map(u32::from_le_bytes) else {
            return Self::Incomplete;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LONGEST - 28 {
            return Self::Damaged;
        }
        let Some((mut fields, mut after)) = rest.split_at_checked(length) else {
            return Self::Incomplete;
        };
        let Some(checksum) = take(&mut after) else { return Self::Incomplete };
        let whole = bytes.len() - after.len();
        let covered = bytes.get(..whole - 4).unwrap_or_default();
        if crc32c(covered) != u32::from_le_bytes(checksum) {
            return Self::Damaged;
        }
        let header = Fields::decode(std::mem::take(&mut fields)).and_then(|fields| {
            let Fields { host, run, boot_ns, observer_ns, wall_ns, seq } = fields;
            let began = ClockPair { observer_ns, wall_ns };
            let run = run.parse().ok()?;
            Some(Header { host: host.into_owned(), run, boot_ns, began, seq })
        });
        header.map_or(Self::Damaged, |header| Self::Header(header, whole as u64))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            host: "db-1".to_owned(),
            run: Run { boot_id: [0xab; 16], start_us: 7 },
            boot_ns: 7_123,
            began: ClockPair { observer_ns: 5, wall_ns: 1_764_511_200_000_000_000 },
            seq: 99,
        }
    }

    #[test]
    fn a_header_is_parsed_as_it_was_encoded() {
        let mut bytes = header().encode();
        let length = bytes.len() as u64;
        bytes.extend_from_slice(b"records");
        assert_eq!(Beginning::parse(&bytes), Beginning::Header(header(), length));
    }

    #[test]
    fn a_header_that_is_cut_is_incomplete() {
        let bytes = header().encode();
        for cut in 0..bytes.len() {
            assert_eq!(Beginning::parse(&bytes[..cut]), Beginning::Incomplete, "{cut}");
        }
    }

    #[test]
    fn a_header_with_a_wrong_bit_is_never_taken_for_a_good_one() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let beginning = Beginning::parse(&wrong);
            assert!(!matches!(beginning, Beginning::Header(..)), "{bit}");
        }
    }

    #[test]
    fn the_version_is_read_before_anything_that_it_may_change() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&7u32.to_le_bytes());
        assert_eq!(Beginning::parse(&bytes), Beginning::Newer(7));
        bytes.extend_from_slice(&[0xff; 5_000]);
        assert_eq!(Beginning::parse(&bytes), Beginning::Newer(7));
        assert_eq!(Beginning::parse(b"#!/bin/sh\n"), Beginning::Damaged);
        assert_eq!(Beginning::parse(&[0; 4_096]), Beginning::Damaged);
    }
}
