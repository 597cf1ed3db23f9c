//! Reading small files of the kernel by path, without allocating.

use std::ffi::{CStr, OsStr};
use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The standard library opens paths up to this length without allocating.
const LONGEST: usize = 380;

/// A path built on the stack.
pub(super) struct ShortPath {
    bytes: [u8; LONGEST],
    length: usize,
}

impl ShortPath {
    /// An error if the path is too long.
    pub(super) fn new(path: fmt::Arguments<'_>) -> io::Result<Self> {
        let mut built = Self { bytes: [0; LONGEST], length: 0 };
        built.write_fmt(path).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        Ok(built)
    }

    pub(super) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.written()))
    }

    /// The path as a C string, if it was built with a zero at its end.
    pub(super) fn as_c_str(&self) -> Option<&CStr> {
        CStr::from_bytes_with_nul(self.written()).ok()
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for ShortPath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Reads the beginning of a file, as much as fits the buffer. The files read here are small
/// enough that the kernel returns their content at once.
pub(super) fn read<'a>(path: fmt::Arguments<'_>, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut file = File::open(ShortPath::new(path)?.as_path())?;
    loop {
        match file.read(buffer) {
            Ok(count) => return Ok(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The number at the beginning of a text.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}

/// The words of a text.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The value of a line that begins with this word and ends with a number.
pub(super) fn keyed(text: &[u8], key: &[u8]) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = words(line);
        (words.next()? == key).then(|| words.next().and_then(number))?
    })
}
