//! Reads a history, also while it is written.

mod agents;
mod cursor;
mod item;

use std::io;
use std::path::Path;

use crate::clock::ClockPair;
use crate::error::{Doing, Error};
use crate::folder::Folder;
use crate::record::{Kind, Record};
use crate::segment::{Beginning, Header, Scan, Step, frame::Frame};

pub use self::agents::{Agents, Known};
pub use self::cursor::{Cursor, InvalidCursor};
pub use self::item::{Entry, Item};

/// Reads the records of a folder in the order in which they were written. Any number of programs
/// may read while a daemon writes; there is no lock.
///
/// - **Output.** [`next`](Self::next) returns a record or an obstacle, and `None` when there is
///   nothing more for now: call it again later to follow a history that grows.
/// - **Restart.** [`cursor`](Self::cursor) says which record was returned last, and
///   [`resume`](Self::resume) goes on after it. If retention has removed what follows, that is
///   an item of its own.
/// - **Limits.** A record that is damaged is left out and reported. What this version does not
///   know is not an error.
#[derive(Debug)]
pub struct Reader {
    folder: Folder,
    open: Option<Open>,
    /// Which segment to open next.
    next: Next,
    /// The last record that was returned.
    read: Option<Cursor>,
    /// The record to go on after: it and all before it in its run have been read earlier.
    resumed: Option<Cursor>,
    clock: ClockPair,
    agents: Agents,
}

#[derive(Debug)]
struct Open {
    number: u64,
    header: Header,
    scan: Scan,
    /// Whether there was a later segment before this one was read to its end, so that it cannot
    /// grow any more.
    is_complete: bool,
}

/// Which segment to open next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The first one.
    First,
    /// This one, in which another reader has stopped.
    From(u64),
    /// The one after this, which was read to its end.
    After(u64),
}

/// What was found where a segment was to be opened.
enum Opened {
    Segment,
    Item(Item<'static>),
    Nothing,
    /// It was removed meanwhile.
    Gone,
}

impl Reader {
    /// Reads a folder from the oldest record on.
    ///
    /// # Errors
    ///
    /// If the folder cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            folder: Folder::open(folder)?,
            open: None,
            next: Next::First,
            read: None,
            resumed: None,
            clock: ClockPair::default(),
            agents: Agents::default(),
        })
    }

    /// Reads a folder from the record on that follows this one.
    ///
    /// # Errors
    ///
    /// If the folder cannot be opened.
    pub fn resume(folder: &Path, cursor: Cursor) -> Result<Self, Error> {
        let (read, resumed) = (Some(cursor), Some(cursor));
        Ok(Self { next: Next::From(cursor.segment), read, resumed, ..Self::open(folder)? })
    }

    /// The record that was returned last. `None` before the first one.
    #[must_use]
    pub const fn cursor(&self) -> Option<Cursor> {
        self.read
    }

    /// The agents of the run, up to the record that was returned last.
    #[must_use]
    pub const fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Returns the next record or obstacle. `None` if there is nothing more for now.
    ///
    /// # Errors
    ///
    /// If the folder or a segment cannot be read.
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend its items")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        let frame = loop {
            let Some(open) = &mut self.open else {
                match self.open_next()? {
                    Opened::Segment | Opened::Gone => continue,
                    Opened::Item(item) => return Ok(Some(item)),
                    Opened::Nothing => return Ok(None),
                }
            };
            let path = || self.folder.path_of(open.number);
            match open.scan.next().map_err(|error| Error::Io {
                what: "read",
                path: path(),
                error,
            })? {
                Step::Frame(frame) => {
                    if self.take(&frame) {
                        break frame;
                    }
                }
                Step::Damaged { offset, bytes } => {
                    return Ok(Some(Item::Damaged { path: path(), offset, bytes }));
                }
                Step::End { torn } if open.is_complete => {
                    let (path, offset) = (path(), open.scan.offset());
                    (self.next, self.open) = (Next::After(open.number), None);
                    if torn > 0 {
                        return Ok(Some(Item::Damaged { path, offset, bytes: torn }));
                    }
                }
                Step::End { .. } => {
                    let number = open.number;
                    let numbers = self.folder.segments()?;
                    if numbers.iter().any(|other| *other > number) {
                        // It may have grown until the other one was begun.
                        open.is_complete = true;
                    } else if numbers.is_empty()
                        || !open.scan.is_removed().doing("look at", &path())?
                    {
                        return Ok(None);
                    } else {
                        // Retention removes no segment without a later one: the folder was emptied.
                        (self.next, self.open) = (Next::First, None);
                    }
                }
            }
        };
        Ok(self.entry(&frame).map(Item::Record))
    }

    /// Applies a frame. Returns false if it was read before this reader was opened.
    fn take(&mut self, frame: &Frame) -> bool {
        let Some(open) = &self.open else { return false };
        let body = open.scan.body(frame);
        let kind = Kind::from_code(frame.code);
        match kind {
            // Nothing but these says more about an agent, and most are gaps.
            Some(Kind::Gap | Kind::Minute | Kind::Beats) | None => {}
            Some(kind) => match Record::decode(kind, body) {
                Some(Record::Clock(clock)) => {
                    let observer_ns = frame.observer_ns;
                    self.clock = ClockPair { observer_ns, wall_ns: clock.wall_ns };
                }
                Some(record) => self.agents.apply(&record, frame.observer_ns),
                None => {}
            },
        }
        let (run, segment) = (open.header.run, open.number);
        if let Some(resumed) = self.resumed
            && resumed.run == run
            && frame.seq <= resumed.seq
        {
            return false;
        }
        self.read = Some(Cursor { run, segment, seq: frame.seq });
        true
    }

    fn entry(&self, frame: &Frame) -> Option<Entry<'_>> {
        let open = self.open.as_ref()?;
        Some(Entry {
            header: &open.header,
            seq: frame.seq,
            again: frame.again,
            observer_ns: frame.observer_ns,
            wall_ns: self.clock.wall_at(frame.observer_ns),
            code: frame.code,
            agents: &self.agents,
            body: open.scan.body(frame),
        })
    }

    /// Opens the segment that follows the one that was finished last.
    fn open_next(&mut self) -> Result<Opened, Error> {
        let numbers = self.folder.segments()?;
        let is_next = |number: u64| match self.next {
            Next::First => true,
            Next::From(segment) => number >= segment,
            Next::After(segment) => number > segment,
        };
        let Some(number) = numbers.iter().copied().find(|number| is_next(*number)) else {
            let Next::From(_) = self.next else { return Ok(Opened::Nothing) };
            // The numbers began anew, so that this is another history.
            self.next = Next::First;
            return Ok(if numbers.is_empty() { Opened::Nothing } else { Opened::Gone });
        };
        let has_later = numbers.last() != Some(&number);
        let path = self.folder.path_of(number);
        let file = match self.folder.read(number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
            file => file?,
        };
        let (header, length) = match Beginning::read(&file).doing("read", &path)? {
            Beginning::Header(header, length) => (header, length),
            // The daemon may be creating it.
            Beginning::Incomplete if !has_later => return Ok(Opened::Nothing),
            Beginning::Newer(version) => {
                self.next = Next::After(number);
                return Ok(Opened::Item(Item::Newer { path, version }));
            }
            Beginning::Incomplete | Beginning::Damaged => {
                let bytes = file.metadata().doing("look at", &path)?.len();
                self.next = Next::After(number);
                return Ok(Opened::Item(Item::Damaged { path, offset: 0, bytes }));
            }
        };
        let now = Cursor { run: header.run, segment: number, seq: header.seq };
        let is_same_run = self.read.is_some_and(|read| read.run == now.run);
        if !is_same_run {
            self.agents.clear();
        }
        let follows = match self.next {
            Next::First => self.read.is_none(),
            Next::From(segment) => number == segment && is_same_run,
            Next::After(segment) => number == segment + 1,
        };
        self.clock = header.began;
        let host = header.host.clone();
        let scan = Scan::new(file, length, header.seq, 0);
        self.open = Some(Open { number, header, scan, is_complete: false });
        match self.read {
            Some(read) if !(follows || is_same_run && now.seq <= read.seq) => {
                self.read = Some(now);
                Ok(Opened::Item(Item::Overtaken { read, now, host }))
            }
            _ => Ok(Opened::Segment),
        }
    }
}
