//! The pairs of a process: private copies of all lines, and the page while one is attached.
//!
//! The private copies are what a new page is filled from, and what a beat by datagram reports
//! of tasks where no observer reads them. A call writes its private copy first and then the
//! same values, under the same sequence, to the page.

use std::ffi::{OsStr, OsString};
use std::io;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use super::atomic::AtomicU64;
use super::attach::Lane;
use super::layout::{Cold, Head, Hot, LAYOUT_VERSION, Line, PAIRS, State, Violation, Words};
use super::line;
use super::mark::Access;
use super::message::{Message, TASKS_WANTED};
use crate::fork::ForkGuard;
use crate::sys::List;
use crate::sys::barrier::has_barrier;
use crate::sys::lane::{Lines, Place, Private, PrivateMemory};

/// The pairs of this process for one endpoint. All its handles share them. In a forked child
/// they are empty.
pub(crate) struct Pairs {
    endpoint: Option<OsString>,
    /// Whether handles that use the lane have these pairs, or those that do not.
    uses_lane: bool,
    /// The way to a page. None also if the kernel cannot wipe memory in a child.
    pub(super) lane: Option<Lane>,
    pub(super) fork_guard: &'static ForkGuard,
    memory: PrivateMemory,
    /// How many handles there are. A child has those of its parent.
    pub(super) handles: AtomicU64,
    /// The last number of a handle.
    pub(super) numbers: AtomicU64,
    /// Whether an agent has them, if no endpoint names them.
    taken: AtomicBool,
}

impl Pairs {
    /// The pairs of an endpoint; with `lane` those that have or may get a page. Without an
    /// endpoint, pairs that no other agent has until they are [given back](Self::give_back).
    pub(crate) fn of(
        endpoint: Option<&OsStr>,
        lane: Option<impl FnOnce() -> io::Result<Lane>>,
    ) -> io::Result<&'static Self> {
        static ALL: List<Pairs> = List::new();
        let uses_lane = lane.is_some();
        ALL.find_or_add(
            |pairs| {
                pairs.endpoint.as_deref() == endpoint
                    && pairs.uses_lane == uses_lane
                    && (endpoint.is_some() || pairs.take())
            },
            || Self::new(endpoint, lane),
        )
    }

    pub(super) fn new(
        endpoint: Option<&OsStr>,
        lane: Option<impl FnOnce() -> io::Result<Lane>>,
    ) -> io::Result<Self> {
        let memory = PrivateMemory::new()?;
        Ok(Self {
            endpoint: endpoint.map(OsStr::to_owned),
            uses_lane: lane.is_some(),
            lane: match lane {
                Some(lane) if memory.is_wiped() => Some(lane()?),
                _ => None,
            },
            fork_guard: ForkGuard::of_process()?,
            memory,
            handles: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
            taken: AtomicBool::new(true),
        })
    }

    /// Takes pairs that were given back, unless a task still has one of them.
    fn take(&self) -> bool {
        let private = self.private();
        let is_free = || self.is_ours() && private.claimed.load(Ordering::Acquire) == 0;
        let taken = !self.taken.load(Ordering::Acquire)
            && is_free()
            && !self.taken.swap(true, Ordering::AcqRel);
        if taken {
            // They were the last agent's.
            private.reported.store(self.violations().into(), Ordering::Relaxed);
        }
        taken
    }

    /// The agent that alone had these pairs has ended.
    pub(crate) fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// Whether these pairs have or may get a page.
    pub(crate) fn has_lane(&self) -> bool {
        self.lane.is_some()
    }

    #[inline]
    pub(super) fn private(&self) -> &Private {
        &self.memory
    }

    /// The private copy of a pair.
    #[inline]
    fn lines(&self, index: u32) -> Option<&Lines> {
        self.memory.lines.get(index as usize)
    }

    /// The private copy of the pair of the process itself.
    #[inline]
    pub(super) fn own(&self) -> &Lines {
        let [own, ..] = &self.memory.lines;
        own
    }

    /// Where the pair of the process itself is in the page.
    #[inline]
    pub(super) fn own_place(&self) -> &Place {
        let [own, ..] = &self.memory.places;
        own
    }

    /// Makes the pairs those of the calling process, where they are still its parent's. False
    /// while another thread does so.
    pub(crate) fn settle(&self) -> bool {
        let Some(process) = self.fork_guard.process().map(|process| process.number()) else {
            return false;
        };
        let private = self.private();
        let seen = private.process.load(Ordering::Acquire);
        seen == process || self.settle_in(process)
    }

    #[cold]
    fn settle_in(&self, process: u64) -> bool {
        let private = self.private();
        let seen = private.settling.load(Ordering::Acquire);
        let is_first = seen != process
            && private
                .settling
                .compare_exchange(seen, process, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if is_first {
            if !self.memory.is_wiped() {
                private.forget();
            }
            if let Some(lane) = &self.lane {
                lane.close_inherited();
            }
            private.process.store(process, Ordering::Release);
        }
        is_first
    }

    /// Whether the pairs are those of the calling process.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        let process = self.fork_guard.process().map(|process| process.number());
        process == Some(self.private().process.load(Ordering::Acquire))
    }

    /// Takes a free pair for a task; None if all are taken.
    pub(crate) fn claim(&'static self) -> Option<Pair> {
        if !self.settle() {
            return None;
        }
        let private = self.private();
        let mut claimed = private.claimed.load(Ordering::Relaxed);
        let index = loop {
            // Pair 0 belongs to the process.
            let index = (claimed | 1).trailing_ones();
            if index >= PAIRS {
                return None;
            }
            let claim = private.claimed.compare_exchange(
                claimed,
                claimed | 1 << index,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match claim {
                Ok(_) => break index,
                Err(other) => claimed = other,
            }
        };
        let (lines, place) = (self.lines(index)?, self.memory.places.get(index as usize)?);
        let number = private.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let sequence = line::sequence(&lines.hot);
        Some(Pair { pairs: self, lines, place, index, number: low(number), sequence })
    }

    /// The pairs that hold a task, a bit for each.
    #[inline]
    pub(crate) fn live(&self) -> u32 {
        low(self.own().cold[Head::LIVE].load(Ordering::Acquire))
    }

    /// What the task in a pair said last; None if the pair holds none, or if it is being
    /// changed at this moment.
    pub(crate) fn read(&self, index: u32) -> Option<(Cold, Hot)> {
        let lines = self.lines(index).filter(|_| index != 0)?;
        let cold = Cold::from_words(read_cold(&lines.cold)?)?;
        let (_, hot) = line::read(&lines.hot)?;
        (cold.state == State::Live).then_some((cold, hot))
    }

    /// Whether an observer that wants tasks reads the page.
    #[inline]
    pub(crate) fn wanted(&self) -> bool {
        let private = self.private();
        private.observer.get().is_some()
            && private.flags.load(Ordering::Relaxed) & u64::from(TASKS_WANTED) != 0
    }

    /// How many violations there were in all tasks of this process.
    pub(crate) fn violations(&self) -> u32 {
        low(self.private().violations.load(Ordering::Relaxed))
    }

    /// The observer will see a violation of this time in the page, so no beat has to report it.
    pub(crate) fn leave_violation_to_observer(&self, at: u64) {
        let private = self.private();
        private.reported.fetch_add(1, Ordering::Relaxed);
        private.left_at.store(at, Ordering::Relaxed);
    }

    /// How many of the violations frames have reported.
    pub(crate) fn reported(&self) -> &AtomicU64 {
        &self.private().reported
    }

    /// Makes the observer look at a pair now. The pair must have been written before. If the
    /// bell is lost, the next look sees the pair.
    #[cold]
    pub(super) fn ring(&self, pair: u32) {
        if self.private().observer.get().is_none() {
            return;
        }
        let (bytes, length) = Message::Bell { pair }.encode();
        self.send(bytes.get(..length).unwrap_or_default());
    }

    /// The pairs in which there is something to copy.
    pub(super) fn written(&self) -> impl Iterator<Item = u32> + '_ {
        // Most processes have no task, and never touch the second page of this memory.
        let had_tasks = self.private().numbers.load(Ordering::Acquire) != 0;
        let is_written = |index: &u32| {
            self.lines(*index).is_some_and(|lines| line::sequence(&lines.hot) != 0)
        };
        let of_tasks = (1..PAIRS).take_while(move |_| had_tasks).filter(is_written);
        iter::once(0).chain(of_tasks)
    }

    /// Copies a pair to where an attach wants it. The caller has the pair's mark.
    pub(super) fn copy(&self, index: u32, to: &Lines, head: &Line) {
        let Some(lines) = self.lines(index) else { return };
        if let Some((sequence, hot)) = line::read(&lines.hot) {
            // The copy that the page shows must not be overwritten.
            let shown = line::sequence(&to.hot);
            if shown != 0 && shown != sequence && (shown ^ sequence) & 1 == 0 {
                let _ = line::write(&to.hot, sequence.wrapping_sub(2), &hot);
            }
            let _ = line::write(&to.hot, sequence.wrapping_sub(1), &hot);
        }

        if index == 0 {
            let thread = lines.cold[Head::THREAD].load(Ordering::Relaxed);
            let own = Head { layout: LAYOUT_VERSION, live: 0, thread: low(thread) };
            for (at, word) in own.to_words().into_iter().enumerate() {
                if at != Head::LIVE {
                    store(&to.cold, at, word);
                }
            }
            return;
        }
        let words = lines.cold.each_ref().map(|word| word.load(Ordering::Acquire));
        write_cold(&to.cold, words, || {});
        set_live(head, index, self.live() & 1 << index != 0);
    }
}

/// The pair of a task, which it alone uses until [`end`](Self::end). It does not notice a fork:
/// in a child a pair of its parent must not be used.
pub(crate) struct Pair {
    pairs: &'static Pairs,
    lines: &'static Lines,
    place: &'static Place,
    index: u32,
    number: u32,
    /// The sequence of the last write.
    sequence: u64,
}

impl Pair {
    /// The number of the task, which no other task of this process had.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Declares the task. Its number and state, and how the last task in this pair ended, are
    /// set here.
    pub(crate) fn declare(&mut self, cold: &Cold, hot: &Hot) {
        let before = Cold::from_words(load(&self.lines.cold));
        let cold = Cold {
            number: self.number,
            state: State::Live,
            ended: before.map_or(State::Free, |before| before.state),
            ..*cold
        };
        let sequence = self.sequence;
        self.write(|lines, own| {
            write_cold(&lines.cold, cold.to_words(), || {
                let _ = line::write(&lines.hot, sequence, hot);
            });
            set_live(&own.cold, self.index, true);
        });
        self.sequence = line::next(sequence);
        self.pairs.do_what_is_due_to_tasks(hot.at);
    }

    /// Publishes what a call said.
    #[inline]
    pub(crate) fn store(&mut self, hot: &Hot) {
        let (sequence, hot) = (self.sequence, *hot);
        // What it says can stay in registers.
        self.write(move |lines, _| {
            let _ = line::write(&lines.hot, sequence, &hot);
        });
        self.sequence = line::next(sequence);
        self.pairs.do_what_is_due_to_tasks(hot.at);
    }

    /// Publishes which thread calls.
    pub(crate) fn set_thread(&mut self, thread: u32) {
        let [.., counts, _, _, _, _] = load(&self.lines.cold);
        let counts = counts & !u64::from(u32::MAX) | u64::from(thread);
        self.write(|lines, _| store(&lines.cold, Cold::COUNTS, counts));
    }

    /// Publishes a violation, and how many the task has had.
    pub(crate) fn add_violation(&mut self, violation: Violation, total: u32) {
        self.pairs.private().violations.fetch_add(1, Ordering::Relaxed);
        let [.., counts, _, _, _, _] = load(&self.lines.cold);
        let counts = counts & u64::from(u32::MAX) | u64::from(total) << 32;
        self.write(|lines, _| {
            store(&lines.cold, Cold::LAST, violation.to_word());
            store(&lines.cold, Cold::COUNTS, counts);
        });
    }

    /// Makes the observer look at the pair now. If the bell is lost, the next look sees it.
    pub(crate) fn ring(&self) {
        self.pairs.ring(self.index);
    }

    /// Ends the task as closed or failed, and frees the pair.
    pub(crate) fn end(self, state: State) {
        let [first, ..] = load(&self.lines.cold);
        let first = first & !(0xff << 32) | u64::from(state as u8) << 32;
        self.write(|lines, own| {
            store(&lines.cold, Cold::NUMBER, first);
            set_live(&own.cold, self.index, false);
        });
        self.pairs.private().claimed.fetch_and(!(1 << self.index), Ordering::AcqRel);
        if state == State::Failed {
            self.ring();
        }
    }

    /// Whether an observer that wants tasks reads the pair.
    #[inline]
    pub(crate) fn wanted(&self) -> bool {
        self.pairs.wanted()
    }

    /// Writes the private copy, and then the page, if there is one and no attach copies at
    /// this moment. `write` gets the lines of this pair and those of the process.
    #[inline]
    fn write(&self, write: impl Fn(&Lines, &Lines)) {
        write(self.lines, self.pairs.own());
        let mark = &self.place.mark;
        if mark.enter(self.holder()) {
            self.write_page(write);
            mark.leave();
        } else {
            self.write_page_with_mark(write);
        }
    }

    #[cold]
    fn write_page_with_mark(&self, write: impl Fn(&Lines, &Lines)) {
        let mark = &self.place.mark;
        if mark.take_alone() == Access::Granted {
            self.write_page(write);
            // Without a lane nobody ever attaches.
            if has_barrier() || !self.pairs.has_lane() {
                mark.allow(self.holder());
            }
            mark.release();
        }
    }

    #[inline]
    fn write_page(&self, write: impl Fn(&Lines, &Lines)) {
        if let (Some(lines), Some(own)) =
            (self.place.shared.get(), self.pairs.own_place().shared.get())
        {
            write(lines, own);
        }
    }

    /// What no other holder of the pair has, and not 0.
    #[inline]
    fn holder(&self) -> u64 {
        1 << 32 | u64::from(self.number)
    }
}

/// Writes the cold line of a task, so that a reader never takes parts of two tasks for one.
/// `meanwhile` runs while the line is marked as free.
fn write_cold(line: &Line, words: Words, meanwhile: impl FnOnce()) {
    let [first, ..] = words;
    let number_only = first & u64::from(u32::MAX);
    store(line, Cold::NUMBER, number_only);
    fence(Ordering::Release);
    for (at, word) in words.into_iter().enumerate().skip(1) {
        store(line, at, word);
    }
    meanwhile();
    store(line, Cold::NUMBER, first);
}

/// Reads the cold line of a task; None if it is being changed.
fn read_cold(line: &Line) -> Option<Words> {
    let words = load(line);
    fence(Ordering::Acquire);
    (line[Cold::NUMBER].load(Ordering::Relaxed) == words[Cold::NUMBER]).then_some(words)
}

fn load(line: &Line) -> Words {
    line.each_ref().map(|word| word.load(Ordering::Acquire))
}

fn store(line: &Line, at: usize, word: u64) {
    if let Some(place) = line.get(at) {
        place.store(word, Ordering::Release);
    }
}

fn set_live(head: &Line, pair: u32, is_live: bool) {
    let bit = 1 << pair;
    match is_live {
        true => head[Head::LIVE].fetch_or(bit, Ordering::AcqRel),
        false => head[Head::LIVE].fetch_and(!bit, Ordering::AcqRel),
    };
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(word: u64) -> u32 {
    word as u32
}
