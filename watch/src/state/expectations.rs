//! Which of the expected programs are there.

use std::fmt;
use std::mem;

use crate::rules::Expected;

/// Counting all agents again costs time, so it is done at most this often.
const EVERY_NS: u64 = 100_000_000;

/// An expected program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedProgram {
    pub(crate) program: String,
    /// How many agents it should have.
    pub(crate) count: u32,
    /// How many there are, stalled ones included.
    pub(crate) there: u32,
    /// There have been fewer for longer than is allowed.
    pub(crate) missing: bool,
    within_ns: u64,
    /// Since when there have been fewer.
    fewer_since_ns: Option<u64>,
}

/// All expected programs.
///
/// - Input: [`agents_changed`](Self::agents_changed) whenever an agent comes, goes or gets its
///   name; then [`update`](Self::update) with the programs of all agents when
///   [`due_ns`](Self::due_ns) has passed.
/// - Time: the observer's. What is not there at the start is missing after the time that is
///   allowed, counted from then.
/// - Output: `update` returns the programs that have become missing, or present again.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    all: Vec<ExpectedProgram>,
    changed: bool,
    next_count_ns: u64,
}

impl Expectations {
    pub(crate) fn new(expected: &[Expected], now_ns: u64) -> Self {
        let mut expectations = Self::default();
        expectations.replace(expected, now_ns);
        expectations
    }

    /// Replaces what is expected. A program that stays keeps its state.
    pub(crate) fn replace(&mut self, expected: &[Expected], now_ns: u64) {
        let before = mem::take(&mut self.all);
        let state_of = |expected: &Expected| {
            let known = before.iter().find(|known| known.program == expected.program);
            ExpectedProgram {
                program: expected.program.clone(),
                count: expected.count,
                there: known.map_or(0, |known| known.there),
                missing: known.is_some_and(|known| known.missing),
                within_ns: u64::try_from(expected.within.as_nanos()).unwrap_or(u64::MAX),
                fewer_since_ns: known.map_or(Some(now_ns), |known| known.fewer_since_ns),
            }
        };
        self.all = expected.iter().map(state_of).collect();
        self.agents_changed();
    }

    pub(crate) fn all(&self) -> &[ExpectedProgram] {
        &self.all
    }

    pub(crate) fn agents_changed(&mut self) {
        self.changed = true;
    }

    /// When to call `update`.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        let deadlines = self
            .all
            .iter()
            .filter(|one| !one.missing)
            .filter_map(|one| Some(one.fewer_since_ns?.saturating_add(one.within_ns)));
        let count = (self.changed && !self.all.is_empty()).then_some(self.next_count_ns);
        deadlines.chain(count).min()
    }

    /// Counts the agents by their programs. Returns the programs that have become missing, or
    /// present again.
    pub(crate) fn update<'a>(
        &mut self,
        now_ns: u64,
        programs: impl Iterator<Item = &'a str>,
    ) -> Vec<ExpectedProgram> {
        (self.changed, self.next_count_ns) = (false, now_ns.saturating_add(EVERY_NS));
        for one in &mut self.all {
            one.there = 0;
        }
        for program in programs {
            for one in self.all.iter_mut().filter(|one| one.program == program) {
                one.there += 1;
            }
        }
        self.all.iter_mut().filter_map(|one| one.judge(now_ns)).collect()
    }
}

impl fmt::Display for ExpectedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, there, count, .. } = self;
        write!(f, "{program} {}: {there} of {count} agents", self.event())
    }
}

impl ExpectedProgram {
    /// The name of the event when its state changes.
    pub(crate) const fn event(&self) -> &'static str {
        if self.missing { "missing" } else { "present" }
    }

    /// How many agents it lacks, once it has lacked some for longer than is allowed.
    pub(crate) const fn missing_agents(&self) -> u64 {
        let lacks = self.count.saturating_sub(self.there);
        if self.missing { lacks as u64 } else { 0 }
    }

    fn judge(&mut self, now_ns: u64) -> Option<Self> {
        if self.there >= self.count {
            self.fewer_since_ns = None;
            return mem::take(&mut self.missing).then(|| self.clone());
        }
        let since_ns = *self.fewer_since_ns.get_or_insert(now_ns);
        if self.missing || now_ns < since_ns.saturating_add(self.within_ns) {
            return None;
        }
        self.missing = true;
        Some(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn expected(program: &str, count: u32) -> Expected {
        let within = Duration::from_secs(30);
        Expected { line: 1, program: program.to_owned(), count, within }
    }

    fn changes(
        expectations: &mut Expectations,
        at: u64,
        programs: &[&str],
    ) -> Vec<(String, bool)> {
        let changes = expectations.update(at * SECOND, programs.iter().copied());
        changes.into_iter().map(|one| (one.program, one.missing)).collect()
    }

    fn missing(program: &str) -> Vec<(String, bool)> {
        vec![(program.to_owned(), true)]
    }

    #[test]
    fn a_program_that_never_started_is_missing_after_the_allowed_time() {
        let mut expectations = Expectations::new(&[expected("a", 2), expected("b", 1)], SECOND);
        assert_eq!(changes(&mut expectations, 2, &["b", "a"]), []);
        assert_eq!(expectations.due_ns(), Some(31 * SECOND));
        assert_eq!(changes(&mut expectations, 30, &["a", "b", "c"]), []);
        assert_eq!(changes(&mut expectations, 31, &["a", "b"]), missing("a"));
        assert_eq!(expectations.due_ns(), None);
        assert_eq!(changes(&mut expectations, 32, &["a", "b"]), [], "it is reported once");
        assert_eq!(changes(&mut expectations, 33, &["a", "a", "b"]), [("a".to_owned(), false)]);
    }

    #[test]
    fn a_program_that_is_there_at_times_is_not_missing() {
        let mut expectations = Expectations::new(&[expected("a", 1)], 0);
        for at in (0..200).step_by(20) {
            assert_eq!(changes(&mut expectations, at, &[]), []);
            assert_eq!(changes(&mut expectations, at + 1, &["a"]), []);
        }
        assert_eq!(expectations.due_ns(), None);
        expectations.agents_changed();
        assert!(expectations.due_ns().is_some());
        assert_eq!(changes(&mut expectations, 200, &[]), []);
        assert_eq!(changes(&mut expectations, 230, &[]), missing("a"));
    }

    #[test]
    fn a_program_that_is_still_expected_keeps_its_state() {
        let mut expectations = Expectations::new(&[expected("a", 1), expected("b", 1)], 0);
        assert_eq!(changes(&mut expectations, 30, &["b"]), missing("a"));
        expectations.replace(&[expected("a", 1), expected("c", 1)], 40 * SECOND);
        assert_eq!(changes(&mut expectations, 40, &["b"]), []);
        assert_eq!(changes(&mut expectations, 70, &["b"]), missing("c"));
        expectations.replace(&[], 80 * SECOND);
        assert_eq!(
            (expectations.due_ns(), changes(&mut expectations, 81, &[])),
            (None, vec![])
        );
    }
}
