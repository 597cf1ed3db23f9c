//! The name of a program.

use std::fmt;

use crate::escape::write_escaped_bytes;

/// The name of a program as the process table has it: at most 15 bytes, any but zero.
///
/// A process chooses its name itself, so the name may hold terminal escapes and line breaks.
/// Formatting is safe for a terminal and for a format of lines: control characters, line and
/// paragraph separators and marks of the writing direction come out as `\u{..}`, and bytes that
/// are not UTF-8 as U+FFFD. [`as_bytes`](Self::as_bytes) returns the name unchanged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramName {
    bytes: [u8; 15],
    length: u8,
}

impl ProgramName {
    pub(crate) const UNKNOWN: Self = Self { bytes: [0; 15], length: 0 };

    /// A program name with these bytes; those after the 15th are ignored.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        let mut bytes = [0; 15];
        let mut length = 0;
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
            length += 1;
        }
        Self { bytes, length }
    }

    /// The bytes as the kernel stores them. They need not be UTF-8; escape them before you
    /// print them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl fmt::Display for ProgramName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped_bytes(f, self.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_shown_as_replacement_characters() {
        let name = ProgramName::from_bytes(b"x\xFFx");
        assert_eq!(name.to_string(), "x\u{FFFD}x");
        assert_eq!(size_of::<ProgramName>(), 16);
    }

    #[test]
    fn a_name_cannot_carry_control_characters_into_text() {
        let shown = |text: &str| {
            let name = ProgramName::from_bytes(text.as_bytes());
            assert_eq!(name.as_bytes(), text.as_bytes());
            name.to_string()
        };
        assert_eq!(shown("\x1b]0;PWN\x07\nzz"), r"\u{1b}]0;PWN\u{7}\u{a}zz");
        assert_eq!(shown("a\u{7f}\u{9b}2J\r\tb"), r"a\u{7f}\u{9b}2J\u{d}\u{9}b");
        assert_eq!(shown("a\u{202e}b\u{2028}c\u{2066}"), r"a\u{202e}b\u{2028}c\u{2066}");
        assert_eq!(shown("f\u{fc}r \u{65e5}\u{672c} -.\\"), "f\u{fc}r \u{65e5}\u{672c} -.\\");
    }
}
