//! Reading files that other users must not be able to read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::getuid;
use varta::secure::Key;
use zeroize::Zeroizing;

/// The maximum size of a file of keys or of a command.
const MOST_BYTES: u64 = 64 * 1024;

/// The bearer token. The HTTP server compares it in constant time, and it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let text = text_of(path)?;
        let digits = text.trim_ascii_end();
        let hex = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex { Ok(Self(digits.to_owned())) } else { Err(invalid("a token is 64 hex digits")) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Reads keys, one per line. Empty lines and lines that begin with # are ignored.
pub(super) fn keys_of(path: &Path) -> io::Result<Vec<Key>> {
    let text = text_of(path)?;
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| {
            Key::from_hex(line).map_err(|error| invalid(&format!("line {}: {error}", at + 1)))
        })
        .collect()
}

/// Reads a file that belongs to the daemon's user and that nobody else can access. The memory
/// is zeroed when the text is dropped.
pub(super) fn text_of(path: &Path) -> io::Result<Zeroizing<String>> {
    // Without O_NONBLOCK, opening a FIFO would block until there is a writer.
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(nonblock).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(denied(&format!(
            "its mode {mode:04o} lets other users access it; run chmod 0600"
        )));
    }
    if metadata.uid() != getuid().as_raw() {
        let (owner, own) = (metadata.uid(), getuid().as_raw());
        return Err(denied(&format!("it belongs to uid {owner}; chown it to uid {own}")));
    }
    // Enough capacity that the string never reallocates, which would leave a copy behind.
    let capacity = usize::try_from(MOST_BYTES).map_err(io::Error::other)? + 1024;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(invalid("it is longer than 64 KiB"));
    }
    Ok(text)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn denied(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_refused_instead_of_truncated() {
        let name = format!("varta-watch-secret-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let most = usize::try_from(MOST_BYTES).unwrap();
        let read = |length| {
            fs::write(&path, "x".repeat(length)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            text_of(&path).map(|text| text.len())
        };
        assert_eq!(read(most).unwrap(), most);
        assert!(read(most + 1).is_err());
        fs::remove_file(&path).unwrap();
    }
}
