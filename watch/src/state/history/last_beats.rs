//! The last beats of each agent.

use std::collections::VecDeque;

use varta::Status;
use varta_history::Beat;

/// How many beats of an agent are kept.
pub(super) const MOST: u8 = 64;

/// For each agent there is room for this many beats, so that it finds its last 64 there even if
/// others beat a little more often.
const PLACES_EACH: usize = 80;

/// How many beats are in one chunk.
const CHUNK: usize = 1024;

/// One beat, or several through shared memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) observer_ns: u64,
    pub(super) payload: u64,
    pub(super) nonce: u64,
    pub(super) count: u32,
    /// Saturates.
    pub(super) missed: u16,
    pub(super) status: Status,
}

/// Where the last beats of an agent are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Trail {
    /// The position of the last one.
    last: u64,
    /// How many it has sent. Wraps.
    beats: u32,
    /// How many of its last ones were not taken yet.
    untaken: u8,
}

/// Whose beat one in the list is.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) agent: u64,
    /// Which beat of its agent it is. Wraps.
    beat: u32,
    /// How many places before this one the beat before it is.
    back: u32,
}

/// A part of the list. The beats themselves are apart, because most are never read.
#[derive(Debug)]
struct Chunk {
    whose: Vec<Whose>,
    heard: Vec<Heard>,
}

impl Chunk {
    fn new() -> Self {
        Self { whose: Vec::with_capacity(CHUNK), heard: Vec::with_capacity(CHUNK) }
    }
}

/// The beats of all agents in one list, in the order in which they came.
///
/// Memory that is written in order costs next to nothing. A ring for each agent would be memory
/// that nothing else uses, and fetching it for each beat would cost more than all else that the
/// history does. The list has room for the last 64 beats of each agent if all beat equally often.
/// What an agent still needs when the list gives up its place is kept in a list of its own.
#[derive(Debug)]
pub(super) struct LastBeats {
    /// All but the last one are full.
    chunks: VecDeque<Chunk>,
    /// The position of the oldest beat, and of the next one.
    first: u64,
    next: u64,
}

impl Default for LastBeats {
    fn default() -> Self {
        Self { chunks: VecDeque::from([Chunk::new()]), first: 0, next: 0 }
    }
}

impl LastBeats {
    /// Adds a beat. Returns whether [`make_room`](Self::make_room) has to be called before the
    /// next one.
    #[inline]
    pub(super) fn add(&mut self, agent: u64, trail: &mut Trail, heard: Heard) -> bool {
        let back = u32::try_from(self.next - trail.last).unwrap_or(u32::MAX);
        trail.last = self.next;
        trail.beats = trail.beats.wrapping_add(1);
        trail.untaken = (trail.untaken + 1).min(MOST);
        self.next += 1;
        self.chunks.back_mut().is_none_or(|chunk| {
            chunk.whose.push(Whose { agent, beat: trail.beats, back });
            chunk.heard.push(heard);
            chunk.heard.len() == CHUNK
        })
    }

    /// Makes room for more beats. Passes those to `give_up` whose places are used again.
    pub(super) fn make_room(&mut self, agents: usize, mut give_up: impl FnMut(&Whose, &Heard)) {
        let most = (agents * PLACES_EACH).div_ceil(CHUNK) + 1;
        let mut free = None;
        // Many agents may have left at once. One more than is needed is given up at a time.
        for _ in 0..2 {
            if self.chunks.len() < most {
                break;
            }
            let Some(mut oldest) = self.chunks.pop_front() else { break };
            self.first += CHUNK as u64;
            oldest
                .whose
                .drain(..)
                .zip(&oldest.heard)
                .for_each(|(whose, it)| give_up(&whose, it));
            oldest.heard.clear();
            free = Some(oldest);
        }
        self.chunks.push_back(free.unwrap_or_else(Chunk::new));
    }

    fn get(&self, position: u64) -> Option<(&Whose, &Heard)> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        let chunk = self.chunks.get(index / CHUNK)?;
        Some((chunk.whose.get(index % CHUNK)?, chunk.heard.get(index % CHUNK)?))
    }

    /// Takes the beats of an agent that were not taken before, the oldest first. `kept` are those
    /// that the list has given up.
    pub(super) fn take(&self, trail: &mut Trail, kept: &mut VecDeque<Heard>) -> Vec<Beat> {
        let untaken = usize::from(std::mem::take(&mut trail.untaken));
        let mut position = Some(trail.last);
        let listed = std::iter::from_fn(|| {
            let at = position?;
            let (whose, heard) = self.get(at)?;
            position = at.checked_sub(whose.back.into());
            Some(heard)
        });
        let mut beats: Vec<_> =
            listed.chain(kept.iter().rev()).take(untaken).map(Heard::record).collect();
        kept.clear();
        beats.reverse();
        beats
    }
}

impl Trail {
    /// Whether this beat is one of the last 64, and was not taken yet.
    pub(super) fn needs(&self, whose: &Whose) -> bool {
        self.beats.wrapping_sub(whose.beat) < self.untaken.into()
    }
}

impl Heard {
    fn record(&self) -> Beat {
        Beat {
            observer_ns: self.observer_ns,
            status: self.status.name().into(),
            payload: self.payload,
            nonce: self.nonce,
            missed: self.missed.into(),
            count: self.count,
        }
    }
}
