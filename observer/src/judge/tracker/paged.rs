//! Agents that beat through shared memory: they have pages, which are read from time to time.

use varta::{NONCE_TERMINAL, Status};

use super::liveness::{distance, is_forward};
use super::record::Flags;
use super::{Slot, Tracker};
use crate::judge::deadline::WheelSlot;

impl Tracker {
    /// Sets whether an agent has a page. Its deadline is in the wheel only if it is due before
    /// the next look at the page.
    pub(crate) fn set_paged(&mut self, slot: Slot, paged: bool, now: u64) {
        let hot = self.hot_mut(slot);
        hot.flags.set(Flags::PAGED, paged);
        if hot.beats == 0 {
            hot.last_ns = now;
        }
        if !paged {
            self.set_timer(slot, u64::MAX);
        }
    }

    /// As [`beats`](Self::beats) for an agent that beats on as it did, and has no timer. Returns
    /// when something is to be done about it, or `None` if this is not such an agent; then nothing is changed.
    #[inline]
    pub(crate) fn plain_beats(
        &mut self,
        slot: Slot,
        at: u64,
        status: Status,
        nonce: u64,
        count: u32,
    ) -> Option<u64> {
        let (silence, early) = self.first_stage(slot, self.threshold(slot));
        let hot = self.hot_mut(slot);
        let is_plain = hot.beats > 0
            && hot.flags.has(Flags::COUNTED)
            && !hot.flags.has(Flags::NOT_PLAIN)
            && hot.place == WheelSlot::NOWHERE
            && is_forward(distance(hot.last_nonce, nonce))
            && nonce != NONCE_TERMINAL
            && at > hot.last_ns;
        if !is_plain {
            return None;
        }
        hot.beats += u64::from(count);
        hot.last_nonce = nonce;
        hot.last_ns = at;
        hot.status = status;
        hot.set_early(early);
        let deadline = at.saturating_add(silence);
        hot.links.deadline = deadline;
        Some(deadline)
    }

    /// Records beats, of which the last one was made at `at`. Returns how long the agent had
    /// been silent before it, if it was stalled.
    #[inline]
    pub(crate) fn beats(
        &mut self,
        slot: Slot,
        at: u64,
        status: Status,
        nonce: u64,
        count: u32,
    ) -> Option<u64> {
        let hot = self.hot_mut(slot);
        let first = hot.beats == 0;
        // An agent that was carried over from another observer has beaten before.
        hot.beats += u64::from(if first { count.max(1) } else { count });
        let counted = hot.flags.has(Flags::COUNTED);
        let forward = !counted || is_forward(distance(hot.last_nonce, nonce));
        if nonce != NONCE_TERMINAL && forward {
            hot.last_nonce = nonce;
            hot.flags.set(Flags::COUNTED, true);
        }
        // A datagram that was sent later may have been heard before.
        if !first && at <= hot.last_ns {
            hot.status = if at == hot.last_ns { status } else { hot.status };
            return None;
        }
        let silent_ns = hot.flags.has(Flags::STALLED).then(|| at.saturating_sub(hot.last_ns));
        if silent_ns.is_some() {
            self.mark_recovered(slot);
        }
        self.is_heard(slot);
        let hot = self.hot_mut(slot);
        hot.flags.set(Flags::TERMINAL, nonce == NONCE_TERMINAL);
        hot.flags.set(Flags::PER_SILENCE, false);
        hot.last_ns = at;
        hot.status = status;
        if !hot.flags.has(Flags::DEAD) {
            let (silence, early) = self.first_stage(slot, self.threshold(slot));
            self.hot_mut(slot).set_early(early);
            let deadline = at.saturating_add(silence);
            self.clear_timer(slot, deadline);
        }
        silent_ns
    }

    /// Sets the timer of an agent if it is due before `next_look`. Returns when it is due, or
    /// the end of time.
    #[inline]
    pub(crate) fn set_timer(&mut self, slot: Slot, next_look: u64) -> u64 {
        if !self.hot(slot).is_judged() {
            return u64::MAX;
        }
        let deadline = self.deadline(slot);
        if deadline < next_look {
            self.wheel.set(&mut self.hot, slot.0, deadline);
        } else {
            self.clear_timer(slot, deadline);
        }
        deadline
    }

    #[inline]
    fn clear_timer(&mut self, slot: Slot, deadline: u64) {
        self.wheel.clear(&mut self.hot, slot.0);
        self.hot_mut(slot).links.deadline = deadline;
    }

    /// When an agent gave its last sign of life.
    #[inline]
    pub(crate) fn last_ns(&self, slot: Slot) -> u64 {
        self.hot(slot).last_ns
    }

    /// The last nonce of an agent.
    pub(crate) fn last_nonce(&self, slot: Slot) -> u64 {
        self.hot(slot).last_nonce
    }

    /// How many beats of an agent were counted.
    pub(crate) fn count(&self, slot: Slot) -> u64 {
        self.hot(slot).beats
    }

    /// When an agent is due.
    pub(crate) fn deadline(&self, slot: Slot) -> u64 {
        self.hot(slot).links.deadline
    }

    /// Moves what is known of an agent by the time for which the system was suspended: its
    /// lines are on a clock that stood still.
    pub(crate) fn shift(&mut self, slot: Slot, suspended: u64) {
        let hot = self.hot_mut(slot);
        hot.last_ns = hot.last_ns.saturating_add(suspended);
        let deadline = hot.links.deadline.saturating_add(suspended);
        if hot.is_judged() {
            self.wheel.set(&mut self.hot, slot.0, deadline);
        }
    }

    pub(crate) fn shift_line_pauses(&mut self, suspended: u64) {
        self.line_pauses.shift(suspended);
    }

    /// The longest pause in the silence of a line since `last_ns`.
    pub(crate) fn pause_within_line(&self, last_ns: u64) -> Option<u64> {
        self.line_pauses.overlap_of_silence_since(last_ns)
    }

    /// Sets how many places are taken by tasks.
    pub(crate) fn reserve(&mut self, places: usize) {
        self.reserved = places;
    }

    /// Whether all places are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.followed + self.reserved >= self.capacity
    }

    pub(crate) const fn default_threshold(&self) -> u64 {
        self.threshold_ns
    }
}
