//! What follows from each assignment of a message.

use super::service::Watch;
use super::text::ShortText;
use super::{ServiceChange, ServiceState, State, Watchdog};
use crate::judge::{Environment, Judge, Slot};

/// The shortest and the longest time that a program can choose for its watchdog, and the longest
/// by which it can put that off.
const SHORTEST_NS: u64 = 10_000_000;
const LONGEST_NS: u64 = 24 * 3_600 * 1_000_000_000;

impl Judge {
    /// Applies a message to a service, in the order of systemd, whatever the order of its lines.
    pub(super) fn apply<E: Environment>(
        &mut self,
        slot: Slot,
        state: &State<'_>,
        sender_uid: u32,
        environment: &mut E,
    ) {
        self.count(|counters| &mut counters.unsupported, state.unsupported.into());
        self.count(|counters| &mut counters.unparsable, state.unparsable.into());
        self.tracker.touch(slot, self.now);
        if state.registers {
            self.unlearn(slot);
            environment.launched_as(slot, state.name.unwrap_or_default());
            return self.register(slot, state);
        }
        self.change_main(slot, state, sender_uid, environment);
        self.change_state(slot, state, environment);
        self.take_texts(slot, state);
        if let Some(usec) = state.extend_usec {
            self.extend(slot, usec);
        }
        if state.watchdog == Some(Watchdog::Trigger) {
            self.report_itself(slot);
        }
        if state.watchdog == Some(Watchdog::Alive) {
            if self.service_in(slot).is_some_and(|service| service.pings == 0) {
                self.renew_program(slot, environment);
            }
            self.ping(slot);
        }
        if let Some(usec) = state.watchdog_usec {
            self.set_watchdog(slot, usec);
        }
    }

    /// A launcher is about to execute the program.
    fn register(&mut self, slot: Slot, state: &State<'_>) {
        self.stop_watching(slot);
        let now = self.now;
        let Some(service) = self.service_mut(slot) else { return };
        service.state = ServiceState::Starting;
        (service.declined, service.own_ns, service.extended_until) = (false, None, 0);
        service.by_launcher = false;
        service.launcher_ns = state.launcher_usec.and_then(nanoseconds);
        service.name = ShortText::new(state.name.unwrap_or_default());
        (service.status, service.last_ping) = (ShortText::EMPTY, now);
        self.note(slot, ServiceChange::Registered);
    }

    fn change_state<E: Environment>(
        &mut self,
        slot: Slot,
        state: &State<'_>,
        environment: &mut E,
    ) {
        let sends_frames = self.tracker.sends_frames(slot);
        let Some(service) = self.service_mut(slot) else { return };
        let before = service.state;
        let next = match before {
            ServiceState::Stopping => return,
            _ if state.stopping => ServiceState::Stopping,
            _ if state.ready => ServiceState::Ready,
            _ if state.reloading => ServiceState::Reloading,
            _ => return,
        };
        service.state = next;
        let arms = next == ServiceState::Ready
            && service.launcher_ns.is_some()
            && service.watch == Watch::Off
            && !service.declined
            && !sends_frames;
        service.by_launcher |= arms;
        if next != before {
            self.renew_program(slot, environment);
            self.note(slot, ServiceChange::State(next));
        }
        if next == ServiceState::Stopping {
            self.stop_watching(slot);
        } else if arms {
            self.sign_of_life(slot);
        }
    }

    pub(super) fn renew_program<E: Environment>(&mut self, slot: Slot, environment: &mut E) {
        environment.renew_program(slot);
        let program = environment.program(slot);
        if let Some((service, program)) = self.service_mut(slot).zip(program) {
            service.program = program;
        }
    }

    fn take_texts(&mut self, slot: Slot, state: &State<'_>) {
        let Some(service) = self.service_mut(slot) else { return };
        service.exit_status = state.exit_status.or(service.exit_status);
        let status = state.status.map(ShortText::new).filter(|text| *text != service.status);
        let errno = state.errno.filter(|errno| *errno != service.errno);
        service.status = status.unwrap_or(service.status);
        service.errno = errno.unwrap_or(service.errno);
        if status.is_some() {
            self.note(slot, ServiceChange::Status);
        }
        if let Some(errno) = errno {
            self.note(slot, ServiceChange::Errno(errno));
        }
    }

    /// Judges the silence of a service not before this time from now.
    fn extend(&mut self, slot: Slot, usec: u64) {
        if usec == 0 || usec == u64::MAX {
            return;
        }
        let until = self.now.saturating_add(usec.saturating_mul(1_000).min(LONGEST_NS));
        let Some(service) = self.service_mut(slot) else { return };
        service.extended_until = service.extended_until.max(until);
        self.put_off(slot, until);
    }

    /// The program sets the time for its watchdog itself.
    fn set_watchdog(&mut self, slot: Slot, usec: u64) {
        let Some(service) = self.service_mut(slot) else { return };
        if service.state == ServiceState::Stopping {
            return;
        }
        service.own_ns = nanoseconds(usec);
        let declines = service.own_ns.is_none();
        let was_judged = service.watch != Watch::Off;
        (service.declined, service.by_launcher) = (declines, false);
        if !declines {
            return self.sign_of_life(slot);
        }
        self.stop_watching(slot);
        if was_judged {
            self.note(slot, ServiceChange::WatchdogOff);
        }
    }
}

/// A time for a watchdog, within its limits; `None` for none.
fn nanoseconds(usec: u64) -> Option<u64> {
    let wanted = usec != 0 && usec != u64::MAX;
    wanted.then(|| usec.saturating_mul(1_000).clamp(SHORTEST_NS, LONGEST_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_for_a_watchdog_is_clamped() {
        assert_eq!(nanoseconds(2_000_000), Some(2_000_000_000));
        assert_eq!(
            (nanoseconds(1), nanoseconds(u64::MAX - 1)),
            (Some(SHORTEST_NS), Some(LONGEST_NS))
        );
        assert_eq!((nanoseconds(0), nanoseconds(u64::MAX)), (None, None));
    }
}
