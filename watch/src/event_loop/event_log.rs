//! The log lines about agents, whose number is bounded whatever the agents do.

use tracing::{Level, debug, error, info, warn};
use varta::TaskName;
use varta_observer::{Event, ExitCause, Label, What};

use super::task_log::TaskLog;
use crate::output::cause::Phrase;
use crate::output::log::LineLimit;
use crate::state::stats::{AgentStats, shown_pid};

/// Logs what operators look for: exits, stalls and recoveries.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    stalls: LineLimit,
    causes: LineLimit,
    exits: LineLimit,
    /// Exits with code 0, counted apart so that they do not use up the lines for crashes.
    clean_exits: LineLimit,
    recoveries: LineLimit,
    tasks: TaskLog,
}

impl EventLog {
    /// Logs an event. `stats` are those of its agent, and `why` is the cause of a silence.
    pub(super) fn write(
        &mut self,
        event: &Event,
        name: Label,
        stats: Option<&AgentStats>,
        why: Option<&str>,
    ) {
        let now_ns = event.observer_ns;
        let (agent, pid) = event
            .about
            .map_or((0, 0), |about| (about.agent, shown_pid(about.pid, about.claimed_pid)));
        let uid = stats.and_then(|stats| stats.uid);
        if let Some(task) = &event.task {
            return self.tasks.write(event, task, name, uid, why);
        }
        match event.what {
            What::Stall { .. } => {
                if self.stalls.admits(now_ns, uid) {
                    warn!(agent, pid, program = %name, why, "{}", event.what);
                }
            }
            What::Cause { .. } => {
                if self.causes.admits(now_ns, uid) {
                    warn!(agent, pid, program = %name, why, "{}", event.what);
                }
            }
            What::Exit { cause: ExitCause::Code(0), .. } => {
                if self.clean_exits.admits(now_ns, uid) {
                    info!(agent, pid, program = %name, "{}", event.what);
                }
            }
            What::Exit { .. } => {
                if self.exits.admits(now_ns, uid) {
                    warn!(agent, pid, program = %name, "{}", event.what);
                }
            }
            What::Recovered { .. } => {
                if self.recoveries.admits(now_ns, uid) {
                    info!(agent, pid, program = %name, "{}", event.what);
                }
            }
            What::Io { .. } => error!("{}", event.what),
            What::Paused { .. } => warn!("{}", event.what),
            _ => debug!(agent, pid, "{}", event.what),
        }
    }

    /// Logs the owner of the lock for which an agent or one of its tasks waits.
    pub(super) fn write_owner(
        &mut self,
        now_ns: u64,
        agent: u64,
        task: Option<TaskName>,
        stats: &AgentStats,
        phrase: &Phrase<'_>,
    ) {
        if !self.causes.admits(now_ns, stats.uid) {
            return;
        }
        let (pid, program) = (shown_pid(stats.pid, stats.claimed_pid), &stats.name);
        match task {
            Some(task) => warn!(agent, pid, %program, "task {task}: {phrase}"),
            None => warn!(agent, pid, %program, "{phrase}"),
        }
    }

    /// When the next summary of omitted lines is due, if any were omitted.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let limits =
            [&self.stalls, &self.causes, &self.exits, &self.clean_exits, &self.recoveries];
        let due = limits.into_iter().filter_map(LineLimit::due_ns);
        due.chain(self.tasks.due_ns()).min()
    }

    /// Logs one summary for the omitted lines of each kind, once their second is over.
    pub(super) fn sum_up(&mut self, now_ns: u64) {
        self.stalls.sum_up(now_ns, "stall", Level::WARN);
        self.causes.sum_up(now_ns, "cause", Level::WARN);
        self.exits.sum_up(now_ns, "exit", Level::WARN);
        self.clean_exits.sum_up(now_ns, "clean exit", Level::INFO);
        self.recoveries.sum_up(now_ns, "recovered", Level::INFO);
        self.tasks.sum_up(now_ns);
    }
}
