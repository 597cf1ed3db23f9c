//! Copies of the lines of a page. The process may write at any time whatever it likes.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use varta::Status;
use varta::internal::lane::layout::{self, Cold, Head, Hot, Info, Line, Page};
use varta::internal::lane::line;

/// How often a pair is read that changes while it is read.
const TRIES: u32 = 64;

/// What a look finds in a page besides its lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    /// Whether the process has written a layout that is known.
    pub(super) valid: bool,
    /// The pairs that hold tasks, a bit for each.
    pub(super) live: u32,
}

/// A pair of lines, copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// `None` if its words are invalid.
    pub(super) cold: Option<Cold>,
    /// `None` if it was never written, or could not be read because it was written all the
    /// time.
    pub(super) hot: Option<(u64, Hot)>,
}

#[inline]
pub(super) fn first(page: &Page, offset: u32) -> First {
    let Some((cold, _)) = layout::lines(page, offset, 0) else {
        return First { valid: false, live: 0 };
    };
    let words = [0, 1].map(|word| load(cold, word));
    let valid = u16::try_from(words[0] >> 48) == Ok(layout::LAYOUT_VERSION);
    #[allow(clippy::cast_possible_truncation, reason = "the bitmap is the lower half")]
    let live = words[Head::LIVE] as u32;
    First { valid, live: if valid { live & !1 } else { 0 } }
}

/// Begins to load the process's own line.
#[inline]
pub(super) fn prefetch(page: &Page, offset: u32) {
    if let Some((_, hot)) = layout::lines(page, offset, 0) {
        line::prefetch(hot);
    }
}

/// The thread that made the last beat of the process; 0 if it is not known.
pub(super) fn thread(page: &Page, offset: u32) -> u32 {
    let thread = layout::lines(page, offset, 0).map_or(0, |(cold, _)| load(cold, Head::THREAD));
    u32::try_from(thread).unwrap_or(0)
}

/// The process's own line, if its sequence is not `seen`.
#[inline]
pub(super) fn own(page: &Page, offset: u32, seen: u64) -> Option<(u64, Hot)> {
    let (_, hot) = layout::lines(page, offset, 0)?;
    if line::sequence(hot) == seen {
        return None;
    }
    line::read(hot)
}

/// Copies the lines of a task. `None` if another task took the pair again and again.
pub(super) fn pair(page: &Page, offset: u32, pair: u32) -> Option<Pair> {
    let (cold, hot) = layout::lines(page, offset, pair)?;
    for _ in 0..TRIES {
        let first = cold[Cold::NUMBER].load(Ordering::Acquire);
        let mut words = [first, 0, 0, 0, 0, 0, 0, 0];
        for (word, copy) in cold.iter().zip(&mut words).skip(1) {
            *copy = word.load(Ordering::Relaxed);
        }
        let hot = line::read(hot);
        // All of that must have been read before the number is read again.
        fence(Ordering::Acquire);
        if cold[Cold::NUMBER].load(Ordering::Relaxed) == first {
            return Some(Pair { cold: Cold::from_words(words), hot });
        }
    }
    None
}

/// The words by which a look sees that nothing has happened in a pair.
pub(super) fn marks(page: &Page, offset: u32, pair: u32) -> Option<(u64, u64, u64)> {
    let (cold, hot) = layout::lines(page, offset, pair)?;
    let number = cold[Cold::NUMBER].load(Ordering::Acquire);
    Some((line::sequence(hot), number, load(cold, Cold::COUNTS)))
}

/// A call that a task's line reports, after it was validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// On the clock of the process.
    pub(super) at: u64,
    pub(super) until: u64,
    pub(super) info: Info,
}

/// Why what a line holds does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoNews {
    /// It is not complete, or older than what was seen before. The same write may still be
    /// completed.
    Old,
    /// No process may write this.
    Invalid,
}

impl Call {
    /// Reads what the line of a task holds, if its last call is not older than the one at
    /// `before`. `now` is on the clock of the process.
    pub(super) fn read(hot: &Hot, now: u64, before: u64) -> Result<Self, NoNews> {
        let at = time(hot, now, before)?;
        let info = Info::from_word(hot.info).ok_or(NoNews::Invalid)?;
        let farthest = at.saturating_add(layout::FARTHEST_NS);
        let allowed = hot.until == layout::NEVER || hot.until <= farthest;
        allowed.then_some(Self { at, until: hot.until, info }).ok_or(NoNews::Invalid)
    }
}

/// The last beat in the line of a process itself, after it was validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnBeat {
    /// On the clock of the process.
    pub(super) at: u64,
    pub(super) status: Status,
    pub(super) payload: u32,
}

impl OwnBeat {
    /// As [`Call::read`].
    #[inline]
    pub(super) fn read(hot: &Hot, now: u64, before: u64) -> Result<Self, NoNews> {
        let at = time(hot, now, before)?;
        let said = Info::status_and_payload(hot.info).filter(|_| hot.until == 0);
        let (status, payload) = said.ok_or(NoNews::Invalid)?;
        Ok(Self { at, status, payload })
    }
}

/// When the last call in a line was made.
#[inline]
fn time(hot: &Hot, now: u64, before: u64) -> Result<u64, NoNews> {
    let at = hot.at.min(now);
    if at == 0 || at < before { Err(NoNews::Old) } else { Ok(at) }
}

#[inline]
fn load(line: &Line, word: usize) -> u64 {
    line.get(word).map_or(0, |word: &AtomicU64| word.load(Ordering::Relaxed))
}
