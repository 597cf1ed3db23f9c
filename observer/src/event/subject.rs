//! What an event is about: an agent, or one of its tasks.

use std::fmt;
use std::hash::{Hash, Hasher};

use varta::TaskName;

use crate::names::Label;

/// The agent that an event is about.
///
/// ```
/// use varta_observer::{About, Origin};
///
/// let away = About { agent: 9, pid: 0, claimed_pid: 77, origin: Origin::Network };
/// assert_eq!(away.to_string(), "agent 9 (claims pid 77, network)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct About {
    /// The agent's number, from 1. An observer never reuses a number.
    pub agent: u64,
    /// Its process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// The process id in its frames.
    pub claimed_pid: u32,
    /// How its identity is known.
    pub origin: Origin,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(Label::EMPTY, f)
    }
}

impl About {
    pub(super) fn write(&self, label: Label, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {} (", self.agent)?;
        if !label.is_empty() {
            write!(f, "{label}, ")?;
        }
        match self.pid {
            0 => write!(f, "claims pid {}", self.claimed_pid)?,
            pid if pid == self.claimed_pid => write!(f, "pid {pid}")?,
            pid => write!(f, "pid {pid}, claims pid {}", self.claimed_pid)?,
        }
        if self.origin != Origin::KernelAttested {
            write!(f, ", {}", self.origin)?;
        }
        f.write_str(")")
    }
}

/// The task that an event is about: a named part of an agent's process.
///
/// ```
/// use varta::TaskName;
/// use varta_observer::Task;
///
/// let task = Task { number: 2, name: TaskName::new("ingest").unwrap(), done: 7 };
/// assert_eq!(task.to_string(), "task 2 (ingest)");
/// assert_eq!(task, Task { done: 8, ..task }, "it is the same task");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// The task's number, from 1. An agent never has two tasks with the same number.
    pub number: u32,
    /// Its name, which several tasks may share.
    pub name: TaskName,
    /// What it has done, if it reports progress, by the call that was seen last.
    pub done: u32,
}

impl Task {
    const fn identity(&self) -> (u32, TaskName) {
        (self.number, self.name)
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Task {}

impl Hash for Task {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ({})", self.number, self.name)
    }
}

/// How the identity of an agent is known. Only [`KernelAttested`](Self::KernelAttested) is
/// safe to act on; for the others the operator must allow it explicitly. The numbers are the
/// same in every language.
///
/// ```
/// use varta_observer::Origin;
///
/// assert_eq!(Origin::SecureNetwork.name(), "secure-network");
/// assert_eq!(Origin::KernelAttested as u8, 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    /// The kernel named the sender.
    KernelAttested = 1,
    /// The sender has a key.
    SecureNetwork = 2,
    /// Anyone may have sent it.
    Network = 3,
}

impl Origin {
    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelAttested => "kernel-attested",
            Self::SecureNetwork => "secure-network",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
