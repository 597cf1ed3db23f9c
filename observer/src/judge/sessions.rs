//! The sessions of sealed beats, so that nothing that was accepted counts twice.
//!
//! A session is identified by its prefix and the pid in its frames, both of which are
//! authenticated. The address that a datagram came from is not, and plays no part. No session
//! is ever forgotten: when the table is full, new ones are refused.

use std::hash::{BuildHasher, RandomState};

use varta::secure::Iv;

use crate::judge::tracker::Index;
use crate::memory::{self, OutOfMemory};

/// Counters are recorded this many at a time, so that not every beat costs a write. After a
/// crash, up to one less than this many beats of each session are refused.
const STEP: u32 = 8;

/// How many sessions are remembered unless the settings specify another number.
pub(crate) fn most_sessions(capacity: usize) -> usize {
    capacity.max(1 << 18)
}

/// Places in a table 1.5 times this large fit into 32 bits.
const MOST: u32 = 1 << 28;

/// A sealed session and its last counter, in the form that outlives an observer.
///
/// ```
/// use varta_observer::judge::SealedSession;
///
/// let session = SealedSession { pid: 4321, prefix: *b"8 random", counter: 16 };
/// assert!(session.counter > 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSession {
    /// The pid in its frames.
    pub pid: u32,
    /// The random part of its AEAD nonces.
    pub prefix: [u8; 8],
    /// Frames of the session with this counter or a lower one are no longer accepted.
    pub counter: u32,
}

/// A bounded table of sessions. Each session keeps its place for good.
#[derive(Debug)]
pub(super) struct Sessions {
    known: Vec<Session>,
    index: Index,
    bound: usize,
    random: RandomState,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pid: u32,
    prefix: [u8; 8],
    /// The highest counter that was accepted.
    pub(super) counter: u32,
    /// The highest counter that the host has recorded, if it records sessions.
    pub(super) recorded: u32,
    /// The agent that its last frame was counted for.
    pub(super) agent: u64,
    pub(super) age: Age,
}

/// Whether a session began while an observer was there to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It did, as far as can be known.
    Confirmed,
    /// It began earlier, so it may be a recording of a session that is over.
    Earlier,
    /// Not known yet. The time of its last frame, by the observer's clock and by the sender's.
    Open { heard_ns: u64, timestamp: u64 },
}

impl Age {
    /// The age that a first frame shows.
    pub(super) const fn first(heard_ns: u64, timestamp: u64) -> Self {
        if timestamp > heard_ns { Self::Earlier } else { Self::Open { heard_ns, timestamp } }
    }

    /// The age after another frame. A recording that is played back faster or slower than it
    /// was made can be recognized: a real sender's clock keeps pace with the observer's.
    pub(super) fn next(self, now: u64, sent: u64) -> Self {
        match (self, Self::first(now, sent)) {
            (Self::Open { heard_ns, timestamp }, Self::Open { .. })
                if keeps_pace(now.saturating_sub(heard_ns), sent.saturating_sub(timestamp)) =>
            {
                Self::Confirmed
            }
            (Self::Open { .. }, age) => age,
            (age, _) => age,
        }
    }
}

impl SealedSession {
    /// The session to record before a frame with this counter is accepted.
    pub(super) const fn ahead_of(pid: u32, iv: Iv) -> Self {
        Self { pid, prefix: iv.prefix, counter: iv.counter.saturating_add(STEP - 1) }
    }
}

/// Whether two clocks agree on how long something took, within a quarter.
const fn keeps_pace(here: u64, there: u64) -> bool {
    there > 0 && here.abs_diff(there) <= there / 4
}

impl Sessions {
    /// Starts with the sessions that were accepted in an earlier run, in their places.
    pub(super) fn new(
        bound: usize,
        recalled: &[SealedSession],
        random: &RandomState,
    ) -> Result<Self, OutOfMemory> {
        let places = u32::try_from(bound.max(recalled.len())).unwrap_or(MOST).min(MOST);
        let mut made = Self {
            known: memory::vector(places as usize)?,
            index: Index::new(places, random)?,
            bound: places as usize,
            random: random.clone(),
        };
        for session in recalled {
            let SealedSession { pid, prefix, counter } = *session;
            made.add(pid, Iv { prefix, counter }, Age::Confirmed);
        }
        Ok(made)
    }

    pub(super) const fn bound(&self) -> usize {
        self.bound
    }

    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= self.bound
    }

    /// The place of a session.
    pub(super) fn find(&self, pid: u32, prefix: [u8; 8]) -> Option<usize> {
        let is_it = |at: u32| {
            let session = self.known.get(at as usize);
            session.is_some_and(|session| session.pid == pid && session.prefix == prefix)
        };
        self.index.find(self.tag(pid, prefix), is_it).map(|at| at as usize)
    }

    pub(super) fn get(&self, place: usize) -> Option<&Session> {
        self.known.get(place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Session> {
        self.known.get_mut(place)
    }

    /// The place of the next new session.
    pub(super) fn next_place(&self) -> usize {
        self.known.len()
    }

    /// Adds a session that is not in the table, if there is room.
    pub(super) fn add(&mut self, pid: u32, iv: Iv, age: Age) -> Option<&mut Session> {
        if self.is_full() {
            return None;
        }
        let place = u32::try_from(self.known.len()).ok()?;
        let Iv { prefix, counter } = iv;
        // A place without a session has pid 0.
        if pid != 0 {
            self.index.insert(self.tag(pid, prefix), place);
        }
        self.known.push(Session { pid, prefix, counter, recorded: counter, agent: 0, age });
        self.known.last_mut()
    }

    /// The sessions whose recorded counter is higher than the accepted one, with their places.
    pub(super) fn ahead(&self) -> impl Iterator<Item = (usize, SealedSession)> + '_ {
        let ahead = |(_, session): &(usize, &Session)| session.recorded > session.counter;
        self.known.iter().enumerate().filter(ahead).map(|(place, session)| {
            let Session { pid, prefix, counter, .. } = *session;
            (place, SealedSession { pid, prefix, counter })
        })
    }

    #[allow(clippy::cast_possible_truncation, reason = "part of a hash is still a hash")]
    fn tag(&self, pid: u32, prefix: [u8; 8]) -> u32 {
        self.random.hash_one((pid, prefix)) as u32
    }
}
