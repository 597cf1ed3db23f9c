//! Counts of exits by program. An exited agent is soon no longer listed; these counts remain,
//! so that an alert can name the program.

use std::collections::BTreeMap;

use varta_observer::ExitCause;

/// The maximum number of programs with counts of their own.
const MOST_PROGRAMS: usize = 256;

/// The kinds of exits: with code 0, with another code, by a signal, or for an unknown cause.
pub(crate) const EXIT_KINDS: [&str; 4] = ["clean", "failed", "signalled", "unknown"];

/// The kind of an exit, as an index of [`EXIT_KINDS`].
pub(crate) const fn exit_kind(cause: ExitCause) -> usize {
    match cause {
        ExitCause::Code(0) => 0,
        ExitCause::Code(_) => 1,
        ExitCause::Signal(_) => 2,
        ExitCause::Unknown => 3,
    }
}

/// Exits by kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exits([u64; EXIT_KINDS.len()]);

impl Exits {
    fn note(&mut self, cause: ExitCause) {
        self.0.iter_mut().skip(exit_kind(cause)).take(1).for_each(|count| *count += 1);
    }

    pub(crate) fn by_cause(&self) -> [(&'static str, u64); EXIT_KINDS.len()] {
        let mut counts = self.0.iter();
        EXIT_KINDS.map(|kind| (kind, counts.next().copied().unwrap_or_default()))
    }
}

/// The exits of all agents.
#[derive(Debug, Default, Clone)]
pub(crate) struct ExitCounts {
    pub(crate) all: Exits,
    /// By displayed name. Names that differ in bytes may be displayed alike.
    programs: BTreeMap<String, Exits>,
    /// Exits of all further programs, and of agents without a name.
    others: Exits,
}

impl ExitCounts {
    /// Lists a program, with counts of 0. Prometheus can only see an increase of a counter
    /// that existed before.
    pub(crate) fn expect(&mut self, program: String) {
        if self.programs.len() < MOST_PROGRAMS && !program.is_empty() {
            self.programs.entry(program).or_default();
        }
    }

    pub(crate) fn note(&mut self, program: &str, cause: ExitCause) {
        self.all.note(cause);
        self.programs.get_mut(program).unwrap_or(&mut self.others).note(cause);
    }

    /// The counts by program, beginning with all other programs under an empty name.
    pub(crate) fn by_program(&self) -> impl Iterator<Item = (&str, &Exits)> {
        let programs = self.programs.iter().map(|(name, exits)| (name.as_str(), exits));
        [("", &self.others)].into_iter().chain(programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_programs_is_bounded_and_further_ones_are_summed() {
        let mut counts = ExitCounts::default();
        for number in 0..MOST_PROGRAMS + 2 {
            counts.expect(number.to_string());
        }
        for number in 0..MOST_PROGRAMS + 2 {
            counts.note(&number.to_string(), ExitCause::Signal(9));
        }
        counts.note("", ExitCause::Unknown);
        let listed: BTreeMap<_, _> = counts.by_program().collect();
        assert_eq!(listed.len(), MOST_PROGRAMS + 1);
        assert_eq!(listed["7"].by_cause().map(|(_, count)| count), [0, 0, 1, 0]);
        assert_eq!(listed[""].by_cause().map(|(_, count)| count), [0, 0, 2, 1]);
        assert_eq!(counts.all.by_cause()[2], ("signalled", MOST_PROGRAMS as u64 + 2));
    }
}
