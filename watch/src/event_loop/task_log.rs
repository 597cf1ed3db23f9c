//! The log lines about tasks. They have limits of their own, so that a process with many late
//! tasks does not use up the lines for silent processes.

use tracing::{Level, debug, info, warn};
use varta_observer::{Ending, Event, Label, Task, What};

use crate::output::log::LineLimit;
use crate::state::stats::shown_pid;

#[derive(Debug, Default)]
pub(super) struct TaskLog {
    stalls: LineLimit,
    recoveries: LineLimit,
    failures: LineLimit,
    violations: LineLimit,
}

impl TaskLog {
    /// Logs an event of a task. `uid` is the user of its process, and `why` is the cause of a
    /// silence.
    pub(super) fn write(
        &mut self,
        event: &Event,
        task: &Task,
        program: Label,
        uid: Option<u32>,
        why: Option<&str>,
    ) {
        let now_ns = event.observer_ns;
        let (limit, level) = match event.what {
            What::Stall { .. } => (&mut self.stalls, Level::WARN),
            What::Recovered { .. } => (&mut self.recoveries, Level::INFO),
            What::Ended { how: Ending::Failed | Ending::ThreadGone } => {
                (&mut self.failures, Level::WARN)
            }
            What::Violation { .. } => (&mut self.violations, Level::WARN),
            _ => return debug!("{event}"),
        };
        if !limit.admits(now_ns, uid) {
            return;
        }
        let (agent, pid) = event
            .about
            .map_or((0, 0), |about| (about.agent, shown_pid(about.pid, about.claimed_pid)));
        let (what, task, name) = (&event.what, task.number, &task.name);
        if level == Level::WARN {
            warn!(agent, pid, program = %program, task, why, "task {name}: {what}");
        } else {
            info!(agent, pid, program = %program, task, "task {name}: {what}");
        }
    }

    /// When the next summary of omitted lines is due, if any were omitted.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let limits = [&self.stalls, &self.recoveries, &self.failures, &self.violations];
        limits.into_iter().filter_map(LineLimit::due_ns).min()
    }

    /// Logs one summary for the omitted lines of each kind, once their second is over.
    pub(super) fn sum_up(&mut self, now_ns: u64) {
        self.stalls.sum_up(now_ns, "late task", Level::WARN);
        self.recoveries.sum_up(now_ns, "recovered task", Level::INFO);
        self.failures.sum_up(now_ns, "failed task", Level::WARN);
        self.violations.sum_up(now_ns, "violation", Level::WARN);
    }
}
