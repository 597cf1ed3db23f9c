//! Formats a decision as a line: its kind, and the columns after it.

use crate::config::Command;
use crate::recovery::{Completed, Decision, Exit, LateTask, Step};

/// The kind of a decision's line.
pub(super) fn kind(decision: &Decision) -> &'static str {
    match decision.what {
        Step::Spawned { .. } => "spawn",
        Step::WouldSpawn { .. } => "would_spawn",
        Step::SpawnFailed { .. } => "spawn_failed",
        Step::Completed(_) => "complete",
        Step::Refused(_) => "refused",
        Step::Debounced { .. } => "debounced",
        Step::OverBudget => "over_budget",
        Step::GaveUp { .. } => "gave_up",
        Step::Ended(_) => "ended",
    }
}

/// The columns, beginning with the agent's pid. If the run is for a late task, two columns with
/// its name and its promise follow. If the decision rests on the cause of a stall, two columns
/// with its name and its text follow.
pub(super) fn columns(decision: &Decision, command: &Command) -> String {
    let mut columns = columns_of_step(decision, command);
    if let Some(LateTask { task, promise }) = &decision.task {
        let name = one_column(&task.name.to_string());
        columns.push_str(&format!("\ttask={name}\tpromise={promise}"));
    }
    if let Some(fields) = &decision.cause {
        let (cause, text) = (&fields.cause, one_column(fields.text()));
        columns.push_str(&format!("\tcause={cause}\twhy={text}"));
    }
    columns
}

fn columns_of_step(decision: &Decision, command: &Command) -> String {
    let pid = decision.pid;
    match &decision.what {
        Step::Spawned { child_pid, .. } => {
            let program = command.words.first().map_or("", String::as_str);
            let length: usize = command.words.iter().map(|word| word.len() + 1).sum();
            let (program, source) = (one_column(program), one_column(&command.source));
            format!("{pid}\t{child_pid}\texec\t{program}\t{source}\t{length}")
        }
        Step::WouldSpawn { command } => format!("{pid}\t{}", one_column(command)),
        Step::SpawnFailed { attempt, why } => format!("{pid}\t{attempt}\t{}", one_column(why)),
        Step::Completed(completed) => format!("{pid}\t{}", outcome(completed)),
        Step::Refused(reason) => format!("{pid}\t{}", reason.name()),
        Step::Debounced { wait_ns } => format!("{pid}\t{}", wait_ns / 1_000_000),
        Step::OverBudget => pid.to_string(),
        Step::GaveUp { tries } => format!("{pid}\t{tries}"),
        Step::Ended(ending) => format!("{pid}\t{}", ending.name()),
    }
}

fn outcome(completed: &Completed) -> String {
    let Completed { child_pid, exit, timed_out, duration_ns, output } = completed;
    let name = match exit {
        _ if *timed_out => "killed",
        Exit::Unknown => "reap_failed",
        Exit::Code(_) | Exit::Signal(_) => "reaped",
    };
    let (code, signal) = match exit {
        Exit::Code(code) => (code.to_string(), "-".to_owned()),
        Exit::Signal(signal) => ("-".to_owned(), signal.to_string()),
        Exit::Unknown => ("-".to_owned(), "-".to_owned()),
    };
    let (stdout, stderr, truncated) = (output.stdout, output.stderr, output.truncated);
    format!(
        "{child_pid}\t{name}\t{code}\t{signal}\t{duration_ns}\t{stdout}\t{stderr}\t{truncated}"
    )
}

/// Replaces control characters, which would break columns and lines.
fn one_column(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
