//! Which segments are removed: the oldest, as soon as all together are too large, or it is too
//! old.

use std::collections::VecDeque;
use std::time::UNIX_EPOCH;

use crate::clock::ClockPair;
use crate::error::{Doing, Error};
use crate::folder::Folder;
use crate::record::{Kind, Record};
use crate::segment::{Beginning, Scan, Step};

/// Once the wall clock has moved by this much against the boot clock, ages mean nothing.
const LARGEST_JUMP_NS: u64 = 3_600_000_000_000;

/// Ages are not looked at before this time of a run, in which the wall clock may still be put
/// right.
const FIRST_LOOK_NS: u64 = 60_000_000_000;

/// How much history is kept.
///
/// ```
/// use varta_history::Limits;
///
/// let limits = Limits::default();
/// assert_eq!(limits.max_bytes, 256 * 1024 * 1024);
/// assert_eq!(limits.max_age_ns, 30 * 86_400 * 1_000_000_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of all segments together.
    pub max_bytes: u64,
    /// The age of the last record of a segment.
    pub max_age_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 256 * 1024 * 1024, max_age_ns: 30 * 86_400 * 1_000_000_000 }
    }
}

/// The segments that are complete, and the rules for removing them.
#[derive(Debug)]
pub(super) struct Retention {
    limits: Limits,
    /// The first clock pair of the run.
    start: ClockPair,
    /// Whether the wall clock has jumped in this run.
    has_jumped: bool,
    complete: VecDeque<Complete>,
}

#[derive(Debug)]
struct Complete {
    number: u64,
    bytes: u64,
    /// The wall clock at its end, once it has been looked for.
    ended_wall_ns: Option<u64>,
}

impl Retention {
    pub(super) const fn new(limits: Limits, start: ClockPair) -> Self {
        Self { limits, start, has_jumped: false, complete: VecDeque::new() }
    }

    /// Adds a segment that is complete. The older ones have been added before.
    pub(super) fn add(&mut self, number: u64, bytes: u64, ended_wall_ns: Option<u64>) {
        self.complete.push_back(Complete { number, bytes, ended_wall_ns });
    }

    /// How many segments there are, and their size.
    pub(super) fn sum(&self) -> (u64, u64) {
        let bytes = self.complete.iter().map(|complete| complete.bytes).sum();
        (self.complete.len() as u64, bytes)
    }

    /// The size at which a segment ends, so that one of a few is removed at a time.
    pub(super) const fn segment_bytes(&self) -> u64 {
        const MOST: u64 = 16 * 1024 * 1024;
        let part = self.limits.max_bytes / 4;
        if part < MOST { part } else { MOST }
    }

    /// Removes what is too much. `current` is the size of the segment that is being written.
    pub(super) fn apply(
        &mut self,
        folder: &Folder,
        current: u64,
        now: ClockPair,
    ) -> Result<(), Error> {
        let jump = self.start.wall_at(now.observer_ns).abs_diff(now.wall_ns);
        self.has_jumped |= jump > LARGEST_JUMP_NS;
        let mut bytes = self.sum().1.saturating_add(current);
        while let Some(oldest) = self.complete.front_mut() {
            if bytes <= self.limits.max_bytes {
                let ran_ns = now.observer_ns.saturating_sub(self.start.observer_ns);
                if self.has_jumped || ran_ns < FIRST_LOOK_NS {
                    return Ok(());
                }
                let ended = match oldest.ended_wall_ns {
                    Some(ended) => ended,
                    None => ended_wall_ns(folder, oldest.number)?,
                };
                oldest.ended_wall_ns = Some(ended);
                if now.wall_ns.saturating_sub(ended) <= self.limits.max_age_ns {
                    return Ok(());
                }
            }
            folder.remove(oldest.number)?;
            bytes = bytes.saturating_sub(oldest.bytes);
            self.complete.pop_front();
        }
        Ok(())
    }
}

/// What the wall clock showed last in a segment. If nothing in it can be read, when the file was
/// written last.
fn ended_wall_ns(folder: &Folder, number: u64) -> Result<u64, Error> {
    let path = folder.path_of(number);
    let file = folder.read(number)?;
    let written = file.metadata().and_then(|metadata| metadata.modified());
    let written = written.doing("look at", &path)?.duration_since(UNIX_EPOCH);
    let written =
        written.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    let beginning = Beginning::read(&file).doing("read", &path)?;
    let Beginning::Header(header, length) = beginning else { return Ok(written) };
    let mut last = header.began.wall_ns;
    let mut scan = Scan::new(file, length, header.seq, 0);
    loop {
        match scan.next().doing("read", &path)? {
            Step::Frame(frame) if frame.code == Kind::Clock.code() => {
                if let Some(Record::Clock(clock)) =
                    Record::decode(Kind::Clock, scan.body(&frame))
                {
                    last = clock.wall_ns;
                }
            }
            Step::Frame(_) | Step::Damaged { .. } => {}
            Step::End { .. } => return Ok(last),
        }
    }
}
