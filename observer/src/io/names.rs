//! The names of agents.

use std::io;

use super::Observer;
use crate::judge::Slot;
use crate::judge::tracker::AgentInfo;
use crate::names::{Label, Names};

impl Observer {
    /// The name to show for an agent: the best of its [names](Names), or that of its program. It is
    /// known for every tracked agent, and for every agent that an event of the last poll is about,
    /// even if the agent has exited since. Empty for other agents, and if no name is known, as over
    /// a network.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta::{Status, Varta};
    /// use varta_observer::Observer;
    ///
    /// # let folder = std::env::temp_dir().join(format!("varta-doc-label-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("varta.sock");
    /// let mut observer = Observer::bind(&path, Duration::from_secs(2), 0o600)?;
    /// let _ = Varta::connect(&path)?.beat(Status::Ok, 7);
    /// while let Some(event) = observer.poll()? {
    ///     let label = observer.label(event.about.map_or(0, |about| about.agent));
    ///     println!("{}", event.named(label));
    ///     # assert!(!label.is_empty());
    /// }
    /// # drop(observer);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn label(&self, agent: u64) -> Label {
        match self.judge.find(agent) {
            Some(slot) => self.processes.label(slot),
            None => self.processes.label_of_departed(agent).unwrap_or_default(),
        }
    }

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
        AgentInfo { name, label: self.processes.label(slot), ..info }
    }
}
