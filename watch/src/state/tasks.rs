//! Counts of tasks by name. Tasks come and go; these counts remain, and never decrease.

use std::collections::BTreeMap;

use varta::{Promise, Rule, TaskName};
use varta_observer::{Event, Task, What};

/// The maximum number of names with counts of their own.
const MOST_NAMES: usize = 256;

/// What happened to the tasks of one name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfName {
    /// Calls, of any kind.
    pub(crate) beats: u64,
    /// What the tasks report as done.
    pub(crate) done: u64,
    stalls: [u64; Promise::ALL.len()],
    violations: [u64; Rule::ALL.len()],
}

impl OfName {
    pub(crate) fn stalls(&self) -> impl Iterator<Item = (Promise, u64)> {
        Promise::ALL.into_iter().zip(self.stalls)
    }

    pub(crate) fn violations(&self) -> impl Iterator<Item = (Rule, u64)> {
        Rule::ALL.into_iter().zip(self.violations)
    }
}

/// The counts of all tasks.
#[derive(Debug, Default, Clone)]
pub(crate) struct TaskCounts {
    names: BTreeMap<TaskName, OfName>,
    /// The counts of all further names.
    others: OfName,
    /// What each current task last reported as done.
    done: BTreeMap<(u64, u32), u32>,
}

impl TaskCounts {
    /// Adds an event of a task. A name is listed from the first event on, with counts of 0,
    /// because Prometheus can only see an increase of a counter that existed before.
    pub(super) fn note(&mut self, event: &Event) {
        let (Some(about), Some(task)) = (&event.about, &event.task) else { return };
        self.note_progress(about.agent, *task);
        let counts = self.of(task.name);
        match event.what {
            What::Beat { count, .. } => counts.beats += u64::from(count),
            What::Stall { late: Some(late), .. } => {
                add(&mut counts.stalls, Promise::ALL, late.promise, 1);
            }
            What::Violation { rule, count, .. } => {
                add(&mut counts.violations, Rule::ALL, rule, count.into());
            }
            What::Ended { .. } => {
                self.done.remove(&(about.agent, task.number));
            }
            _ => {}
        }
    }

    /// Adds what a task has done since its last event.
    fn note_progress(&mut self, agent: u64, task: Task) {
        let (key, done) = ((agent, task.number), task.done);
        let before = match done {
            // Most tasks report no progress.
            0 => self.done.remove(&key),
            done => self.done.insert(key, done),
        };
        // A task that reports less has begun to count anew.
        let before = before.filter(|before| *before <= done).unwrap_or(0);
        self.of(task.name).done += u64::from(done - before);
    }

    /// Forgets the tasks of an agent that has ended.
    pub(super) fn forget(&mut self, agent: u64) {
        let tasks = self.done.range((agent, 0)..=(agent, u32::MAX));
        let tasks: Vec<_> = tasks.map(|(key, _)| *key).collect();
        for task in tasks {
            self.done.remove(&task);
        }
    }

    fn of(&mut self, name: TaskName) -> &mut OfName {
        let has_room = self.names.len() < MOST_NAMES;
        match self.names.get(&name) {
            None if !has_room => &mut self.others,
            _ => self.names.entry(name).or_default(),
        }
    }

    /// The counts by name, with those of all further names under None.
    pub(crate) fn by_name(&self) -> BTreeMap<Option<TaskName>, OfName> {
        let names = self.names.iter().map(|(name, counts)| (Some(*name), *counts));
        [(None, self.others)].into_iter().chain(names).collect()
    }
}

fn add<T: PartialEq, const N: usize>(counts: &mut [u64; N], all: [T; N], at: T, more: u64) {
    let count = counts.iter_mut().zip(all).find(|(_, each)| *each == at);
    if let Some((count, _)) = count {
        *count += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, number: u32, done: u32) -> Task {
        Task { number, name: TaskName::new(name).unwrap(), done }
    }

    fn done(counts: &TaskCounts, name: Option<&str>) -> u64 {
        let name = name.map(|name| TaskName::new(name).unwrap());
        counts.by_name()[&name].done
    }

    #[test]
    fn done_is_the_sum_of_what_all_tasks_of_a_name_have_reported() {
        let mut counts = TaskCounts::default();
        for (number, reports) in [(1, [3, 3, 10]), (2, [5, 0, 2])] {
            for report in reports {
                counts.note_progress(7, task("batch", number, report));
            }
        }
        counts.note_progress(8, task("batch", 1, 100));
        assert_eq!(done(&counts, Some("batch")), 10 + 5 + 2 + 100);
        // A new task of a new agent may have the same numbers only after the old one ended.
        counts.forget(7);
        assert_eq!(counts.done.keys().collect::<Vec<_>>(), [&(8, 1)]);
    }

    #[test]
    fn the_number_of_names_is_bounded_and_further_ones_are_summed() {
        let mut counts = TaskCounts::default();
        for number in 0..MOST_NAMES + 2 {
            counts.note_progress(1, task(&number.to_string(), 1, 1));
            counts.forget(1);
        }
        assert_eq!(counts.by_name().len(), MOST_NAMES + 1);
        assert_eq!((done(&counts, Some("7")), done(&counts, None)), (1, 2));
    }
}
