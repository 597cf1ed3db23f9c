//! The export file. Whole lines are appended, and it is rotated when it is too large.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::output::files;
use crate::output::rotation::Rotation;

/// The maximum length of an unfinished line.
const LONGEST_LINE: u64 = 4096;

/// Not readable by all users, because the lines name processes.
const MODE: u32 = 0o640;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: Option<u64>,
    /// 0 leaves it to the kernel.
    pub(crate) sync_every: u32,
}

#[derive(Debug)]
pub(super) struct ExportFile {
    path: PathBuf,
    sync_every: u64,
    rotation: Rotation,
    file: File,
    length: u64,
    unsynced: u64,
}

impl ExportFile {
    pub(super) fn open(options: Options) -> io::Result<Self> {
        let Options { path, max_bytes, sync_every } = options;
        let (file, length) = open(&path).map_err(|error| {
            let why = format!("--export-file {}: {error}", path.display());
            io::Error::new(error.kind(), why)
        })?;
        let rotation = Rotation::new(path.clone(), MODE, max_bytes);
        Ok(Self { path, sync_every: sync_every.into(), rotation, file, length, unsynced: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes lines. If that fails, the file is unchanged.
    pub(super) fn write(&mut self, text: &str, lines: u64) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let more = text.len() as u64;
        if self.length > 0 && self.rotation.is_due(self.length + more) {
            self.rotate();
        }
        if let Err(error) = self.file.write_all_at(text.as_bytes(), self.length) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += more;
        self.unsynced += lines;
        Ok(())
    }

    /// Syncs the file if it is time to.
    pub(super) fn sync_if_due(&mut self) -> io::Result<()> {
        let due = self.sync_every > 0 && self.unsynced >= self.sync_every;
        if due { self.sync() } else { Ok(()) }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.unsynced = 0;
        Ok(())
    }

    fn rotate(&mut self) {
        let old = &self.file;
        // Nothing syncs the old file later.
        if let Some(new) = self.rotation.rotate(|_| old.sync_data()) {
            (self.file, self.length, self.unsynced) = (new, 0, 0);
        }
    }
}

/// Opens a file at its end, and removes an unfinished line that a killed daemon left there.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = files::open(path, MODE)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let cut_off = tail.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
    if cut_off > 0 {
        warn!(
            file = %path.display(),
            bytes = cut_off,
            "the export file ended with an unfinished line, which was removed"
        );
        file.set_len(length - cut_off)?;
    }
    Ok((file, length - cut_off))
}
