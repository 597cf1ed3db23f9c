//! How far a reader has come.

use std::fmt;
use std::str::FromStr;

use crate::run::Run;

/// How far a reader has come: the last record that it has read. As text it is the run, the
/// number of the segment and that of the record, which a program can store.
///
/// ```
/// use varta_history::{Cursor, Run};
///
/// let run = Run { boot_id: [0xab; 16], start_us: 7 };
/// let cursor = Cursor { run, segment: 12, seq: 99 };
/// assert_eq!(cursor.to_string(), "abababababababababababababababab-7/12/99");
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The run of the daemon.
    pub run: Run,
    /// The number of the segment.
    pub segment: u64,
    /// The number of the record; 0 before the first one of a run.
    pub seq: u64,
}

/// The text is not that of a [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.segment, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parts: Vec<_> = text.split('/').collect();
        let [run, segment, seq] = parts.as_slice() else { return Err(InvalidCursor) };
        let run = run.parse().map_err(|_| InvalidCursor)?;
        let segment = segment.parse().map_err(|_| InvalidCursor)?;
        let seq = seq.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { run, segment, seq })
    }
}

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a run, a segment's number and a record's number, with slashes between")
    }
}

impl std::error::Error for InvalidCursor {}
