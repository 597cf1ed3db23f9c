//! The layout of a page: 32 pairs of lines, each a rarely written cold line and a hot line.
//!
//! Pair 0 belongs to the process itself, the others to its tasks. All numbers are
//! little-endian; a page never leaves its machine.

use crate::lane::atomic::AtomicU64;
use crate::status::Status;
use crate::task::{Promise, Rule, TaskName};

/// The size of a page in bytes.
pub const PAGE_BYTES: usize = 4096;

/// The number of words in a page.
pub const PAGE_WORDS: usize = 512;

/// The number of pairs in a page.
pub const PAIRS: u32 = 32;

/// The size of a pair in bytes.
pub const PAIR_BYTES: u32 = 128;

/// The version of this layout, which the agent writes into pair 0.
pub const LAYOUT_VERSION: u16 = 1;

/// `until` if nothing is due. In the process's own line, 0 is the observer's threshold.
pub const NEVER: u64 = u64::MAX;

/// The farthest that `until` may be ahead of `at` unless it is [`NEVER`]: 30 days.
pub const FARTHEST_NS: u64 = 30 * 24 * 3600 * 1_000_000_000;

/// The word of the observer's own page that holds when it looked at its pages last, on its
/// monotonic clock.
pub const LAST_LOOK: usize = 0;

/// The word of the observer's own page that holds the longest time between two looks of an
/// observer that is well, in nanoseconds.
pub const INTERVAL: usize = 1;

/// A page of words.
pub type Page = [AtomicU64; PAGE_WORDS];

/// A line of words.
pub type Line = [AtomicU64; 8];

/// The words of a line, copied.
pub type Words = [u64; 8];

/// Where pair 0 of the page with this index begins. The pages of different agents begin
/// differently, so that their lines do not compete for the same places of the CPU's cache.
#[must_use]
pub const fn offset(index: u32) -> u32 {
    PAIR_BYTES * (index % PAIRS)
}

/// Whether an observer may choose this offset for pair 0.
#[must_use]
pub const fn is_offset(offset: u32) -> bool {
    offset % PAIR_BYTES == 0 && offset < PAIRS * PAIR_BYTES
}

/// The cold and the hot line of a pair, in a page whose pair 0 begins at `offset`. `None` if
/// the offset or the pair is invalid.
#[must_use]
pub fn lines(page: &Page, offset: u32, pair: u32) -> Option<(&Line, &Line)> {
    if !is_offset(offset) || pair >= PAIRS {
        return None;
    }
    let first = (offset / PAIR_BYTES + pair) % PAIRS * (PAIR_BYTES / 8);
    let words = page.get(first as usize..)?;
    let (cold, rest) = words.split_first_chunk()?;
    Some((cold, rest.first_chunk()?))
}

/// What the cold line of the process's own pair holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// [`LAYOUT_VERSION`].
    pub layout: u16,
    /// A bit for each pair that holds a task.
    pub live: u32,
    /// The id of the thread that beat last.
    pub thread: u32,
}

impl Head {
    /// The word that holds [`live`](Self::live).
    pub const LIVE: usize = 1;

    /// The word that holds [`thread`](Self::thread).
    pub const THREAD: usize = 3;

    /// The words of the line.
    #[must_use]
    pub fn to_words(self) -> Words {
        let first = u64::from(self.layout) << 48 | u64::from(State::Live as u8) << 32;
        [first, self.live.into(), 0, self.thread.into(), 0, 0, 0, 0]
    }

    /// Reads the words of the line; `None` if they are not those of a process.
    #[must_use]
    pub fn from_words(words: Words) -> Option<Self> {
        let [first, live, _, thread, ..] = words;
        let (number, state, layout) =
            (low(first), State::from_byte(byte(first, 4))?, first >> 48);
        (number == 0 && state == State::Live).then_some(Self {
            layout: u16::try_from(layout).ok()?,
            live: low(live),
            thread: low(thread),
        })
    }
}

/// The state of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No task has it.
    Free = 0,
    /// A task has it.
    Live = 1,
    /// Its task ended as planned.
    Closed = 2,
    /// Its task ended by a panic or an exception.
    Failed = 3,
}

impl State {
    /// The state with this number.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Free),
            1 => Some(Self::Live),
            2 => Some(Self::Closed),
            3 => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What the cold line of a task holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cold {
    /// The number of the task, from 1 and never reused within a page; 0 in a pair that never
    /// held one.
    pub number: u32,
    /// Whether the task is live.
    pub state: State,
    /// Whether the process is to be reported as silent when this task is late.
    pub vital: bool,
    /// Whether the task moves between threads.
    pub roams: bool,
    /// How the task that had the pair before ended; [`State::Free`] if there was none.
    pub ended: State,
    /// The longest time between two calls, in nanoseconds; [`NEVER`] for no limit.
    pub threshold_ns: u64,
    /// The shortest span whose failure to end must be found at once, in nanoseconds.
    pub finest_ns: u64,
    /// The id of the thread that called last.
    pub thread: u32,
    /// How many violations there were.
    pub violations: u32,
    /// The last one.
    pub last_violation: Option<Violation>,
    /// The task's name.
    pub name: TaskName,
}

const VITAL: u8 = 1;
const ROAMS: u8 = 2;

impl Cold {
    /// The word that holds [`number`](Self::number) and [`state`](Self::state).
    pub const NUMBER: usize = 0;

    /// The word that holds [`thread`](Self::thread) and [`violations`](Self::violations).
    pub const COUNTS: usize = 3;

    /// The word that holds [`last_violation`](Self::last_violation).
    pub const LAST: usize = 4;

    /// The words of the line.
    #[must_use]
    pub fn to_words(self) -> Words {
        let flags = if self.vital { VITAL } else { 0 } | if self.roams { ROAMS } else { 0 };
        let first = u64::from(self.number)
            | u64::from(self.state as u8) << 32
            | u64::from(flags) << 40
            | u64::from(self.ended as u8) << 48;
        let [a, b, c] = self.name.to_words();
        [
            first,
            self.threshold_ns,
            self.finest_ns,
            Self::counts(self.thread, self.violations),
            self.last_violation.map_or(0, Violation::to_word),
            a,
            b,
            c,
        ]
    }

    /// The word at [`COUNTS`](Self::COUNTS).
    #[must_use]
    pub fn counts(thread: u32, violations: u32) -> u64 {
        u64::from(violations) << 32 | u64::from(thread)
    }

    /// Reads the words of the line; `None` if they are invalid.
    #[must_use]
    pub fn from_words(words: Words) -> Option<Self> {
        let [first, threshold_ns, finest_ns, counts, last, a, b, c] = words;
        let flags = byte(first, 5);
        Some(Self {
            number: low(first),
            state: State::from_byte(byte(first, 4))?,
            vital: flags & VITAL != 0,
            roams: flags & ROAMS != 0,
            ended: State::from_byte(byte(first, 6))?,
            threshold_ns,
            finest_ns,
            thread: low(counts),
            violations: high(counts),
            last_violation: match last {
                0 => None,
                last => Some(Violation::from_word(last)?),
            },
            name: TaskName::from_words([a, b, c])?,
        })
    }
}

/// A rule that was broken by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Wrong order and steps: the checkpoint before. A span: its label.
    pub from: u16,
    /// Wrong order and steps: the checkpoint that was reached.
    pub to: u16,
    /// By how much: nanoseconds, or beats for a cycle. In a line it is rounded down to 18
    /// significant bits.
    pub by: u64,
}

/// The significant bits of an amount in a line.
const MANTISSA: u32 = 18;

impl Violation {
    /// The word of a line that holds it. It is never 0.
    #[must_use]
    pub fn to_word(self) -> u64 {
        let exponent = (u64::BITS - self.by.leading_zeros()).saturating_sub(MANTISSA);
        let amount = u64::from(exponent) << MANTISSA | self.by >> exponent;
        u64::from(self.rule as u8)
            | u64::from(self.from) << 8
            | u64::from(self.to) << 24
            | amount << 40
    }

    /// Reads the word; `None` if it is invalid.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let (exponent, mantissa) =
            (word >> (40 + MANTISSA), word >> 40 & ((1 << MANTISSA) - 1));
        let by = if exponent.checked_add(u64::from(u64::BITS - mantissa.leading_zeros()))? <= 64
        {
            mantissa << exponent.min(63)
        } else {
            return None;
        };
        Some(Self {
            rule: Rule::from_byte(byte(word, 0))?,
            from: half(word, 8),
            to: half(word, 24),
            by,
        })
    }
}

/// What a call says besides its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// The status.
    pub status: Status,
    /// The promise that is due at `until`, if any.
    pub which: Option<Promise>,
    /// Whether the task is idle.
    pub idle: bool,
    /// The promises that are broken, a bit for each as in [`Promise::bit`].
    pub broken: u8,
    /// The checkpoint where the task is, or the label of the span that is due.
    pub checkpoint: u16,
    /// The application's number.
    pub payload: u32,
}

impl Info {
    /// The word of a line that holds it.
    #[inline]
    #[must_use]
    pub fn to_word(self) -> u64 {
        u64::from(self.status as u8)
            | u64::from(self.which.map_or(0, |which| which as u8)) << 8
            | u64::from(self.idle) << 11
            | u64::from(self.broken & 0xf) << 12
            | u64::from(self.checkpoint) << 16
            | u64::from(self.payload) << 32
    }

    /// Reads the word; `None` if it is invalid.
    #[inline]
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let (status, payload) = Self::status_and_payload(word)?;
        Some(Self {
            status,
            which: Promise::from_byte(byte(word, 1) & 7),
            idle: word >> 11 & 1 != 0,
            broken: byte(word, 1) >> 4,
            checkpoint: half(word, 16),
            payload,
        })
    }

    /// All that the line of a process itself says; `None` if the word is invalid.
    #[inline]
    #[must_use]
    pub fn status_and_payload(word: u64) -> Option<(Status, u32)> {
        let status =
            Status::from_wire(byte(word, 0)).filter(|status| *status != Status::Stall)?;
        let which = byte(word, 1) & 7;
        let is_valid = which == 0 || Promise::from_byte(which).is_some();
        is_valid.then_some((status, high(word)))
    }
}

/// What the hot line of a pair holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hot {
    /// When the call was made, on the agent's monotonic clock.
    pub at: u64,
    /// When the next sign of life is due.
    pub until: u64,
    /// What else the call said, packed as [`Info`].
    pub info: u64,
    /// The process's last nonce; or what a task has done and has left, packed by [`progress`].
    pub last: u64,
}

/// Packs the amounts of work that a task has done and has left.
#[must_use]
pub fn progress(done: u32, left: u32) -> u64 {
    u64::from(left) << 32 | u64::from(done)
}

/// The done and left amounts of [`progress`].
#[must_use]
pub fn done_and_left(last: u64) -> (u32, u32) {
    (low(last), high(last))
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(word: u64) -> u32 {
    word as u32
}

#[allow(clippy::cast_possible_truncation, reason = "it fits after the shift")]
const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "one byte is what is asked for")]
const fn byte(word: u64, index: u32) -> u8 {
    (word >> (8 * index)) as u8
}

#[allow(clippy::cast_possible_truncation, reason = "16 bits are what is asked for")]
const fn half(word: u64, shift: u32) -> u16 {
    (word >> shift) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_of_a_page_wrap_around_its_end() {
        let page: Page = [const { AtomicU64::new(0) }; PAGE_WORDS];
        let place = |offset, pair| {
            let (cold, hot) = lines(&page, offset, pair)?;
            let first = &raw const page as usize;
            Some((&raw const *cold as usize - first, &raw const *hot as usize - first))
        };
        assert_eq!(place(0, 0), Some((0, 64)));
        assert_eq!(place(offset(33), 1), Some((256, 320)));
        assert_eq!(place(offset(31), 1), Some((0, 64)));
        for (offset, pair) in [(4096, 0), (64, 0), (0, 32)] {
            assert_eq!(place(offset, pair), None, "offset {offset}, pair {pair}");
        }
    }

    #[test]
    fn every_field_keeps_its_place() {
        let violation = Violation { rule: Rule::WrongOrder, from: 3, to: 0x102, by: 5_000 };
        let cold = Cold {
            number: 7,
            state: State::Live,
            vital: true,
            roams: false,
            ended: State::Failed,
            threshold_ns: 2_000,
            finest_ns: 1_000,
            thread: 0x11,
            violations: 0x22,
            last_violation: Some(violation),
            name: TaskName::new("ingest").unwrap(),
        };
        let words = cold.to_words();
        assert_eq!(words[..4], [0x0003_0101_0000_0007, 2_000, 1_000, 0x0000_0022_0000_0011]);
        assert_eq!(words[5].to_le_bytes(), *b"ingest\0\0");
        assert_eq!(Cold::from_words(words), Some(cold));

        let head = Head { layout: 1, live: 0b110, thread: 9 };
        assert_eq!(head.to_words()[..4], [0x0001_0001_0000_0000, 0b110, 0, 9]);
        assert_eq!(Head::from_words(head.to_words()), Some(head));

        let info = Info {
            status: Status::Critical,
            which: Some(Promise::Span),
            idle: true,
            broken: 0b1010,
            checkpoint: 0x1234,
            payload: 0x8765_4321,
        };
        assert_eq!(info.to_word(), 0x8765_4321_1234_aa02);
        assert_eq!(Info::from_word(info.to_word()), Some(info));
        for invalid in [3, 0xff, 5 << 8, 7 << 8] {
            assert_eq!(Info::from_word(invalid), None, "{invalid:#x}");
        }
        assert_eq!(done_and_left(progress(5, 6)), (5, 6));
    }

    #[test]
    fn an_amount_keeps_18_bits_at_any_size() {
        for by in [0, 1, (1 << 18) - 1, 1 << 18, 123_456_789, u64::MAX] {
            let violation = Violation { rule: Rule::TooLate, from: 0, to: 0, by };
            let read = Violation::from_word(violation.to_word()).unwrap();
            assert!(read.by <= by && by - read.by <= by >> 17, "{by} became {}", read.by);
        }
        assert_eq!(Violation::from_word(u64::MAX), None);
        assert_eq!(Violation::from_word(0), None);
    }
}
