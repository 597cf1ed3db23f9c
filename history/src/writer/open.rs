//! Opens the folder of a history for writing, and repairs what a killed daemon left there.

use std::fmt;
use std::path::{Path, PathBuf};

use super::retention::{Limits, Retention};
use super::{Origin, Pending, Writer, begin};
use crate::clock::ClockPair;
use crate::error::{Doing, Error};
use crate::folder::Folder;
use crate::segment::{Beginning, Scan, Step};

/// What had to be repaired when a history was opened, or a file that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// The end of a segment, which was not a record, was removed.
    Cut {
        /// The segment.
        path: PathBuf,
        /// How many bytes were removed.
        bytes: u64,
    },
    /// A segment that ended before its header did was removed.
    Removed {
        /// The segment.
        path: PathBuf,
    },
    /// A newer version has written this segment. It is neither read nor removed.
    Newer {
        /// The segment.
        path: PathBuf,
        /// The version of its format.
        version: u32,
    },
}

impl Writer {
    /// Opens a folder, which is created if it does not exist, and begins a segment.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another writer has locked the folder; otherwise, if the folder or the
    /// segment cannot be created, or a file in it cannot be repaired.
    pub fn open(
        folder: &Path,
        limits: Limits,
        origin: Origin,
        now: ClockPair,
    ) -> Result<Self, Error> {
        let folder = Folder::open_for_writing(folder)?;
        let mut retention = Retention::new(limits, now);
        let mut repairs = Vec::new();
        let numbers = folder.segments()?;
        let last = numbers.last().copied();
        for number in &numbers {
            let repair = inspect(&folder, *number, Some(*number) == last, &mut retention)?;
            repairs.extend(repair);
        }
        // The number of a file that was removed is free.
        let number = folder.segments()?.last().map_or(1, |last| last.saturating_add(1));
        let (file, length) = begin(&folder, number, &origin, 0, now, &[])?;
        let mut writer = Self {
            folder,
            origin,
            retention,
            repairs,
            file,
            number,
            next_number: number.saturating_add(1),
            length,
            began_with: length,
            began_ns: now.observer_ns,
            begin_after_ns: 0,
            pending: Pending { next_seq: 1, ..Pending::default() },
            records: 0,
            highest: 0,
            has_unsynced: false,
            synced_ns: now.observer_ns,
        };
        writer.sync(now)?;
        writer.retention.apply(&writer.folder, length, now)?;
        Ok(writer)
    }
}

/// Looks at a segment of an earlier run. Only in the last one can a killed daemon have left
/// something unfinished.
fn inspect(
    folder: &Folder,
    number: u64,
    is_last: bool,
    retention: &mut Retention,
) -> Result<Option<Repair>, Error> {
    let path = folder.path_of(number);
    let file = folder.read(number)?;
    let mut bytes = file.metadata().doing("look at", &path)?.len();
    let mut repair = None;
    match Beginning::read(&file).doing("read", &path)? {
        Beginning::Newer(version) => return Ok(Some(Repair::Newer { path, version })),
        Beginning::Incomplete if is_last => {
            folder.remove(number)?;
            return Ok(Some(Repair::Removed { path }));
        }
        Beginning::Header(header, length) if is_last => {
            let mut scan = Scan::new(file, length, header.seq, 0);
            let torn = loop {
                if let Step::End { torn } = scan.next().doing("read", &path)? {
                    break torn;
                }
            };
            if torn > 0 {
                bytes = scan.offset();
                let file = folder.repair(number)?;
                file.set_len(bytes).and_then(|()| file.sync_data()).doing("cut", &path)?;
                repair = Some(Repair::Cut { path, bytes: torn });
            }
        }
        Beginning::Header(..) | Beginning::Incomplete | Beginning::Damaged => {}
    }
    retention.add(number, bytes, None);
    Ok(repair)
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { path, bytes } => {
                let path = path.display();
                write!(
                    f,
                    "{path} ended with {bytes} bytes of an unfinished record, which were removed"
                )
            }
            Self::Removed { path } => {
                write!(f, "{} had no complete header and was removed", path.display())
            }
            Self::Newer { path, version } => {
                let path = path.display();
                write!(
                    f,
                    "{path} was written by a newer version of varta-watch (format {version}) and is left alone"
                )
            }
        }
    }
}
