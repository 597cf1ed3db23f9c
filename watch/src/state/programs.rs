//! Counts by program, for the scrape of a fleet, which has no metrics of single agents.
//!
//! A beat costs nothing here: the agents' own statistics are added up when they are shown. Agents
//! come and go and change their names, but the counts of a program never decrease.

use std::collections::BTreeMap;
use std::time::SystemTime;

use varta_observer::{Cause, CauseClass, ExitCause, Label};

use super::exits::{EXIT_KINDS, exit_kind};
use super::histogram::Intervals;
use super::stats::{AgentStats, shown_pid};
use crate::rules::Expected;

/// The maximum number of programs with counts of their own.
pub(crate) const MOST_PROGRAMS: usize = 200;

/// The name under which all further programs are summed, and agents without a name.
pub(crate) const OTHER: &str = "other";

/// A longer name, as it is escaped in the metrics, has no counts of its own, so that the size of
/// a scrape is bounded. Only a name with quotes or backslashes can be longer.
const LONGEST_ESCAPED: usize = 63;

/// A program with counts of its own, by the order of their first appearance from 1 on; or 0,
/// which is all others.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProgramNumber(u8);

impl ProgramNumber {
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// The beats of one or more agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beats {
    pub(crate) beats: u64,
    pub(crate) missed: u64,
    pub(crate) intervals: Intervals,
}

impl Beats {
    pub(crate) const NONE: Self = Self { beats: 0, missed: 0, intervals: Intervals::EMPTY };

    pub(crate) fn add(&mut self, stats: &AgentStats) {
        self.beats = self.beats.saturating_add(stats.beats);
        // Agents choose the nonces that these are derived from.
        self.missed = self.missed.saturating_add(stats.missed);
        self.intervals.add(&stats.intervals);
    }

    fn plus(mut self, other: &Self) -> Self {
        self.beats = self.beats.saturating_add(other.beats);
        self.missed = self.missed.saturating_add(other.missed);
        self.intervals.add(&other.intervals);
        self
    }

    fn minus(mut self, other: &Self) -> Self {
        self.beats = self.beats.saturating_sub(other.beats);
        self.missed = self.missed.saturating_sub(other.missed);
        self.intervals.subtract(&other.intervals);
        self
    }
}

/// A count, and the last agent that was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) last: Option<Example>,
}

/// An agent that stalled or exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) agent: u64,
    pub(crate) pid: u32,
    /// The cause of its stall, if it is known.
    pub(crate) cause: Option<Cause>,
    pub(crate) at: SystemTime,
}

/// The counts of one program, beside what its current agents have counted themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    exits: [Tally; EXIT_KINDS.len()],
    stalls: [Tally; CauseClass::ALL.len()],
    /// The beats of agents that have gone, or have another name now.
    left: Beats,
    /// The beats that its agents had made under other names, before they got this one.
    brought: Beats,
}

impl Program {
    const NEW: Self = Self {
        exits: [Tally { count: 0, last: None }; EXIT_KINDS.len()],
        stalls: [Tally { count: 0, last: None }; CauseClass::ALL.len()],
        left: Beats::NONE,
        brought: Beats::NONE,
    };

    pub(crate) fn exits(&self) -> impl Iterator<Item = (&'static str, Tally)> {
        EXIT_KINDS.into_iter().zip(self.exits)
    }

    pub(crate) fn stalls(&self) -> impl Iterator<Item = (CauseClass, Tally)> {
        CauseClass::ALL.into_iter().zip(self.stalls)
    }

    /// All beats under this name, given those of its current agents.
    pub(crate) fn beats(&self, current: &Beats) -> Beats {
        current.plus(&self.left).minus(&self.brought)
    }
}

/// The counts of all programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    numbers: BTreeMap<Label, ProgramNumber>,
    others: Program,
    /// In the order of their numbers.
    all: Vec<Program>,
}

impl Default for Programs {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), others: Program::NEW, all: Vec::new() }
    }
}

impl Programs {
    /// The number of a program, which gets one if there is room.
    pub(crate) fn number(&mut self, name: Label) -> ProgramNumber {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let text = name.as_str();
        let escaped = text.len() + text.bytes().filter(|it| matches!(it, b'"' | b'\\')).count();
        let is_listed = !text.is_empty() && text != OTHER && escaped <= LONGEST_ESCAPED;
        if !is_listed || self.all.len() >= MOST_PROGRAMS {
            return ProgramNumber::default();
        }
        self.all.push(Program::NEW);
        let number = ProgramNumber(u8::try_from(self.all.len()).unwrap_or_default());
        self.numbers.insert(name, number);
        number
    }

    /// Lists expected programs before others can take their places.
    pub(crate) fn expect(&mut self, expected: &[Expected]) {
        for one in expected {
            self.number(Label::new(one.program.as_bytes()));
        }
    }

    /// The number of a program, or that of all others.
    pub(crate) fn get(&self, name: &Label) -> ProgramNumber {
        self.numbers.get(name).copied().unwrap_or_default()
    }

    /// An agent that had one name has another one now.
    pub(super) fn rename(&mut self, stats: &AgentStats, to: ProgramNumber) {
        self.of(stats.program.unwrap_or_default()).left.add(stats);
        self.of(to).brought.add(stats);
    }

    pub(crate) fn note_stall(&mut self, agent: u64, stats: &AgentStats, cause: Option<Cause>) {
        let class = cause.map_or(CauseClass::Unknown, Cause::class);
        let program = self.of(stats.program.unwrap_or_default());
        let tallies = program.stalls.iter_mut().zip(CauseClass::ALL);
        if let Some((tally, _)) = tallies.into_iter().find(|(_, each)| *each == class) {
            tally.note(agent, stats, cause);
        }
    }

    pub(crate) fn note_exit(&mut self, agent: u64, stats: &AgentStats, cause: ExitCause) {
        let program = self.of(stats.program.unwrap_or_default());
        program.left.add(stats);
        if let Some(tally) = program.exits.get_mut(exit_kind(cause)) {
            tally.note(agent, stats, None);
        }
    }

    pub(super) fn note_eviction(&mut self, stats: &AgentStats) {
        self.of(stats.program.unwrap_or_default()).left.add(stats);
    }

    /// The programs in the order of their numbers, beginning with all others.
    pub(crate) fn all(&self) -> Vec<(&str, &Program)> {
        let mut names = vec![OTHER; self.all.len() + 1];
        for (name, number) in &self.numbers {
            if let Some(slot) = names.get_mut(number.index()) {
                *slot = name.as_str();
            }
        }
        names.into_iter().zip([&self.others].into_iter().chain(&self.all)).collect()
    }

    fn of(&mut self, number: ProgramNumber) -> &mut Program {
        let named = number.index().checked_sub(1).and_then(|at| self.all.get_mut(at));
        named.unwrap_or(&mut self.others)
    }
}

impl Tally {
    fn note(&mut self, agent: u64, stats: &AgentStats, cause: Option<Cause>) {
        let pid = shown_pid(stats.pid, stats.claimed_pid);
        self.count += 1;
        self.last = Some(Example { agent, pid, cause, at: SystemTime::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str) -> Label {
        Label::new(name.as_bytes())
    }

    fn beats(programs: &Programs, name: &str, current: &[&AgentStats]) -> u64 {
        let mut sum = Beats::NONE;
        current.iter().for_each(|stats| sum.add(stats));
        let all = programs.all();
        all.iter().find(|(listed, _)| *listed == name).unwrap().1.beats(&sum).beats
    }

    #[test]
    fn the_beats_of_a_program_stay_when_an_agent_is_renamed_or_leaves() {
        let mut programs = Programs::default();
        let [python, job] = ["python3", "job.py"].map(|name| programs.number(label(name)));
        let mut agent = AgentStats { beats: 5, program: Some(python), ..AgentStats::EMPTY };
        programs.rename(&agent, job);
        agent.program = Some(job);
        assert_eq!(beats(&programs, "python3", &[]), 5);
        assert_eq!(beats(&programs, "job.py", &[&agent]), 0);
        agent.beats = 12;
        assert_eq!(beats(&programs, "job.py", &[&agent]), 7);
        programs.note_exit(7, &agent, ExitCause::Signal(9));
        assert_eq!(beats(&programs, "python3", &[]), 5);
        assert_eq!(beats(&programs, "job.py", &[]), 7);
        let (_, program) = programs.all()[job.index()];
        let exits: Vec<_> = program.exits().map(|(kind, tally)| (kind, tally.count)).collect();
        assert_eq!(exits, [("clean", 0), ("failed", 0), ("signalled", 1), ("unknown", 0)]);
        assert_eq!(program.exits[2].last.unwrap().agent, 7);
    }

    #[test]
    fn the_number_of_programs_is_bounded_and_further_ones_are_summed() {
        let mut programs = Programs::default();
        for number in 0..MOST_PROGRAMS + 2 {
            let program = Some(programs.number(label(&number.to_string())));
            let stats = AgentStats { beats: 1, program, ..AgentStats::EMPTY };
            programs.note_eviction(&stats);
        }
        assert_eq!(programs.all().len(), MOST_PROGRAMS + 1);
        assert_eq!(beats(&programs, "7", &[]), 1);
        assert_eq!(beats(&programs, OTHER, &[]), 2);
    }

    #[test]
    fn no_program_gets_the_name_of_the_sum_or_one_that_is_too_long() {
        let mut programs = Programs::default();
        for name in ["", OTHER, &"\"".repeat(32)] {
            assert_eq!(programs.number(label(name)), ProgramNumber::default(), "{name}");
        }
        assert_eq!(programs.all().len(), 1);
        assert_ne!(programs.number(label(&"x".repeat(63))), ProgramNumber::default());
    }
}
