//! What follows from a beat that counts.

use varta::Promise;

use super::tracker::{Beat, Flags};
use super::{Judge, Slot};
use crate::event::What;
use crate::policy::Limit;

impl Judge {
    /// Accepts a beat of a tracked agent.
    #[inline]
    pub(super) fn accept(&mut self, slot: Slot, beat: &Beat) {
        let limited_by = self.charge_rate_limits(slot);
        let outcome = self.tracker.beat(slot, self.now, beat);
        self.counters.missed = self.counters.missed.saturating_add(outcome.missed);
        self.counters.not_forward += u64::from(!outcome.forward);
        let silent_ns = outcome.silent_ns.filter(|_| !self.is_late(slot));
        if self.causes.is_some() && (!outcome.forward || silent_ns.is_some()) {
            self.is_back(slot, outcome.forward);
        }
        match limited_by {
            None => {}
            Some(RateLimit::PerAgent) => {
                self.counters.rate_limited_agent += 1;
                return;
            }
            Some(RateLimit::Global) => {
                self.counters.rate_limited_global += 1;
                return;
            }
        }
        if self.tracker.has(slot, Flags::PAGED) {
            self.heard_beside_pages(slot, beat.nonce);
        }
        let about = Some(self.tracker.about(slot));
        if let Some(silent_ns) = silent_ns {
            self.counters.recoveries += 1;
            let what = What::Recovered { silent_ns, promise: Promise::Beat };
            self.push(about, what);
        }
        self.counters.beats += 1;
        let Beat { status, payload, nonce, .. } = *beat;
        let what = What::Beat { status, payload, nonce, missed: outcome.missed, count: 1 };
        self.push(about, what);
    }

    /// Charges this beat to the rate limits, and returns the one that keeps it from becoming
    /// an event. A recovery is always reported, and so is the first beat of an agent.
    #[inline]
    pub(super) fn charge_rate_limits(&mut self, slot: Slot) -> Option<RateLimit> {
        if self.per_agent.is_none() && self.global.is_none() {
            return None;
        }
        let now = self.now;
        let rate_state = *self.tracker.rate_state(slot);
        let exempt = self.tracker.has(slot, Flags::STALLED) || self.tracker.is_new(slot);
        let take = |limit: Option<Limit>, rate_state| match limit {
            None => Some(rate_state),
            Some(limit) if exempt => Some(limit.force(rate_state, now)),
            Some(limit) => limit.take(rate_state, now),
        };
        let Some(own) = take(self.per_agent, rate_state) else {
            return Some(RateLimit::PerAgent);
        };
        let Some(all) = take(self.global, self.rate_state) else {
            return Some(RateLimit::Global);
        };
        *self.tracker.rate_state(slot) = own;
        self.rate_state = all;
        None
    }
}

/// The rate limit that keeps a beat from becoming an event.
#[derive(Debug, Clone, Copy)]
pub(super) enum RateLimit {
    PerAgent,
    Global,
}
