//! A 32-byte key: where it comes from, and that it leaves no trace.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use crate::sys;

const HEX_DIGITS: usize = 64;

/// A shared key, a master key or an agent's key. Wiped from memory when dropped, never
/// printed, and not to be cloned by accident.
///
/// ```
/// use varta::secure::Key;
///
/// let key = Key::from_bytes([0x2a; 32]);
/// assert_eq!(format!("{key:?}"), "Key(..)");
/// ```
///
/// The bytes have one place in memory; moving a key copies no byte of it.
pub struct Key(Box<[u8; 32]>);

impl Key {
    /// Takes 32 bytes as a key.
    ///
    /// ```
    /// let key = varta::secure::Key::from_bytes([7; 32]);
    /// assert_eq!(key.as_bytes(), &[7; 32]);
    /// ```
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

    /// Reads 64 hex digits, of either case.
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
    /// [`KeyError`] says what is wrong, without repeating any digit.
    pub fn from_hex(hex: &str) -> Result<Self, KeyError> {
        Self::from_digits(hex.as_bytes())
    }

    /// Reads a file of 64 hex digits and perhaps a newline. A symlink is followed; what
    /// it leads to must be a regular file that belongs to the effective user or to root,
    /// and that neither group nor others can read or write.
    ///
    /// ```
    /// let error = varta::secure::Key::from_file("/nonexistent/key").unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read key file /nonexistent/key: "));
    /// ```
    ///
    /// # Errors
    ///
    /// Names the file and what to do about it. The kind tells the cases apart:
    /// `NotFound`, `PermissionDenied` (also for a file of another user or that others can
    /// read), and
    /// `InvalidData` for everything that is no key.
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
    ///
    /// ```
    /// assert_eq!(varta::secure::Key::from_bytes([1; 32]).as_bytes().len(), 32);
    /// ```
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
        // Room for a line ending, and one byte more, which only what is too long fills.
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
    /// Not 64 digits, but this many bytes.
    Length(usize),
    /// The character at this place, counted from 1, is not a hex digit.
    NotHex(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A file is read only as far as it takes to see that it is too long.
            Self::Length(length) if *length > HEX_DIGITS => {
                f.write_str("a key is 64 hex digits; this is longer")
            }
            Self::Length(length) => write!(f, "a key is 64 hex digits; here are {length}"),
            Self::NotHex(place) => write!(f, "character {place} is not a hex digit"),
        }
    }
}

impl std::error::Error for KeyError {}
