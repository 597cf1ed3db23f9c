//! `check`: how one agent is, or all, as an exit code.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, print};
use crate::server::control::client::Whom;
use crate::server::control::protocol::{Gone, Report, Row, State};

/// It beats, but does not say that all is well.
const UNWELL: u8 = 1;

/// It is silent or gone, or nothing is known.
const DOWN: u8 = 2;

/// Say by exit code how an agent is, or all of them
///
/// Ends with 0 if it beats and is ok; with 1 if it beats but says degraded or critical;
/// with 2 if it is stalled or gone, if there is no such agent, or if no daemon answers. Of
/// several the worst counts. Without --pid and --name all that are followed are looked at.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent with this pid
    #[arg(long, value_name = "N", conflicts_with = "name")]
    pid: Option<u32>,
    /// Agents whose program is called so
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let report = arguments.whom.connect().and_then(|mut connection| connection.report());
    let report = report.map_err(|error| Failure::with_code(error, DOWN))?;
    let (lines, code) = arguments.judge(&report);
    for line in lines {
        print(line);
    }
    Ok(code.into())
}

impl Arguments {
    /// What is said, and the code to end with.
    fn judge(&self, report: &Report) -> (Vec<String>, u8) {
        let wanted: Vec<_> = report
            .agents
            .iter()
            .filter(|row| self.means(row.shown_pid(), &row.program))
            .collect();
        let Some(worst) = wanted.iter().map(|row| row.state).max() else {
            return self.nobody(report);
        };
        let one_each = self.pid.is_some() || self.name.is_some();
        let mut lines: Vec<_> = wanted
            .iter()
            .filter(|row| one_each || row.state != State::Ok)
            .map(|row| describe(row))
            .collect();
        if !one_each {
            let well = wanted.len() - lines.len();
            lines.push(format!("{well} of {} agents are ok", wanted.len()));
        }
        let code = match worst {
            State::Ok => 0,
            State::Degraded | State::Critical => UNWELL,
            State::Stalled => DOWN,
        };
        (lines, code)
    }

    fn nobody(&self, report: &Report) -> (Vec<String>, u8) {
        let whom = match (&self.pid, &self.name) {
            (Some(pid), _) => format!("pid {pid}"),
            (None, Some(name)) => format!("program {name}"),
            (None, None) => return (vec!["no agents".to_owned()], 0),
        };
        // The one that ended last stands first.
        match report.gone.iter().find(|gone| self.means(gone.pid, &gone.program)) {
            Some(Gone { agent, program, pid, ago_ms, cause, .. }) => {
                let ago = seconds(*ago_ms);
                let line =
                    format!("agent {agent} {program} (pid {pid}): gone {ago} ago, {cause}");
                (vec![line], DOWN)
            }
            None => (vec![format!("{whom}: there is no such agent")], DOWN),
        }
    }

    fn means(&self, pid: u32, program: &str) -> bool {
        self.pid.is_none_or(|wanted| wanted == pid)
            && self.name.as_ref().is_none_or(|wanted| wanted == program)
    }
}

fn describe(row: &Row) -> String {
    let (agent, program, pid) = (row.agent, &row.program, row.shown_pid());
    let (state, age) = (row.state.name(), seconds(row.age_ms));
    format!("agent {agent} {program} (pid {pid}): {state}, heard {age} ago")
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}
