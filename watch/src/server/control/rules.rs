//! What the rules mean for the agents, for `varta-watch rules`.

use serde::{Deserialize, Serialize};

use crate::rules::{Facts, Rule};
use crate::state::expectations::ExpectedProgram;
use crate::state::stats::shown_pid;
use crate::state::{Agent, Snapshot};

/// An expected program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExpectedRow {
    pub(crate) program: String,
    /// How many agents it should have, and how many it has, stalled ones included.
    pub(crate) count: u32,
    pub(crate) there: u32,
    pub(crate) missing: bool,
}

impl ExpectedRow {
    pub(super) fn of(expected: &ExpectedProgram) -> Self {
        Self {
            program: expected.program.clone(),
            count: expected.count,
            there: expected.there,
            missing: expected.missing,
        }
    }
}

/// A rule of the file that the daemon uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RuleRow {
    /// Its line in the file.
    pub(crate) line: usize,
    /// What has to match, as in the file.
    #[serde(rename = "match")]
    pub(crate) matching: String,
    /// What it says, as in the file.
    pub(crate) settings: String,
    /// How many agents it applies to.
    pub(crate) agents: usize,
}

/// The rules in their order.
pub(super) fn all(snapshot: &Snapshot) -> Vec<RuleRow> {
    let row = |(number, rule): (usize, &Rule)| RuleRow {
        line: rule.line,
        matching: rule.matching.to_string(),
        settings: rule.text.clone(),
        agents: snapshot.agents_by_rule.get(number).copied().unwrap_or(0),
    };
    snapshot.rules.rules.iter().enumerate().map(row).collect()
}

/// Which rule applies to an agent, and why.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explanation {
    pub(crate) agent: u64,
    /// What is known of it, as far as rules can match it.
    pub(crate) known: Vec<(String, Option<String>)>,
    /// The rules up to the one that applies.
    pub(crate) rules: Vec<Explained>,
    pub(crate) threshold_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explained {
    pub(crate) line: usize,
    /// The pattern that does not match. None if the rule applies.
    pub(crate) mismatch: Option<String>,
    /// What it says, as in the file.
    pub(crate) settings: String,
}

impl Explanation {
    /// None if there is no such agent.
    pub(super) fn of(pid: u32, snapshot: &Snapshot) -> Option<Self> {
        let is_meant =
            |Agent { info, .. }: &Agent<'_>| shown_pid(info.pid, info.claimed_pid) == pid;
        let Agent { info, stats } = snapshot.agents().into_iter().find(is_meant)?;
        let program = stats.name.to_string();
        let facts = stats.facts(&program);
        let rules = &snapshot.rules;
        let mut explained = Vec::new();
        for rule in &rules.rules {
            let mismatch = rules.mismatch(rule, &facts);
            let mismatch =
                mismatch.map(|(key, pattern)| format!("{key} = {:?}", pattern.to_string()));
            let applies = mismatch.is_none();
            explained.push(Explained {
                line: rule.line,
                mismatch,
                settings: rule.text.clone(),
            });
            if applies {
                break;
            }
        }
        let Facts { program, unit, uid, container } = facts;
        let user = uid.map(|uid| match rules.user_name(uid) {
            Some(name) => format!("{name} ({uid})"),
            None => uid.to_string(),
        });
        let known = [
            ("program", Some(program.to_owned())),
            ("unit", unit.map(str::to_owned)),
            ("user", user),
            ("container", container.map(str::to_owned)),
        ];
        Some(Self {
            agent: info.agent,
            known: known.map(|(key, value)| (key.to_owned(), value)).into(),
            rules: explained,
            threshold_ms: info.threshold_ns / 1_000_000,
        })
    }
}
