//! What a task did wrongly, counted.

use crate::lane::layout::Violation;
use crate::task::Rule;

/// The violations of a task since it was declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Violations {
    by_rule: [u32; Rule::ALL.len()],
    total: u32,
    last: Option<Violation>,
}

impl Violations {
    #[cold]
    pub(super) fn add(&mut self, violation: Violation) {
        for (rule, count) in Rule::ALL.into_iter().zip(&mut self.by_rule) {
            *count = count.wrapping_add(u32::from(rule == violation.rule));
        }
        self.total = self.total.wrapping_add(1);
        self.last = Some(violation);
    }

    /// How many there were. The count wraps.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many calls broke this rule. The count wraps.
    #[must_use]
    pub fn of(&self, rule: Rule) -> u32 {
        let counted = Rule::ALL.into_iter().zip(self.by_rule);
        counted.filter(|(of, _)| *of == rule).map(|(_, count)| count).sum()
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<Violation> {
        self.last
    }
}
