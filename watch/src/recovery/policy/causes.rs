//! How the cause of a stall decides when a command starts.

use std::os::fd::OwnedFd;

use varta_observer::CauseClass;

use super::plan::AT_EXIT;
use super::{Order, Policy, Rules, Run, Stage};
use crate::flags::Trigger;
use crate::lookup::LockOwner;
use crate::recovery::report::{Cause, Reason, Subject};

/// How long a command waits for the owner of a lock to be found: that may take for ever.
pub(super) const OWNER_WAIT_NS: u64 = 100_000_000;

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
        let on = self.on(subject);
        let is_wanted = match subject.task {
            Some(_) => on.contains(Trigger::LateTask),
            None => on.has_stalls(),
        };
        if !is_wanted {
            return Delay::NotWanted;
        }
        // Named explicitly, it is wanted even so.
        if on.has(cause) || subject.task.is_some() && !subject.is_held() {
            return Delay::Thresholds(match cause.class() {
                CauseClass::Kernel => 2,
                CauseClass::Unknown if subject.awaits_reading() => 1,
                _ => 0,
            });
        }
        if subject.is_held() { Delay::Held } else { Delay::NotWanted }
    }

    /// When the first command of a run starts.
    pub(super) fn first_start(&self, run: &Run) -> u64 {
        let thresholds = match self.delay(&run.subject) {
            Delay::Thresholds(count) => run.subject.threshold_ns.saturating_mul(count),
            // An exit.
            Delay::Held | Delay::NotWanted => 0,
        };
        let owner = if run.subject.awaits_owner { OWNER_WAIT_NS } else { 0 };
        run.begun_at.saturating_add(thresholds.max(owner)).max(run.not_before)
    }
}

impl Policy {
    /// The cause of a stall has changed, or was found out.
    pub(crate) fn explained(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        let delay = self.rules.delay(&subject);
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            return match delay {
                // So far something held the agent. It gets its whole threshold again.
                Delay::Thresholds(_) => {
                    let not_before = now.saturating_add(subject.threshold_ns);
                    self.begin_after(not_before, now, subject, pidfd);
                }
                Delay::Held => self.hold(subject),
                Delay::NotWanted => {}
            };
        };
        if run.exited || run.subject.task != subject.task {
            return;
        }
        let Subject { why, owner, awaits_owner, .. } = subject;
        run.subject = Subject { why, owner, awaits_owner, ..run.subject };
        match (run.stage, delay) {
            // A command has run while it was in the kernel. Another would not help it either.
            (Stage::Due(AT_EXIT), _) => {}
            (Stage::Due(_), Delay::Thresholds(_)) if run.attempts == 0 => {
                let at = self.rules.first_start(run).max(now);
                self.plan_at(subject.agent, at);
            }
            (Stage::Due(_), Delay::Held) => self.hold(subject),
            (Stage::Due(_), Delay::NotWanted) => drop(self.remove(subject.agent)),
            _ => {}
        }
    }

    /// The owner of the lock was found for which an agent waits, or one of its tasks; the process
    /// is task 0.
    pub(crate) fn owner_found(&mut self, now: u64, agent: u64, task: u32, owner: LockOwner) {
        let Some(run) = self.runs.get_mut(&agent) else { return };
        if run.subject.task.map_or(0, |late| late.task.number) != task {
            return;
        }
        run.subject.owner = Some(owner);
        run.subject.awaits_owner = false;
        if run.attempts == 0 && matches!(run.stage, Stage::Due(at) if at > now) {
            let at = self.rules.first_start(run).max(now);
            self.plan_at(agent, at);
        }
    }

    /// Starts nothing for an agent that something outside holds.
    pub(super) fn hold(&mut self, subject: Subject) {
        // A command that runs for it already continues.
        let is_running = |run: &Run| !matches!(run.stage, Stage::Due(at) if at != AT_EXIT);
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

    /// Returns whether the command may start that was ordered last, now that it is known whether
    /// something outside holds its process. If not, it is put off for a threshold, and for a whole
    /// one after the hold has ended.
    pub(crate) fn may_start(&mut self, now: u64, agent: u64, is_held: bool) -> bool {
        let Some(run) = self.runs.get_mut(&agent) else { return true };
        let was_held = std::mem::replace(&mut run.was_held, is_held);
        if !is_held && !was_held {
            return true;
        }
        self.budget.take_back(agent);
        run.attempts = run.attempts.saturating_sub(1);
        let wait = run.subject.threshold_ns.max(self.rules.debounce_ns);
        run.not_before = now.saturating_add(wait);
        let at = run.not_before;
        self.plan_at(agent, at);
        false
    }
}
