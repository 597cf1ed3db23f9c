//! What readers are asked, and what they answer.

use std::io;
use std::sync::Arc;

use super::super::Reader;
use super::super::groups::Groups;
use crate::judge::{Depth, Lacks, OutOfMemory, Sample, ThreadReading};

/// At most this many threads of a process can be asked for: all that are learned, and one that was
/// told.
const MOST_WANTED: usize = 17;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Process {
        pid: u32,
        depth: Depth,
        /// Ends with a 0, unless it is full.
        wanted: [u32; MOST_WANTED],
    },
    Thread {
        pid: u32,
        thread: u32,
    },
    /// In what a thread waits whose state is known.
    Wait {
        pid: u32,
        thread: u32,
        state: u8,
    },
    LockOwner {
        pid: u32,
        address: u64,
    },
}

impl Question {
    pub(super) fn process(pid: u32, depth: Depth, wanted: &[u32]) -> Self {
        let mut all = [0; MOST_WANTED];
        for (place, thread) in all.iter_mut().zip(wanted) {
            *place = *thread;
        }
        Self::Process { pid, depth, wanted: all }
    }

    pub(super) const fn pid(&self) -> u32 {
        match self {
            Self::Process { pid, .. }
            | Self::Thread { pid, .. }
            | Self::Wait { pid, .. }
            | Self::LockOwner { pid, .. } => *pid,
        }
    }

    /// Whether an answer may be used that came when nobody waited for it any more. A process that
    /// beats may have beaten since.
    pub(super) fn may_be_late(&self) -> bool {
        !matches!(self, Self::Process { depth, .. } if *depth < Depth::Half)
    }
}

/// What a thread works with, and its answer.
pub(super) struct Desk {
    reader: Reader,
    pub(super) sample: Sample,
    pub(super) thread: ThreadReading,
    pub(super) lacks: Lacks,
    pub(super) owner: Option<u32>,
    pub(super) result: io::Result<()>,
}

impl Desk {
    pub(super) fn new(groups: &Arc<Groups>) -> Result<Self, OutOfMemory> {
        Ok(Self {
            reader: Reader::new(groups),
            sample: Sample::try_new()?,
            thread: ThreadReading::NOTHING,
            lacks: Lacks::default(),
            owner: None,
            result: Ok(()),
        })
    }

    pub(super) fn answer(&mut self, question: &Question) {
        match *question {
            Question::Process { pid, depth, wanted } => {
                let count =
                    wanted.iter().position(|thread| *thread == 0).unwrap_or(MOST_WANTED);
                let wanted = wanted.get(..count).unwrap_or_default();
                self.result = self.reader.read(pid, depth, wanted, &mut self.sample);
            }
            Question::Thread { pid, thread } => {
                self.result = match self.reader.schedule(pid, thread, true) {
                    Some((reading, _)) => self.read_wait(pid, reading),
                    None => Err(io::ErrorKind::NotFound.into()),
                };
            }
            Question::Wait { pid, thread, state } => {
                let reading = ThreadReading { thread, state, ..ThreadReading::NOTHING };
                self.result = self.read_wait(pid, reading);
            }
            Question::LockOwner { pid, address } => {
                self.owner = self.reader.lock_owner(pid, address);
            }
        }
    }

    fn read_wait(&mut self, pid: u32, reading: ThreadReading) -> io::Result<()> {
        (self.thread, self.lacks) = (reading, Lacks::default());
        self.reader.read_wait(pid, &mut self.thread, &mut self.lacks)
    }
}
