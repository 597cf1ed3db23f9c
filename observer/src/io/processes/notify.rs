//! The processes that send notifications.

use super::{Processes, number};
use crate::io::identity::{self, Descriptors, Namespace, ProcessHandle};
use crate::judge::{Exits, Slot, Standing};

impl Processes {
    /// Records the process of the pidfd that is attached to the current notification.
    pub(crate) fn attach(&mut self, pid: Option<u32>) {
        self.attached_pid = pid;
    }

    pub(super) fn standing_of(&mut self, pid: u32) -> Standing {
        if self.features.descriptors == Descriptors::None {
            return Standing::Here;
        }
        let opened = || ProcessHandle::opened(self.features, pid).ok();
        let Some(handle) = self.sender.take().or_else(opened) else { return Standing::Ended };
        let (namespace, is_gone) = (identity::namespace_of(&handle), handle.is_gone());
        self.sender = Some(handle);
        match namespace {
            _ if is_gone => Standing::Ended,
            Namespace::Same | Namespace::Unknown => Standing::Here,
            Namespace::Within { innermost } => Standing::Within(innermost),
            Namespace::Outside => Standing::Outside,
        }
    }

    pub(super) fn parent_of(&self, pid: u32) -> Option<u32> {
        self.features.table.then(|| identity::parent(pid)).flatten()
    }

    pub(super) fn adopt_process(
        &mut self,
        slot: Slot,
        pid: u32,
        wanted: Option<u64>,
        sender_uid: u32,
    ) -> Option<(Option<u64>, Exits)> {
        if self.features.descriptors == Descriptors::None || !self.features.table {
            return None;
        }
        let followed = self.followed.get(slot.index())?;
        let agent = followed.agent;
        let sender = self.sender.as_ref().or(followed.handle.as_ref())?;
        // The pid in a message from another namespace means another process here.
        if identity::namespace_of(sender) != Namespace::Same {
            return None;
        }
        let handle = ProcessHandle::opened(self.features, pid).ok()?;
        let process = number(handle.identity());
        let is_wanted = wanted.is_none_or(|wanted| process == Some(wanted));
        let may = sender_uid == 0 || identity::user(pid) == Some(sender_uid);
        let is_here = identity::namespace_of(&handle) == Namespace::Same;
        // Checked last: while the process runs, no other one has its pid.
        if !is_wanted || !may || !is_here || handle.is_gone() {
            return None;
        }
        // The process that a program leaves behind may be in another control group.
        self.read_names(slot, pid, Some(&handle));
        self.note_renamed(slot);
        let exits = self.keep_pidfd(slot, agent, Some(handle), self.bound);
        Some((process, exits))
    }
}
