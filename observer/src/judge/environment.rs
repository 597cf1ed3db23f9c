//! What is handed to a judge, and what it asks of its surroundings.

use std::net::IpAddr;

use super::SealedSession;
use crate::event::ExitCause;
use crate::judge::tracker::{Exits, Slot};

/// A datagram as it was received.
///
/// ```
/// use varta_observer::judge::{Datagram, Sender};
///
/// let sender = Sender::Kernel { pid: 4321, uid: 1000, process: None };
/// let probe = Datagram::new(0, sender, b"");
/// assert!(probe.bytes.is_empty());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Which of the observer's listeners it came to.
    pub listener: u16,
    /// Who sent it.
    pub sender: Sender,
    /// What it holds.
    pub bytes: &'a [u8],
    /// Whether it was longer than the buffer.
    pub truncated: bool,
    /// Whether not all that the kernel says of it could be received.
    pub control_truncated: bool,
}

impl<'a> Datagram<'a> {
    /// A datagram that came whole.
    ///
    /// ```
    /// use varta_observer::judge::{Datagram, Sender};
    ///
    /// let sender = Sender::Network { address: [127, 0, 0, 1].into(), sealed: true };
    /// assert!(!Datagram::new(2, sender, &[0; 60]).truncated);
    /// ```
    #[must_use]
    pub const fn new(listener: u16, sender: Sender, bytes: &'a [u8]) -> Self {
        Self { listener, sender, bytes, truncated: false, control_truncated: false }
    }
}

/// Who sent a datagram, and how that is known.
///
/// ```
/// use varta_observer::judge::Sender;
///
/// let sender = Sender::Kernel { pid: 0, uid: 1000, process: Some(77) };
/// assert!(matches!(sender, Sender::Kernel { pid: 0, .. }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The kernel says so.
    Kernel {
        /// In the observer's namespace; 0 where it has none there.
        pid: u32,
        /// The user.
        uid: u32,
        /// A number that no other process has or had, if one came with the datagram: the
        /// inode of a pidfd, where the kernel numbers them so.
        process: Option<u64>,
    },
    /// The address says so.
    Network {
        /// Where it came from, without the port.
        address: IpAddr,
        /// Whether it came to a listener that takes sealed frames only.
        sealed: bool,
    },
}

/// Whether a process is in the observer's pid namespace.
///
/// ```
/// use varta_observer::judge::Namespace;
///
/// assert_ne!(Namespace::Same, Namespace::Other);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// It is.
    Same,
    /// It is in another, where it has another pid.
    Other,
    /// Nobody could tell.
    Unknown,
}

/// A process that was looked for and is gone.
///
/// ```
/// use varta_observer::{ExitCause, judge::Missing};
///
/// let missing = Missing { seen_ns: 5_000_000, cause: ExitCause::Unknown };
/// assert_eq!(missing.cause.kind(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// When that was seen, in the observer's time. What arrived until then may be from it.
    pub seen_ns: u64,
    /// How it ended.
    pub cause: ExitCause,
}

/// What surrounds a judge: it answers questions that cost system calls, so that they are
/// asked only when needed, and learns who is followed. An ordinary beat of an agent whose
/// end will be reported calls none of it.
/// Every method has an answer for where there is no operating system to ask.
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
    /// Where the sender of the datagram being heard is. Asked if its frame names another
    /// pid than the kernel does; a sender elsewhere has that pid there.
    fn namespace(&mut self, pid: u32, claimed_pid: u32) -> Namespace {
        let _ = (pid, claimed_pid);
        Namespace::Same
    }

    /// The process in this slot is gone, because its pid has a new owner. How did it end?
    fn cause(&mut self, slot: Slot) -> ExitCause {
        let _ = slot;
        ExitCause::Unknown
    }

    /// Whether the agent's pid is another process's by now. Asked for a beat that no
    /// number shows to be the agent's: if the agent has none and the datagram brings one, if
    /// the agent's end is [looked up](Exits::LookedUp), or if it seems to begin `anew`,
    /// because its nonce does not go on from the last one.
    fn replaced(&mut self, slot: Slot, pid: u32, anew: bool) -> bool {
        let _ = (slot, pid, anew);
        false
    }

    /// Whether a process is gone. Asked for an agent of [`Exits::LookedUp`] that has been
    /// silent too long; its Exit is said once all has been heard that arrived until that was
    /// seen.
    fn look_up(&mut self, slot: Slot, pid: u32) -> Option<Missing> {
        let _ = (slot, pid);
        None
    }

    /// The sender of the datagram being heard is followed from now on, as `agent`, by
    /// what the kernel says of it. How will its end be known?
    fn admitted(&mut self, slot: Slot, agent: u64, pid: u32, process: Option<u64>) -> Exits {
        let _ = (slot, agent, pid, process);
        Exits::Reported
    }

    /// An agent whose process had no number yet has one by the datagram being heard. How
    /// will its end be known?
    fn identified(&mut self, slot: Slot, process: u64) -> Exits {
        let _ = (slot, process);
        Exits::Reported
    }

    /// Records a sealed session at its place, a number from 0 that it keeps for good, over
    /// what was recorded there before. Asked, if [`Settings::recalled`] is given, before a
    /// frame is accepted whose counter is above the recorded one.
    ///
    /// [`Settings::recalled`]: super::Settings::recalled
    ///
    /// # Errors
    ///
    /// The number of the system's error. A session that is known goes on, and this is asked
    /// again; a new one is refused.
    fn record(&mut self, place: usize, session: &SealedSession) -> Result<(), i32> {
        let _ = (place, session);
        Ok(())
    }

    /// The agent in this slot, local or not, is followed no longer. The slot will be
    /// given to another.
    fn released(&mut self, slot: Slot, agent: u64) {
        let _ = (slot, agent);
    }
}

/// A host without an operating system: every process is in the same namespace, and ends
/// only when that is said.
///
/// ```
/// use varta_observer::judge::{Environment, Namespace, NoEnvironment};
///
/// assert_eq!(NoEnvironment.namespace(4321, 7), Namespace::Same);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEnvironment;

impl Environment for NoEnvironment {}
