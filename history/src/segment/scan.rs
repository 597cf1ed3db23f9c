//! Reads the frames of a segment, and goes on after damaged ones.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::frame::{self, Frame, NoFrame};

const CHUNK: usize = 256 * 1024;

/// After damage, a frame counts only if its number is at most this far from the last one. By
/// chance, one of 2^32 places in a file has a good checksum.
const FARTHEST_SEQ: u64 = 1 << 24;

/// A record may be about a moment before that of the one in front of it, but not by more.
const LONGEST_DELAY_NS: u64 = 60_000_000_000;

/// Reads the frames of one file from a place on, also while it grows.
#[derive(Debug)]
pub(crate) struct Scan {
    file: File,
    /// Where in the file the buffer begins.
    start: u64,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame begins.
    at: usize,
    /// Where in the buffer the bytes of the file end.
    end: usize,
    last_seq: u64,
    last_ns: u64,
}

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Frame),
    /// Bytes that are not a frame, before one that is.
    Damaged {
        offset: u64,
        bytes: u64,
    },
    /// The end for now, and how many bytes before it are not a frame. They may be the beginning
    /// of one.
    End {
        torn: u64,
    },
}

impl Scan {
    pub(crate) fn new(file: File, offset: u64, last_seq: u64, last_ns: u64) -> Self {
        Self { file, start: offset, buffer: Vec::new(), at: 0, end: 0, last_seq, last_ns }
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The body of the frame that was returned last.
    pub(crate) fn body(&self, frame: &Frame) -> &[u8] {
        let from = self.at.saturating_sub(frame.length);
        let body = from + frame.body.start..from + frame.body.end;
        self.buffer.get(body).unwrap_or_default()
    }

    /// Reads on.
    pub(crate) fn next(&mut self) -> io::Result<Step> {
        let frame = loop {
            match frame::parse(self.rest(0)) {
                Ok(frame) => break frame,
                Err(NoFrame::Incomplete) if self.fill()? => {}
                Err(_) => return self.skip_damage(),
            }
        };
        self.at += frame.length;
        self.last_seq = frame.seq;
        if !frame.again {
            self.last_ns = frame.observer_ns;
        }
        Ok(Step::Frame(frame))
    }

    fn rest(&self, skip: usize) -> &[u8] {
        self.buffer.get(self.at + skip..self.end).unwrap_or_default()
    }

    /// Whether the file has no name any more.
    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Reads more into the buffer. Returns false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.start += self.at as u64;
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        if self.buffer.len() - self.end < CHUNK / 2 {
            let mut larger = vec![0; self.end + CHUNK];
            if let (Some(to), Some(from)) =
                (larger.get_mut(..self.end), self.buffer.get(..self.end))
            {
                to.copy_from_slice(from);
            }
            self.buffer = larger;
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.file.read_at(room, self.start + self.end as u64) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Searches for the next frame.
    fn skip_damage(&mut self) -> io::Result<Step> {
        let (mut skip, mut has_more) = (1, true);
        loop {
            // A frame that reaches beyond the buffer is read as a whole first.
            while has_more && self.rest(skip).len() < frame::LONGEST {
                has_more = self.fill()?;
            }
            let rest = self.rest(skip);
            if rest.is_empty() {
                return Ok(Step::End { torn: self.rest(0).len() as u64 });
            }
            if frame::parse_if(rest, |frame| self.may_follow(frame)).is_ok() {
                let offset = self.offset();
                self.at += skip;
                return Ok(Step::Damaged { offset, bytes: skip as u64 });
            }
            skip += 1;
        }
    }

    fn may_follow(&self, frame: &Frame) -> bool {
        let farther = frame.seq.checked_sub(self.last_seq);
        farther.is_some_and(|farther| farther <= FARTHEST_SEQ)
            && (frame.again
                || frame.observer_ns.saturating_add(LONGEST_DELAY_NS) >= self.last_ns)
    }
}
