//! How agents have ended, by program. An agent that has ended is soon shown no more; what
//! its program was is kept here, so that an alert can name it.

use std::collections::BTreeMap;

use varta_observer::ExitCause;

/// Programs with counts of their own: the first so many.
const MOST_PROGRAMS: usize = 256;

/// How many have ended in which way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exits {
    /// With code 0.
    clean: u64,
    /// With another code.
    failed: u64,
    signalled: u64,
    unknown: u64,
}

impl Exits {
    fn note(&mut self, cause: ExitCause) {
        *match cause {
            ExitCause::Code(0) => &mut self.clean,
            ExitCause::Code(_) => &mut self.failed,
            ExitCause::Signal(_) => &mut self.signalled,
            ExitCause::Unknown => &mut self.unknown,
        } += 1;
    }

    pub(crate) const fn by_cause(&self) -> [(&'static str, u64); 4] {
        [
            ("clean", self.clean),
            ("failed", self.failed),
            ("signalled", self.signalled),
            ("unknown", self.unknown),
        ]
    }
}

/// The exits of all agents.
#[derive(Debug, Default, Clone)]
pub(crate) struct ExitCounts {
    pub(crate) all: Exits,
    /// By name as it is shown: two that differ in bytes may be shown alike.
    programs: BTreeMap<String, Exits>,
    /// Of programs that found no room, and of agents without a name.
    others: Exits,
}

impl ExitCounts {
    /// An agent of this program is followed. It is listed from now on: only of a count that
    /// was there at 0 can be seen that it grows.
    pub(crate) fn expect(&mut self, program: String) {
        if self.programs.len() < MOST_PROGRAMS && !program.is_empty() {
            self.programs.entry(program).or_default();
        }
    }

    pub(crate) fn note(&mut self, program: &str, cause: ExitCause) {
        self.all.note(cause);
        self.programs.get_mut(program).unwrap_or(&mut self.others).note(cause);
    }

    /// The others are called by no name, and are the first.
    pub(crate) fn by_program(&self) -> impl Iterator<Item = (&str, &Exits)> {
        let programs = self.programs.iter().map(|(name, exits)| (name.as_str(), exits));
        [("", &self.others)].into_iter().chain(programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_bounded_and_the_rest_is_summed() {
        let mut endings = ExitCounts::default();
        for number in 0..MOST_PROGRAMS + 2 {
            endings.expect(number.to_string());
        }
        for number in 0..MOST_PROGRAMS + 2 {
            endings.note(&number.to_string(), ExitCause::Signal(9));
        }
        endings.note("", ExitCause::Unknown);
        let listed: BTreeMap<_, _> = endings.by_program().collect();
        assert_eq!(listed.len(), MOST_PROGRAMS + 1);
        assert_eq!(listed["7"].by_cause().map(|(_, count)| count), [0, 0, 1, 0]);
        assert_eq!(listed[""].by_cause().map(|(_, count)| count), [0, 0, 2, 1]);
        assert_eq!(endings.all.signalled, MOST_PROGRAMS as u64 + 2);
    }
}
