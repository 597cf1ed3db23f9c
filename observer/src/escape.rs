//! Bytes that a program chose itself, as text that is safe to show.

use std::fmt::{self, Write};

use varta::internal::write_escaped;

/// Writes bytes as text in which nothing is left that a terminal or a reader of lines
/// interprets. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn write_escaped_bytes(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    for chunk in text.utf8_chunks() {
        write_escaped(f, chunk.valid())?;
        if !chunk.invalid().is_empty() {
            f.write_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    Ok(())
}
