//! The messages to the recovery thread.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use varta_observer::Task;

use super::config::Plan;
use super::report::{LateTask, Subject};
use crate::lookup::LockOwner;

#[derive(Debug)]
pub(super) enum Message {
    Stalled {
        at_ns: u64,
        subject: Subject,
        pidfd: Option<OwnedFd>,
        /// It was reported before, when there was no room for it.
        recheck: bool,
    },
    /// The cause of a stall has changed, or was found out.
    Explained {
        at_ns: u64,
        subject: Subject,
        pidfd: Option<OwnedFd>,
    },
    /// The owner of the lock was found for which an agent or one of its tasks waits; the process is
    /// task 0.
    OwnerFound {
        at_ns: u64,
        agent: u64,
        task: u32,
        owner: LockOwner,
    },
    Exited {
        at_ns: u64,
        subject: Subject,
    },
    /// The process beats again, or the task keeps the promise again.
    Recovered {
        agent: u64,
        late: Option<LateTask>,
    },
    TaskEnded {
        agent: u64,
        task: Task,
    },
    /// Use this plan from now on. None turns recovery off.
    Plan(Option<Box<Plan>>),
    /// Kill all running commands and end, at this time at the latest.
    End {
        by: Instant,
    },
}

/// The worker's side.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) messages: Receiver<Message>,
    pub(super) wake_fd: Arc<OwnedFd>,
    /// Agents that the event loop has to check again. Wake it after sending.
    pub(super) refused_stalls: Sender<Vec<u64>>,
}
