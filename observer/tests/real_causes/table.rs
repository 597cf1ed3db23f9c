//! What was found out of what was done.

use std::fmt::Write;

use varta_observer::CauseClass;

use crate::trials::Outcome;

#[derive(Default)]
pub(crate) struct Table {
    /// A line about the machine, one for each trial, and for each kind that could not be produced: what
    /// `tools/causes-table` reads.
    lines: String,
    trials: usize,
    right: usize,
    held: usize,
    blamed: usize,
}

impl Table {
    pub(crate) fn new(load: usize) -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let kernel = release.trim().split('-').next().unwrap();
        let cpus = std::thread::available_parallelism().map_or(1, Into::<usize>::into);
        let lines = format!("kernel={kernel} cpus={cpus} load={load}\n");
        Self { lines, ..Self::default() }
    }

    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let (truth, found) = (outcome.kind.causes[0], outcome.cause());
        // What is accepted beside the truth counts as the truth.
        let shown = if outcome.is_right() { truth } else { found };
        let name = &outcome.kind.name;
        // Writing to a text does not fail.
        let _ = writeln!(self.lines, "{name}\t{}\t{}", truth.name(), shown.name());
        self.trials += 1;
        self.right += usize::from(outcome.is_right());
        if truth.class() == CauseClass::Outside {
            self.held += 1;
            let class = found.class();
            let is_blamed = !matches!(class, CauseClass::Outside | CauseClass::Unknown);
            self.blamed += usize::from(is_blamed);
        }
    }

    pub(crate) fn add_missing(&mut self, name: &str, missing: &str) {
        let _ = writeln!(self.lines, "{name}\tmissing\t{missing}");
    }

    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    pub(crate) fn summary(&self) -> String {
        let Self { trials, right, held, blamed, .. } = self;
        format!("{right} of {trials} trials right; {blamed} of {held} held from outside blamed")
    }

    /// Whether at least 97 of 100 are right.
    pub(crate) fn is_right(&self) -> bool {
        self.right * 100 >= self.trials * 97
    }

    /// Whether at least 99 of 100 that were held from outside were not blamed.
    pub(crate) fn blames_nobody(&self) -> bool {
        self.blamed * 100 <= self.held
    }
}
