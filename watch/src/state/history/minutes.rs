//! Beats and intervals by program, for one minute at a time.

use std::collections::HashMap;

use varta_history::{Histogram, Minute};
use varta_observer::Label;

/// How many programs have minutes of their own. Further ones are counted together, under an
/// empty name.
const MOST_PROGRAMS: usize = 256;

/// The number of a program: its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProgramNumber(usize);

impl ProgramNumber {
    pub(super) const OTHERS: Self = Self(0);
}

#[derive(Debug)]
struct Program {
    name: Label,
    agents: usize,
    beats: u64,
    missed: u64,
    intervals: Histogram,
}

impl Program {
    fn new(name: Label) -> Self {
        Self { name, agents: 0, beats: 0, missed: 0, intervals: Histogram::with_room() }
    }
}

/// What was heard of each program since the minute began.
#[derive(Debug)]
pub(super) struct Minutes {
    programs: Vec<Program>,
    numbers: HashMap<Label, ProgramNumber>,
    free: Vec<ProgramNumber>,
}

impl Default for Minutes {
    fn default() -> Self {
        let others = Program::new(Label::EMPTY);
        Self { programs: vec![others], numbers: HashMap::new(), free: Vec::new() }
    }
}

impl Minutes {
    /// Adds an agent to a program.
    pub(super) fn join(&mut self, name: Label) -> ProgramNumber {
        let number = match self.numbers.get(&name) {
            Some(number) => *number,
            None if name.is_empty() => ProgramNumber::OTHERS,
            None => self.place_for(name),
        };
        self.change(number, |program| program.agents += 1);
        number
    }

    /// Removes an agent from its program.
    pub(super) fn leave(&mut self, number: ProgramNumber) {
        self.change(number, |program| program.agents = program.agents.saturating_sub(1));
    }

    fn place_for(&mut self, name: Label) -> ProgramNumber {
        let number = match self.free.pop() {
            Some(free) => free,
            None if self.programs.len() <= MOST_PROGRAMS => {
                self.programs.push(Program::new(Label::EMPTY));
                ProgramNumber(self.programs.len() - 1)
            }
            None => return ProgramNumber::OTHERS,
        };
        self.numbers.insert(name, number);
        self.change(number, |program| program.name = name);
        number
    }

    fn change(&mut self, number: ProgramNumber, change: impl FnOnce(&mut Program)) {
        if let Some(program) = self.programs.get_mut(number.0) {
            change(program);
        }
    }

    /// Adds beats, the last of which came this long after the one before them, if there was one.
    #[inline]
    pub(super) fn note(
        &mut self,
        number: ProgramNumber,
        since_ns: Option<u64>,
        count: u32,
        missed: u64,
    ) {
        let Some(program) = self.programs.get_mut(number.0) else { return };
        let count = u64::from(count.max(1));
        program.beats += count;
        program.missed = program.missed.saturating_add(missed);
        if let Some(since_ns) = since_ns {
            let mean_ns = if count == 1 { since_ns } else { since_ns / count };
            program.intervals.add(mean_ns, count);
        }
    }

    /// Ends the minute. Returns what was heard of each program of which anything was.
    pub(super) fn end(&mut self) -> Vec<Minute> {
        let mut minutes = Vec::new();
        for (at, program) in self.programs.iter_mut().enumerate() {
            if program.beats > 0 {
                minutes.push(Minute {
                    program: program.name.to_string().into(),
                    beats: std::mem::take(&mut program.beats),
                    missed: std::mem::take(&mut program.missed),
                    intervals: program.intervals.clone(),
                });
                program.intervals.clear();
            }
            if at > 0 && program.agents == 0 && !program.name.is_empty() {
                self.numbers.remove(&program.name);
                program.name = Label::EMPTY;
                self.free.push(ProgramNumber(at));
            }
        }
        minutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn beats_count_for_the_program_of_their_agent() {
        let mut minutes = Minutes::default();
        let (ingest, index) = (Label::new(b"ingest"), Label::new(b"index"));
        let (first, other) = (minutes.join(ingest), minutes.join(index));
        assert_eq!(minutes.join(ingest), first);
        minutes.note(first, None, 1, 0);
        minutes.note(first, Some(100 * MS), 1, 2);
        minutes.note(other, Some(1_000 * MS), 10, 0);
        let ended = minutes.end();
        let counts: Vec<_> =
            ended.iter().map(|it| (it.program.as_ref(), it.beats, it.missed)).collect();
        assert_eq!(counts, [("ingest", 2, 2), ("index", 10, 0)]);
        assert_eq!(ended[0].intervals.count(), 1);
        assert_eq!(ended[1].intervals.count(), 10);
        let mean = ended[1].intervals.quantile(0.5).unwrap();
        assert!(mean.abs_diff(100 * MS) <= 6 * MS, "{mean}");
        assert_eq!(minutes.end(), []);
    }

    #[test]
    fn the_places_of_programs_without_agents_are_used_again() {
        let mut minutes = Minutes::default();
        for number in 0..2 * MOST_PROGRAMS {
            let program = minutes.join(Label::new(number.to_string().as_bytes()));
            minutes.note(program, None, 1, 0);
            minutes.leave(program);
        }
        let beats: Vec<_> = minutes.end().into_iter().map(|minute| minute.beats).collect();
        assert_eq!(beats.len(), MOST_PROGRAMS + 1);
        assert_eq!(beats.iter().sum::<u64>(), 2 * MOST_PROGRAMS as u64);
        let again = minutes.join(Label::new(b"again"));
        assert_ne!(again, ProgramNumber::OTHERS);
        minutes.note(again, None, 1, 0);
        assert_eq!(minutes.end()[0].program, "again");
    }
}
