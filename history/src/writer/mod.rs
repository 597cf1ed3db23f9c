//! Writes a history.

mod open;
mod retention;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::clock::ClockPair;
use crate::error::{Doing, Error};
use crate::folder::Folder;
use crate::record::{Clock, Lost, Record};
use crate::run::Run;
use crate::segment::{Header, frame};

use self::retention::Retention;

pub use self::open::Repair;
pub use self::retention::Limits;

/// A segment ends after this time at the latest.
const LONGEST_NS: u64 = 86_400_000_000_000;

/// The time between two syncs, and between two attempts to begin a segment.
const SECOND_NS: u64 = 1_000_000_000;

/// Who writes a history.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The name of the host.
    pub host: String,
    /// The run of the daemon.
    pub run: Run,
    /// The boot clock when the observer's time was 0, in nanoseconds.
    pub boot_ns: u64,
}

/// What a [`Writer`] has done since it was opened, and what there is now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Records written.
    pub records: u64,
    /// Records lost: their numbers were left out, or they could not be written.
    pub lost: u64,
    /// The size of all segments.
    pub bytes: u64,
    /// The number of segments.
    pub segments: u64,
}

/// Writes the history of one run of the daemon to a folder, which it locks.
///
/// - **Input.** [`push`](Self::push) adds a record, in the order of their numbers.
///   [`flush`](Self::flush) writes what was added. Both clocks are given to each call that needs
///   them; nothing here reads a clock.
/// - **Files.** The daemon is the only one who writes. A segment ends when it is a day old or has
///   16 MiB, or a quarter of [`Limits::max_bytes`]. The oldest segment is removed when all are
///   too large or when it is too old.
/// - **Failures.** If something cannot be written, `flush` returns why, and the next one tries
///   again with the records that were added since. A [`Lost`] record then names those that are
///   missing, as it does for numbers that were left out. After `kill -9` nothing is missing that
///   `flush` wrote; after a crash of the system, at most the records of the last second.
///
/// ```
/// use varta_history::{ClockPair, Limits, Origin, Reader, Recovered, Run, Writer};
///
/// # let folder = std::env::temp_dir().join(format!("varta-doc-history-{}", std::process::id()));
/// # let folder = folder.as_path();
/// let run = Run { boot_id: [7; 16], start_us: 52_000_000 };
/// let origin = Origin { host: "db-1".to_owned(), run, boot_ns: 52_000_000_000 };
/// let now = ClockPair { observer_ns: 0, wall_ns: 1_764_511_200_000_000_000 };
/// let mut writer = Writer::open(folder, Limits::default(), origin, now)?;
///
/// let back = Recovered { agent: 17, silent_ns: 2_500_000_000, ..Recovered::default() };
/// writer.push(1, 3_000_000_000, &back.into());
/// let now = ClockPair { observer_ns: 3_000_000_000, ..now };
/// writer.flush(now, Vec::new)?;
///
/// let mut reader = Reader::open(folder)?;
/// # let mut found = false;
/// while let Some(item) = reader.next()? {
///     println!("{item:?}");
///     # found = true;
/// }
/// # assert!(found);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    folder: Folder,
    origin: Origin,
    retention: Retention,
    repairs: Vec<Repair>,
    file: File,
    number: u64,
    /// The number of the next segment.
    next_number: u64,
    length: u64,
    /// The length of what the segment began with.
    began_with: u64,
    began_ns: u64,
    /// After a failure: when to try again to begin a segment.
    begin_after_ns: u64,
    pending: Pending,
    /// Records in files.
    records: u64,
    /// The highest number of a record that was pushed.
    highest: u64,
    has_unsynced: bool,
    synced_ns: u64,
}

/// Frames that are not in the file yet.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    frames: Vec<PendingFrame>,
    /// The number that follows the last one.
    next_seq: u64,
}

#[derive(Debug, Clone, Copy)]
struct PendingFrame {
    /// Where it ends.
    end: usize,
    /// The first number that is missing if this frame is.
    first: u64,
    /// Whether it is a record that was pushed.
    is_record: bool,
}

impl Writer {
    /// Adds a record. A number that is not higher than the last one is left out.
    pub fn push(&mut self, seq: u64, observer_ns: u64, record: &Record) {
        let expected = self.pending.next_seq;
        if seq < expected {
            return;
        }
        self.highest = self.highest.max(seq);
        if seq > expected {
            let lost = Lost { first: expected, last: seq - 1 };
            self.pending.put(&lost.into(), [expected, seq - 1], observer_ns, false);
        }
        self.pending.put(record, [seq, seq], observer_ns, true);
    }

    /// Writes the records that were added, syncs the file once a second, and removes what is too
    /// old. If a segment has ended, `state` returns what its successor begins with: the agents
    /// that live and all that is known about them, as records with their times. To be called
    /// after each batch of records, and once a second while there is something
    /// [unsynced](Self::has_unsynced).
    ///
    /// # Errors
    ///
    /// If something cannot be written, synced or removed.
    pub fn flush(
        &mut self,
        now: ClockPair,
        state: impl FnOnce() -> Vec<(u64, Record)>,
    ) -> Result<(), Error> {
        self.write()?;
        let age = now.observer_ns.saturating_sub(self.began_ns);
        let grown = self.length.saturating_sub(self.began_with);
        if (grown >= self.retention.segment_bytes() || age >= LONGEST_NS)
            && now.observer_ns >= self.begin_after_ns
        {
            self.end_segment(now)?;
            let begun = self.begin_segment(now, &state());
            if begun.is_err() {
                self.begin_after_ns = now.observer_ns.saturating_add(SECOND_NS);
            }
            begun?;
        }
        if self.has_unsynced && now.observer_ns.saturating_sub(self.synced_ns) >= SECOND_NS {
            self.sync(now)?;
        }
        self.retention.apply(&self.folder, self.length, now)
    }

    /// Writes and syncs everything, and unlocks the folder.
    ///
    /// # Errors
    ///
    /// If something cannot be written or synced.
    pub fn end(mut self, now: ClockPair) -> Result<(), Error> {
        self.write()?;
        self.end_segment(now)
    }

    /// Whether something was written that has not been synced.
    #[must_use]
    pub const fn has_unsynced(&self) -> bool {
        self.has_unsynced
    }

    /// What was done, and what there is now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let waiting = self.pending.frames.iter().filter(|frame| frame.is_record).count() as u64;
        let lost = self.highest.saturating_sub(self.records).saturating_sub(waiting);
        let (segments, bytes) = self.retention.sum();
        Counts {
            records: self.records,
            lost,
            bytes: bytes.saturating_add(self.length),
            segments: segments + 1,
        }
    }

    /// What had to be repaired in the folder when it was opened, and the files in it that are
    /// left alone.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    fn write(&mut self) -> Result<(), Error> {
        let (written, result) = write_all_at(&self.file, &self.pending.bytes, self.length);
        let (complete, records) = self.pending.take(written);
        self.records += records;
        self.length += complete as u64;
        self.has_unsynced |= complete > 0;
        let result = result.doing("write to", &self.folder.path_of(self.number));
        if result.is_err() {
            // A reader takes no part of a frame, but it could take what follows it for damage.
            // If this fails, the next write overwrites that part.
            let _ = self.file.set_len(self.length);
        }
        result
    }

    fn sync(&mut self, now: ClockPair) -> Result<(), Error> {
        self.file.sync_data().doing("sync", &self.folder.path_of(self.number))?;
        (self.has_unsynced, self.synced_ns) = (false, now.observer_ns);
        Ok(())
    }

    /// Writes the clock pair that the age of the segment is counted from, and syncs it.
    fn end_segment(&mut self, now: ClockPair) -> Result<(), Error> {
        let clock = Clock { wall_ns: now.wall_ns, ..Clock::default() };
        let seq = self.pending.next_seq - 1;
        self.pending.put_again(&clock.into(), seq, now.observer_ns);
        self.write()?;
        self.sync(now)
    }

    fn begin_segment(&mut self, now: ClockPair, state: &[(u64, Record)]) -> Result<(), Error> {
        let (number, seq) = (self.next_number, self.pending.next_seq - 1);
        let (file, length) = begin(&self.folder, number, &self.origin, seq, now, state)?;
        self.retention.add(self.number, self.length, Some(now.wall_ns));
        (self.file, self.number, self.length) = (file, number, length);
        (self.began_with, self.began_ns) = (length, now.observer_ns);
        self.next_number = number + 1;
        self.has_unsynced = true;
        Ok(())
    }
}

/// Creates a segment. If that fails, there is no file.
fn begin(
    folder: &Folder,
    number: u64,
    origin: &Origin,
    seq: u64,
    now: ClockPair,
    state: &[(u64, Record)],
) -> Result<(File, u64), Error> {
    let Origin { host, run, boot_ns } = origin.clone();
    let mut bytes = Header { host, run, boot_ns, began: now, seq }.encode();
    for (observer_ns, record) in state {
        frame::put(record, true, seq, *observer_ns, &mut bytes);
    }
    let file = folder.create(number)?;
    let written = write_all_at(&file, &bytes, 0).1.doing("write to", &folder.path_of(number));
    if let Err(error) = written.and_then(|()| folder.sync()) {
        // If this fails, the next start removes the file, because it has no header.
        let _ = folder.remove(number);
        return Err(error);
    }
    Ok((file, bytes.len() as u64))
}

/// Writes bytes, and returns how many were written.
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + written as u64) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

impl Pending {
    /// Adds a frame for these numbers, the first and the last. One that is too long is left out.
    fn put(&mut self, record: &Record, [first, last]: [u64; 2], at_ns: u64, is_record: bool) {
        if frame::put(record, false, last, at_ns, &mut self.bytes) {
            let end = self.bytes.len();
            self.frames.push(PendingFrame { end, first, is_record });
            self.next_seq = last + 1;
        }
    }

    fn put_again(&mut self, record: &Record, seq: u64, observer_ns: u64) {
        frame::put(record, true, seq, observer_ns, &mut self.bytes);
        let end = self.bytes.len();
        self.frames.push(PendingFrame { end, first: seq + 1, is_record: false });
    }

    /// Forgets all frames, of which this many bytes were written. Returns how many bytes of them
    /// are whole frames, and how many of these are records.
    fn take(&mut self, written: usize) -> (usize, u64) {
        let whole = self.frames.iter().take_while(|frame| frame.end <= written);
        let (bytes, records) = whole.fold((0, 0), |(_, records), frame| {
            (frame.end, records + u64::from(frame.is_record))
        });
        if let Some(missing) = self.frames.iter().find(|frame| frame.end > written) {
            self.next_seq = missing.first;
        }
        self.bytes.clear();
        self.frames.clear();
        (bytes, records)
    }
}
