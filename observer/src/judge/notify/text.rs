//! Short texts that a program chose itself.

use std::fmt;

use varta::internal::write_escaped;

/// At most `ROOM` bytes of UTF-8, cut between characters.
///
/// A program chooses the text itself, so it may hold anything. Formatting is safe for a terminal
/// and for a format of lines: control characters, line and paragraph separators and marks of the
/// writing direction come out as `\u{..}`. [`as_str`](Self::as_str) returns the text unchanged.
///
/// ```
/// use varta_observer::judge::ShortText;
///
/// let text = ShortText::<8>::new("a\u{1b}[2Jbcdefgh");
/// assert_eq!((text.as_str(), text.to_string().as_str()), ("a\u{1b}[2Jbcd", r"a\u{1b}[2Jbcd"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: u16,
}

impl<const ROOM: usize> ShortText<ROOM> {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; ROOM], length: 0 };

    /// The beginning of a text, as much as fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut length = text.len().min(ROOM).min(u16::MAX.into());
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let mut made = Self::EMPTY;
        for (to, from) in made.bytes.iter_mut().zip(text.bytes().take(length)) {
            *to = from;
        }
        made.length = u16::try_from(length).unwrap_or(0);
        made
    }

    /// The text as the program sent it. Escape it before you print it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length.into()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<const ROOM: usize> Default for ShortText<ROOM> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const ROOM: usize> fmt::Display for ShortText<ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.as_str())
    }
}

impl<const ROOM: usize> fmt::Debug for ShortText<ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(ShortText::<4>::new("ab\u{20ac}").as_str(), "ab");
        assert_eq!(ShortText::<5>::new("ab\u{20ac}").as_str(), "ab\u{20ac}");
        assert_eq!(ShortText::<3>::new("abcdef").as_str(), "abc");
        assert!(ShortText::<2>::new("\u{20ac}").is_empty());
    }
}
