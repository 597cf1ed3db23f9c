//! The input of a judge, and the questions that it asks the host.

use std::net::IpAddr;

use varta::internal::lane::layout::Page;

use super::causes::{Depth, Found, Lacks, Looked, Sample, ThreadReading};
use super::{PageIndex, SealedSession, Standing};
use crate::event::ExitCause;
use crate::judge::tracker::{Exits, Slot};
use crate::program_name::ProgramName;

/// A datagram as it was received.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The number of the listener that received it.
    pub listener: u16,
    /// Its sender.
    pub sender: Sender,
    /// Its content.
    pub bytes: &'a [u8],
    /// Whether it was longer than the buffer.
    pub truncated: bool,
    /// Whether part of its control data (the kernel's information about the sender) was lost.
    pub control_truncated: bool,
}

impl<'a> Datagram<'a> {
    /// A datagram that was received completely.
    #[must_use]
    pub const fn new(listener: u16, sender: Sender, bytes: &'a [u8]) -> Self {
        Self { listener, sender, bytes, truncated: false, control_truncated: false }
    }
}

/// The sender of a datagram, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Named by the kernel.
    Kernel {
        /// The pid in the observer's namespace; 0 if it has none there.
        pid: u32,
        /// The user.
        uid: u32,
        /// A number that no other process has or had, if one came with the datagram: the inode
        /// of its pidfd, on kernels that number processes this way.
        process: Option<u64>,
    },
    /// Known by its address only.
    Network {
        /// The source address, without the port.
        address: IpAddr,
        /// Whether the listener accepts sealed frames only.
        sealed: bool,
    },
}

/// Whether a process is in the observer's pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// It is.
    Same,
    /// It is in another namespace, where it has another pid.
    Other,
    /// This could not be determined.
    Unknown,
}

/// A process that was looked up and has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// When the host saw that, in the observer's time. Datagrams that arrived before may still
    /// be from it.
    pub seen_ns: u64,
    /// How it ended.
    pub cause: ExitCause,
}

/// The host of a judge. It answers questions that cost system calls, so they are asked only
/// when needed, and it learns which agents are tracked. An ordinary beat of an agent whose end
/// will be reported calls no method. Each method has a default that fits a host without an
/// operating system.
///
/// ```
/// use varta_observer::judge::{Environment, Exits, Slot};
///
/// /// Keeps a table of agent numbers beside the judge's.
/// struct Names(Vec<u64>);
///
/// impl Environment for Names {
///     fn admitted(&mut self, slot: Slot, agent: u64, _pid: u32, _process: Option<u64>) -> Exits {
///         self.0.resize(self.0.len().max(slot.index() + 1), 0);
///         self.0[slot.index()] = agent;
///         Exits::Unseen
///     }
/// }
/// ```
pub trait Environment {
    /// The namespace of the sender of the current datagram. Called if its frame claims another
    /// pid than the kernel reports; a sender in another namespace has that pid there.
    fn namespace(&mut self, pid: u32, claimed_pid: u32) -> Namespace {
        let _ = (pid, claimed_pid);
        Namespace::Same
    }

    /// How the process in this slot ended. Called because its pid has a new owner.
    fn cause(&mut self, slot: Slot) -> ExitCause {
        let _ = slot;
        ExitCause::Unknown
    }

    /// Whether the agent's pid belongs to another process by now. Called for a beat that no
    /// process number attributes to the agent: if the agent has no number and the datagram
    /// carries one, if the agent's end is [looked up](Exits::LookedUp), or if the beat seems
    /// to be `restarted`, that is, its nonce does not continue from the last one.
    fn replaced(&mut self, slot: Slot, pid: u32, restarted: bool) -> bool {
        let _ = (slot, pid, restarted);
        false
    }

    /// Whether a process has ended. Called for an agent of [`Exits::LookedUp`] that has been
    /// silent for too long. Its Exit is emitted once everything that arrived before
    /// [`Missing::seen_ns`] has been processed.
    fn look_up(&mut self, slot: Slot, pid: u32) -> Option<Missing> {
        let _ = (slot, pid);
        None
    }

    /// The sender of the current datagram is tracked from now on, as `agent`, by what the
    /// kernel reports about it. Returns how its end will become known.
    fn admitted(&mut self, slot: Slot, agent: u64, pid: u32, process: Option<u64>) -> Exits {
        let _ = (slot, agent, pid, process);
        Exits::Reported
    }

    /// The current datagram carries the process number of an agent that had none. Returns how
    /// its end will become known.
    fn identified(&mut self, slot: Slot, process: u64) -> Exits {
        let _ = (slot, process);
        Exits::Reported
    }

    /// Records a sealed session at its place, over what was recorded there before. The place
    /// is a number from 0 that never changes for a session. If [`Settings::recalled`] is set,
    /// this is called before a frame is accepted whose counter is above the recorded one.
    ///
    /// [`Settings::recalled`]: super::Settings::recalled
    ///
    /// # Errors
    ///
    /// Returns the error number of the system. A known session continues, and this is called
    /// again for its next frame; a new session is refused.
    fn record(&mut self, place: usize, session: &SealedSession) -> Result<(), i32> {
        let _ = (place, session);
        Ok(())
    }

    /// The words of a page that a process has mapped, while it can be read.
    fn page(&self, page: PageIndex) -> Option<&Page> {
        let _ = page;
        None
    }

    /// The page belongs to the agent in this slot from now on: its process has given a sign of
    /// life in it.
    fn joined(&mut self, slot: Slot, page: PageIndex) {
        let _ = (slot, page);
    }

    /// The agent of this page is no longer tracked, so the page is not read any more. The
    /// index will be reused.
    fn page_released(&mut self, page: PageIndex) {
        let _ = page;
    }

    /// Whether this thread of the process in this slot has ended. Called when it has broken a
    /// promise. False if it cannot be known.
    fn thread_gone(&mut self, slot: Slot, pid: u32, thread: u32) -> bool {
        let _ = (slot, pid, thread);
        false
    }

    /// Reads the process in this slot. Called only if [causes](super::Settings::causes) are
    /// looked up, for an agent that is silent, and a few times after an agent was admitted.
    ///
    /// The sample is cleared first. If the process has more than [`MOST_THREADS`] threads, its
    /// first one and those in `wanted` are read, and then the first of the others; a thread in
    /// `wanted` that is not in the sample has ended. At [`Depth::Whole`] the result is
    /// [`Found::Ended`] if the process has exited by the end of the reading, which also rules
    /// out that another process with the same pid was read. It must never wait for the process.
    ///
    /// [`MOST_THREADS`]: super::MOST_THREADS
    fn read_process(
        &mut self,
        slot: Slot,
        pid: u32,
        depth: Depth,
        wanted: &[u32],
        sample: &mut Sample,
    ) -> Looked {
        let _ = (slot, pid, depth, wanted, sample);
        Looked { found: Found::Hidden, spent_ns: 0 }
    }

    /// Reads what a thread is waiting in: its [`wait_channel`](ThreadReading::wait_channel) and
    /// [`call`](ThreadReading::call), and adds to `lacks` what it has no permission for.
    fn read_thread(
        &mut self,
        slot: Slot,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> Looked {
        let _ = (slot, pid, thread, lacks);
        Looked { found: Found::Hidden, spent_ns: 0 }
    }

    /// The thread that holds the lock at this address, which a thread of the process waits for.
    /// `None` if it is not known, or if the process could make the host wait.
    fn lock_owner(&mut self, slot: Slot, pid: u32, address: u64) -> Option<u32> {
        let _ = (slot, pid, address);
        None
    }

    /// The name of the program in this slot, if it is known.
    fn program(&self, slot: Slot) -> Option<ProgramName> {
        let _ = slot;
        None
    }

    /// The process in this slot may run another program than when it was admitted.
    fn renew_program(&mut self, slot: Slot) {
        let _ = slot;
    }

    /// The launcher of the process in this slot gave it this name.
    fn launched_as(&mut self, slot: Slot, name: &str) {
        let _ = (slot, name);
    }

    /// In which namespace the sender of the current [notification](super::Judge::notify) is, and
    /// whether it has ended. Called if it is to become a service.
    fn standing(&mut self, pid: u32) -> Standing {
        let _ = pid;
        Standing::Here
    }

    /// The parent of a process. Called for a sender of notifications that is not a service.
    fn parent(&mut self, pid: u32) -> Option<u32> {
        let _ = pid;
        None
    }

    /// The pid of the only descriptor that is attached to the current notification, if that is a
    /// pidfd.
    fn attached_pid(&mut self) -> Option<u32> {
        None
    }

    /// Follows the process with this pid as that of the agent in this slot from now on, if its
    /// number is `number` (unless that is `None`), and if a sender of this user may decide that:
    /// its user has to be the same, or the sender root. Returns the number of the process and how
    /// its end will become known.
    fn adopt(
        &mut self,
        slot: Slot,
        pid: u32,
        number: Option<u64>,
        sender_uid: u32,
    ) -> Option<(Option<u64>, Exits)> {
        let _ = (slot, pid, number, sender_uid);
        None
    }

    /// The agent in this slot, local or not, is no longer tracked. The slot will be reused.
    fn released(&mut self, slot: Slot, agent: u64) {
        let _ = (slot, agent);
    }
}

/// A host without an operating system: every process is in the same namespace, and ends only
/// when the caller reports it.
///
/// ```
/// use varta_observer::judge::{Environment, Namespace, NoEnvironment};
///
/// assert_eq!(NoEnvironment.namespace(4321, 7), Namespace::Same);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEnvironment;

impl Environment for NoEnvironment {}
