//! Handling of full queues: beats may have been lost, so silence proves less.

use super::record::Flags;
use super::{Slot, Tracker};

/// A share of 100%, in fixed point.
const WHOLE: u64 = 1 << 32;

/// From this share of recent time on, the observer is half deaf. An agent beats at least three
/// times per threshold, and is falsely silent only if all of its beats fall into that share.
const HALF_DEAF: u64 = WHOLE / 16;

/// The most thresholds for which a Stall is put off.
const PUT_OFF_FOR: u64 = 10;

/// When the queues were full.
#[derive(Debug, Default)]
pub(super) struct Full {
    /// The share of recent time in which the queue of a Unix socket may have been full: the
    /// time before each look that found it full.
    share: u64,
    looked_at: u64,
    /// When the observer was last half deaf, for local agents, for network agents, and for those
    /// that are judged by notifications.
    local: u64,
    network: u64,
    notified: u64,
}

impl Full {
    /// Records the result of a look, and returns whether the observer is half deaf. Recent
    /// time is about the last `while_ns`.
    fn look(&mut self, now: u64, full: bool, while_ns: u64) -> bool {
        let since = now.saturating_sub(self.looked_at);
        self.looked_at = now;
        let (since, recent) = (u128::from(since), u128::from(while_ns.max(1)));
        let found = u128::from(if full { WHOLE } else { 0 });
        let share = (u128::from(self.share) * recent + found * since) / (recent + since);
        self.share = u64::try_from(share).unwrap_or(WHOLE);
        let half_deaf = full && self.share >= HALF_DEAF;
        if half_deaf {
            self.local = now;
        }
        half_deaf
    }
}

impl Tracker {
    /// Records whether a look at a Unix socket found its queue full. Returns whether the
    /// observer is half deaf.
    pub(crate) fn looked(&mut self, now: u64, full: bool) -> bool {
        self.full.look(now, full, self.threshold_ns / 4)
    }

    /// Records that datagrams over a network were dropped.
    pub(crate) fn dropped(&mut self, now: u64) {
        self.full.network = now;
    }

    /// Records that notifications cannot be received until a time.
    pub(crate) fn notify_failed(&mut self, until: u64) {
        self.full.notified = until;
    }

    /// Puts off the Stall of an agent that is due until the observer has not been half deaf
    /// for one threshold, but for ten thresholds at most. Returns whether that is later than
    /// `horizon`.
    pub(crate) fn defer(&mut self, slot: Slot, horizon: u64) -> bool {
        let flags = self.hot(slot).flags;
        // What is in a page is not lost.
        if flags.has(Flags::STALLED)
            || flags.has(Flags::PAGED)
            || flags.has(Flags::TERMINAL) && self.hot(slot).is_network()
        {
            return false;
        }
        let threshold = self.threshold(slot);
        let latest = self.due(slot).saturating_add(threshold.saturating_mul(PUT_OFF_FOR));
        let until = self.deaf_at(slot).saturating_add(threshold).min(latest);
        if until <= horizon {
            return false;
        }
        self.hot_mut(slot).flags.set(Flags::DEFERRED, true);
        self.wheel.set(&mut self.hot, slot.0, until);
        true
    }

    /// Whether the observer was half deaf when the agent's Stall was due, or has been since.
    pub(super) fn is_deaf_to(&self, slot: Slot) -> bool {
        !self.hot(slot).flags.has(Flags::PAGED) && self.deaf_at(slot) >= self.due(slot)
    }

    fn deaf_at(&self, slot: Slot) -> u64 {
        match self.hot(slot) {
            hot if hot.is_network() => self.full.network,
            // A sender of notifications waits while a queue is full.
            hot if hot.is_notified() => self.full.notified,
            _ => self.full.local,
        }
    }
}
