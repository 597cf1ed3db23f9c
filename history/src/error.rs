//! Why a history could not be read or written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a history could not be read or written.
#[derive(Debug)]
pub enum Error {
    /// Another daemon writes to the folder.
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Something that was done to a file or folder failed.
    Io {
        /// What was done, such as `write to`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
}

impl Error {
    /// The kind of the error of the operating system.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::InUse { .. } => io::ErrorKind::WouldBlock,
            Self::Io { error, .. } => error.kind(),
        }
    }
}

/// Adds what was done, and to what.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { what, path: path.to_owned(), error: error.into() })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { folder } => {
                let folder = folder.display();
                write!(
                    f,
                    "another daemon already writes the history in {folder}; give this one another folder"
                )
            }
            Self::Io { what, path, error } => {
                write!(f, "cannot {what} {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InUse { .. } => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}
