//! Records recovery's decisions: in the counters, the log, the audit log, and for the event loop,
//! which passes them to subscribers and to the history.

use std::io;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tracing::{Level, error, info, warn};

use super::report::{Decision, Reason, Step, Subject};
use crate::config::Command;
use crate::output::audit::AuditFile;
use crate::output::cause::CauseFields;
use crate::output::log::LineLimit;
use crate::platform::clock::Clock;
use crate::state::Shared;

pub(super) struct Records {
    audit: Option<AuditFile>,
    shared: Shared,
    clock: Clock,
    /// To the event loop, which numbers them for the history and for subscribers.
    decisions: SyncSender<Decision>,
    has_history: bool,
    /// The commands, by their numbers.
    commands: Vec<Command>,
    /// Limits for log lines whose number the budget does not bound.
    refusals: LineLimit,
    steps: LineLimit,
    audit_losses: LineLimit,
}

impl Records {
    pub(super) fn new(
        audit: Option<AuditFile>,
        shared: Shared,
        clock: Clock,
        decisions: SyncSender<Decision>,
        has_history: bool,
    ) -> Self {
        Self {
            audit,
            shared,
            clock,
            decisions,
            has_history,
            commands: Vec::new(),
            refusals: LineLimit::default(),
            steps: LineLimit::default(),
            audit_losses: LineLimit::default(),
        }
    }

    pub(super) fn set_commands(&mut self, commands: &[Command]) {
        self.commands = commands.to_vec();
    }

    /// Records a decision.
    pub(super) fn note(&mut self, subject: &Subject, what: Step) {
        let at_ns = self.clock.now();
        let (agent, pid, task) = (subject.agent, subject.shown_pid(), subject.task);
        let cause = subject.cause_of(&what);
        let decision = Decision { at_ns, agent, pid, task, cause, what };
        count(&self.shared, &decision.what);
        if self.has_line(&decision, subject) {
            log(&decision, subject);
        }
        if let (Some(audit), Some(command)) =
            (&mut self.audit, self.commands.get(subject.command))
            && let Err(error) = audit.write(&decision, command, &self.shared.counters().audit)
            && self.audit_losses.admits(at_ns, subject.uid)
        {
            error!(%error, "audit line lost");
        }
        if !self.has_history && !self.shared.has_subscribers() {
            return;
        }
        match self.decisions.try_send(decision) {
            Ok(()) => self.shared.wake(),
            // The event loop is stuck, or has ended.
            Err(_) => self.shared.counters().history.lost.one(),
        }
    }

    /// Whether a decision gets its own log line.
    fn has_line(&mut self, decision: &Decision, subject: &Subject) -> bool {
        let limit = match decision.what {
            Step::Refused(_) => &mut self.refusals,
            Step::WouldSpawn { .. } | Step::Debounced { .. } | Step::Ended(_) => {
                &mut self.steps
            }
            Step::Spawned { .. }
            | Step::SpawnFailed { .. }
            | Step::Completed(_)
            | Step::OverBudget
            | Step::GaveUp { .. } => return true,
        };
        limit.admits(decision.at_ns, subject.uid)
    }

    /// The time until [`run_due`](Self::run_due) has something to do.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let limits = [&self.refusals, &self.steps, &self.audit_losses];
        let lines = limits.into_iter().filter_map(LineLimit::due_ns).min();
        let lines = lines.map(|at| Duration::from_nanos(at.saturating_sub(self.clock.now())));
        let sync = self.audit.as_ref().and_then(AuditFile::next_sync);
        lines.into_iter().chain(sync).min()
    }

    /// Syncs the audit log, and logs summaries of omitted lines, if it is time.
    pub(super) fn run_due(&mut self) {
        self.sum_up(self.clock.now());
        let counters = &self.shared.counters().audit;
        log_failure(self.audit.as_mut().map(|audit| audit.sync_if_due(counters)));
    }

    /// Call this after the last decision.
    pub(super) fn end(mut self) {
        self.sum_up(u64::MAX);
        let counters = &self.shared.counters().audit;
        log_failure(self.audit.map(|audit| audit.end(counters)));
    }

    fn sum_up(&mut self, now_ns: u64) {
        self.refusals.sum_up(now_ns, "recovery refused", Level::WARN);
        self.steps.sum_up(now_ns, "recovery", Level::INFO);
        self.audit_losses.sum_up(now_ns, "audit line lost", Level::ERROR);
    }
}

fn log_failure(synced: Option<io::Result<()>>) {
    if let Some(Err(error)) = synced {
        error!(%error, "cannot sync the audit log");
    }
}

fn count(shared: &Shared, step: &Step) {
    let counters = &shared.counters().recovery;
    match step {
        Step::Spawned { .. } => counters.spawned.one(),
        Step::WouldSpawn { .. } | Step::Ended(_) => {}
        Step::SpawnFailed { .. } => counters.spawn_failed.one(),
        Step::Debounced { .. } => counters.debounced.one(),
        Step::OverBudget => counters.over_budget.one(),
        Step::GaveUp { .. } => counters.gave_up.one(),
        Step::Refused(reason) => match reason {
            Reason::Unauthenticated => counters.refused_unauthenticated.one(),
            Reason::CrossNamespace => counters.refused_cross_namespace.one(),
            Reason::Unconfirmed => counters.refused_unconfirmed.one(),
            Reason::Capacity => counters.refused_capacity.one(),
            Reason::Deaf => counters.refused_deaf.one(),
            Reason::ReusedPid => counters.refused_reused_pid.one(),
            Reason::Held => counters.refused_held.one(),
            Reason::WaitedTooLong => counters.refused_waited_too_long.one(),
            Reason::NoValue => counters.refused_no_value.one(),
        },
        Step::Completed(completed) => {
            match completed {
                _ if completed.timed_out => counters.killed.one(),
                _ if completed.is_success() => counters.reaped_zero.one(),
                _ => counters.reaped_nonzero.one(),
            }
            counters.duration_ns.add(completed.duration_ns);
            counters.durations.one();
        }
    }
}

fn log(decision: &Decision, subject: &Subject) {
    let Decision { agent, pid, what, .. } = decision;
    let cause = match &subject.task {
        Some(late) => format!("{} of {} ({})", subject.cause, late.task, late.promise),
        None => subject.cause.to_string(),
    };
    let why = decision.cause.as_ref().map(CauseFields::text);
    match what {
        Step::GaveUp { .. } | Step::SpawnFailed { .. } => {
            error!(agent, pid, cause, why, "recovery: {what}");
        }
        Step::Refused(_) => warn!(agent, pid, cause, why, "recovery: {what}"),
        Step::Completed(completed) if !completed.is_success() => {
            warn!(agent, pid, child_pid = completed.child_pid, "recovery: {what}");
        }
        // One warning reports that the budget is spent.
        Step::OverBudget => tracing::debug!(agent, pid, "recovery: {what}"),
        Step::Spawned { child_pid, .. } => {
            info!(agent, pid, cause, why, child_pid, "recovery: {what}");
        }
        _ => info!(agent, pid, cause, why, "recovery: {what}"),
    }
}
