//! Verifies an audit log: each line has to follow from the previous one.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::chain::{HEADER, Line, Link};

/// The result for one file, or for several consecutive ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// All lines are valid. The last `cut_off` bytes are an unfinished line.
    Valid { lines: u64, cut_off: u64 },
    /// The first invalid line, counted from 1, and why it is invalid.
    Invalid { line: u64, why: String },
}

/// A line known from elsewhere, which the log has to contain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    pub(crate) seq: u64,
    pub(crate) link: Link,
}

/// The progress of a verification.
#[derive(Debug, Default)]
pub(crate) struct Position {
    anchor: Option<Anchor>,
    first: Option<u64>,
    last: Option<(u64, Link)>,
    lines: u64,
}

/// Verifies a file, which has to continue from the previous one if there was one.
pub(crate) fn verify(path: &Path, position: &mut Position) -> io::Result<Finding> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        text.clear();
        if reader.read_until(b'\n', &mut text)? == 0 {
            return Ok(Finding::Valid { lines: position.lines, cut_off: 0 });
        }
        at += 1;
        let Some(line) = text.strip_suffix(b"\n") else {
            let cut_off = text.len() as u64;
            return Ok(Finding::Valid { lines: position.lines, cut_off });
        };
        let line = std::str::from_utf8(line).unwrap_or_default();
        if at == 1 {
            if line != HEADER {
                let why = format!("it does not begin with {HEADER:?}");
                return Ok(Finding::Invalid { line: at, why });
            }
        } else if let Err(why) = position.step(line) {
            return Ok(Finding::Invalid { line: at, why });
        }
    }
}

impl Position {
    /// Begins the verification of a log that has to contain this anchor.
    pub(crate) fn with_anchor(anchor: Option<Anchor>) -> Self {
        Self { anchor, ..Self::default() }
    }

    /// Checks whether the log reached the anchor. Call this after the last file.
    pub(crate) fn check_anchor(&self) -> Result<(), String> {
        let Some(Anchor { seq, .. }) = self.anchor else { return Ok(()) };
        match (self.first, self.last) {
            (Some(first), _) if first > seq => Err(format!(
                "it begins at line number {first}, after line number {seq}; pass the older files \
                 too"
            )),
            (_, Some((last, _))) if last >= seq => Ok(()),
            (_, last) => {
                let last = last.map_or(0, |(last, _)| last);
                Err(format!(
                    "it ends at line number {last}, but line number {seq} was written: lines were \
                     removed"
                ))
            }
        }
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        let Some(line) = Line::parse(line) else {
            return Err("it is not a valid line of an audit log".into());
        };
        let Some(link) = line.link else { return Err("it has no hash".into()) };
        let before = match self.last {
            Some((seq, _)) if seq.checked_add(1) != Some(line.seq) => {
                return Err(format!("line number {} follows line number {seq}", line.seq));
            }
            Some((_, last)) => last,
            // The first line may continue from a file that is not given.
            None => line.continues_from.unwrap_or(Link::NONE),
        };
        if line.kind == "boot" && line.continues_from.unwrap_or(Link::NONE) != before {
            return Err("it does not continue from the previous line".into());
        }
        if before.next(line.kind, line.body) != link {
            return Err("its hash is wrong: this line or an earlier one was changed".into());
        }
        if self.anchor.is_some_and(|anchor| anchor.seq == line.seq && anchor.link != link) {
            return Err(
                "its hash differs from the one given with --at-least: lines were rewritten"
                    .into(),
            );
        }
        self.first.get_or_insert(line.seq);
        self.last = Some((line.seq, link));
        self.lines += 1;
        Ok(())
    }
}
