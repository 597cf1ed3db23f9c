//! The file itself: appended to in whole lines, rotated when it is large.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::output::files;
use crate::output::rotation::Rotation;

/// A line that was cut off is not longer than this.
const LONGEST_LINE: u64 = 4096;

/// Its lines name processes, which is nothing for everybody to read.
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

    /// Writes lines; if that fails, no part of one stays.
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

    /// Has the disk keep what was written, if it is time for that.
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

/// Opens a file at its end. What a daemon that was killed has left of a line is cut off.
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
            "the export file ended in the middle of a line, which was cut off"
        );
        file.set_len(length - cut_off)?;
    }
    Ok((file, length - cut_off))
}
