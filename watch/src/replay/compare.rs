//! Compares the Stalls of a run with those that other thresholds would have given.

use std::collections::BTreeMap;

use super::judge::{Found, Verdict};
use super::recorded::{Agent, End, Run, Silence};

/// A silence that is a Stall by the thresholds of the run or by the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    /// The agent's place in the run.
    pub(crate) agent: usize,
    pub(crate) silence: Silence,
    /// When the Stall was reported, and when it would have been.
    pub(crate) recorded_ns: Option<u64>,
    pub(crate) replayed_ns: Option<u64>,
    /// When a recovery command was started in it.
    pub(crate) command_ns: Option<u64>,
}

impl Case {
    /// Whether a Stall that was reported would not have been.
    pub(crate) const fn goes(&self) -> bool {
        self.recorded_ns.is_some() && self.replayed_ns.is_none()
    }

    /// Whether a Stall would have been reported that was not.
    pub(crate) const fn comes(&self) -> bool {
        self.recorded_ns.is_none() && self.replayed_ns.is_some()
    }

    /// Whether it was a Stall after which the agent did not beat again by itself.
    pub(crate) const fn is_death(&self) -> bool {
        let ended = matches!(self.silence.end, End::Exit | End::Run);
        self.recorded_ns.is_some() && (ended || self.command_ns.is_some())
    }

    /// By how many nanoseconds the Stall would have been later; negative if earlier.
    pub(crate) fn later_ns(&self) -> Option<i128> {
        let (before, after) = (self.recorded_ns?, self.replayed_ns?);
        Some(i128::from(after) - i128::from(before))
    }
}

/// What changes for a program, or in sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) agents: u64,
    /// The Stalls that were reported, and those that would have been.
    pub(crate) recorded: u64,
    pub(crate) replayed: u64,
    pub(crate) go: u64,
    pub(crate) come: u64,
    pub(crate) deaths: u64,
    /// The deaths that would have had no Stall before them.
    pub(crate) missed: u64,
    /// By how much later the other deaths would have been found: the sum, and the most.
    pub(crate) later_sum_ns: i128,
    pub(crate) later_most_ns: Option<i128>,
}

impl Counts {
    fn add_case(&mut self, case: &Case) {
        self.recorded += u64::from(case.recorded_ns.is_some());
        self.replayed += u64::from(case.replayed_ns.is_some());
        self.go += u64::from(case.goes());
        self.come += u64::from(case.comes());
        if !case.is_death() {
            return;
        }
        self.deaths += 1;
        match case.later_ns() {
            None => self.missed += 1,
            Some(later_ns) => {
                self.later_sum_ns += later_ns;
                self.later_most_ns = self.later_most_ns.max(Some(later_ns));
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.agents += other.agents;
        self.recorded += other.recorded;
        self.replayed += other.replayed;
        self.go += other.go;
        self.come += other.come;
        self.deaths += other.deaths;
        self.missed += other.missed;
        self.later_sum_ns += other.later_sum_ns;
        self.later_most_ns = self.later_most_ns.max(other.later_most_ns);
    }

    /// By how much later a death would have been found on average.
    pub(crate) fn later_mean_ns(&self) -> Option<i128> {
        let found = self.deaths - self.missed;
        (found > 0).then(|| self.later_sum_ns / i128::from(found))
    }
}

/// The silences that are a Stall in one way or the other, in the order of time, of the agents for
/// which `selects` is true. Only those count that overlap the period.
pub(crate) fn cases(
    run: &Run,
    verdicts: &[Verdict],
    selects: impl Fn(&Agent) -> bool,
    period: (u64, u64),
) -> Vec<Case> {
    let mut stalls: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for verdict in verdicts {
        if let Found::Stall { .. } = verdict.found {
            stalls.entry(verdict.agent).or_default().push(verdict.at_ns);
        }
    }
    let mut cases = Vec::new();
    for (index, agent) in run.agents.iter().enumerate().filter(|(_, agent)| selects(agent)) {
        let replayed = stalls.get(&index).map(Vec::as_slice).unwrap_or_default();
        let (mut recorded, mut replayed) = (Times(&agent.stalls), Times(replayed));
        let mut commands = Times(&agent.commands);
        for silence in &agent.silences {
            let case = Case {
                agent: index,
                silence: *silence,
                recorded_ns: recorded.first_in(silence),
                replayed_ns: replayed.first_in(silence),
                command_ns: commands.first_in(silence),
            };
            let in_period = silence.to_ns >= period.0 && silence.from_ns <= period.1;
            if in_period && (case.recorded_ns.is_some() || case.replayed_ns.is_some()) {
                cases.push(case);
            }
        }
    }
    cases.sort_by_key(|case| (case.silence.from_ns, case.agent));
    cases
}

/// Times in order, of which those before each silence are no longer needed.
struct Times<'a>(&'a [u64]);

impl Times<'_> {
    fn first_in(&mut self, silence: &Silence) -> Option<u64> {
        let before = self.0.partition_point(|at_ns| *at_ns <= silence.from_ns);
        self.0 = self.0.get(before..).unwrap_or_default();
        self.0.first().copied().filter(|at_ns| silence.contains(*at_ns))
    }
}

/// What changes by program.
pub(crate) fn by_program(
    run: &Run,
    cases: &[Case],
    selects: impl Fn(&Agent) -> bool,
) -> BTreeMap<String, Counts> {
    let mut programs: BTreeMap<String, Counts> = BTreeMap::new();
    for agent in run.agents.iter().filter(|agent| selects(agent)) {
        programs.entry(agent.program().to_owned()).or_default().agents += 1;
    }
    for case in cases {
        let program = run.agents.get(case.agent).map_or("", Agent::program);
        if let Some(counts) = programs.get_mut(program) {
            counts.add_case(case);
        }
    }
    programs
}
