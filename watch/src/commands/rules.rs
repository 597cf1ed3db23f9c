//! `rules`: which rules a running daemon applies.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, print};
use crate::server::control::client::Target;
use crate::server::control::rules::{ExpectedRow, Explained, Explanation, RuleRow};

/// List the rules that a running daemon applies, and the programs that it expects
///
/// With --explain, prints which rule applies to one agent, and why those before it do not. The
/// exit code is 1 if there is no such agent, or if no daemon answers.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Explain which rule applies to the agent with this pid
    #[arg(long, value_name = "PID")]
    explain: Option<u32>,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut connection = arguments.target.connect().map_err(Failure::new)?;
    let lines = match arguments.explain {
        Some(pid) => explain(&connection.explanation(pid).map_err(Failure::new)?),
        None => {
            let report = connection.report().map_err(Failure::new)?;
            list(&report.rules, &report.expected)
        }
    };
    for line in lines {
        print(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(rules: &[RuleRow], expected: &[ExpectedRow]) -> Vec<String> {
    let mut lines = Vec::new();
    for RuleRow { line, matching, settings, agents } in rules {
        lines.push(format!("line {line}: {matching}: {settings} ({agents} agents)"));
    }
    if rules.is_empty() {
        lines.push("no rules: the flags apply to all agents".to_owned());
    }
    for ExpectedRow { program, count, there, missing } in expected {
        let state = match missing {
            true => "missing",
            false if there < count => "not there yet",
            false => "present",
        };
        lines.push(format!("expected {program}: {state}, {there} of {count} agents"));
    }
    lines
}

fn explain(explanation: &Explanation) -> Vec<String> {
    let Explanation { agent, known, rules, threshold_ms } = explanation;
    let known = known.iter().map(|(key, value)| match value {
        Some(value) => format!("{key} {value}"),
        None => format!("no {key}"),
    });
    let known: Vec<_> = known.collect();
    let mut lines = vec![format!("agent {agent}: {}", known.join(", "))];
    for Explained { line, mismatch, settings } in rules {
        lines.push(match mismatch {
            Some(pattern) => format!("line {line}: {pattern} does not match"),
            None => format!("line {line}: applies: {settings}"),
        });
    }
    if rules.last().is_none_or(|rule| rule.mismatch.is_some()) {
        lines.push("no rule applies, only the flags".to_owned());
    }
    lines.push(format!("its threshold is {threshold_ms} ms"));
    lines
}
