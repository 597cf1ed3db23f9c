//! `check`: the state of one or all agents, as an exit code.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, print};
use crate::server::control::client::Target;
use crate::server::control::protocol::{Gone, Report, Row, State};
use crate::server::control::rules::ExpectedRow;

/// The worst agent beats, but reports degraded or critical, or one of its tasks is late.
const UNWELL: u8 = 1;

/// The worst agent is stalled or gone, or nothing is known about it.
const DOWN: u8 = 2;

/// Report the state of one or all agents by exit code
///
/// The exit code is 0 if the agent beats and is ok, 1 if it beats but reports degraded or
/// critical or has a late task, and 2 if it is stalled or gone, if there is no such agent, or
/// if no daemon answers. It is 0 too for a process that executes another program since its last
/// beat, which is not judged. If several agents match, the worst one decides. Without --pid or
/// --name all agents are checked, and an expected program that is missing counts as gone.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Check the agent with this pid
    #[arg(long, value_name = "N", conflicts_with = "name")]
    pid: Option<u32>,
    /// Check the agents of the program with this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let report = arguments.target.connect().and_then(|mut connection| connection.report());
    let report = report.map_err(|error| Failure::with_code(error, DOWN))?;
    let (lines, code) = arguments.evaluate(&report);
    for line in lines {
        print(line);
    }
    Ok(code.into())
}

impl Arguments {
    /// The lines to print, and the exit code.
    fn evaluate(&self, report: &Report) -> (Vec<String>, u8) {
        let matching: Vec<_> = report
            .agents
            .iter()
            .filter(|row| self.matches(row.shown_pid(), &row.program))
            .collect();
        let list_all = self.pid.is_some() || self.name.is_some();
        let missing = report.expected.iter().filter(|program| program.missing && !list_all);
        let missing: Vec<_> = missing.map(describe_missing).collect();
        let Some(worst) = matching.iter().map(|row| row.state).max() else {
            return match missing.is_empty() {
                true => self.no_match(report),
                false => (missing, DOWN),
            };
        };
        let mut lines: Vec<_> = matching
            .iter()
            .filter(|row| list_all || row.state != State::Ok)
            .map(|row| describe(row))
            .collect();
        if !list_all {
            let ok = matching.len() - lines.len();
            lines.push(format!("{ok} of {} agents are ok", matching.len()));
        }
        let code = match worst {
            _ if !missing.is_empty() => DOWN,
            State::Ok | State::Changed => 0,
            State::Degraded | State::Critical => UNWELL,
            State::Stalled => DOWN,
        };
        lines.splice(0..0, missing);
        (lines, code)
    }

    fn no_match(&self, report: &Report) -> (Vec<String>, u8) {
        let target = match (&self.pid, &self.name) {
            (Some(pid), _) => format!("pid {pid}"),
            (None, Some(name)) => format!("program {name}"),
            (None, None) => return (vec!["no agents".to_owned()], 0),
        };
        // The latest exit is listed first.
        match report.gone.iter().find(|gone| self.matches(gone.pid, &gone.program)) {
            Some(Gone { agent, program, pid, ago_ms, cause, .. }) => {
                let ago = seconds(*ago_ms);
                let line =
                    format!("agent {agent} {program} (pid {pid}): gone {ago} ago, {cause}");
                (vec![line], DOWN)
            }
            None => (vec![format!("{target}: no such agent")], DOWN),
        }
    }

    fn matches(&self, pid: u32, program: &str) -> bool {
        self.pid.is_none_or(|wanted| wanted == pid)
            && self.name.as_ref().is_none_or(|wanted| wanted == program)
    }
}

fn describe_missing(expected: &ExpectedRow) -> String {
    let ExpectedRow { program, there, count, .. } = expected;
    format!("{program}: missing, {there} of {count} agents")
}

fn describe(row: &Row) -> String {
    let (agent, program, pid) = (row.agent, &row.program, row.shown_pid());
    let (state, age) = (row.state.name(), seconds(row.age_ms));
    let mut text = format!("agent {agent} {program} (pid {pid}): {state}, last beat {age} ago");
    if let Some(cause) = &row.cause {
        text.push_str(&format!(", {}", cause.text()));
    }
    for task in row.tasks.iter().filter(|task| task.is_late()) {
        let (name, broken, age) = (&task.name, task.broken.join(", "), seconds(task.age_ms));
        text.push_str(&format!("; task {name} is late ({broken}), last call {age} ago"));
        if let Some(cause) = &task.cause {
            text.push_str(&format!(", {}", cause.text()));
        }
    }
    text
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}
