//! The names of agents.

use std::io;

use super::Observer;
use crate::judge::Slot;
use crate::judge::tracker::AgentInfo;
use crate::names::{Label, Names};

impl Observer {
    /// All names of an agent that are known; `None` if it is not tracked.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn names(&self, agent: u64) -> io::Result<Option<Names>> {
        self.owner.check()?;
        let slot = self.judge.find(agent);
        Ok(slot.map(|slot| self.processes.names(slot).unwrap_or_default()))
    }

    /// Sets the name that the launcher of an agent's process gave it. Returns false if
    /// there is no such local agent.
    pub fn set_launcher_name(&mut self, agent: u64, name: Label) -> bool {
        self.change_names(agent, |names| names.launcher = name)
    }

    /// Sets the name of the script that the process of an agent runs, which the observer does
    /// not look for. Returns false if there is no such local agent.
    pub fn set_script(&mut self, agent: u64, name: Label) -> bool {
        self.change_names(agent, |names| names.script = name)
    }

    fn change_names(&mut self, agent: u64, change: impl FnOnce(&mut Names)) -> bool {
        let slot = self.judge.find(agent);
        slot.is_some_and(|slot| self.processes.rename(slot, agent, change))
    }

    /// The number of an agent whose [`names`](Self::names) have changed since it was first heard,
    /// or since the last call that returned it. A program that keeps labels of its own calls it
    /// after each poll, until it returns `None`.
    pub fn take_renamed(&mut self) -> Option<u64> {
        self.processes.take_renamed()
    }

    pub(super) fn named(&self, slot: Slot, info: AgentInfo) -> AgentInfo {
        let name = self.processes.name(slot).unwrap_or_default();
        let label = self.processes.names(slot).unwrap_or_default().label(name.as_bytes());
        AgentInfo { name, label, ..info }
    }
}
