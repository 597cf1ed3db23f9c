//! The processes of agents: a pidfd for each agent that can have one, and its exit.

mod causes;
mod environment;
mod exits;
mod lane;
mod names;
mod namespaces;
mod notify;
mod pidfds;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

pub(crate) use self::exits::ExitProgress;
use self::exits::ExitedProcess;
use self::namespaces::Namespaces;
use crate::io::causes::Readers;
use crate::io::clock::Clock;
use crate::io::identity::{Identity, KernelFeatures, ProcessHandle};
use crate::io::lane::{Lanes, Place};
use crate::io::secure_state::SecureState;
use crate::judge::{SealedSession, Slot};
use crate::memory;
use crate::names::{Departed, Names};
use crate::program_name::ProgramName;
use crate::sys::Epoll;

/// The longest text about control groups that is read: 13 hierarchies of version 1 and one of
/// version 2, each with the longest path.
const GROUP_TEXT: usize = 64 << 10;

/// How many more descriptors may be held for processes that are about to exit.
const ENDING: usize = 64;

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
    departed: Departed,
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
    namespaces: Namespaces,
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
        Ok(Self {
            clock: Clock::start(),
            features,
            pidless_senders: pidless_senders && !sees_all_pids(),
            epoll: Epoll::new()?,
            followed: memory::vector(capacity)?,
            names: memory::vector(capacity)?,
            renamed: memory::vector(capacity)?,
            departed: Departed::new()?,
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
            namespaces: Namespaces::new(),
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
}

/// Whether this process is in the initial pid namespace, where every process has a pid.
fn sees_all_pids() -> bool {
    // That namespace has had a fixed inode number since Linux 3.8.
    fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == "pid:[4026531836]")
}

fn number(identity: Identity) -> Option<u64> {
    match identity {
        Identity::Number(number) | Identity::Started(number) => Some(number),
        Identity::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
