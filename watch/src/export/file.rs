//! The file itself: appended to in whole lines, turned over when it is large.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::rotation::turn_over;

/// A line that was cut off is not longer than this.
const LONGEST_LINE: u64 = 4096;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: Option<u64>,
    /// 0 leaves it to the kernel.
    pub(crate) sync_every: u32,
}

#[derive(Debug)]
pub(super) struct ExportFile {
    options: Options,
    file: File,
    length: u64,
    unsynced: u64,
}

impl ExportFile {
    pub(super) fn open(options: Options) -> io::Result<Self> {
        let (file, length) = open(&options.path).map_err(|error| {
            let why = format!("--export-file {}: {error}", options.path.display());
            io::Error::new(error.kind(), why)
        })?;
        Ok(Self { options, file, length, unsynced: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.options.path
    }

    /// Writes lines; if that fails, no part of one stays.
    pub(super) fn write(&mut self, text: &str, lines: u64) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let more = text.len() as u64;
        let full = self.options.max_bytes.is_some_and(|most| self.length + more > most);
        if full && self.length > 0 {
            self.turn_over()?;
        }
        if let Err(error) = self.file.write_all_at(text.as_bytes(), self.length) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += more;
        self.unsynced += lines;
        let every = u64::from(self.options.sync_every);
        if every > 0 && self.unsynced >= every { self.sync() } else { Ok(()) }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self.file.sync_data() {
            // A pipe or a terminal has nothing to sync.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            synced => synced?,
        }
        self.unsynced = 0;
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.sync()?;
        turn_over(&self.options.path)?;
        (self.file, self.length) = open(&self.options.path)?;
        Ok(())
    }
}

/// Opens a file at its end. What a daemon that was killed has left of a line is cut off.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
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
