//! What recovery's thread is told.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use super::config::Plan;
use super::report::Subject;

#[derive(Debug)]
pub(super) enum Message {
    Stalled {
        at_ns: u64,
        subject: Subject,
        pidfd: Option<OwnedFd>,
        /// It has been told of before, when there was no room for it.
        again: bool,
    },
    Exited {
        at_ns: u64,
        subject: Subject,
    },
    Recovered {
        agent: u64,
    },
    /// From now on otherwise; None is no more.
    Plan(Option<Box<Plan>>),
    /// Kill what runs and end, by then at the latest.
    End {
        by: Instant,
    },
}

/// The worker's end.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) messages: Receiver<Message>,
    pub(super) bell: Arc<OwnedFd>,
    /// Agents that the watching thread is to look at again; it is told by its own bell.
    pub(super) overlooked: Sender<Vec<u64>>,
}
