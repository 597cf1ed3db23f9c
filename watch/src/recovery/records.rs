//! Where what recovery decides is noted: counts, log, audit log, and whoever listens.

use std::io;
use std::time::Duration;

use tracing::{error, info, warn};

use super::decision::{Decision, Reason, Step, Subject};
use crate::audit::AuditFile;
use crate::clock::Clock;
use crate::config::Command;
use crate::state::{Said, Shared};

pub(super) struct Records {
    audit: Option<AuditFile>,
    shared: Shared,
    clock: Clock,
    /// What is run; after recovery was turned off by a reload, what was.
    command: Option<Command>,
}

impl Records {
    pub(super) fn new(audit: Option<AuditFile>, shared: Shared, clock: Clock) -> Self {
        Self { audit, shared, clock, command: None }
    }

    pub(super) fn set_command(&mut self, command: &Command) {
        self.command = Some(command.clone());
    }

    /// Writes a decision wherever it belongs.
    pub(super) fn note(&mut self, subject: &Subject, what: Step) {
        let at_ns = self.clock.now();
        let decision = Decision { at_ns, agent: subject.agent, pid: subject.shown_pid(), what };
        count(&self.shared, &decision.what);
        log(&decision, subject);
        if let (Some(audit), Some(command)) = (&mut self.audit, &self.command)
            && let Err(error) = audit.write(&decision, command, &self.shared.tallies().audit)
        {
            error!(%error, "audit line lost");
        }
        if self.shared.has_subscribers() {
            self.shared.say([Said::Recovery(decision)].into());
        }
    }

    /// In how long the audit log is to be synced though nothing is decided.
    pub(super) fn next_sync(&self) -> Option<Duration> {
        self.audit.as_ref().and_then(AuditFile::next_sync)
    }

    pub(super) fn sync_if_due(&mut self) {
        let tallies = &self.shared.tallies().audit;
        said(self.audit.as_mut().map(|audit| audit.sync_if_due(tallies)));
    }

    /// Nothing more will be decided.
    pub(super) fn end(self) {
        let tallies = &self.shared.tallies().audit;
        said(self.audit.map(|audit| audit.end(tallies)));
    }
}

fn said(synced: Option<io::Result<()>>) {
    if let Some(Err(error)) = synced {
        error!(%error, "audit log not synced");
    }
}

fn count(shared: &Shared, step: &Step) {
    let tallies = &shared.tallies().recovery;
    match step {
        Step::Spawned { .. } => tallies.spawned.one(),
        Step::WouldSpawn { .. } | Step::Ended(_) => {}
        Step::SpawnFailed { .. } => tallies.spawn_failed.one(),
        Step::Debounced { .. } => tallies.debounced.one(),
        Step::OverBudget => tallies.over_budget.one(),
        Step::GaveUp { .. } => tallies.gave_up.one(),
        Step::Refused(reason) => match reason {
            Reason::Unauthenticated => tallies.refused_unauthenticated.one(),
            Reason::CrossNamespace => tallies.refused_cross_namespace.one(),
            Reason::Unconfirmed => tallies.refused_unconfirmed.one(),
            Reason::Capacity => tallies.refused_capacity.one(),
            Reason::Deaf => tallies.refused_deaf.one(),
            Reason::ReusedPid => tallies.refused_reused_pid.one(),
            Reason::WaitedTooLong => tallies.refused_waited_too_long.one(),
        },
        Step::Completed(completed) => {
            match completed {
                _ if completed.timed_out => tallies.killed.one(),
                _ if completed.is_success() => tallies.reaped_zero.one(),
                _ => tallies.reaped_nonzero.one(),
            }
            tallies.duration_ns.add(completed.duration_ns);
            tallies.durations.one();
        }
    }
}

fn log(decision: &Decision, subject: &Subject) {
    let Decision { agent, pid, what, .. } = decision;
    let cause = subject.cause.to_string();
    match what {
        Step::GaveUp { .. } | Step::SpawnFailed { .. } => {
            error!(agent, pid, cause, "recovery: {what}");
        }
        Step::Refused(_) => warn!(agent, pid, cause, "recovery: {what}"),
        Step::Completed(completed) if !completed.is_success() => {
            warn!(agent, pid, child_pid = completed.child_pid, "recovery: {what}");
        }
        // One line says that the budget is spent.
        Step::OverBudget => tracing::debug!(agent, pid, "recovery: {what}"),
        Step::Spawned { child_pid, .. } => {
            info!(agent, pid, cause, child_pid, "recovery: {what}");
        }
        _ => info!(agent, pid, cause, "recovery: {what}"),
    }
}
