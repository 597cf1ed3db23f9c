//! Decisions as records of the history.

use varta_history::{Part, Recovery, Text};

use super::report::{Decision, Exit, LateTask, Step};

impl From<&Decision> for Recovery {
    fn from(decision: &Decision) -> Self {
        let late = decision.task.as_ref();
        let of_task = |text: fn(&LateTask) -> Text| late.map(text);
        let mut record = Self {
            agent: decision.agent,
            pid: decision.pid,
            task: late.map(|late| late.task.number),
            task_name: of_task(|late| late.task.name.to_string().into()),
            promise: of_task(|late| late.promise.name().into()),
            step: decision.what.name().into(),
            why: Part(decision.cause.clone().map(Into::into)),
            ..Self::default()
        };
        match &decision.what {
            Step::Spawned { child_pid, attempt } => {
                (record.child_pid, record.attempt) = (Some(*child_pid), Some(*attempt));
            }
            Step::WouldSpawn { command } => record.command = Some(command.clone().into()),
            Step::SpawnFailed { attempt, why } => {
                (record.attempt, record.error) = (Some(*attempt), Some(why.clone().into()));
            }
            Step::Completed(completed) => {
                record.child_pid = Some(completed.child_pid);
                record.duration_ns = Some(completed.duration_ns);
                record.timed_out = Some(completed.timed_out);
                match completed.exit {
                    Exit::Code(code) => record.code = Some(code),
                    Exit::Signal(signal) => record.signal = Some(signal),
                    Exit::Unknown => {}
                }
            }
            Step::Refused(reason) => record.reason = Some(reason.name().into()),
            Step::Debounced { wait_ns } => record.wait_ns = Some(*wait_ns),
            Step::OverBudget => {}
            Step::GaveUp { tries } => record.tries = Some(*tries),
            Step::Ended(ending) => record.ending = Some(ending.name().into()),
        }
        record
    }
}
