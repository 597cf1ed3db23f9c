//! What follows from the silence of an agent.

use super::tracker::{Flags, Silence};
use super::{Environment, Judge, Slot};
use crate::cause::Cause;
use crate::event::{ExitCause, What};

impl Judge {
    /// Decides about an agent whose deadline has passed.
    pub(super) fn judge_silence<E: Environment>(
        &mut self,
        slot: Slot,
        horizon: u64,
        environment: &mut E,
    ) {
        if self.tracker.has(slot, Flags::PAGED) && !self.is_still_due(slot, environment) {
            return;
        }
        if self.tracker.is_early(slot) {
            let later = self.next_reading();
            if later.is_some_and(|later| self.tracker.put_off_early(slot, later)) {
                return;
            }
            let depth = self.tracker.take_early(slot);
            let last_ns = self.tracker.last_ns(slot);
            return self.read_early(slot, last_ns, depth, environment);
        }
        if self.tracker.has(slot, Flags::LOOKED_UP) {
            let pid = self.tracker.about(slot).pid;
            let known_missing = self.tracker.has(slot, Flags::MISSING);
            match environment.look_up(slot, pid) {
                Some(missing) if !known_missing && missing.seen_ns > horizon => {
                    return self.tracker.missing(slot, missing.seen_ns);
                }
                None if !known_missing => {}
                found => {
                    let cause = found.map_or(ExitCause::Unknown, |missing| missing.cause);
                    return self.exited(self.now, slot, cause, environment);
                }
            }
        }
        if self.tracker.defer(slot, horizon) {
            return;
        }
        if self.tracker.has_executed(slot) {
            return self.tracker.wait_on(slot, self.now);
        }
        // Its Stall was reported already, when its watchdog was late.
        let was_late = self.is_late(slot);
        let is_new = !was_late && !self.tracker.has(slot, Flags::STALLED);
        let why = if is_new { self.explain(slot, environment) } else { None };
        // Its end must be seen, or it would be tracked for ever.
        let is_followed = !self.tracker.has(slot, Flags::UNSEEN);
        if is_followed && why.is_some_and(|why| why.cause == Cause::Exec) {
            return self.await_new_program(slot, environment);
        }
        let about = self.tracker.about(slot);
        match self.tracker.silence(slot, self.now) {
            Silence::Stall { .. } if was_late => {}
            Silence::Stall { last_nonce, last_ns, deaf } => {
                self.counters.stalls += 1;
                self.counters.stalls_deaf += u64::from(deaf);
                let what = What::Stall { last_nonce, last_ns, deaf, late: None, why };
                self.push(Some(about), what);
            }
            Silence::Exit => self.exited(self.now, slot, ExitCause::Unknown, environment),
            Silence::Stale => {}
        }
    }
}
