//! The log lines about programs that speak the protocol of sd_notify.

use tracing::{Level, info, warn};
use varta_observer::{Event, ServiceChange, ServiceInfo, ServiceNote};

use crate::output::log::LineLimit;
use crate::state::stats::AgentStats;

/// Logs what services say about themselves. Texts that they chose are fields, escaped.
#[derive(Debug, Default)]
pub(super) struct ServiceLog {
    changes: LineLimit,
    texts: LineLimit,
    exits: LineLimit,
}

impl ServiceLog {
    /// Logs what a service said. `stats` are those of its agent. Returns false if it says too much:
    /// then it appears nowhere else either.
    pub(super) fn write(
        &mut self,
        note: &ServiceNote,
        service: Option<&ServiceInfo>,
        stats: &AgentStats,
    ) -> bool {
        // A status can change as often as a program likes, and must not hide other lines.
        let limit = match note.what {
            ServiceChange::Status => &mut self.texts,
            _ => &mut self.changes,
        };
        if !limit.admits(note.observer_ns, stats.uid) {
            return false;
        }
        let (agent, pid, program) = (note.about.agent, stats.pid, stats.name);
        let (name, status) = service.map(|it| (it.name, it.status)).unwrap_or_default();
        match note.what {
            ServiceChange::Registered => {
                info!(agent, pid, %name, "a launcher registered a service");
            }
            ServiceChange::State(state) => {
                info!(agent, pid, %program, "the service is {}", state.name());
            }
            ServiceChange::Status => {
                info!(agent, pid, %program, %status, "status of the service");
            }
            ServiceChange::Errno(errno) => {
                warn!(agent, pid, %program, errno, "the service reports an error");
            }
            ServiceChange::WatchdogOff => {
                warn!(agent, pid, %program, "the service does not want to be judged any more");
            }
            ServiceChange::MainProcess { before } => {
                info!(agent, pid, %program, before, "the service has another main process");
            }
            _ => {}
        }
        true
    }

    /// Logs an exit that the service had announced.
    pub(super) fn write_exit(&mut self, event: &Event, agent: u64, stats: &AgentStats) {
        if self.exits.admits(event.observer_ns, stats.uid) {
            let (pid, program) = (stats.pid, stats.name);
            info!(agent, pid, %program, "{}, as the service announced", event.what);
        }
    }

    /// When the next summary of omitted lines is due, if any were omitted.
    pub(super) fn due_ns(&self) -> Option<u64> {
        [&self.changes, &self.texts, &self.exits]
            .into_iter()
            .filter_map(LineLimit::due_ns)
            .min()
    }

    /// Logs one summary for the omitted lines of each kind, once their second is over.
    pub(super) fn sum_up(&mut self, now_ns: u64) {
        self.changes.sum_up(now_ns, "service", Level::INFO);
        self.texts.sum_up(now_ns, "status of a service", Level::INFO);
        self.exits.sum_up(now_ns, "expected exit", Level::INFO);
    }
}
