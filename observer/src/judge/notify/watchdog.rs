//! The deadlines of services.

use varta::{Promise, Status};

use super::ServiceState;
use super::service::Watch;
use crate::cause::{Cause, CauseInfo, Certainty, Why};
use crate::event::What;
use crate::judge::tracker::Flags;
use crate::judge::{Environment, Judge, Slot};

impl Judge {
    /// A service sent WATCHDOG=1.
    pub(super) fn ping(&mut self, slot: Slot) {
        let Some(service) = self.service_mut(slot) else { return };
        service.pings += 1;
        service.by_launcher = false;
        let judged = service.state != ServiceState::Stopping && !service.declined;
        self.count(|counters| &mut counters.pings, 1);
        if judged {
            self.sign_of_life(slot);
        }
    }

    /// Judges the silence of a service from now on.
    pub(super) fn sign_of_life(&mut self, slot: Slot) {
        let now = self.now;
        let sends_frames = self.tracker.sends_frames(slot);
        let Some(service) = self.service_mut(slot) else { return };
        if service.watch == Watch::Off {
            service.watch = if sends_frames { Watch::Beside } else { Watch::Alone };
        }
        let before = std::mem::replace(&mut service.last_ping, now);
        service.pardoned = false;
        let was_late = std::mem::take(&mut service.late);
        let (watch, own_ns, until) =
            (service.watch, service.threshold_ns(), service.extended_until);
        if watch == Watch::Beside {
            let threshold_ns = own_ns.unwrap_or(self.tracker.default_threshold());
            let deadline = now.saturating_add(threshold_ns).max(until);
            if let Some(services) = &mut self.services {
                services.set_timer(slot, deadline);
            }
            if was_late && !self.tracker.has(slot, Flags::STALLED) {
                self.is_back(slot, true);
                self.recovered(slot, now.saturating_sub(before));
            }
            return;
        }
        let limited = self.charge_rate_limits(slot).is_some();
        let silent_ns = self.tracker.ping(slot, now, own_ns, until);
        if let Some(silent_ns) = silent_ns {
            self.is_back(slot, true);
            self.recovered(slot, silent_ns);
        }
        if limited {
            return self.count(|counters| &mut counters.rate_limited, 1);
        }
        let about = Some(self.tracker.about(slot));
        let what = What::Beat { status: Status::Ok, payload: 0, nonce: 0, missed: 0, count: 1 };
        self.push(about, what);
    }

    fn recovered(&mut self, slot: Slot, silent_ns: u64) {
        self.counters.recoveries += 1;
        let about = Some(self.tracker.about(slot));
        self.push(about, What::Recovered { silent_ns, promise: Promise::Beat });
    }

    /// The silence of a service is not judged any more. One that had stalled has given a sign of
    /// life by this.
    pub(super) fn stop_watching(&mut self, slot: Slot) {
        let now = self.now;
        let Some(service) = self.service_mut(slot) else { return };
        let was_late = std::mem::take(&mut service.late);
        let (watch, last_ping) = (service.watch, service.last_ping);
        let stops = service.state == ServiceState::Stopping;
        service.watch = Watch::Off;
        if let Some(services) = &mut self.services {
            services.clear_timer(slot);
        }
        let was_stalled = was_late || self.tracker.has(slot, Flags::STALLED);
        // The frames of a process that does not stop are judged as before.
        if stops || !self.tracker.sends_frames(slot) || watch == Watch::Alone {
            self.tracker.stop_judging(slot, now, stops);
        }
        if was_stalled && !self.tracker.has(slot, Flags::STALLED) {
            self.is_back(slot, true);
            self.recovered(slot, now.saturating_sub(last_ping));
        }
    }

    /// Sets the threshold that the host chose for an agent, if it is a service. Returns whether
    /// it is to be set for its frames, or because it is none.
    pub(in crate::judge) fn set_host_threshold(
        &mut self,
        slot: Slot,
        host_ns: Option<u64>,
    ) -> bool {
        let sends_frames = self.tracker.sends_frames(slot);
        let default_ns = self.tracker.default_threshold();
        let Some(service) = self.service_mut(slot) else { return true };
        service.host_ns = host_ns;
        let (watch, late, stops) =
            (service.watch, service.late, service.state == ServiceState::Stopping);
        let threshold_ns = service.threshold_ns().unwrap_or(default_ns);
        let deadline =
            service.last_ping.saturating_add(threshold_ns).max(service.extended_until);
        match watch {
            Watch::Alone => self.tracker.set_threshold(slot, threshold_ns),
            Watch::Beside if !late => {
                if let Some(services) = &mut self.services {
                    services.set_timer(slot, deadline);
                }
            }
            Watch::Beside | Watch::Off => {}
        }
        sends_frames && !stops
    }

    /// Puts the deadline of a service off until this time, if it is earlier.
    pub(super) fn put_off(&mut self, slot: Slot, until: u64) {
        let Some(service) = self.service_in(slot) else { return };
        match service.watch {
            Watch::Off => {}
            Watch::Alone => self.tracker.put_off(slot, until),
            Watch::Beside if service.late => {}
            Watch::Beside => {
                let threshold_ns =
                    service.threshold_ns().unwrap_or(self.tracker.default_threshold());
                let deadline = service.last_ping.saturating_add(threshold_ns).max(until);
                if let Some(services) = &mut self.services {
                    services.set_timer(slot, deadline);
                }
            }
        }
    }

    /// A service sent WATCHDOG=trigger: it stalls at once, by its own account.
    pub(super) fn report_itself(&mut self, slot: Slot) {
        self.count(|counters| &mut counters.triggers, 1);
        let sends_frames = self.tracker.sends_frames(slot);
        let was_stalled = self.is_stalled(slot);
        let Some(service) = self.service_mut(slot) else { return };
        if was_stalled || service.state == ServiceState::Stopping {
            return;
        }
        service.by_launcher = false;
        if service.watch == Watch::Off {
            service.watch = if sends_frames { Watch::Beside } else { Watch::Alone };
        }
        let (watch, last_ns) = (service.watch, service.last_ping);
        if watch == Watch::Beside {
            service.late = true;
            if let Some(services) = &mut self.services {
                services.clear_timer(slot);
            }
        } else {
            self.tracker.stall(slot);
        }
        let why =
            Why { cause: Cause::SelfReported, certainty: Certainty::Certain, ..Why::UNKNOWN };
        self.keep_cause(
            slot,
            CauseInfo { why, looked_ns: self.now.max(1), ..CauseInfo::UNKNOWN },
        );
        self.counters.stalls += 1;
        let about = Some(self.tracker.about(slot));
        let (last_nonce, why) = (self.tracker.last_nonce(slot), Some(why));
        self.push(about, What::Stall { last_nonce, last_ns, deaf: false, late: None, why });
    }

    /// Emits the next Stall of a service that sends frames too, if one is due by `horizon`.
    /// Returns false if none is due.
    pub(in crate::judge) fn judge_watchdog<E: Environment>(
        &mut self,
        horizon: u64,
        environment: &mut E,
    ) -> bool {
        let Some(services) = self.services.as_deref_mut() else { return false };
        let tracker = &self.tracker;
        let due = services.next_due(horizon, |service| {
            let pardon = tracker.pause_since(service.last_ping)?;
            let first = !std::mem::replace(&mut service.pardoned, true);
            first.then(|| service.deadline().saturating_add(pardon))
        });
        let Some(slot) = due else { return false };
        let Some(service) = self.service_mut(slot) else { return true };
        service.late = true;
        let last_ns = service.last_ping;
        let (stalled, dead) =
            (self.tracker.has(slot, Flags::STALLED), self.tracker.has(slot, Flags::DEAD));
        if stalled || dead {
            return true;
        }
        self.counters.stalls += 1;
        let why = self.explain(slot, environment);
        let about = Some(self.tracker.about(slot));
        let last_nonce = self.tracker.last_nonce(slot);
        self.push(about, What::Stall { last_nonce, last_ns, deaf: false, late: None, why });
        true
    }

    /// A process that was known as a service alone begins to send frames.
    #[cold]
    pub(in crate::judge) fn frames_begin(&mut self, slot: Slot) {
        let Some(service) = self.service_in(slot).filter(|it| it.watch == Watch::Alone) else {
            return;
        };
        let threshold_ns = service.threshold_ns().unwrap_or(self.tracker.default_threshold());
        let deadline =
            service.last_ping.saturating_add(threshold_ns).max(service.extended_until);
        let by_launcher = service.by_launcher;
        let late = self.tracker.has(slot, Flags::STALLED);
        self.tracker.frames_begin(slot);
        if let Some(services) = &mut self.services {
            if !late {
                services.set_timer(slot, deadline);
            }
            if let Some(service) = services.get_mut(slot) {
                (service.watch, service.late) = (Watch::Beside, late);
            }
        }
        // Its frames are what it is judged by, as long as it sends no WATCHDOG.
        if by_launcher {
            self.stop_watching(slot);
        }
    }

    /// Whether a service that sends frames too is late by its watchdog.
    #[inline]
    pub(in crate::judge) fn is_late(&self, slot: Slot) -> bool {
        self.services.is_some() && self.service_in(slot).is_some_and(|service| service.late)
    }

    pub(in crate::judge) fn is_stalled(&self, slot: Slot) -> bool {
        self.tracker.has(slot, Flags::STALLED) || self.is_late(slot)
    }

    /// When a service last sent WATCHDOG=1 beside its frames.
    pub(in crate::judge) fn last_ping(&self, slot: Slot) -> Option<u64> {
        let service = self.service_in(slot)?;
        (service.watch == Watch::Beside).then_some(service.last_ping)
    }
}
