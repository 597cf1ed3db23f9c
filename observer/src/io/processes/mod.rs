//! Processes processes: a pidfd for each agent that can have one, and what it tells.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::event::ExitCause;
use crate::io::clock::Clock;
use crate::io::identity::{
    self, Descriptors, Ending, Identity, KernelFeatures, Presence, ProcessHandle,
};
use crate::io::secure_state::SecureState;
use crate::judge::{Environment, Exits, Missing, Namespace, SealedSession, Slot};
use crate::memory;
use crate::program_name::ProgramName;
use crate::sys::{Epoll, ExitStatus, Interest};

/// An exit waits so long for its cause, which the kernel tells once the parent has reaped.
const FOR_THE_CAUSE_NS: u64 = 50_000_000;

/// An agent that no pidfd is held of is looked after so often while it beats: its pid may
/// have a new owner, who goes on counting where the old one was.
const LOOK_NS: u64 = 1_000_000_000;

/// What was found out of a pid's namespace is believed for so long.
const NAMESPACE_NS: u64 = 1_000_000_000;
const NAMESPACES: usize = 64;

/// Marks the token of a pidfd; those of sockets are small.
const PIDFD: u64 = 1 << 63;

/// The processes behind the agents.
pub(crate) struct Processes {
    clock: Clock,
    features: KernelFeatures,
    /// Whether there may be senders without a pid here, who are known by pidfd alone.
    foreigners: bool,
    epoll: Epoll,
    /// By slot.
    followed: Vec<Followed>,
    held: usize,
    /// How many descriptors may be held.
    bound: usize,
    /// The process that sent the datagram being heard.
    sender: Option<ProcessHandle>,
    /// Processes that are gone, and whose last beats may still be queued.
    gone: VecDeque<Gone>,
    /// Processes that are gone, read to the end, and not reaped; in order of time.
    unreaped: VecDeque<Gone>,
    namespaces: [Seen; NAMESPACES],
    /// The time of the datagram being heard.
    now: u64,
    /// Where sealed sessions are recorded.
    secure_state: Option<SecureState>,
}

#[derive(Default)]
struct Followed {
    slot: Option<Slot>,
    agent: u64,
    watch: Option<ProcessHandle>,
    identity: Option<Identity>,
    name: Option<ProgramName>,
    stage: Stage,
    /// When it was last made sure that the pid is its own still.
    looked: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Alive,
    /// Among the gone.
    Gone,
    /// Among the unreaped.
    Unreaped,
}

/// A process that was seen to be gone, and when.
#[derive(Clone, Copy)]
struct Gone {
    slot: Slot,
    agent: u64,
    seen: u64,
    /// The look before, which has found it alive.
    alive: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    pid: u32,
    until: u64,
    namespace: identity::Namespace,
}

/// How far the end of a process has come.
pub(crate) enum ExitProgress {
    /// The process has ended and its cause is known, or never will be.
    Reaped(Slot, ExitCause),
    /// The process has ended; its cause becomes known when its parent reaps it.
    Unreaped(Slot),
}

impl Processes {
    pub(crate) fn new(
        features: KernelFeatures,
        foreigners: bool,
        capacity: usize,
        bound: usize,
    ) -> io::Result<Self> {
        let bound = bound.min(capacity);
        let nothing_seen = Seen { pid: 0, until: 0, namespace: identity::Namespace::Unknown };
        Ok(Self {
            clock: Clock::start(),
            features,
            foreigners: foreigners && !sees_all_pids(),
            epoll: Epoll::new()?,
            followed: memory::vector(capacity)?,
            held: 0,
            bound,
            sender: None,
            gone: memory::queue(bound)?,
            unreaped: memory::queue(bound)?,
            namespaces: [nothing_seen; NAMESPACES],
            now: 0,
            secure_state: None,
        })
    }

    pub(crate) fn record_sessions_in(&mut self, file: SecureState) {
        self.secure_state = Some(file);
    }

    /// Records nothing more.
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

    /// A pidfd of the agent's process, for somebody else to hold: a copy of the one that is
    /// held here, or one opened just now if that is the same process still.
    pub(crate) fn pidfd(&self, slot: Slot, pid: u32) -> io::Result<Option<OwnedFd>> {
        let Some(followed) = self.followed.get(slot.index()) else { return Ok(None) };
        if let Some(watch) = &followed.watch {
            return watch.as_fd().try_clone_to_owned().map(Some);
        }
        let Some(identity) = followed.identity else { return Ok(None) };
        identity::open(self.features, pid, identity).map(|watch| watch.map(OwnedFd::from))
    }

    /// Whether the kernel is to send a pidfd with each datagram: it costs twice the frame,
    /// and is worth that while somebody is not known by number, or a pid may have a new
    /// owner; and always where a sender may have no pid here at all.
    pub(crate) fn wants_pidfds(&self, unidentified: usize, followed: usize) -> bool {
        self.features.descriptors == Descriptors::WithDatagram
            && (self.foreigners || unidentified > 0 || followed == 0 || !self.gone.is_empty())
    }

    /// Takes note of who sent the datagram that is heard next. Answers the number that
    /// tells the process from others that had its pid; None where that is not known.
    pub(crate) fn sent_by(
        &mut self,
        now: u64,
        pid: u32,
        pidfd: Option<OwnedFd>,
    ) -> Option<u64> {
        self.now = now;
        self.sender = pidfd.map(|pidfd| ProcessHandle::received(self.features, pidfd, pid));
        self.sender.as_ref().and_then(|watch| number(watch.identity()))
    }

    /// Lets go of the sender's pidfd, unless it was taken to follow the process.
    pub(crate) fn heard(&mut self) {
        self.sender = None;
    }

    /// A pidfd is ready: its process is gone, or now also reaped. At `alive` it was not.
    /// Answers whether that is news.
    pub(crate) fn ready(&mut self, token: u64, now: u64, alive: u64) -> bool {
        let Some(followed) = self.followed.get_mut(index_of(token)) else { return false };
        let (Some(slot), Some(watch)) = (followed.slot, &followed.watch) else { return false };
        if token != token_of(slot, followed.agent) || followed.stage == Stage::Gone {
            return false;
        }
        // It would be ready for ever, and hide others: a look tells of so many only.
        if self.epoll.remove(watch.as_fd()).is_err() {
            return false;
        }
        followed.stage = Stage::Gone;
        let gone = Gone { slot, agent: followed.agent, seen: now, alive };
        if self.gone.len() == self.gone.capacity() {
            // There are never more descriptors than this; the rest has been let go.
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

    /// Up to when everything has to be read before the next exit may be said.
    pub(crate) fn gone_since(&self) -> Option<u64> {
        self.gone.front().map(|gone| gone.seen)
    }

    /// Up to when it is known of all that are not among the gone that they were alive,
    /// their pidfds having been looked at until then.
    pub(crate) fn alive_until(&self, looked: u64) -> u64 {
        self.gone.front().map_or(looked, |gone| gone.alive)
    }

    /// When waiting for the next cause ends.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.unreaped.front().map(|gone| gone.seen.saturating_add(FOR_THE_CAUSE_NS))
    }

    /// The next process whose end is due to be said or noted, when all that arrived before
    /// `read_until` has been read.
    pub(crate) fn next_exit(&mut self, read_until: u64, now: u64) -> Option<ExitProgress> {
        while let Some(gone) = self.gone.front().copied().filter(|gone| gone.seen <= read_until)
        {
            self.gone.pop_front();
            let Some(ending) = self.watch_of(gone).map(ProcessHandle::ending) else { continue };
            // A queue with no room means more ends at once than there are descriptors.
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
            let here = self.watch_of(gone).is_some()
                && self.stage_of(gone.slot) == Some(Stage::Unreaped);
            if here && waiting {
                break;
            }
            self.unreaped.pop_front();
            if let Some(watch) = self.watch_of(gone).filter(|_| here) {
                return Some(ExitProgress::Reaped(gone.slot, cause_of(&watch.ending())));
            }
        }
        None
    }

    fn watch_of(&self, gone: Gone) -> Option<&ProcessHandle> {
        let followed = self.followed.get(gone.slot.index())?;
        followed.watch.as_ref().filter(|_| followed.agent == gone.agent)
    }

    fn stage_of(&self, slot: Slot) -> Option<Stage> {
        self.followed.get(slot.index()).map(|followed| followed.stage)
    }

    fn await_reaping(&mut self, gone: Gone) {
        let Some(followed) = self.followed.get_mut(gone.slot.index()) else { return };
        followed.stage = Stage::Unreaped;
        if let Some(watch) = &followed.watch {
            // If that can't be, the cause is asked for once more at the end of the wait.
            let token = token_of(gone.slot, gone.agent);
            let _ = self.epoll.add(watch.as_fd(), token, Interest::HangUp);
        }
    }

    /// Asked again and again by whoever forges, so the answer is kept for a while.
    fn namespace_by_pid(&mut self, pid: u32) -> identity::Namespace {
        let Some(seen) = self.namespaces.get_mut(pid as usize % NAMESPACES) else {
            return identity::Namespace::Unknown;
        };
        if seen.pid != pid || seen.until < self.now {
            let namespace = match self.features.table {
                true => identity::namespace_of_pid(pid),
                false => identity::Namespace::Unknown,
            };
            *seen = Seen { pid, until: self.now.saturating_add(NAMESPACE_NS), namespace };
        }
        seen.namespace
    }

    /// Holds a descriptor of an agent's process, if there may be one more.
    fn hold(&mut self, slot: Slot, agent: u64, watch: Option<ProcessHandle>) -> Exits {
        self.let_go(slot);
        let Some(followed) = self.followed.get_mut(slot.index()) else { return Exits::Unseen };
        let Some(watch) = watch else { return Exits::LookedUp };
        followed.identity = Some(watch.identity());
        if self.held >= self.bound {
            return Exits::LookedUp;
        }
        let token = token_of(slot, agent);
        if self.epoll.add(watch.as_fd(), token, Interest::Readable).is_err() {
            return Exits::LookedUp;
        }
        self.held += 1;
        followed.watch = Some(watch);
        followed.stage = Stage::Alive;
        Exits::Reported
    }

    fn let_go(&mut self, slot: Slot) {
        let Some(followed) = self.followed.get_mut(slot.index()) else { return };
        if let Some(watch) = followed.watch.take() {
            // A child made by fork may hold a copy of the pidfd, which would keep it in the
            // epoll. That it is not there any more does no harm.
            let _ = self.epoll.remove(watch.as_fd());
            self.held = self.held.saturating_sub(1);
        }
    }
}

impl Environment for Processes {
    fn namespace(&mut self, pid: u32, claimed_pid: u32) -> Namespace {
        let told = match &self.sender {
            // The pidfd that came with the datagram cannot be another's.
            Some(sender) => identity::namespace_of(sender),
            None => self.namespace_by_pid(pid),
        };
        match told {
            identity::Namespace::Outside => Namespace::Other,
            identity::Namespace::Within { innermost } if innermost == claimed_pid => {
                Namespace::Other
            }
            // Wherever it lives, what it claims is not its pid there.
            identity::Namespace::Within { .. } | identity::Namespace::Same => Namespace::Same,
            identity::Namespace::Unknown => Namespace::Unknown,
        }
    }

    fn cause(&mut self, slot: Slot) -> ExitCause {
        let watch =
            self.followed.get(slot.index()).and_then(|followed| followed.watch.as_ref());
        watch.map_or(ExitCause::Unknown, |watch| cause_of(&watch.ending()))
    }

    fn replaced(&mut self, slot: Slot, pid: u32, anew: bool) -> bool {
        let Some(followed) = self.followed.get_mut(slot.index()) else { return false };
        let Some(identity) = followed.identity else { return false };
        let sender = self.sender.as_ref().map(ProcessHandle::identity);
        if let Some(same) = sender.and_then(|sender| identity.same_process(sender)) {
            return !same;
        }
        let surely_not = match &followed.watch {
            Some(watch) => !anew || !watch.is_gone(),
            None => !anew && self.now < followed.looked.saturating_add(LOOK_NS),
        };
        if surely_not {
            return false;
        }
        followed.looked = self.now;
        // If nobody has it, this is one of the last beats of who is gone.
        identity::look_up(self.features, pid, identity) == Presence::Replaced
    }

    fn look_up(&mut self, slot: Slot, pid: u32) -> Option<Missing> {
        let identity = self.followed.get(slot.index())?.identity.unwrap_or(Identity::Unknown);
        match identity::look_up(self.features, pid, identity) {
            Presence::Gone | Presence::Replaced => {
                Some(Missing { seen_ns: self.clock.now(), cause: ExitCause::Unknown })
            }
            Presence::There | Presence::CannotTell => None,
        }
    }

    fn admitted(&mut self, slot: Slot, agent: u64, pid: u32, _: Option<u64>) -> Exits {
        self.let_go(slot);
        if self.followed.len() <= slot.index() {
            // Slots are given in order, so this stays within what was allocated.
            self.followed.resize_with(slot.index() + 1, Followed::default);
        }
        if let Some(followed) = self.followed.get_mut(slot.index()) {
            let name = identity::program_name(pid).filter(|_| self.features.table);
            let (slot, looked) = (Some(slot), self.now);
            *followed = Followed { slot, agent, name, looked, ..Followed::default() };
        }
        if self.features.descriptors == Descriptors::None {
            return Exits::Unseen;
        }
        // Opened by pid, it may be another's by now; a later datagram brings the true one.
        let watch =
            self.sender.take().or_else(|| ProcessHandle::opened(self.features, pid).ok());
        self.hold(slot, agent, watch)
    }

    fn identified(&mut self, slot: Slot, _: u64) -> Exits {
        let Some(agent) = self.followed.get(slot.index()).map(|followed| followed.agent) else {
            return Exits::Unseen;
        };
        let sender = self.sender.take();
        self.hold(slot, agent, sender)
    }

    fn record(&mut self, place: usize, session: &SealedSession) -> Result<(), i32> {
        let Some(file) = &self.secure_state else { return Ok(()) };
        file.record(place, session).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
    }

    fn released(&mut self, slot: Slot, _: u64) {
        self.let_go(slot);
        if let Some(followed) = self.followed.get_mut(slot.index()) {
            *followed = Followed::default();
        }
    }
}

/// Whether this process is in the first of all pid namespaces, where each process has a pid.
fn sees_all_pids() -> bool {
    // The kernel has given that one a number of its own since there are such numbers (3.8).
    fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == "pid:[4026531836]")
}

fn token_of(slot: Slot, agent: u64) -> u64 {
    PIDFD | (agent & 0x7fff_ffff) << 32 | slot.index() as u64
}

fn index_of(token: u64) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
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
