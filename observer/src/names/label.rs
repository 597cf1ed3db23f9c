//! A name that can be shown anywhere.

use std::fmt::{self, Write};

use crate::escape::write_escaped_bytes;

const LONGEST: usize = 63;

/// The name of an agent, or of its unit or container: valid text of at most 63 bytes, or empty.
///
/// It is cleaned where it is made, so it is safe for a terminal and for a format of lines:
/// control characters, line and paragraph separators and marks of the writing direction are
/// written as `\u{..}`, and bytes that are not UTF-8 as U+FFFD. White space at both ends is
/// removed. A name that is too long is cut.
///
/// ```
/// use varta_observer::Label;
///
/// let label = Label::new(b" index\x1b[2Jer\n");
/// assert_eq!(label.as_str(), r"index\u{1b}[2Jer");
/// assert!(Label::new(b" \n").is_empty());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Label {
    /// No name.
    pub const EMPTY: Self = Self { bytes: [0; LONGEST], length: 0 };

    /// Makes a label of any bytes. What follows a NUL is left out.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
        let mut label = Self::EMPTY;
        // An error means that there is no more room.
        let _ = write!(label, "{}", Cleaned(name));
        label
    }

    /// Makes a label of a name that means nothing if it is changed: empty if it is too long or
    /// would have to be cleaned.
    pub(crate) fn exactly(name: &[u8]) -> Self {
        let label = Self::new(name);
        if label.as_str().as_bytes() == name { label } else { Self::EMPTY }
    }

    /// The text, which is empty if there is no name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length.into()).unwrap_or_default();
        // It holds nothing but whole characters.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether there is no name.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// This label, or another if it is empty.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }
}

impl Default for Label {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Appends characters as long as there is room for them.
impl Write for Label {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        let start = usize::from(self.length);
        let length = character.len_utf8();
        let room = self.bytes.get_mut(start..start + length).ok_or(fmt::Error)?;
        character.encode_utf8(room);
        // At most 63.
        self.length = u8::try_from(start + length).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Bytes as text without anything that a terminal or a reader of lines interprets.
struct Cleaned<'a>(&'a [u8]);

impl fmt::Display for Cleaned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped_bytes(f, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_cleaned_text_of_at_most_63_bytes() {
        let long = "x".repeat(70);
        let wide = "\u{65e5}".repeat(30);
        let hidden = "\u{202e}".repeat(30);
        for (name, label) in [
            ("indexer", "indexer"),
            ("  two words \t", "two words"),
            ("", ""),
            (" \n ", ""),
            ("a\0b", "a"),
            ("\0", ""),
            ("a\u{1b}[2J\r\nb", r"a\u{1b}[2J\u{d}\u{a}b"),
            ("a\u{202e}b\u{2066}c\u{200f}\u{2028}", r"a\u{202e}b\u{2066}c\u{200f}\u{2028}"),
            ("a\"b'c\\d{}", "a\"b'c\\d{}"),
            (&long, &long[..63]),
            (&wide, &wide[..63]),
            // An escape may be cut, but what is left of it is harmless.
            (&hidden, &r"\u{202e}".repeat(8)[..63]),
        ] {
            assert_eq!(Label::new(name.as_bytes()).as_str(), label, "{name:?}");
        }
        assert_eq!(Label::new(b"x\xff\xfey").as_str(), "x\u{fffd}\u{fffd}y");
        assert_eq!(Label::new(&[0xff; 100]).as_str(), "\u{fffd}".repeat(21));
        assert_eq!(size_of::<Label>(), 64);
    }

    #[test]
    fn a_cleaned_label_stays_as_it_is() {
        for name in [&b"a\x1b\xffb"[..], "f\u{fc}r".as_bytes(), &[b'\n'; 90], &[0x80; 64]] {
            let label = Label::new(name);
            assert_eq!(Label::new(label.as_str().as_bytes()), label);
        }
    }

    #[test]
    fn a_name_that_would_have_to_be_changed_is_no_exact_label() {
        for name in [&b"a\x1bb"[..], b" a", b"a\xff", b"a\0", &[b'x'; 64]] {
            assert!(Label::exactly(name).is_empty(), "{name:?}");
        }
        assert_eq!(Label::exactly(&[b'x'; 63]).as_str().len(), 63);
    }
}
