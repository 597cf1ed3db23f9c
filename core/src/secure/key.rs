//! 32-byte keys: how they are read, and how they are wiped.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use crate::sys;

const HEX_DIGITS: usize = 64;

/// A shared key, a master key or an agent's key. It is wiped from memory when dropped, never
/// printed, and cannot be cloned.
///
/// ```
/// use varta::secure::Key;
///
/// let key = Key::from_bytes([0x2a; 32]);
/// assert_eq!(format!("{key:?}"), "Key(..)");
/// ```
///
/// The bytes are on the heap; moving a key does not copy them.
pub struct Key(Box<[u8; 32]>);

impl Key {
    /// Makes a key from 32 bytes.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let mut key = Self::empty();
        key.0.copy_from_slice(&bytes);
        bytes.zeroize();
        key
    }

    fn empty() -> Self {
        Self(Box::new([0; 32]))
    }

    /// Reads 64 hex digits, in upper or lower case.
    ///
    /// ```
    /// use varta::secure::{Key, KeyError};
    ///
    /// let key = Key::from_hex(&"2A".repeat(32)).unwrap();
    /// assert_eq!(key.as_bytes(), &[42; 32]);
    /// assert_eq!(Key::from_hex("2a").unwrap_err(), KeyError::Length(2));
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError`] describes what is wrong, without repeating any digit.
    pub fn from_hex(hex: &str) -> Result<Self, KeyError> {
        Self::from_digits(hex.as_bytes())
    }

    /// Reads a file of 64 hex digits and an optional newline. A symlink is followed. The
    /// file must be a regular one that belongs to the effective user or to root, and neither
    /// its group nor others may have any access.
    ///
    /// ```
    /// let error = varta::secure::Key::from_file("/nonexistent/key").unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read key file /nonexistent/key: "));
    /// ```
    ///
    /// # Errors
    ///
    /// The error names the file and the remedy. Its kind is `NotFound`, `PermissionDenied`
    /// (also for a file that belongs to another user or that others can access), or
    /// `InvalidData` for a file that does not contain a key.
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::read(path).map_err(|error| {
            crate::outcome::with_context(
                &error,
                format!("cannot read key file {}", path.display()),
            )
        })
    }

    /// The bytes, for a cipher or a derivation.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn read(path: &Path) -> io::Result<Self> {
        // Without O_NONBLOCK, opening a FIFO would wait for a writer.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
        }
        if about.mode() & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "its mode {:04o} lets other users access it; run chmod 0600",
                    about.mode() & 0o7777
                ),
            ));
        }
        // Root can read and write every file anyway.
        let (owner, own) = (about.uid(), sys::effective_uid());
        if owner != own && owner != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it belongs to uid {owner}; run chown {own} on it"),
            ));
        }
        // Room for a line ending, and one more byte to detect a file that is too long.
        let mut text = Zeroizing::new([0; HEX_DIGITS + 3]);
        let mut length = 0;
        while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match (&file).read(rest) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let digits = match text.get(..length) {
            Some(all) if length < text.len() => all.trim_ascii_end(),
            _ => &*text,
        };
        Self::from_digits(digits)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn from_digits(digits: &[u8]) -> Result<Self, KeyError> {
        if digits.len() != HEX_DIGITS {
            return Err(KeyError::Length(digits.len()));
        }
        let mut key = Self::empty();
        for (place, (byte, pair)) in key.0.iter_mut().zip(digits.chunks_exact(2)).enumerate() {
            for (half, digit) in pair.iter().enumerate() {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    b'A'..=b'F' => digit - b'A' + 10,
                    _ => return Err(KeyError::NotHex(2 * place + half + 1)),
                };
                *byte = *byte << 4 | value;
            }
        }
        Ok(key)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why some text is not a key.
///
/// ```
/// use varta::secure::{Key, KeyError};
///
/// let error = Key::from_hex(&"0g".repeat(32)).unwrap_err();
/// assert_eq!(error, KeyError::NotHex(2));
/// assert_eq!(error.to_string(), "character 2 is not a hex digit");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// The text has this many bytes instead of 64.
    Length(usize),
    /// The character at this place, counted from 1, is not a hex digit.
    NotHex(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Not the length: a file that is too long is not read to its end.
            Self::Length(length) if *length > HEX_DIGITS => {
                f.write_str("a key is 64 hex digits; got more")
            }
            Self::Length(length) => write!(f, "a key is 64 hex digits; got {length}"),
            Self::NotHex(place) => write!(f, "character {place} is not a hex digit"),
        }
    }
}

impl std::error::Error for KeyError {}
