//! Rotates a file: PATH is renamed to PATH.1, PATH.1 to PATH.2, and so on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{error, info};

use crate::output::files;

/// The number of old files to keep.
const KEPT: u32 = 5;

/// The wait before a failed rotation is retried.
const RETRY: Duration = Duration::from_secs(1);

/// The rotation of one file.
#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    mode: u32,
    max_bytes: Option<u64>,
    /// When the last attempt failed, if it did.
    failed: Option<Instant>,
}

impl Rotation {
    pub(crate) const fn new(path: PathBuf, mode: u32, max_bytes: Option<u64>) -> Self {
        Self { path, mode, max_bytes, failed: None }
    }

    /// Whether to rotate a file of this length.
    pub(crate) fn is_due(&self, length: u64) -> bool {
        self.max_bytes.is_some_and(|most| length > most)
            && self.failed.is_none_or(|at| at.elapsed() >= RETRY)
    }

    /// Replaces the file with a new one, after `begin` has written its beginning, and returns
    /// the new one. If that fails, it logs the error and keeps all files; the caller continues
    /// to write to the current one.
    pub(crate) fn rotate(
        &mut self,
        begin: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Option<File> {
        let file = self.path.display();
        match replace(&self.path, self.mode, begin) {
            Ok(new) => {
                if self.failed.take().is_some() {
                    info!(%file, "rotation works again");
                }
                Some(new)
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    error!(%error, %file, "cannot rotate the file; it grows beyond its maximum size");
                }
                None
            }
        }
    }
}

/// The path of the newest old file.
pub(crate) fn previous(path: &Path) -> PathBuf {
    numbered(path, 1)
}

/// Opens the new file before any old one is renamed, so that no file is lost if that fails.
pub(crate) fn replace(
    path: &Path,
    mode: u32,
    begin: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let beside = files::with_suffix(path, ".new");
    let mut new = files::create(&beside, mode)?;
    let replaced = begin(&mut new).and_then(|()| rename_all(&beside, path));
    if let Err(error) = replaced {
        // If this fails, the next attempt removes the leftover.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    Ok(new)
}

fn rename_all(new: &Path, path: &Path) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        rename(&numbered(path, number), &numbered(path, number + 1))?;
    }
    rename(path, &previous(path))?;
    fs::rename(new, path).inspect_err(|_| {
        // The current file gets its name back. If this fails too, it keeps the name of an old
        // one until the next rotation.
        let _ = fs::rename(previous(path), path);
    })
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    files::with_suffix(path, &format!(".{number}"))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}
