//! How beats and silence change an agent's record.

use varta::{Frame, NONCE_TERMINAL, Status, v1};

use super::pause::Pauses;
use super::record::{Flags, Hot, Kind};
use super::{Exits, Slot, Tracker, is_unnumbered};
use crate::judge::deadline::{List, WheelSlot};

/// A frame of either version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat {
    pub(crate) status: Status,
    pub(crate) pid: u32,
    pub(crate) timestamp: u64,
    pub(crate) nonce: u64,
    pub(crate) payload: u64,
}

impl From<Frame> for Beat {
    #[inline]
    fn from(frame: Frame) -> Self {
        let Frame { status, pid, timestamp, nonce, payload } = frame;
        Self { status, pid, timestamp, nonce, payload: payload.into() }
    }
}

impl From<v1::Frame> for Beat {
    fn from(frame: v1::Frame) -> Self {
        let v1::Frame { status, pid, timestamp, nonce, payload } = frame;
        Self { status, pid, timestamp, nonce, payload }
    }
}

/// What a beat changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BeatOutcome {
    /// How long the agent had been silent, if it was stalled.
    pub(crate) silent_ns: Option<u64>,
    pub(crate) missed: u64,
    pub(crate) forward: bool,
}

/// What follows from a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    Stall {
        last_nonce: u64,
        last_ns: u64,
        deaf: bool,
    },
    Exit,
    /// The Stall was reported earlier; there is nothing new to report.
    Stale,
}

/// The forward distance between two nonces. They count modulo 2^64 - 1, because the terminal
/// nonce is left out.
#[inline]
pub(crate) const fn distance(from: u64, to: u64) -> u64 {
    let distance = to.wrapping_sub(from);
    if to < from { distance.wrapping_sub(1) } else { distance }
}

#[inline]
pub(crate) const fn is_forward(distance: u64) -> bool {
    1 <= distance && distance < 1 << 63
}

/// After this many thresholds of silence, an agent whose end cannot be seen counts as gone.
const GONE_AFTER: u64 = 10;

impl Tracker {
    /// Whether a beat over a network moves forward. A terminal nonce has no place in the
    /// order, and after a Stall any nonce starts a new sequence.
    pub(crate) fn moves_forward(&self, slot: Slot, nonce: u64) -> bool {
        let hot = self.hot(slot);
        nonce == NONCE_TERMINAL
            || hot.flags.has(Flags::STALLED)
            || !hot.flags.has(Flags::COUNTED)
            || is_forward(distance(hot.last_nonce, nonce))
    }

    /// Whether a beat continues from the last one. A terminal beat does not, and nothing
    /// follows it.
    #[inline]
    pub(crate) fn continues(&self, slot: Slot, nonce: u64) -> bool {
        let hot = self.hot(slot);
        nonce != NONCE_TERMINAL
            && hot.flags.has(Flags::COUNTED)
            && is_forward(distance(hot.last_nonce, nonce))
    }

    /// Records an accepted beat.
    #[inline]
    pub(crate) fn beat(&mut self, slot: Slot, now: u64, beat: &Beat) -> BeatOutcome {
        let hot = self.hot(slot);
        if hot.flags.has(Flags::STALLED) {
            self.mark_recovered(slot);
        }
        self.is_heard(slot);
        let (silence, early) = self.first_stage(slot, self.threshold(slot));
        let hot = self.hot_mut(slot);
        let terminal = beat.nonce == NONCE_TERMINAL;
        let mut outcome = BeatOutcome { silent_ns: None, missed: 0, forward: true };
        if !terminal {
            // Of an agent with a page, the nonces between are in the page.
            if hot.flags.has(Flags::COUNTED) && !hot.flags.has(Flags::PAGED) {
                let distance = distance(hot.last_nonce, beat.nonce);
                outcome.forward = is_forward(distance);
                outcome.missed = if outcome.forward { distance - 1 } else { 0 };
            }
            hot.last_nonce = beat.nonce;
            hot.flags.set(Flags::COUNTED, true);
        }
        if hot.flags.has(Flags::STALLED) {
            outcome.silent_ns = Some(now.saturating_sub(hot.last_ns));
        }
        hot.flags.set(Flags::TERMINAL, terminal);
        hot.flags.set(Flags::PER_SILENCE, false);
        hot.last_ns = now;
        hot.status = beat.status;
        hot.beats += 1;
        hot.missed =
            hot.missed.saturating_add(u32::try_from(outcome.missed).unwrap_or(u32::MAX));
        if !hot.flags.has(Flags::DEAD) {
            hot.set_early(early);
            self.wheel.set(&mut self.hot, slot.0, now.saturating_add(silence));
        }
        outcome
    }

    /// The next agent whose deadline is `horizon` or earlier. The caller must then call
    /// [`silence`](Self::silence) or [`forget`](Self::forget) for it.
    pub(crate) fn next_due(&mut self, horizon: u64) -> Option<Slot> {
        let pardon = |hot: &mut Hot| pardon(hot, &self.pauses, &self.line_pauses);
        self.wheel.next_due(&mut self.hot, horizon, pardon).map(Slot)
    }

    /// When the next agent is due, if that is `horizon` or earlier, when it was heard, and its
    /// number.
    pub(crate) fn first_due(&mut self, horizon: u64) -> Option<(u64, u64, u64)> {
        let pardon = |hot: &mut Hot| pardon(hot, &self.pauses, &self.line_pauses);
        let slot = self.wheel.first_due(&mut self.hot, horizon, pardon).map(Slot)?;
        let hot = self.hot(slot);
        Some((hot.links.deadline, hot.last_ns, hot.agent))
    }

    /// Decides what follows from the silence of an agent that is due and not known to be gone.
    pub(crate) fn silence(&mut self, slot: Slot, now: u64) -> Silence {
        let gone_after = self.gone_after(slot);
        let deaf = self.is_deaf_to(slot);
        let hot = self.hot_mut(slot);
        let flags = hot.flags;
        if !flags.has(Flags::STALLED) {
            if hot.is_network() && flags.has(Flags::TERMINAL) {
                return Silence::Exit;
            }
            let Hot { last_nonce, last_ns, .. } = *hot;
            self.mark_stalled(slot);
            return Silence::Stall { last_nonce, last_ns, deaf };
        }
        if flags.has(Flags::LOOKED_UP) {
            self.wheel.set(&mut self.hot, slot.0, now.saturating_add(gone_after));
        } else {
            hot.flags.set(Flags::GONE, true);
            hot.place = WheelSlot::ELSEWHERE;
            let (list, entries) = self.gone_list(slot);
            list.append(entries, slot.0);
        }
        Silence::Stale
    }

    /// Extends every current silence by this pause, once.
    pub(crate) fn pause(&mut self, ended_at: u64, amount: u64, suspended: u64) {
        let of_lines = amount.saturating_sub(suspended);
        if of_lines > 0 {
            self.line_pauses.add(ended_at, of_lines);
        }
        self.pauses.add(ended_at, amount);
    }

    /// Marks an agent as stalled. It no longer counts as waiting for its process number,
    /// because it may never beat again.
    pub(super) fn mark_stalled(&mut self, slot: Slot) {
        self.awaiting_number -= usize::from(is_unnumbered(self.hot(slot)));
        let (several, uid) = (self.users.several(), self.cold(slot).uid());
        let hot = self.hot_mut(slot);
        hot.flags.set(Flags::STALLED, true);
        if several && !hot.is_network() {
            hot.flags.set(Flags::LISTED, true);
            self.users.add_stalled(uid, slot.0);
        }
        self.schedule_gone(slot);
        self.stalled_after_early(slot);
    }

    pub(super) fn mark_recovered(&mut self, slot: Slot) {
        if self.has(slot, Flags::GONE) {
            self.leave_lists(slot);
        }
        self.unlist(slot);
        self.awaiting_number += usize::from(is_unnumbered(self.hot(slot)));
    }

    /// Removes it from the stalled agents of its user.
    pub(super) fn unlist(&mut self, slot: Slot) {
        if self.has(slot, Flags::LISTED) {
            self.hot_mut(slot).flags.set(Flags::LISTED, false);
            self.users.remove_stalled(self.cold(slot).uid(), slot.0);
        }
    }

    /// Records that it has exited: no beat of it will follow, and its silence is not a Stall.
    pub(crate) fn exiting(&mut self, slot: Slot) {
        self.unlist(slot);
        self.leave_lists(slot);
        self.hot_mut(slot).flags.set(Flags::EXITING, true);
    }

    /// Records that it was looked up and has exited. It is due again when everything that
    /// arrived before `seen_ns` has been processed.
    pub(crate) fn missing(&mut self, slot: Slot, seen_ns: u64) {
        self.hot_mut(slot).flags.set(Flags::MISSING, true);
        self.wheel.set(&mut self.hot, slot.0, seen_ns);
    }

    pub(crate) fn set_exits(&mut self, slot: Slot, exits: Exits) {
        let hot = self.hot_mut(slot);
        hot.flags.set(Flags::MISSING, false);
        hot.flags.set(Flags::LOOKED_UP, exits == Exits::LookedUp);
        hot.flags.set(Flags::UNSEEN, exits == Exits::Unseen);
        if hot.flags.has(Flags::STALLED) && !hot.flags.has(Flags::EXITING) {
            self.schedule_gone(slot);
        }
    }

    pub(crate) fn set_threshold(&mut self, slot: Slot, threshold_ns: u64) {
        let threshold_ns = threshold_ns.max(1);
        let before = self.threshold(slot);
        self.cold_mut(slot).threshold_ns = threshold_ns;
        self.shortest_ns = self.shortest_ns.min(threshold_ns);
        self.hot_mut(slot).flags.set(Flags::OWN_THRESHOLD, true);
        self.move_deadline(slot, before);
    }

    /// Changes the threshold of all agents that have none of their own.
    pub(crate) fn set_default_threshold(&mut self, threshold_ns: u64) {
        let before = std::mem::replace(&mut self.threshold_ns, threshold_ns.max(1));
        self.shortest_ns = self.threshold_ns;
        for slot in self.slots() {
            if !self.is_followed(slot) {
                continue;
            }
            if self.has(slot, Flags::OWN_THRESHOLD) {
                self.shortest_ns = self.shortest_ns.min(self.threshold(slot));
            } else {
                self.move_deadline(slot, before);
            }
        }
    }

    /// Moves an agent's deadline from where its former threshold had put it.
    fn move_deadline(&mut self, slot: Slot, before: u64) {
        let threshold = self.threshold(slot);
        let hot = self.hot(slot);
        // An agent that has only tasks is not judged before it beats itself.
        if hot.flags.has(Flags::DEAD) || hot.beats == 0 {
            return;
        }
        if hot.flags.has(Flags::STALLED) {
            return self.schedule_gone(slot);
        }
        if hot.flags.has(Flags::DEFERRED) {
            let due = self.due(slot);
            return self.wheel.set(&mut self.hot, slot.0, due);
        }
        if hot.is_early() {
            let (silence, _) = self.first_stage(slot, threshold);
            let deadline = self.hot(slot).last_ns.saturating_add(silence);
            return self.wheel.set(&mut self.hot, slot.0, deadline);
        }
        // The difference is a pause by which the deadline was extended.
        let hot = self.hot(slot);
        let pardon = hot.links.deadline.saturating_sub(hot.last_ns.saturating_add(before));
        let deadline = hot.last_ns.saturating_add(threshold).saturating_add(pardon);
        self.wheel.set(&mut self.hot, slot.0, deadline);
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline(&self.hot)
    }

    /// The shortest threshold of any agent since the default was set.
    pub(crate) const fn shortest_threshold(&self) -> u64 {
        self.shortest_ns
    }

    #[inline]
    pub(crate) fn threshold(&self, slot: Slot) -> u64 {
        if self.hot(slot).flags.has(Flags::OWN_THRESHOLD) {
            self.cold(slot).threshold_ns
        } else {
            self.threshold_ns
        }
    }

    fn gone_after(&self, slot: Slot) -> u64 {
        self.threshold(slot).saturating_mul(GONE_AFTER)
    }

    /// Sets a deadline for a stalled agent whose exit is not reported, so that it is checked
    /// once more. A pause that extended its silence does not count towards the ten thresholds.
    fn schedule_gone(&mut self, slot: Slot) {
        self.leave_lists(slot);
        let flags = self.hot(slot).flags;
        let deadline = self.silent_for(slot, self.gone_after(slot));
        if flags.has(Flags::UNSEEN) || flags.has(Flags::LOOKED_UP) {
            self.wheel.set(&mut self.hot, slot.0, deadline);
        }
    }

    /// When its silence reaches its threshold.
    pub(super) fn due(&self, slot: Slot) -> u64 {
        self.silent_for(slot, self.threshold(slot))
    }

    /// When its silence has lasted for `time`, not counting a pause that extended it.
    fn silent_for(&self, slot: Slot, time: u64) -> u64 {
        let Hot { last_ns, flags, .. } = *self.hot(slot);
        let pardon = match flags.has(Flags::PARDONED) {
            true => longest_pause(self.hot(slot), &self.pauses, &self.line_pauses).unwrap_or(0),
            false => 0,
        };
        last_ns.saturating_add(time).saturating_add(pardon)
    }

    pub(super) fn leave_lists(&mut self, slot: Slot) {
        let hot = self.hot_mut(slot);
        if !hot.flags.has(Flags::GONE) {
            return self.wheel.clear(&mut self.hot, slot.0);
        }
        hot.flags.set(Flags::GONE, false);
        hot.place = WheelSlot::NOWHERE;
        let (list, entries) = self.gone_list(slot);
        list.remove(entries, slot.0);
    }

    fn gone_list(&mut self, slot: Slot) -> (&mut List, &mut [Hot]) {
        let list = match self.hot(slot).kind {
            Kind::Network(_) => &mut self.gone_network,
            _ => &mut self.gone_local,
        };
        (list, &mut self.hot)
    }
}

/// Extends the deadline of an agent by a pause in its silence, once per silence.
fn pardon(hot: &mut Hot, all: &Pauses, of_lines: &Pauses) -> Option<u64> {
    if hot.flags.has(Flags::NO_PARDON) || hot.is_early() {
        return None;
    }
    let amount = longest_pause(hot, all, of_lines)?;
    hot.flags.set(Flags::PARDONED, true);
    Some(hot.links.deadline.saturating_add(amount))
}

fn longest_pause(hot: &Hot, all: &Pauses, of_lines: &Pauses) -> Option<u64> {
    if hot.flags.has(Flags::PAGED) {
        of_lines.overlap_of_silence_since(hot.last_ns)
    } else {
        all.within_silence_since(hot.last_ns)
    }
}
