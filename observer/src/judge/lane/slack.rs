//! Finding how late a task may be.

use std::collections::HashMap;

use varta::TaskName;

use super::Lanes;
use super::pages::NONE;
use crate::judge::Slot;
use crate::program_name::ProgramName;
use crate::slack::Slack;

/// The slack of programs and tasks by name, in nanoseconds.
#[derive(Debug)]
pub(super) struct Table {
    programs: HashMap<Box<[u8]>, u64>,
    tasks: HashMap<Box<str>, u64>,
}

impl Table {
    pub(super) fn new(slack: &Slack) -> Self {
        let programs = slack.programs.iter().map(|(name, slack)| {
            let name = ProgramName::from_bytes(name.as_bytes());
            (name.as_bytes().into(), *slack)
        });
        let tasks = slack.tasks.iter().map(|(name, slack)| (name.as_str().into(), *slack));
        Self { programs: programs.collect(), tasks: tasks.collect() }
    }

    pub(super) fn of_program(&self, name: Option<ProgramName>) -> u64 {
        name.and_then(|name| self.programs.get(name.as_bytes())).copied().unwrap_or(0)
    }

    /// The slack of a task whose program has `of_program`.
    pub(super) fn of_task(&self, name: TaskName, of_program: u64) -> u64 {
        self.tasks.get(name.as_str()).copied().unwrap_or(of_program)
    }
}

impl Lanes {
    /// Replaces how late tasks may be.
    pub(in crate::judge) fn set_slack(
        &mut self,
        slack: &Slack,
        program: impl Fn(Slot) -> Option<ProgramName>,
    ) {
        self.slack = Table::new(slack);
        for page in self.pages.indexes() {
            let Some(slot) = self.pages.at(page).slot else { continue };
            let Some(agent) = self.pages.agent_mut(slot) else { continue };
            agent.slack_ns = self.slack.of_program(program(slot));
            let of_program = agent.slack_ns;
            let mut task = self.pages.at(page).first_task;
            while task != NONE {
                let found = self.tasks.at_mut(task);
                found.slack_ns = self.slack.of_task(found.name, of_program);
                task = self.tasks.after(task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_entry_and_the_tasks_own_count_more() {
        let slack = Slack {
            programs: vec![("a name of 17 byte".into(), 4)],
            tasks: vec![("b".into(), 1), ("a".into(), 2), ("b".into(), 3)],
        };
        let table = Table::new(&slack);
        let of = |name: &str| table.of_task(TaskName::new(name).unwrap(), 7);
        assert_eq!((of("a"), of("b"), of("c")), (2, 3, 7));
        let of = |name: &[u8]| table.of_program(Some(ProgramName::from_bytes(name)));
        assert_eq!((of(b"a name of 17 by"), of(b"a name")), (4, 0));
        assert_eq!(table.of_program(None), 0);
    }
}
