//! The results of the vectors, as text and by kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::document::Vector;
use crate::failure::Failure;

pub(crate) enum Outcome {
    Passed,
    Failed(Failure),
    Skipped,
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

#[derive(Default)]
pub(crate) struct Report {
    failures: String,
    kinds: BTreeMap<String, Count>,
}

impl Report {
    pub(crate) fn add(&mut self, vector: &Vector, outcome: Outcome) {
        let kind = vector.kind().unwrap_or("unnamed");
        let count = self.kinds.entry(kind.to_owned()).or_default();
        match outcome {
            Outcome::Passed => count.passed += 1,
            Outcome::Skipped => count.skipped += 1,
            Outcome::Failed(failure) => {
                count.failed += 1;
                self.failures += &format!("FAIL {}: {failure}\n", vector.name());
            }
        }
    }

    pub(crate) fn failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// A line for each vector that failed and for each kind that is unknown.
    pub(crate) fn details(&self) -> String {
        let mut text = self.failures.clone();
        for (kind, count) in self.kinds.iter().filter(|(_, count)| count.skipped > 0) {
            text += &format!("SKIP {} of the unknown kind {kind:?}\n", count.skipped);
        }
        text
    }

    pub(crate) fn sums(&self) -> String {
        let sum = |of: fn(&Count) -> usize| self.kinds.values().map(of).sum::<usize>();
        let mut text = format!(
            "{} passed, {} failed",
            sum(|count| count.passed),
            sum(|count| count.failed)
        );
        match sum(|count| count.skipped) {
            0 => {}
            skipped => text += &format!(", {skipped} skipped"),
        }
        text
    }

    pub(crate) fn counts(&self) -> String {
        let kinds = self.kinds.iter().map(|(kind, count)| {
            let Count { passed, failed, skipped } = count;
            (kind.clone(), json!({ "passed": passed, "failed": failed, "skipped": skipped }))
        });
        Value::Object(kinds.collect()).to_string()
    }
}
