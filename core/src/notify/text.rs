//! A text in one line, as STATUS takes it.

/// The longest text, in bytes. An observer keeps no more either.
const LONGEST: usize = 256;

const PREFIX: &[u8] = b"STATUS=";

/// The assignment of a status text.
pub(super) struct StatusLine {
    bytes: [u8; PREFIX.len() + LONGEST],
    length: usize,
}

impl StatusLine {
    /// A text that is longer than the bound is cut between two characters. Control characters
    /// become spaces: a newline would begin another assignment.
    pub(super) fn new(text: &str) -> Self {
        let mut line = Self { bytes: [0; PREFIX.len() + LONGEST], length: 0 };
        let _ = line.append(PREFIX);
        for character in text.chars() {
            let character = if character.is_control() { ' ' } else { character };
            if line.append(character.encode_utf8(&mut [0; 4]).as_bytes()).is_none() {
                break;
            }
        }
        line
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Appends all of it; None if there is no room.
    fn append(&mut self, part: &[u8]) -> Option<()> {
        let end = self.length + part.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(part);
        self.length = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        String::from_utf8(StatusLine::new(text).bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_text_stays_one_line() {
        assert_eq!(line(""), "STATUS=");
        assert_eq!(line("3 of 4 = \u{bd} \u{1f600}"), "STATUS=3 of 4 = \u{bd} \u{1f600}");
        assert_eq!(line("a\nREADY=1\r\n\0\u{1b}\u{85}b"), "STATUS=a READY=1     b");
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(line(&"x".repeat(256)), format!("STATUS={}", "x".repeat(256)));
        assert_eq!(line(&"x".repeat(257)), format!("STATUS={}", "x".repeat(256)));
        let wide = format!("{}\u{20ac}y", "x".repeat(254));
        assert_eq!(line(&wide), format!("STATUS={}", "x".repeat(254)));
    }
}
