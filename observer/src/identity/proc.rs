//! What the process table in /proc says, read without allocating.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::sys::ExitStatus;

/// A path made on the stack.
struct ProcPath {
    bytes: [u8; 48],
    length: usize,
}

impl ProcPath {
    fn new(path: fmt::Arguments<'_>) -> Option<Self> {
        let mut made = Self { bytes: [0; 48], length: 0 };
        made.write_fmt(path).ok()?;
        Some(made)
    }

    fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.bytes.get(..self.length).unwrap_or_default()))
    }
}

impl Write for ProcPath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The beginning of a file, as far as the buffer holds it.
pub(super) fn read<'a>(path: fmt::Arguments<'_>, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // The standard library opens short paths without allocating.
    let mut file = File::open(ProcPath::new(path)?.as_path()).ok()?;
    let mut filled = 0;
    loop {
        match file.read(buffer.get_mut(filled..)?) {
            Ok(0) => return buffer.get(..filled),
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// What is needed of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) is_zombie: bool,
    /// In ticks since boot.
    pub(super) started: u64,
    /// Of a zombie; of a living process, and to those who may not see it, a 0.
    pub(super) exit_status: Option<ExitStatus>,
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    let mut buffer = [0; 1_024];
    parse_stat(read(format_args!("/proc/{pid}/stat"), &mut buffer)?)
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name of the program may hold anything, brackets and spaces too.
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(text.get(after_name..)?).ok()?;
    // The fields are counted from 1, and the first after the name is the third.
    const NEXT: usize = 3;
    const STARTED: usize = 22;
    const EXIT_CODE: usize = 52;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(STARTED - NEXT - 1)?.parse().ok()?;
    // Not there before Linux 3.5.
    let exit_code = fields.nth(EXIT_CODE - STARTED - 1).and_then(|code| code.parse().ok());
    Some(Stat {
        is_zombie: matches!(state, "Z" | "X"),
        started,
        exit_status: exit_code.map(ExitStatus::from_wait),
    })
}

/// Whether this process may see what of that one is not for everybody.
pub(super) fn may_trace(pid: u32) -> bool {
    // Following this link takes the same right as the exit code does.
    ProcPath::new(format_args!("/proc/{pid}/ns/pid"))
        .is_some_and(|path| fs::metadata(path.as_path()).is_ok())
}

/// The name of a program as the process table has it: at most 15 bytes, any but zero.
///
/// A process chooses its name itself, so the name may hold terminal escapes and line breaks.
/// Formatting is safe for a terminal and for a format of lines: control characters, line and
/// paragraph separators and marks of the writing direction come out as `\u{..}`, and bytes that
/// are not UTF-8 as U+FFFD. [`as_bytes`](Self::as_bytes) returns the name unchanged.
///
/// ```
/// use varta_observer::ProgramName;
///
/// let unknown = ProgramName::default();
/// assert_eq!(unknown.to_string(), "");
/// assert!(unknown.as_bytes().is_empty());
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramName {
    bytes: [u8; 15],
    length: u8,
}

impl ProgramName {
    pub(crate) const UNKNOWN: Self = Self { bytes: [0; 15], length: 0 };

    /// The program name with these bytes; those beyond the 15th are left out.
    ///
    /// ```
    /// let name = varta_observer::ProgramName::from_bytes(b"varta-watch");
    /// assert_eq!(name.to_string(), "varta-watch");
    /// ```
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

    /// As the kernel has it. It need not be text; escape it before you print it.
    ///
    /// ```
    /// assert_eq!(varta_observer::ProgramName::default().as_bytes(), b"");
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl fmt::Display for ProgramName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if changes_how_text_is_shown(character) {
                    write!(f, "{}", character.escape_unicode())?;
                } else {
                    f.write_char(character)?;
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal or a reader of lines does something else with it than show it.
const fn changes_how_text_is_shown(character: char) -> bool {
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

/// Of the process that has this pid now.
pub(crate) fn program_name(pid: u32) -> Option<ProgramName> {
    let mut buffer = [0; 64];
    let name = read(format_args!("/proc/{pid}/comm"), &mut buffer)?;
    let name = name.strip_suffix(b"\n").unwrap_or(name);
    Some(ProgramName::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_hides_nothing() {
        let fields: Vec<String> = (4..=51).map(|field| field.to_string()).collect();
        let fields = fields.join(" ");
        let name = "(a) Z 1 (b) ) ";
        for (state, is_zombie) in [("S", false), ("Z", true), ("X", true), ("R", false)] {
            for (code, status) in [(0x700, ExitStatus::Code(7)), (139, ExitStatus::Signal(11))]
            {
                let text = format!("12 ({name}) {state} {fields} {code}\n");
                let exit_status = Some(status);
                let expected = Stat { is_zombie, started: 22, exit_status };
                assert_eq!(parse_stat(text.as_bytes()), Some(expected), "{text}");
            }
        }
        let before_exit_codes = format!("12 ({name}) S {fields}\n");
        assert_eq!(parse_stat(before_exit_codes.as_bytes()).unwrap().exit_status, None);
        for text in ["", "12", "12 (a)", "12 (a) S", "12 (a) S 4 5"] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_is_in_the_table() {
        let pid = std::process::id();
        let stat = stat(pid).unwrap();
        assert!(!stat.is_zombie && stat.started > 0);
        assert!(may_trace(pid));
        let name = program_name(pid).unwrap();
        let comm = fs::read(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!([name.as_bytes(), b"\n"].concat(), comm);
        assert_eq!(program_name(u32::MAX), None);
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_all_the_same() {
        let mut name = ProgramName { bytes: [b'x'; 15], length: 3 };
        name.bytes[1] = 0xFF;
        assert_eq!(name.to_string(), "x\u{FFFD}x");
        assert_eq!(size_of::<ProgramName>(), 16);
    }

    #[test]
    fn a_name_cannot_carry_control_characters_into_text() {
        let shown = |name: &str| {
            let mut bytes = [0; 15];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            let length = name.len().try_into().unwrap();
            let name = ProgramName { bytes, length };
            assert_eq!(name.as_bytes(), &bytes[..usize::from(length)]);
            name.to_string()
        };
        assert_eq!(shown("\x1b]0;PWN\x07\nzz"), r"\u{1b}]0;PWN\u{7}\u{a}zz");
        assert_eq!(shown("a\u{7f}\u{9b}2J\r\tb"), r"a\u{7f}\u{9b}2J\u{d}\u{9}b");
        assert_eq!(shown("a\u{202e}b\u{2028}c\u{2066}"), r"a\u{202e}b\u{2028}c\u{2066}");
        assert_eq!(shown("f\u{fc}r \u{65e5}\u{672c} -.\\"), "f\u{fc}r \u{65e5}\u{672c} -.\\");
    }

    #[test]
    fn a_long_file_is_read_as_far_as_there_is_room() {
        let mut buffer = [0; 16];
        let text = read(format_args!("/proc/self/status"), &mut buffer).unwrap();
        assert!(text.starts_with(b"Name:\t") && text.len() == 16);
        let long = "x".repeat(48);
        assert_eq!(read(format_args!("/proc/{long}"), &mut buffer), None);
    }
}
