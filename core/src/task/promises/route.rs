//! Where a task is, and which steps it may take from there.

use std::io;

use super::violations::Violations;
use super::{ns, reserved};
use crate::lane::layout::{NEVER, Violation};
use crate::task::{Edge, Rule};

/// A step that is allowed, with what is known about the checkpoint that it leads to.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: u16,
    to: u16,
    min: u64,
    max: u64,
    /// The steps that lead on from `to`.
    onward: Onward,
}

/// The steps that lead away from a checkpoint.
#[derive(Debug, Clone, Copy)]
struct Onward {
    first: u16,
    end: u16,
    /// The longest time that any of them may take; [`NEVER`] if there are none.
    longest: u64,
}

impl Onward {
    const NOWHERE: Self = Self { first: 0, end: 0, longest: NEVER };
}

/// The checkpoint of a task. Without edges it is only recorded.
#[derive(Debug)]
pub(super) struct Route {
    /// Sorted by `from` and `to`.
    steps: Box<[Step]>,
    checkpoint: u16,
    since: u64,
    due: u64,
    onward: Onward,
}

impl Route {
    /// The route with these edges, which are valid.
    pub(super) fn new(edges: &[Edge]) -> io::Result<Self> {
        let mut steps = reserved(edges.len())?;
        steps.extend(edges.iter().map(|edge| Step {
            from: edge.from,
            to: edge.to,
            min: ns(edge.min),
            max: ns(edge.max),
            onward: Onward::NOWHERE,
        }));
        steps.sort_unstable_by_key(|step| (step.from, step.to));
        let mut route = Self {
            steps: steps.into_boxed_slice(),
            checkpoint: 0,
            since: 0,
            due: NEVER,
            onward: Onward::NOWHERE,
        };
        for index in 0..route.steps.len() {
            let to = route.steps.get(index).map_or(0, |step| step.to);
            let onward = route.from(to);
            if let Some(step) = route.steps.get_mut(index) {
                step.onward = onward;
            }
        }
        Ok(route)
    }

    /// Puts the task outside of its checkpoints.
    pub(super) fn restart(&mut self, time: u64) {
        self.arrive(0, time, self.from(0));
    }

    #[inline]
    pub(super) fn checkpoint(&self) -> u16 {
        self.checkpoint
    }

    /// When the next checkpoint must have been reached.
    #[inline]
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    /// Moves the task to a checkpoint, and judges the step.
    #[inline]
    pub(super) fn reach(&mut self, to: u16, time: u64, violations: &mut Violations) {
        if self.steps.is_empty() {
            self.checkpoint = to;
            return;
        }
        let from = self.checkpoint;
        let mut add = |rule, by| violations.add(Violation { rule, from, to, by });
        let leaving = usize::from(self.onward.first)..usize::from(self.onward.end);
        let steps = self.steps.get(leaving).unwrap_or_default();
        let onward = match steps.iter().find(|step| step.to == to) {
            Some(step) => {
                let taken = time - self.since;
                if taken < step.min {
                    add(Rule::TooEarly, step.min - taken);
                } else if taken >= step.max {
                    add(Rule::TooLate, taken - step.max);
                }
                step.onward
            }
            None => {
                add(Rule::WrongOrder, 0);
                self.from(to)
            }
        };
        self.arrive(to, time, onward);
    }

    #[inline]
    fn arrive(&mut self, at: u16, time: u64, onward: Onward) {
        self.checkpoint = at;
        self.since = time;
        self.due = time.saturating_add(onward.longest);
        self.onward = onward;
    }

    #[cold]
    fn from(&self, checkpoint: u16) -> Onward {
        let first = self.steps.partition_point(|step| step.from < checkpoint);
        let end = self.steps.partition_point(|step| step.from <= checkpoint);
        let steps = self.steps.get(first..end).unwrap_or_default();
        let longest = steps.iter().map(|step| step.max).max().unwrap_or(NEVER);
        match (u16::try_from(first), u16::try_from(end)) {
            (Ok(first), Ok(end)) => Onward { first, end, longest },
            _ => Onward::NOWHERE,
        }
    }
}
