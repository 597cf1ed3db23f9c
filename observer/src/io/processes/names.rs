//! The names of the processes.

use super::Processes;
use crate::io::identity::{self, ProcessHandle};
use crate::judge::Slot;
use crate::names::{Label, Names};
use crate::program_name::ProgramName;

impl Processes {
    pub(crate) fn name(&self, slot: Slot) -> Option<ProgramName> {
        self.followed.get(slot.index())?.name
    }

    /// The names of the agent in this slot, other than that of its program.
    pub(crate) fn names(&self, slot: Slot) -> Option<Names> {
        self.names.get(slot.index()).copied()
    }

    /// The name to show for the agent in this slot.
    pub(crate) fn label(&self, slot: Slot) -> Label {
        let program = self.name(slot).unwrap_or_default();
        self.names(slot).unwrap_or_default().label(program.as_bytes())
    }

    /// The label of an agent that is no longer followed, if it left a short time ago.
    pub(crate) fn label_of_departed(&self, agent: u64) -> Option<Label> {
        self.departed.find(agent)
    }

    /// From now on, agents that leave are remembered for the events of one batch.
    pub(crate) const fn begin_batch(&mut self) {
        self.departed.begin_batch();
    }

    /// Whether no more agents may leave in this batch.
    pub(crate) const fn batch_is_full(&self) -> bool {
        self.departed.is_full()
    }

    /// Changes the names of an agent. Returns false if it is not in this slot.
    pub(crate) fn rename(
        &mut self,
        slot: Slot,
        agent: u64,
        change: impl FnOnce(&mut Names),
    ) -> bool {
        let followed = self.followed.get(slot.index());
        if followed.is_none_or(|found| found.slot.is_none() || found.agent != agent) {
            return false;
        }
        self.change_names(slot, change);
        true
    }

    pub(super) fn change_names(&mut self, slot: Slot, change: impl FnOnce(&mut Names)) {
        let Some(names) = self.names.get_mut(slot.index()) else { return };
        let before = *names;
        change(names);
        if *names != before {
            self.note_renamed(slot);
        }
    }

    pub(super) fn note_renamed(&mut self, slot: Slot) {
        if self.renamed.len() == self.renamed.capacity() {
            // Each agent is in it once; the other entries are of agents that are gone.
            let followed = &self.followed;
            self.renamed
                .retain(|slot| followed.get(slot.index()).is_some_and(|found| found.renamed));
        }
        if let Some(followed) = self.followed.get_mut(slot.index()).filter(|it| !it.renamed) {
            followed.renamed = true;
            self.renamed.push(slot);
        }
    }

    /// An agent whose names have changed.
    pub(crate) fn take_renamed(&mut self) -> Option<u64> {
        while let Some(slot) = self.renamed.pop() {
            let followed = self.followed.get_mut(slot.index());
            if let Some(followed) = followed.filter(|found| found.renamed) {
                followed.renamed = false;
                return Some(followed.agent);
            }
        }
        None
    }

    /// Reads the names of a process: that of its program, and those of its control group. The
    /// latter name what a command may restart, so they count only if it is known whose they are.
    pub(super) fn read_names(&mut self, slot: Slot, pid: u32, handle: Option<&ProcessHandle>) {
        if !self.features.table || pid == 0 {
            return;
        }
        let name = identity::program_name(pid);
        let group = match handle {
            Some(_) => identity::group(pid, &mut self.group_text),
            None => None,
        };
        // As long as it has not been reaped, no other process can have its pid.
        let group = group.filter(|_| handle.is_some_and(|handle| !handle.is_reaped()));
        if let Some(followed) = self.followed.get_mut(slot.index()) {
            followed.name = name;
        }
        if let Some(names) = self.names.get_mut(slot.index()) {
            names.set_group(group.unwrap_or_default());
        }
    }

    /// Reads the name of the program again that the process in this slot runs.
    pub(super) fn renew_name(&mut self, slot: Slot) {
        let table = self.features.table;
        let Some(followed) = self.followed.get_mut(slot.index()).filter(|_| table) else {
            return;
        };
        if let Some(handle) = &followed.handle {
            let name = identity::program_name(handle.pid());
            // Checked last: while the process runs, no other one has its pid.
            let name = name.filter(|_| !handle.is_gone()).or(followed.name);
            if std::mem::replace(&mut followed.name, name) != name {
                self.note_renamed(slot);
            }
        }
    }
}
