//! How the cause of a stall decides when a command starts.

use std::os::fd::OwnedFd;

use varta_observer::CauseClass;

use super::plan::AT_EXIT;
use super::{Order, Policy, Rules, Run, Stage};
use crate::flags::Trigger;
use crate::recovery::report::{Cause, Reason, Subject};

/// When a command starts for a stall, by its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delay {
    /// After this many more thresholds.
    Thresholds(u64),
    /// Something outside holds the process: not before that ends.
    Held,
    /// Never.
    NotWanted,
}

impl Rules {
    /// When a command starts for this subject, if it has stalled.
    pub(super) fn delay(&self, subject: &Subject) -> Delay {
        if subject.cause != Cause::Stall {
            return Delay::Thresholds(0);
        }
        let cause = subject.stall_cause();
        let is_wanted = match subject.task {
            Some(_) => self.on.contains(Trigger::LateTask),
            None => self.on.has_stalls(),
        };
        if !is_wanted {
            return Delay::NotWanted;
        }
        // Named explicitly, it is wanted even so.
        if self.on.has(cause) || subject.task.is_some() && !subject.is_held() {
            return Delay::Thresholds(match cause.class() {
                CauseClass::Kernel => 2,
                CauseClass::Unknown if subject.awaits_reading() => 1,
                _ => 0,
            });
        }
        if subject.is_held() { Delay::Held } else { Delay::NotWanted }
    }
}

impl Policy {
    /// The cause of a stall has changed, or was found out.
    pub(crate) fn explained(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        let delay = self.rules.delay(&subject);
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            return self.stalled(now, subject, pidfd);
        };
        if run.exited || run.subject.task != subject.task {
            return;
        }
        run.subject.why = subject.why;
        let Stage::Due(at) = run.stage else { return };
        match delay {
            Delay::Thresholds(count) if run.attempts == 0 || at == AT_EXIT => {
                let wait = run.threshold_ns.saturating_mul(count);
                let due = run.begun_at.saturating_add(wait).max(run.not_before).max(now);
                self.plan_at(subject.agent, due);
            }
            Delay::Thresholds(_) => {}
            Delay::Held => self.hold(subject),
            Delay::NotWanted => drop(self.remove(subject.agent)),
        }
    }

    /// Starts nothing for an agent that something outside holds.
    pub(super) fn hold(&mut self, subject: Subject) {
        // A command that runs for it already continues.
        let is_running = |run: &Run| !matches!(run.stage, Stage::Due(_));
        if !self.runs.get(&subject.agent).is_some_and(is_running) {
            self.remove(subject.agent);
        }
        self.orders.push_back(Order::Refused { subject, reason: Reason::Held });
    }

    /// The command has failed, and by now something outside holds the process.
    pub(super) fn hold_after_try(&mut self, subject: Subject) {
        self.remove(subject.agent);
        self.orders.push_back(Order::Refused { subject, reason: Reason::Held });
    }

    /// Just before its command would start, the process was found to be held from outside. It is
    /// looked at again after this time.
    pub(crate) fn put_off(&mut self, now: u64, agent: u64) {
        self.budget.take_back(agent);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        run.attempts = run.attempts.saturating_sub(1);
        let wait = run.threshold_ns.max(self.rules.debounce_ns);
        self.plan_at(agent, now.saturating_add(wait));
    }
}
