//! What was found out of what was done, as a table in Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use varta_observer::{Cause, CauseClass};

use crate::trials::Outcome;

#[derive(Default)]
pub(crate) struct Table {
    /// What was done and what was found, by number of the cause.
    cells: BTreeMap<(u8, u8), usize>,
    trials: usize,
    right: usize,
    held: usize,
    blamed: usize,
}

impl Table {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let (truth, found) = (outcome.kind.causes[0], outcome.cause());
        // What is accepted beside the truth counts as the truth.
        let shown = if outcome.is_right() { truth } else { found };
        *self.cells.entry((truth as u8, shown as u8)).or_default() += 1;
        self.trials += 1;
        self.right += usize::from(outcome.is_right());
        if truth.class() == CauseClass::Outside {
            self.held += 1;
            let is_blamed = matches!(found.class(), CauseClass::Own | CauseClass::Changed);
            self.blamed += usize::from(is_blamed);
        }
    }

    pub(crate) fn right(&self) -> f64 {
        fraction(self.right, self.trials)
    }

    /// How many of the processes that were held from outside were not blamed.
    pub(crate) fn unblamed(&self) -> f64 {
        1.0 - fraction(self.blamed, self.held)
    }
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn fraction(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn name(number: u8) -> &'static str {
    let found = Cause::ALL.into_iter().find(|cause| *cause as u8 == number);
    found.map_or("", Cause::name)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done: BTreeSet<u8> = self.cells.keys().map(|(done, _)| *done).collect();
        let found: BTreeSet<u8> = self.cells.keys().map(|(_, found)| *found).collect();
        let names: Vec<_> = found.iter().map(|number| name(*number)).collect();
        writeln!(f, "| produced | {} |", names.join(" | "))?;
        writeln!(f, "| --- |{}", " ---: |".repeat(names.len()))?;
        for done in done {
            write!(f, "| {} |", name(done))?;
            for found in &found {
                match self.cells.get(&(done, *found)) {
                    Some(count) => write!(f, " {count} |")?,
                    None => write!(f, " |")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\n{} trials, {:.1} % right. Of {} processes that were held from outside, {} were \
             blamed.",
            self.trials,
            self.right() * 100.0,
            self.held,
            self.blamed
        )
    }
}
