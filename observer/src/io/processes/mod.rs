//! The processes of agents: a pidfd for each agent that can have one, and its exit.

mod causes;
mod lane;
mod notify;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::event::ExitCause;
use crate::io::causes::Readers;
use crate::io::clock::Clock;
use crate::io::identity::{
    self, Descriptors, Ending, Identity, KernelFeatures, Presence, ProcessHandle,
};
use crate::io::lane::{Lanes, Place};
use crate::io::secure_state::SecureState;
use crate::judge::{
    Depth, Environment, Exits, Lacks, Looked, Missing, Namespace, PageIndex, Sample,
    SealedSession, Slot, Standing, ThreadReading,
};
use crate::memory;
use crate::names::{Label, Names};
use crate::program_name::ProgramName;
use crate::sys::{Epoll, ExitStatus, Interest};
use varta::internal::lane::layout::Page;

/// An exit waits this long for its cause, which the kernel reports once the parent has reaped
/// the process.
const FOR_THE_CAUSE_NS: u64 = 50_000_000;

/// An agent without a pidfd is checked this often while it beats: its pid may have been reused
/// by a process whose nonces continue where the old ones ended.
const LOOK_NS: u64 = 1_000_000_000;

/// How many more descriptors may be held for processes that are about to exit.
const ENDING: usize = 64;

/// How long a pid's namespace is cached.
const NAMESPACE_NS: u64 = 1_000_000_000;
const NAMESPACES: usize = 64;

/// The longest text about control groups that is read: 13 hierarchies of version 1 and one of
/// version 2, each with the longest path.
const GROUP_TEXT: usize = 64 << 10;

/// Marks the token of a pidfd; the tokens of sockets are small.
const PIDFD: u64 = 1 << 63;

/// The processes behind the agents.
pub(crate) struct Processes {
    clock: Clock,
    features: KernelFeatures,
    /// Whether there may be senders that have no pid here and are known only by their pidfd.
    pidless_senders: bool,
    epoll: Epoll,
    /// By slot.
    followed: Vec<TrackedProcess>,
    /// By slot.
    names: Vec<Names>,
    /// Agents whose names have changed since they were admitted.
    renamed: Vec<Slot>,
    /// Room for the text that names the control groups of a process.
    group_text: Vec<u8>,
    held: usize,
    /// How many descriptors may be held.
    bound: usize,
    /// The process that sent the current datagram.
    sender: Option<ProcessHandle>,
    /// The process of the pidfd that is attached to the current notification.
    attached_pid: Option<u32>,
    lanes: Option<Box<Lanes>>,
    /// Reads silent processes, if causes are looked up.
    readers: Option<Box<Readers>>,
    /// The connection of the page that is being looked at.
    looked_for: Option<Place>,
    /// Processes that have exited, whose last beats may still be queued.
    gone: VecDeque<ExitedProcess>,
    /// Processes that have exited and not been reaped, and whose beats have all been read; in
    /// order of time.
    unreaped: VecDeque<ExitedProcess>,
    namespaces: [CachedNamespace; NAMESPACES],
    /// The time of the current datagram.
    now: u64,
    /// Where sealed sessions are recorded.
    secure_state: Option<SecureState>,
}

#[derive(Default)]
struct TrackedProcess {
    slot: Option<Slot>,
    agent: u64,
    handle: Option<ProcessHandle>,
    identity: Option<Identity>,
    name: Option<ProgramName>,
    stage: Stage,
    /// Whether it is in `renamed`.
    renamed: bool,
    /// When it was last verified that the pid still belongs to it.
    verified_at: u64,
    /// The latest of its connections.
    connection: Option<Place>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Alive,
    /// In `gone`.
    Gone,
    /// In `unreaped`.
    Unreaped,
}

/// A process that was seen to have exited, and when.
#[derive(Clone, Copy)]
struct ExitedProcess {
    slot: Slot,
    agent: u64,
    seen: u64,
    /// The previous check, which found it alive.
    alive: u64,
}

#[derive(Clone, Copy)]
struct CachedNamespace {
    pid: u32,
    until: u64,
    namespace: identity::Namespace,
}

/// How far the end of a process has come.
pub(crate) enum ExitProgress {
    /// The process has ended, and its cause is known or never will be.
    Reaped(Slot, ExitCause),
    /// The process has ended; its cause becomes known when its parent reaps it.
    Unreaped(Slot),
}

impl Processes {
    pub(crate) fn new(
        features: KernelFeatures,
        pidless_senders: bool,
        capacity: usize,
        bound: usize,
    ) -> io::Result<Self> {
        let bound = bound.min(capacity);
        let mut group_text = memory::vector(GROUP_TEXT)?;
        group_text.resize(GROUP_TEXT, 0);
        let empty =
            CachedNamespace { pid: 0, until: 0, namespace: identity::Namespace::Unknown };
        Ok(Self {
            clock: Clock::start(),
            features,
            pidless_senders: pidless_senders && !sees_all_pids(),
            epoll: Epoll::new()?,
            followed: memory::vector(capacity)?,
            names: memory::vector(capacity)?,
            renamed: memory::vector(capacity)?,
            group_text,
            held: 0,
            bound,
            sender: None,
            attached_pid: None,
            lanes: None,
            readers: None,
            looked_for: None,
            gone: memory::queue(bound + ENDING)?,
            unreaped: memory::queue(bound + ENDING)?,
            namespaces: [empty; NAMESPACES],
            now: 0,
            secure_state: None,
        })
    }

    pub(crate) fn record_sessions_in(&mut self, file: SecureState) {
        self.secure_state = Some(file);
    }

    /// Closes the state file.
    pub(crate) fn close(&self, sessions: impl Iterator<Item = (usize, SealedSession)>) {
        if let Some(file) = &self.secure_state {
            file.close(sessions);
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    pub(crate) fn name(&self, slot: Slot) -> Option<ProgramName> {
        self.followed.get(slot.index())?.name
    }

    /// The names of the agent in this slot, other than that of its program.
    pub(crate) fn names(&self, slot: Slot) -> Option<Names> {
        self.names.get(slot.index()).copied()
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
        if let Some(names) = self.names.get_mut(slot.index()) {
            let before = *names;
            change(names);
            if *names != before {
                self.note_renamed(slot);
            }
        }
        true
    }

    fn note_renamed(&mut self, slot: Slot) {
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
    fn read_names(&mut self, slot: Slot, pid: u32, handle: Option<&ProcessHandle>) {
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

    /// A pidfd of the agent's process for the caller to own: a copy of the one that is held
    /// here, or a new one if it still refers to the same process.
    pub(crate) fn pidfd(&self, slot: Slot, pid: u32) -> io::Result<Option<OwnedFd>> {
        let Some(followed) = self.followed.get(slot.index()) else { return Ok(None) };
        if let Some(handle) = &followed.handle {
            return handle.as_fd().try_clone_to_owned().map(Some);
        }
        if let Some(handle) = self.connected(slot) {
            return Ok(Some(handle.into()));
        }
        let Some(identity) = followed.identity else { return Ok(None) };
        identity::open(self.features, pid, identity).map(|handle| handle.map(OwnedFd::from))
    }

    /// Whether the kernel should send a pidfd with each datagram. That doubles the cost of a
    /// datagram, so it is done only while an agent is not known by number or a pid may have a
    /// new owner, and always if senders may have no pid here.
    pub(crate) fn wants_pidfds(&self, unidentified: usize, followed: usize) -> bool {
        self.features.descriptors == Descriptors::WithDatagram
            && (self.pidless_senders
                || unidentified > 0
                || followed == 0
                || !self.gone.is_empty())
    }

    /// Records the sender of the current datagram. Returns the number that distinguishes the
    /// process from others that had its pid; `None` if it is not known.
    pub(crate) fn sent_by(
        &mut self,
        now: u64,
        pid: u32,
        pidfd: Option<OwnedFd>,
    ) -> Option<u64> {
        self.now = now;
        self.sender = pidfd.map(|pidfd| ProcessHandle::received(self.features, pidfd, pid));
        self.sender.as_ref().and_then(|handle| number(handle.identity()))
    }

    /// Closes the sender's pidfd, unless it was kept to track the process.
    pub(crate) fn heard(&mut self) {
        self.sender = None;
        self.looked_for = None;
    }

    /// Handles a ready pidfd: its process has exited, or has now been reaped too. At `alive`
    /// it was not ready. Returns whether this is new.
    pub(crate) fn ready(&mut self, token: u64, now: u64, alive: u64) -> bool {
        let Some(followed) = self.followed.get_mut(index_of(token)) else { return false };
        let (Some(slot), Some(handle)) = (followed.slot, &followed.handle) else {
            return false;
        };
        if token != token_of(slot, followed.agent) || followed.stage == Stage::Gone {
            return false;
        }
        // It would stay ready forever and hide others, because a wait returns only a limited
        // number.
        if self.epoll.remove(handle.as_fd()).is_err() {
            return false;
        }
        followed.stage = Stage::Gone;
        let gone = ExitedProcess { slot, agent: followed.agent, seen: now, alive };
        self.look_at_pages_of(slot);
        if self.gone.len() == self.gone.capacity() {
            // There are never more descriptors than this; the other entries are stale.
            let followed = &self.followed;
            self.gone.retain(|gone| {
                let at = followed.get(gone.slot.index());
                at.is_some_and(|at| at.agent == gone.agent && at.stage == Stage::Gone)
            });
        }
        self.gone.push_back(gone);
        true
    }

    pub(crate) fn is_pidfd(token: u64) -> bool {
        token & PIDFD != 0
    }

    /// Everything up to this time must be read before the next exit may be reported.
    pub(crate) fn gone_since(&self) -> Option<u64> {
        self.gone.front().map(|gone| gone.seen)
    }

    /// All processes that are not in `gone` are known to have been alive until this time,
    /// because their pidfds were checked then.
    pub(crate) fn alive_until(&self, checked: u64) -> u64 {
        self.gone.front().map_or(checked, |gone| gone.alive)
    }

    /// When to stop waiting for the next cause.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.unreaped.front().map(|gone| gone.seen.saturating_add(FOR_THE_CAUSE_NS))
    }

    /// The next process whose end must be reported or recorded, if everything that arrived
    /// before `read_until` has been read.
    pub(crate) fn next_exit(&mut self, read_until: u64, now: u64) -> Option<ExitProgress> {
        while let Some(gone) = self.gone.front().copied().filter(|gone| gone.seen <= read_until)
        {
            self.gone.pop_front();
            let Some(ending) = self.handle_of(gone).map(ProcessHandle::ending) else {
                continue;
            };
            // If the queue is full, more processes end at once than there are descriptors.
            if matches!(ending, Ending::Pending)
                && self.unreaped.len() < self.unreaped.capacity()
            {
                self.await_reaping(gone);
                self.unreaped.push_back(gone);
                return Some(ExitProgress::Unreaped(gone.slot));
            }
            return Some(ExitProgress::Reaped(gone.slot, cause_of(&ending)));
        }
        while let Some(gone) = self.unreaped.front().copied() {
            let waiting = gone.seen.saturating_add(FOR_THE_CAUSE_NS) > now;
            let here = self.handle_of(gone).is_some()
                && self.stage_of(gone.slot) == Some(Stage::Unreaped);
            if here && waiting {
                break;
            }
            self.unreaped.pop_front();
            if let Some(handle) = self.handle_of(gone).filter(|_| here) {
                return Some(ExitProgress::Reaped(gone.slot, cause_of(&handle.ending())));
            }
        }
        None
    }

    fn handle_of(&self, gone: ExitedProcess) -> Option<&ProcessHandle> {
        let followed = self.followed.get(gone.slot.index())?;
        // The agent may have got another process since.
        let is_it = followed.agent == gone.agent && followed.stage != Stage::Alive;
        followed.handle.as_ref().filter(|_| is_it)
    }

    fn stage_of(&self, slot: Slot) -> Option<Stage> {
        self.followed.get(slot.index()).map(|followed| followed.stage)
    }

    fn await_reaping(&mut self, gone: ExitedProcess) {
        let Some(followed) = self.followed.get_mut(gone.slot.index()) else { return };
        followed.stage = Stage::Unreaped;
        if let Some(handle) = &followed.handle {
            // If this fails, the cause is queried once more at the end of the wait.
            let token = token_of(gone.slot, gone.agent);
            let _ = self.epoll.add(handle.as_fd(), token, Interest::HangUp);
        }
    }

    /// The namespace of a pid. Cached, because senders of forged frames cause many queries.
    fn namespace_by_pid(&mut self, pid: u32) -> identity::Namespace {
        let Some(seen) = self.namespaces.get_mut(pid as usize % NAMESPACES) else {
            return identity::Namespace::Unknown;
        };
        if seen.pid != pid || seen.until < self.now {
            let namespace = match self.features.table {
                true => identity::namespace_of_pid(pid),
                false => identity::Namespace::Unknown,
            };
            *seen = CachedNamespace {
                pid,
                until: self.now.saturating_add(NAMESPACE_NS),
                namespace,
            };
        }
        seen.namespace
    }

    /// Keeps a descriptor of an agent's process, if `bound` allows one more.
    fn keep_pidfd(
        &mut self,
        slot: Slot,
        agent: u64,
        handle: Option<ProcessHandle>,
        bound: usize,
    ) -> Exits {
        self.release_pidfd(slot);
        let Some(followed) = self.followed.get_mut(slot.index()) else { return Exits::Unseen };
        let Some(handle) = handle else { return Exits::LookedUp };
        followed.identity = Some(handle.identity());
        if self.held >= bound {
            return Exits::LookedUp;
        }
        let token = token_of(slot, agent);
        if self.epoll.add(handle.as_fd(), token, Interest::Readable).is_err() {
            return Exits::LookedUp;
        }
        self.held += 1;
        followed.handle = Some(handle);
        followed.stage = Stage::Alive;
        Exits::Reported
    }

    fn release_pidfd(&mut self, slot: Slot) {
        let Some(followed) = self.followed.get_mut(slot.index()) else { return };
        if let Some(handle) = followed.handle.take() {
            // A forked child may hold a copy of the pidfd, which would keep it in the epoll
            // set. An error because it is not in the set does no harm.
            let _ = self.epoll.remove(handle.as_fd());
            self.held = self.held.saturating_sub(1);
        }
    }
}

impl Environment for Processes {
    fn namespace(&mut self, pid: u32, claimed_pid: u32) -> Namespace {
        let found = match &self.sender {
            // The pidfd that came with the datagram cannot refer to another process.
            Some(sender) => identity::namespace_of(sender),
            None => self.namespace_by_pid(pid),
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
        let Some(agent) = self.followed.get(slot.index()).map(|followed| followed.agent) else {
            return Exits::Unseen;
        };
        let sender = self.sender.take().or_else(|| self.looked_for());
        if let Some(sender) = &sender {
            self.read_names(slot, sender.pid(), Some(sender));
            self.note_renamed(slot);
        }
        self.keep_pidfd(slot, agent, sender, self.bound)
    }

    fn record(&mut self, place: usize, session: &SealedSession) -> Result<(), i32> {
        let Some(file) = &self.secure_state else { return Ok(()) };
        file.record(place, session).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
    }

    fn launched_as(&mut self, slot: Slot, name: &str) {
        if let Some(names) = self.names.get_mut(slot.index()) {
            names.launcher = Label::new(name.as_bytes());
        }
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

    fn released(&mut self, slot: Slot, _: u64) {
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
        let agent = self.followed.get(slot.index()).map(|followed| followed.agent);
        if let (Some((_, name)), Some(agent)) = (joined, agent) {
            // Another copy of the library in the process does not rename it.
            self.rename(slot, agent, |names| names.declared = names.declared.or(name));
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

/// Whether this process is in the initial pid namespace, where every process has a pid.
fn sees_all_pids() -> bool {
    // That namespace has had a fixed inode number since Linux 3.8.
    fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == "pid:[4026531836]")
}

fn token_of(slot: Slot, agent: u64) -> u64 {
    PIDFD | (agent & 0x7fff_ffff) << 32 | slot.index() as u64
}

fn index_of(token: u64) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "only the lower half is needed")]
    let index = token as u32;
    index as usize
}

fn number(identity: Identity) -> Option<u64> {
    match identity {
        Identity::Number(number) | Identity::Started(number) => Some(number),
        Identity::Unknown => None,
    }
}

fn cause_of(ending: &Ending) -> ExitCause {
    match ending {
        Ending::Exited(ExitStatus::Code(code)) => ExitCause::Code(*code),
        Ending::Exited(ExitStatus::Signal(signal)) => ExitCause::Signal(*signal),
        Ending::Running | Ending::Pending | Ending::Unknown => ExitCause::Unknown,
    }
}

#[cfg(test)]
mod tests;
