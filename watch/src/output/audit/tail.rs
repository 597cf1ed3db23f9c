//! Finds the last line of an audit log, however long that is, and the remains of an interrupted
//! write after it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::chain::{HEADER, Line, Link};

/// How much to read at a time when searching for the beginning of a line.
const BLOCK: usize = 64 * 1024;

/// The maximum length of a line that a daemon writes.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// The number of the last line, and its hash, which a line of varta-watch 0.2 may lack.
pub(super) type Last = (u64, Option<Link>);

/// The end of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Not an audit log, or one whose last line cannot be read.
    Unreadable(&'static str),
    /// Whole lines up to `length`, then `cut_off` bytes of an unfinished one. `last` is None if
    /// there is only a header; with a length of 0, there is no header either.
    Log { length: u64, cut_off: u64, last: Option<Last> },
}

impl Tail {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let end = file.metadata()?.len();
        let length = after_newline(file, end)?;
        let cut_off = end - length;
        if length == 0 {
            let header = HEADER.as_bytes();
            let mut begins = vec![0; header.len().min(usize::try_from(end).unwrap_or(BLOCK))];
            file.read_exact_at(&mut begins, 0)?;
            return Ok(match header.starts_with(&begins) {
                true => Self::Log { length, cut_off, last: None },
                false => Self::Unreadable("it does not begin like an audit log"),
            });
        }
        let first_line = format!("{HEADER}\n");
        let mut head = vec![0; first_line.len()];
        if length < head.len() as u64 {
            return Ok(Self::Unreadable("it does not begin like an audit log"));
        }
        file.read_exact_at(&mut head, 0)?;
        if head != first_line.as_bytes() {
            return Ok(Self::Unreadable("it does not begin like an audit log"));
        }
        if length == head.len() as u64 {
            return Ok(Self::Log { length, cut_off, last: None });
        }
        let begin = after_newline(file, length - 1)?;
        let Some(text) = read(file, begin, length - 1)? else {
            return Ok(Self::Unreadable("its last line is longer than 16 MiB"));
        };
        let last = std::str::from_utf8(&text).ok().and_then(Line::parse);
        Ok(match last {
            Some(line) => Self::Log { length, cut_off, last: Some((line.seq, line.link)) },
            None => Self::Unreadable("its last line cannot be read"),
        })
    }
}

/// The beginning of the line that contains `end`: after the newline before it, or 0.
fn after_newline(file: &File, mut end: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let length = usize::try_from(end - begin).unwrap_or(BLOCK);
        let part = block.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, begin)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn read(file: &File, begin: u64, end: u64) -> io::Result<Option<Vec<u8>>> {
    let length = end.saturating_sub(begin);
    if length > LONGEST_LINE {
        return Ok(None);
    }
    let mut text = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut text, begin)?;
    Ok(Some(text))
}
