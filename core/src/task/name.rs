//! The names of tasks.

use std::fmt;
use std::str;

use crate::escape::{changes_how_text_is_shown, write_escaped};

/// The longest name in bytes.
const LONGEST: usize = 23;

/// The name of a task: 1 to 23 bytes of UTF-8 without control characters. Names need not be
/// unique. Formatting is safe for a terminal and for a format of lines: separators of lines and
/// marks of the writing direction come out as `\u{..}`.
///
/// ```
/// use varta::TaskName;
///
/// let name = TaskName::new("ingest").unwrap();
/// assert_eq!(name.as_str(), "ingest");
/// assert_eq!(TaskName::new(""), None);
/// assert_eq!(TaskName::new("a name of twenty-four b."), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskName([u8; LONGEST + 1]);

impl TaskName {
    /// The name with this text, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return None;
        }
        let mut bytes = [0; LONGEST + 1];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// The name in these bytes, which are padded with zeros.
    #[must_use]
    pub fn from_bytes(bytes: [u8; LONGEST + 1]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (text, padding) = bytes.split_at_checked(end)?;
        let padded = padding.iter().all(|byte| *byte == 0);
        Self::new(str::from_utf8(text).ok()?).filter(|_| padded)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(LONGEST);
        self.0.get(..end).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// Its bytes, padded with zeros.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; LONGEST + 1] {
        self.0
    }

    pub(crate) fn to_words(self) -> [u64; 3] {
        let mut words = [0; 3];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(8)) {
            *word = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        }
        words
    }

    pub(crate) fn from_words(words: [u64; 3]) -> Option<Self> {
        let mut bytes = [0; LONGEST + 1];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self::from_bytes(bytes)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            text if text.chars().any(changes_how_text_is_shown) => write_escaped(f, text),
            text => f.pad(text),
        }
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_change_how_text_is_shown() {
        let shown = |text| format!("{:8}|", TaskName::new(text).unwrap());
        assert_eq!(shown("größe"), "größe   |");
        assert_eq!(shown("a\u{202e}b\u{2028}c"), r"a\u{202e}b\u{2028}c|");
    }

    #[test]
    fn only_short_printable_text_is_a_name() {
        let longest = "x".repeat(LONGEST);
        for text in ["a", "größe", "two words", longest.as_str()] {
            let name = TaskName::new(text).unwrap();
            assert_eq!((name.as_str(), name.to_string()), (text, text.to_owned()));
            assert_eq!(TaskName::from_words(name.to_words()), Some(name));
        }
        for text in ["", "\n", "a\0b", "\u{85}", &"x".repeat(LONGEST + 1)] {
            assert_eq!(TaskName::new(text), None, "{text:?}");
        }
        for bytes in
            [[0xff; 24], [b'x'; 24], *b"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(TaskName::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
