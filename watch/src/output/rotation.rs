//! Rotating a file: it becomes PATH.1, what was PATH.1 becomes PATH.2, and so on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{error, info};

use crate::output::files;

/// How many old files are kept.
const KEPT: u32 = 5;

/// After a rotation that failed, the next is tried this much later.
const RETRY: Duration = Duration::from_secs(1);

/// The rotation of one file.
#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    mode: u32,
    max_bytes: Option<u64>,
    /// When it failed last, if it has not succeeded since.
    failed: Option<Instant>,
}

impl Rotation {
    pub(crate) const fn new(path: PathBuf, mode: u32, max_bytes: Option<u64>) -> Self {
        Self { path, mode, max_bytes, failed: None }
    }

    /// Whether a file is to be rotated before it has this length, or because it has.
    pub(crate) fn is_due(&self, length: u64) -> bool {
        self.max_bytes.is_some_and(|most| length > most)
            && self.failed.is_none_or(|at| at.elapsed() >= RETRY)
    }

    /// Puts a new file in the place of the old one and returns it, once `begin` has written
    /// what it begins with. Where that fails, the log says so, all old files stay, and the
    /// current one is to be written further.
    pub(crate) fn rotate(
        &mut self,
        begin: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Option<File> {
        let file = self.path.display();
        match replace(&self.path, self.mode, begin) {
            Ok(new) => {
                if self.failed.take().is_some() {
                    info!(%file, "the file is rotated again");
                }
                Some(new)
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    error!(%error, %file, "rotation failed; the file is written further beyond its size");
                }
                None
            }
        }
    }
}

/// The path of the youngest old file.
pub(crate) fn previous(path: &Path) -> PathBuf {
    numbered(path, 1)
}

/// Opens the new file before any old one is renamed, so that none is lost where it cannot be
/// opened.
pub(crate) fn replace(
    path: &Path,
    mode: u32,
    begin: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let beside = files::with_suffix(path, ".new");
    let mut new = files::create(&beside, mode)?;
    let replaced = begin(&mut new).and_then(|()| take_place(&beside, path));
    if let Err(error) = replaced {
        // A leftover is removed by the next try, too.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    Ok(new)
}

fn take_place(new: &Path, path: &Path) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        rename(&numbered(path, number), &numbered(path, number + 1))?;
    }
    rename(path, &previous(path))?;
    fs::rename(new, path).inspect_err(|_| {
        // The current file is written further under its own name. If this fails too, it
        // keeps the name of an old one until the next rotation.
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
