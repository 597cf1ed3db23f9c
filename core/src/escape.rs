//! Text that others have chosen, for terminals and for formats of lines.

use std::fmt::{self, Write};

/// Writes text in which control characters, line and paragraph separators and marks of the
/// writing direction are replaced by `\u{..}`.
///
/// # Errors
///
/// Those of the formatter.
pub fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        if changes_how_text_is_shown(character) {
            write!(f, "{}", character.escape_unicode())?;
        } else {
            f.write_char(character)?;
        }
    }
    Ok(())
}

/// Whether a terminal or a line-based reader interprets this character instead of displaying
/// it.
pub(crate) const fn changes_how_text_is_shown(character: char) -> bool {
    matches!(
    character,
    // Controls: C0, DEL and C1.
    '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Marks, embeddings, overrides and isolates of the writing direction.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Separators of lines and of paragraphs.
        | '\u{2028}' | '\u{2029}'
    )
}
