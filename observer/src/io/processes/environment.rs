//! What a judge asks about processes.

use varta::internal::lane::layout::Page;

use super::exits::cause_of;
use super::{Processes, TrackedProcess};
use crate::event::ExitCause;
use crate::io::identity::{self, Descriptors, Identity, Presence, ProcessHandle};
use crate::judge::{
    Depth, Environment, Exits, Lacks, Looked, Missing, Namespace, PageIndex, Sample,
    SealedSession, Slot, Standing, ThreadReading,
};
use crate::names::{Label, Names};
use crate::program_name::ProgramName;

/// An agent without a pidfd is checked this often while it beats: its pid may have been reused
/// by a process whose nonces continue where the old ones ended.
pub(super) const LOOK_NS: u64 = 1_000_000_000;

impl Environment for Processes {
    fn namespace(&mut self, pid: u32, claimed_pid: u32) -> Namespace {
        let found = match &self.sender {
            // The pidfd that came with the datagram cannot refer to another process.
            Some(sender) => identity::namespace_of(sender),
            None => self.namespaces.by_pid(pid, self.now, self.features.table),
        };
        match found {
            identity::Namespace::Outside => Namespace::Other,
            identity::Namespace::Within { innermost } if innermost == claimed_pid => {
                Namespace::Other
            }
            // In whichever namespace it is, the claimed pid is not its pid there.
            identity::Namespace::Within { .. } | identity::Namespace::Same => Namespace::Same,
            identity::Namespace::Unknown => Namespace::Unknown,
        }
    }

    fn cause(&mut self, slot: Slot) -> ExitCause {
        let handle =
            self.followed.get(slot.index()).and_then(|followed| followed.handle.as_ref());
        handle.map_or(ExitCause::Unknown, |handle| cause_of(&handle.ending()))
    }

    fn replaced(&mut self, slot: Slot, pid: u32, restarted: bool) -> bool {
        let Some(followed) = self.followed.get_mut(slot.index()) else { return false };
        let Some(identity) = followed.identity else { return false };
        let sender = self.sender.as_ref().map(ProcessHandle::identity);
        if let Some(same) = sender.and_then(|sender| identity.same_process(sender)) {
            return !same;
        }
        let surely_same = match &followed.handle {
            Some(handle) => !restarted || !handle.is_gone(),
            None => !restarted && self.now < followed.verified_at.saturating_add(LOOK_NS),
        };
        if surely_same {
            return false;
        }
        followed.verified_at = self.now;
        // If no process has the pid, this is one of the last beats of the process that has
        // exited.
        identity::look_up(self.features, pid, identity) == Presence::Replaced
    }

    fn look_up(&mut self, slot: Slot, pid: u32) -> Option<Missing> {
        if let Some(handle) = self.connected(slot) {
            let seen_ns = self.clock.now();
            let cause = cause_of(&handle.ending());
            return handle.is_gone().then_some(Missing { seen_ns, cause });
        }
        let identity = self.followed.get(slot.index())?.identity.unwrap_or(Identity::Unknown);
        match identity::look_up(self.features, pid, identity) {
            Presence::Gone | Presence::Replaced => {
                Some(Missing { seen_ns: self.clock.now(), cause: ExitCause::Unknown })
            }
            Presence::There | Presence::CannotTell => None,
        }
    }

    fn admitted(&mut self, slot: Slot, agent: u64, pid: u32, _: Option<u64>) -> Exits {
        self.release_pidfd(slot);
        if self.followed.len() <= slot.index() {
            // Slots are assigned in order, so this stays within the allocated capacity.
            self.followed.resize_with(slot.index() + 1, TrackedProcess::default);
            self.names.resize_with(slot.index() + 1, Names::default);
        }
        if let Some(followed) = self.followed.get_mut(slot.index()) {
            let (slot, verified_at) = (Some(slot), self.now);
            *followed =
                TrackedProcess { slot, agent, verified_at, ..TrackedProcess::default() };
        }
        if self.features.descriptors == Descriptors::None {
            self.read_names(slot, pid, None);
            return Exits::Unseen;
        }
        // A pidfd opened by pid may already refer to another process; a later datagram
        // corrects that.
        let handle = self.sender.take().or_else(|| self.looked_for());
        let handle = handle.or_else(|| ProcessHandle::opened(self.features, pid).ok());
        self.read_names(slot, pid, handle.as_ref());
        self.keep_pidfd(slot, agent, handle, self.bound)
    }

    fn identified(&mut self, slot: Slot, _: u64) -> Exits {
        let Some(followed) = self.followed.get(slot.index()) else { return Exits::Unseen };
        let (agent, known) = (followed.agent, followed.identity);
        let sender = self.sender.take().or_else(|| self.looked_for());
        if let Some(sender) = &sender {
            // The names of the same process are known, and it may have ended.
            let same = known.and_then(|known| known.same_process(sender.identity()));
            if same != Some(true) {
                self.read_names(slot, sender.pid(), Some(sender));
                self.note_renamed(slot);
            }
        }
        self.keep_pidfd(slot, agent, sender, self.bound)
    }

    fn record(&mut self, place: usize, session: &SealedSession) -> Result<(), i32> {
        let Some(file) = &self.secure_state else { return Ok(()) };
        file.record(place, session).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
    }

    fn launched_as(&mut self, slot: Slot, name: &str) {
        self.change_names(slot, |names| names.launcher = Label::new(name.as_bytes()));
    }

    fn renew_program(&mut self, slot: Slot) {
        self.renew_name(slot);
    }

    fn standing(&mut self, pid: u32) -> Standing {
        self.standing_of(pid)
    }

    fn parent(&mut self, pid: u32) -> Option<u32> {
        self.parent_of(pid)
    }

    fn attached_pid(&mut self) -> Option<u32> {
        self.attached_pid
    }

    fn adopt(
        &mut self,
        slot: Slot,
        pid: u32,
        number: Option<u64>,
        sender_uid: u32,
    ) -> Option<(Option<u64>, Exits)> {
        self.adopt_process(slot, pid, number, sender_uid)
    }

    fn released(&mut self, slot: Slot, agent: u64) {
        self.departed.add(agent, self.label(slot));
        self.release_pidfd(slot);
        if let Some(followed) = self.followed.get_mut(slot.index()) {
            let before = std::mem::take(followed);
            if let Some(names) = self.names.get_mut(slot.index()) {
                *names = Names::default();
            }
            if let (Some(lanes), Some(place)) = (&mut self.lanes, before.connection) {
                lanes.unlisted(place, slot);
            }
        }
    }

    fn page(&self, page: PageIndex) -> Option<&Page> {
        self.lanes.as_ref()?.page(page)
    }

    fn joined(&mut self, slot: Slot, page: PageIndex) {
        let joined = self.lanes.as_mut().and_then(|lanes| lanes.joined(page, slot));
        let place = joined.map(|(place, _)| place);
        if let Some((_, name)) = joined {
            // Another copy of the library in the process does not rename it.
            self.change_names(slot, |names| names.declared = names.declared.or(name));
        }
        if let Some(followed) = self.followed.get_mut(slot.index()) {
            followed.connection = place;
        }
    }

    fn page_released(&mut self, page: PageIndex) {
        let place = self.lanes.as_ref().and_then(|lanes| lanes.of_page(page));
        if let Some(place) = place {
            self.close_connection(place);
        }
    }

    fn thread_gone(&mut self, slot: Slot, pid: u32, thread: u32) -> bool {
        // Only a process that runs can have lost a thread.
        let runs = |handle: &ProcessHandle| !handle.is_gone();
        let held = self.followed.get(slot.index()).and_then(|found| found.handle.as_ref());
        let runs = match held {
            Some(handle) => runs(handle),
            None => self.connected(slot).as_ref().is_some_and(runs),
        };
        runs && self.features.table && identity::thread_is_gone(pid, thread)
    }

    fn read_process(
        &mut self,
        slot: Slot,
        pid: u32,
        depth: Depth,
        wanted: &[u32],
        sample: &mut Sample,
    ) -> Looked {
        self.read_process_now(slot, pid, depth, wanted, sample)
    }

    fn read_thread(
        &mut self,
        _: Slot,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> Looked {
        self.read_thread_now(pid, thread, lacks)
    }

    fn program(&self, slot: Slot) -> Option<ProgramName> {
        self.name(slot)
    }
}
