//! Checking a log that was kept: that each line follows from the one before.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::chain::{HEADER, Line, Link};

/// What was found of a file, or of several that follow one another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// So many lines hold; the last file may end in the middle of a line.
    Holds { lines: u64, cut_off: u64 },
    /// The first line that does not, counted from 1, and why.
    Broken { line: u64, why: String },
}

/// A line that was noted elsewhere, which the log has to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    pub(crate) seq: u64,
    pub(crate) link: Link,
}

/// Where a check has come to.
#[derive(Debug, Default)]
pub(crate) struct Position {
    anchor: Option<Anchor>,
    first: Option<u64>,
    last: Option<(u64, Link)>,
    lines: u64,
}

/// Checks a file, which goes on from the one before if there was one.
pub(crate) fn verify(path: &Path, position: &mut Position) -> io::Result<Finding> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        text.clear();
        if reader.read_until(b'\n', &mut text)? == 0 {
            return Ok(Finding::Holds { lines: position.lines, cut_off: 0 });
        }
        at += 1;
        let Some(line) = text.strip_suffix(b"\n") else {
            let cut_off = text.len() as u64;
            return Ok(Finding::Holds { lines: position.lines, cut_off });
        };
        let line = std::str::from_utf8(line).unwrap_or_default();
        if at == 1 {
            if line != HEADER {
                let why = format!("it does not begin with {HEADER:?}");
                return Ok(Finding::Broken { line: at, why });
            }
        } else if let Err(why) = position.step(line) {
            return Ok(Finding::Broken { line: at, why });
        }
    }
}

impl Position {
    /// Before the first line of a log that has to hold this anchor.
    pub(crate) fn with_anchor(anchor: Option<Anchor>) -> Self {
        Self { anchor, ..Self::default() }
    }

    /// After the last file: whether the log reached the anchor.
    pub(crate) fn check_anchor(&self) -> Result<(), String> {
        let Some(Anchor { seq, .. }) = self.anchor else { return Ok(()) };
        match (self.first, self.last) {
            (Some(first), _) if first > seq => Err(format!(
                "it begins at line number {first}, after line number {seq}; give the older files \
                 too"
            )),
            (_, Some((last, _))) if last >= seq => Ok(()),
            (_, last) => {
                let last = last.map_or(0, |(last, _)| last);
                Err(format!(
                    "it ends at line number {last}, and line number {seq} was written: lines were \
                     removed"
                ))
            }
        }
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        let Some(line) = Line::parse(line) else {
            return Err("it is no line of this log".into());
        };
        let Some(link) = line.link else { return Err("it carries no hash".into()) };
        let before = match self.last {
            Some((seq, _)) if seq.checked_add(1) != Some(line.seq) => {
                return Err(format!("number {} follows number {seq}", line.seq));
            }
            Some((_, last)) => last,
            // The first line that is there may go on from a file that is not.
            None => line.goes_on_from.unwrap_or(Link::NONE),
        };
        if line.kind == "boot" && line.goes_on_from.unwrap_or(Link::NONE) != before {
            return Err("it does not go on from the line before".into());
        }
        if before.next(line.kind, line.body) != link {
            return Err("its hash does not follow: it, or one before it, was changed".into());
        }
        if self.anchor.is_some_and(|anchor| anchor.seq == line.seq && anchor.link != link) {
            return Err("its hash is not the one that was noted: lines were rewritten".into());
        }
        self.first.get_or_insert(line.seq);
        self.last = Some((line.seq, link));
        self.lines += 1;
        Ok(())
    }
}
