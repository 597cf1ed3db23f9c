//! Short texts of a fixed size.

use std::fmt::{self, Write};

use crate::escape::write_escaped_bytes;

/// A text of at most `N` bytes, as the kernel or a process wrote it. Formatting escapes control
/// characters.
///
/// ```
/// use varta_observer::judge::Text;
///
/// let text = Text::<8>::from_bytes(b"futex_do_wait");
/// assert_eq!(text.to_string(), "futex_do");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; N], length: 0 };

    /// The first `N` of these bytes, but 255 at most.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        let mut made = Self::EMPTY;
        made.push(text);
        made
    }

    /// Appends what fits.
    pub fn push(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.length.into()..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(text) {
            if self.length == u8::MAX {
                break;
            }
            *to = *from;
            self.length += 1;
        }
    }

    /// The bytes, which need not be UTF-8. Escape them before you print them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether it begins with this.
    #[must_use]
    pub fn starts_with(&self, text: &str) -> bool {
        self.as_bytes().starts_with(text.as_bytes())
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// Appends what fits, and fails never.
impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped_bytes(f, self.as_bytes())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}
