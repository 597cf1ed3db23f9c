//! Finding how late a task may be.

use std::collections::HashMap;

use varta::TaskName;

use super::pages::{NONE, PagedAgent};
use super::{Lanes, PageIndex};
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

    /// The slack of a task of this agent.
    pub(super) fn of_task(&self, name: TaskName, agent: &PagedAgent) -> u64 {
        let of_agent = agent.own_slack_ns.unwrap_or(agent.slack_ns);
        match of_agent {
            u64::MAX => of_agent,
            _ => self.tasks.get(name.as_str()).copied().unwrap_or(of_agent),
        }
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
            let Some(slot) = self.pages.at(page).slot() else { continue };
            let Some(agent) = self.pages.agent_mut(slot) else { continue };
            agent.slack_ns = self.slack.of_program(program(slot));
            self.apply_slack(page);
        }
    }

    /// Replaces how late the tasks of one agent may be.
    pub(in crate::judge) fn set_own_slack(&mut self, slot: Slot, slack_ns: Option<u64>) {
        let Some(agent) = self.pages.agent_mut(slot) else { return };
        if std::mem::replace(&mut agent.own_slack_ns, slack_ns) == slack_ns {
            return;
        }
        let mut page = self.pages.first_of(slot);
        while let Some(found) = page {
            self.apply_slack(found);
            page = self.pages.after(found);
        }
    }

    /// Finds the slack of each task of this page anew.
    fn apply_slack(&mut self, page: PageIndex) {
        let Some(slot) = self.pages.at(page).slot() else { return };
        let Some(agent) = self.pages.agent(slot) else { return };
        let mut task = self.pages.at(page).first_task;
        while task != NONE {
            let found = self.tasks.at_mut(task);
            found.slack_ns = self.slack.of_task(found.name, agent);
            task = self.tasks.after(task);
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
        let mut agent = PagedAgent::NEW;
        agent.slack_ns = 7;
        let all = |agent: &PagedAgent| {
            ["a", "b", "c"].map(|name| table.of_task(TaskName::new(name).unwrap(), agent))
        };
        assert_eq!(all(&agent), [2, 3, 7]);
        agent.own_slack_ns = Some(9);
        assert_eq!(all(&agent), [2, 3, 9]);
        agent.own_slack_ns = Some(u64::MAX);
        assert_eq!(all(&agent), [u64::MAX; 3]);
        let of = |name: &[u8]| table.of_program(Some(ProgramName::from_bytes(name)));
        assert_eq!((of(b"a name of 17 by"), of(b"a name")), (4, 0));
        assert_eq!(table.of_program(None), 0);
    }
}
