//! Beats and silences: what each changes in an agent's record.

use varta::{NONCE_TERMINAL, Status};

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

/// What a beat changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    /// How long it had been silent, if a Stall was said.
    pub(crate) silent_ns: Option<u64>,
    pub(crate) missed: u64,
    pub(crate) forward: bool,
}

/// What a silence has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    Stall {
        last_nonce: u64,
        last_ns: u64,
        deaf: bool,
    },
    Exit,
    /// Stalled long ago; there is nothing new to say.
    Stale,
}

/// The forward distance of two nonces. They count modulo 2^64 - 1, because the terminal
/// nonce is left out.
#[inline]
const fn distance(from: u64, to: u64) -> u64 {
    let distance = to.wrapping_sub(from);
    if to < from { distance.wrapping_sub(1) } else { distance }
}

#[inline]
const fn is_forward(distance: u64) -> bool {
    1 <= distance && distance < 1 << 63
}

/// How many thresholds of silence make an agent gone whose end can't be seen.
const GONE_AFTER: u64 = 10;

impl Tracker {
    /// Whether a beat over a network moves forward. The last words have no place in the
    /// order, and after a Stall any nonce begins anew.
    pub(crate) fn moves_forward(&self, slot: Slot, nonce: u64) -> bool {
        let hot = self.hot(slot);
        nonce == NONCE_TERMINAL
            || hot.flags.has(Flags::STALLED)
            || !hot.flags.has(Flags::COUNTED)
            || is_forward(distance(hot.last_nonce, nonce))
    }

    /// Whether a beat goes on from the last one. Last words do not, and who said them says
    /// no more.
    #[inline]
    pub(crate) fn goes_on(&self, slot: Slot, nonce: u64) -> bool {
        let hot = self.hot(slot);
        nonce != NONCE_TERMINAL
            && hot.flags.has(Flags::COUNTED)
            && is_forward(distance(hot.last_nonce, nonce))
    }

    /// A beat was accepted.
    #[inline]
    pub(crate) fn beat(&mut self, slot: Slot, now: u64, beat: &Beat) -> Heard {
        let hot = self.hot(slot);
        if hot.flags.has(Flags::STALLED) {
            self.comes_back(slot);
        }
        let threshold = self.threshold(slot);
        let hot = self.hot_mut(slot);
        let terminal = beat.nonce == NONCE_TERMINAL;
        let mut heard = Heard { silent_ns: None, missed: 0, forward: true };
        if !terminal {
            if hot.flags.has(Flags::COUNTED) {
                let distance = distance(hot.last_nonce, beat.nonce);
                heard.forward = is_forward(distance);
                heard.missed = if heard.forward { distance - 1 } else { 0 };
            }
            hot.last_nonce = beat.nonce;
            hot.flags.set(Flags::COUNTED, true);
        }
        if hot.flags.has(Flags::STALLED) {
            heard.silent_ns = Some(now.saturating_sub(hot.last_ns));
        }
        hot.flags.set(Flags::TERMINAL, terminal);
        hot.flags.set(Flags::OF_A_SILENCE, false);
        hot.last_ns = now;
        hot.status = beat.status;
        hot.beats += 1;
        hot.missed = hot.missed.saturating_add(u32::try_from(heard.missed).unwrap_or(u32::MAX));
        if !hot.flags.has(Flags::DEAD) {
            self.wheel.set(&mut self.hot, slot.0, now.saturating_add(threshold));
        }
        heard
    }

    /// The next agent whose deadline has come by `horizon`. What became of it must be
    /// said with [`silence`](Self::silence) or [`forget`](Self::forget).
    pub(crate) fn next_due(&mut self, horizon: u64) -> Option<Slot> {
        let pauses = &self.pauses;
        let pardon = |hot: &mut Hot| {
            if hot.flags.has(Flags::NO_PARDON) {
                return None;
            }
            let amount = pauses.within_silence_since(hot.last_ns)?;
            hot.flags.set(Flags::PARDONED, true);
            Some(hot.links.deadline.saturating_add(amount))
        };
        self.wheel.next_due(&mut self.hot, horizon, pardon).map(Slot)
    }

    /// Judges the silence of an agent that was due and is not known to be gone.
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
            self.falls_silent(slot);
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

    /// Every silence that lasts gets this back, once.
    pub(crate) fn pause(&mut self, ended_at: u64, amount: u64) {
        self.pauses.add(ended_at, amount);
    }

    /// A Stall is said. Its number is not asked for any more: it may never beat again.
    fn falls_silent(&mut self, slot: Slot) {
        self.awaiting_number -= usize::from(is_unnumbered(self.hot(slot)));
        let (several, uid) = (self.users.several(), self.cold(slot).uid());
        let hot = self.hot_mut(slot);
        hot.flags.set(Flags::STALLED, true);
        if several && !hot.is_network() {
            hot.flags.set(Flags::LISTED, true);
            self.users.add_stalled(uid, slot.0);
        }
        self.wait_until_gone(slot);
    }

    fn comes_back(&mut self, slot: Slot) {
        if self.has(slot, Flags::GONE) {
            self.leave_lists(slot);
        }
        self.unlist(slot);
        self.awaiting_number += usize::from(is_unnumbered(self.hot(slot)));
    }

    /// Takes it from the stalled agents of its user.
    pub(super) fn unlist(&mut self, slot: Slot) {
        if self.has(slot, Flags::LISTED) {
            self.hot_mut(slot).flags.set(Flags::LISTED, false);
            self.users.remove_stalled(self.cold(slot).uid(), slot.0);
        }
    }

    /// Nothing more will be heard of it, and its silence is no Stall.
    pub(crate) fn exiting(&mut self, slot: Slot) {
        self.unlist(slot);
        self.leave_lists(slot);
        self.hot_mut(slot).flags.set(Flags::EXITING, true);
    }

    /// It was looked for and is dead. Its deadline is when all that arrived until that was
    /// seen has been heard.
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
            self.wait_until_gone(slot);
        }
    }

    pub(crate) fn set_threshold(&mut self, slot: Slot, threshold_ns: u64) {
        let threshold_ns = threshold_ns.max(1);
        let before = self.threshold(slot);
        self.cold_mut(slot).threshold_ns = threshold_ns;
        self.shortest_ns = self.shortest_ns.min(threshold_ns);
        self.hot_mut(slot).flags.set(Flags::OWN_THRESHOLD, true);
        self.follow_threshold(slot, before);
    }

    /// Changes the threshold of all that have none of their own.
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
                self.follow_threshold(slot, before);
            }
        }
    }

    /// Moves an agent's deadline from where its former threshold had put it.
    fn follow_threshold(&mut self, slot: Slot, before: u64) {
        let threshold = self.threshold(slot);
        let hot = self.hot_mut(slot);
        if hot.flags.has(Flags::DEAD) {
            return;
        }
        if hot.flags.has(Flags::STALLED) {
            return self.wait_until_gone(slot);
        }
        if hot.flags.has(Flags::DEFERRED) {
            let due = self.due(slot);
            return self.wheel.set(&mut self.hot, slot.0, due);
        }
        // What lies between is a pause that was given back.
        let pardon = hot.links.deadline.saturating_sub(hot.last_ns.saturating_add(before));
        let deadline = hot.last_ns.saturating_add(threshold).saturating_add(pardon);
        self.wheel.set(&mut self.hot, slot.0, deadline);
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline(&self.hot)
    }

    /// The shortest threshold that any agent was given since the default was set.
    pub(crate) const fn shortest_threshold(&self) -> u64 {
        self.shortest_ns
    }

    #[inline]
    pub(super) fn threshold(&self, slot: Slot) -> u64 {
        if self.hot(slot).flags.has(Flags::OWN_THRESHOLD) {
            self.cold(slot).threshold_ns
        } else {
            self.threshold_ns
        }
    }

    fn gone_after(&self, slot: Slot) -> u64 {
        self.threshold(slot).saturating_mul(GONE_AFTER)
    }

    /// A stalled agent whose exit nobody reports is looked at once more. A pause that its
    /// silence was given back is no part of ten thresholds.
    fn wait_until_gone(&mut self, slot: Slot) {
        self.leave_lists(slot);
        let flags = self.hot(slot).flags;
        let deadline = self.silent_for(slot, self.gone_after(slot));
        if flags.has(Flags::UNSEEN) || flags.has(Flags::LOOKED_UP) {
            self.wheel.set(&mut self.hot, slot.0, deadline);
        }
    }

    /// When its silence has come to its threshold.
    pub(super) fn due(&self, slot: Slot) -> u64 {
        self.silent_for(slot, self.threshold(slot))
    }

    /// When its silence has lasted for so long, less the pause that it was given back.
    fn silent_for(&self, slot: Slot, time: u64) -> u64 {
        let Hot { last_ns, flags, .. } = *self.hot(slot);
        let pardon = match flags.has(Flags::PARDONED) {
            true => self.pauses.within_silence_since(last_ns).unwrap_or(0),
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
