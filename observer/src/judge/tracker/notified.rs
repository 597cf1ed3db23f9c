//! Agents that are known by notifications: their process may send no frames at all.

use varta::Status;

use super::record::{Flags, Key};
use super::{Exits, Slot, Tracker, awaits_number};
use crate::judge::deadline::WheelSlot;

impl Tracker {
    /// Whether an agent sends frames, as datagrams or through a page.
    pub(crate) fn sends_frames(&self, slot: Slot) -> bool {
        let hot = self.hot(slot);
        hot.flags.has(Flags::PAGED) || hot.beats > 0 && !hot.is_notified()
    }

    /// The user of a local agent.
    pub(crate) fn uid(&self, slot: Slot) -> u32 {
        self.cold(slot).uid()
    }

    /// An agent that has never beaten gives a sign of life.
    pub(crate) fn touch(&mut self, slot: Slot, now: u64) {
        let hot = self.hot_mut(slot);
        if hot.beats == 0 {
            hot.last_ns = now;
        }
    }

    /// Records a sign of life of an agent that sends no frames: from now on its silence is
    /// judged, but not before `until`. `own_ns` is its threshold, unless it is the default.
    /// Returns how long the agent had been silent, if it was stalled.
    pub(crate) fn ping(
        &mut self,
        slot: Slot,
        now: u64,
        own_ns: Option<u64>,
        until: u64,
    ) -> Option<u64> {
        let stalled = self.has(slot, Flags::STALLED);
        if stalled {
            self.mark_recovered(slot);
        }
        let threshold = own_ns.unwrap_or(self.default_threshold());
        self.cold_mut(slot).threshold_ns = threshold;
        self.shortest_ns = self.shortest_ns.min(threshold);
        self.is_heard(slot);
        let (silence, early) = self.first_stage(slot, threshold);
        let hot = self.hot_mut(slot);
        let silent_ns = stalled.then(|| now.saturating_sub(hot.last_ns));
        hot.set_notified(true);
        hot.flags.set(Flags::OWN_THRESHOLD, own_ns.is_some());
        hot.flags.set(Flags::TERMINAL, false);
        hot.flags.set(Flags::PER_SILENCE, false);
        hot.last_ns = now;
        hot.status = Status::Ok;
        hot.beats += 1;
        if !hot.flags.has(Flags::DEAD) {
            hot.set_early(early);
            self.wheel.set(&mut self.hot, slot.0, now.saturating_add(silence));
            if until > now {
                self.put_off(slot, until);
            }
        }
        silent_ns
    }

    /// Puts the deadline of an agent off, if it is earlier and the agent is not stalled.
    pub(crate) fn put_off(&mut self, slot: Slot, until: u64) {
        let hot = self.hot(slot);
        let due = hot.last_ns.saturating_add(self.threshold(slot));
        if hot.is_judged() && until > due {
            self.hot_mut(slot).set_early(false);
            self.wheel.set(&mut self.hot, slot.0, until);
        }
    }

    /// The silence of an agent is not judged any more. `for_good` is whether frames do not
    /// change that. It is no longer stalled.
    pub(crate) fn stop_judging(&mut self, slot: Slot, now: u64, for_good: bool) {
        if self.has(slot, Flags::STALLED) {
            self.mark_recovered(slot);
        }
        self.leave_lists(slot);
        self.is_heard(slot);
        self.cold_mut(slot).threshold_ns = u64::MAX;
        let hot = self.hot_mut(slot);
        hot.flags.set(Flags::PER_SILENCE, false);
        hot.flags.set(Flags::OWN_THRESHOLD, hot.beats > 0 || for_good);
        hot.links.deadline = u64::MAX;
        hot.set_early(false);
        hot.last_ns = hot.last_ns.max(now);
    }

    /// Marks an agent as stalled before its deadline.
    pub(crate) fn stall(&mut self, slot: Slot) {
        self.leave_lists(slot);
        self.mark_stalled(slot);
    }

    /// An agent that sent none begins to send frames, by which it is judged from now on.
    pub(crate) fn frames_begin(&mut self, slot: Slot) {
        if self.has(slot, Flags::STALLED) {
            self.mark_recovered(slot);
        }
        self.leave_lists(slot);
        self.is_heard(slot);
        let hot = self.hot_mut(slot);
        hot.set_notified(false);
        hot.set_early(false);
        hot.flags.set(Flags::OWN_THRESHOLD, false);
        hot.flags.set(Flags::PER_SILENCE, false);
        hot.beats = 0;
    }

    /// The longest pause in a silence that began then.
    pub(crate) fn pause_since(&self, last_ns: u64) -> Option<u64> {
        self.pauses.within_silence_since(last_ns)
    }

    /// Changes the process of a local agent that has a pid.
    pub(crate) fn change_pid(
        &mut self,
        slot: Slot,
        pid: u32,
        process: Option<u64>,
        exits: Exits,
    ) {
        let before = self.key(slot);
        self.by_key.remove(self.tag(&before), slot.0);
        self.awaiting_number -= usize::from(awaits_number(self.hot(slot)));
        self.cold_mut(slot).set_local(process.unwrap_or(0), pid);
        let hot = self.hot_mut(slot);
        hot.pid = pid;
        hot.flags.set(Flags::ALIASED, false);
        hot.flags.set(Flags::NUMBERED, process.is_some());
        hot.flags.set(Flags::UNCONFIRMED, process.is_none());
        hot.flags.set(Flags::COUNTED, false);
        hot.flags.set(Flags::DEAD, false);
        self.awaiting_number += usize::from(awaits_number(self.hot(slot)));
        let key = Key::Pid(pid);
        self.by_key.insert(self.tag(&key), slot.0);
        self.set_exits(slot, exits);
        let hot = self.hot(slot);
        if hot.is_judged() && hot.is_notified() && hot.place == WheelSlot::NOWHERE {
            // The end of the former process had cleared it.
            let deadline = hot.last_ns.saturating_add(self.threshold(slot));
            self.wheel.set(&mut self.hot, slot.0, deadline);
        }
    }
}
