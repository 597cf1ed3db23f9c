//! The beats of the process itself, in the line that all its handles share.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attach::Lane;
use super::handle::Handle;
use super::layout::{Head, Hot, INTERVAL, Info, LAST_LOOK};
use super::line;
use super::mark::{beating, says_the_same};
use super::pairs::Pairs;
use crate::status::Status;
use crate::sys;
use crate::sys::barrier::has_barrier;
use crate::sys::lane::Lines;
use crate::task::is_fold_due;

/// What became of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is in the page, where the observer finds it at its next look.
    Line,
    /// It is in the page, but the observer has not looked for too long.
    Unread,
    /// It has to be sent as a datagram.
    Datagram,
}

/// A beat, and the one before it.
struct Written {
    at: u64,
    info: u64,
    before_at: u64,
    before_info: u64,
}

impl Handle {
    /// Writes a beat, if this handle may do so alone and nothing else is to be done with it.
    #[inline]
    pub(crate) fn beat_alone(&self, now: u64, status: Status, payload: u32) -> bool {
        let pairs = self.pairs();
        let place = pairs.own_place();
        if now >= pairs.private().due.load(Ordering::Relaxed)
            || is_fold_due(pairs)
            || !place.mark.enter(self.number)
        {
            return false;
        }
        let page = place.shared.get();
        let written =
            page.map(|page| pairs.write_beat(self.lane, Some(page), now, status, payload));
        place.mark.leave();
        if let Some(written) = &written {
            pairs.ring_if_needed(written);
        }
        written.is_some()
    }

    /// Writes a beat into the private copy, and into the page if there is one.
    pub(crate) fn beat(&mut self, now: u64, status: Status, payload: u32) -> Way {
        let (pairs, lane) = (self.pairs(), self.lane);
        let place = pairs.own_place();
        let writing = beating(now, status, payload);
        if !self.is_calm && place.mark.is_written_alone() {
            return pairs.beat_beside(lane, now, 0, writing);
        }
        self.is_calm = true;
        if let Err(seen) = place.mark.take(writing) {
            return pairs.beat_beside(lane, now, seen, writing);
        }
        let page = place.shared.get();
        let written = pairs.write_beat(lane, page, now, status, payload);
        if page.is_some() && has_barrier() {
            self.write_alone_from_now_on();
        }
        place.mark.release();

        let way = match now < pairs.private().due.load(Ordering::Relaxed) {
            true if page.is_some() => Way::Line,
            true => Way::Datagram,
            false => pairs.do_what_is_due(now),
        };
        if way == Way::Datagram {
            return way;
        }
        if page.is_none() {
            // The page came just now, with this beat in it.
            lane.nonces.take_wrapping();
        }
        pairs.ring_if_needed(&written);
        way
    }

    /// If this is the only handle. It has the mark.
    fn write_alone_from_now_on(&self) {
        let is_only_one = || self.handles.load(Ordering::SeqCst) == 1;
        if is_only_one() {
            let mark = &self.own_place().mark;
            mark.allow(self.number);
            // Another one may have come before it could see that.
            if !is_only_one() {
                mark.withdraw();
            }
        }
    }
}

impl Pairs {
    /// Writes a beat. The caller has the mark, or writes alone.
    #[inline]
    fn write_beat(
        &self,
        lane: &Lane,
        page: Option<&Lines>,
        now: u64,
        status: Status,
        payload: u32,
    ) -> Written {
        let own = self.own();
        let sequence = line::sequence(&own.hot);
        let (before_at, before_info) = line::latest(&own.hot, sequence);
        let nonce = match page {
            Some(_) => lane.nonces.count_line(),
            // It is taken when the beat is sent, or when a page has come.
            None => lane.nonces.latest().wrapping_add(1),
        };
        let (at, info) = (now.max(before_at), info(status, payload));
        let hot = Hot { at, until: 0, info, last: nonce };
        let _ = line::write(&own.hot, sequence, &hot);
        if let Some(page) = page {
            let _ = line::write(&page.hot, sequence, &hot);
            self.note_thread(Some(page));
        }
        Written { at, info, before_at, before_info }
    }

    /// Makes the observer look if the status is another one, or the beat is late.
    #[inline]
    fn ring_if_needed(&self, written: &Written) {
        let Written { at, info, before_at, before_info } = *written;
        let is_late = at - before_at > self.private().threshold.load(Ordering::Relaxed);
        if status_of(info) != status_of(before_info) || is_late && before_at != 0 {
            self.ring(0);
        }
    }

    /// Takes the next step of the connection, if it is due, and finds out whether the observer
    /// looks.
    #[cold]
    pub(super) fn do_what_is_due(&self, now: u64) -> Way {
        self.tend(now);
        let (way, left) = match self.look(now) {
            None => (Way::Datagram, u64::MAX),
            Some((age, interval)) => match interval.saturating_mul(2).checked_sub(age) {
                Some(left) => (Way::Line, left),
                None => (Way::Unread, 0),
            },
        };
        let private = self.private();
        let next_step = private.next_step.load(Ordering::Acquire);
        let due = next_step.min(now.saturating_add(left));
        private.due.store(due, Ordering::Release);
        if due != u64::MAX {
            private.due_to_tasks.store(due, Ordering::Release);
        }
        way
    }

    /// The same for a call of a task.
    #[inline]
    pub(super) fn do_what_is_due_to_tasks(&self, now: u64) {
        if now >= self.private().due_to_tasks.load(Ordering::Relaxed) {
            // No datagram was taken since the last attempt.
            self.wake();
            let _ = self.do_what_is_due(now);
        }
    }

    /// While another handle writes the line: its beat counts for this one if it says the same.
    #[cold]
    fn beat_beside(&self, lane: &Lane, now: u64, seen: u64, writing: u64) -> Way {
        match self.do_what_is_due(now) {
            Way::Line if says_the_same(seen, writing) => {
                lane.nonces.take_wrapping();
                Way::Line
            }
            Way::Line => Way::Datagram,
            way => way,
        }
    }

    /// How long ago the observer looked, and how often it does, in nanoseconds.
    #[inline]
    fn look(&self, now: u64) -> Option<(u64, u64)> {
        let private = self.private();
        let looks = private.observer.get()?;
        let last = looks[LAST_LOOK].load(Ordering::Acquire);
        let here = last.wrapping_add(private.clock_offset.load(Ordering::Relaxed));
        // A look in the future was just now.
        let age = now.wrapping_sub(here);
        let age = if age > u64::MAX / 2 { 0 } else { age };
        Some((age, looks[INTERVAL].load(Ordering::Relaxed)))
    }

    /// How long ago the observer looked; None if there is no page.
    pub(crate) fn watched(&self, now: u64) -> Option<Duration> {
        self.look(now).map(|(age, _)| Duration::from_nanos(age))
    }

    /// Notes the calling thread as the one that beat last.
    #[inline]
    pub(super) fn note_thread(&self, page: Option<&Lines>) {
        let thread = sys::thread_handle();
        if self.private().thread.load(Ordering::Relaxed) != thread {
            self.note_new_thread(thread, page);
        }
    }

    #[cold]
    fn note_new_thread(&self, thread: u64, page: Option<&Lines>) {
        let id = sys::thread_id().into();
        for lines in [Some(self.own()), page].into_iter().flatten() {
            lines.cold[Head::THREAD].store(id, Ordering::Relaxed);
        }
        self.private().thread.store(thread, Ordering::Relaxed);
    }
}

#[inline]
fn info(status: Status, payload: u32) -> u64 {
    Info { status, which: None, idle: false, broken: 0, checkpoint: 0, payload }.to_word()
}

/// The part of the info word that is the status; 0 is Ok, and what a line holds at first.
#[inline]
const fn status_of(info: u64) -> u64 {
    info & 0xff
}
