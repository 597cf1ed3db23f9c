//! From the watching thread to recovery's.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tracing::error;
use varta_observer::{Event, Observer, What};

use super::decision::{Cause, Subject};
use super::inbox::{Inbox, Message};
use super::plan::Plan;
use super::worker::Worker;
use crate::audit::AuditFile;
use crate::books::Book;
use crate::clock::Clock;
use crate::state::Shared;

/// Messages that may wait; a further one is dropped, and said.
const WAITING: usize = 65_536;

/// The watching thread's end.
#[derive(Debug)]
pub(crate) struct Feed {
    messages: SyncSender<Message>,
    bell: Arc<OwnedFd>,
    worker: JoinHandle<()>,
    /// Whether there is anything to run.
    planned: bool,
}

/// Starts recovery's thread.
pub(crate) fn start(
    plan: Option<Plan>,
    audit: Option<AuditFile>,
    shared: Shared,
    clock: Clock,
) -> io::Result<Feed> {
    let (messages, waiting) = sync_channel(WAITING);
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let inbox = Inbox { messages: waiting, bell: Arc::clone(&bell) };
    let planned = plan.is_some();
    let worker = Worker::new(inbox, plan, audit, shared, clock)?;
    let worker = thread::Builder::new().name("recovery".to_owned()).spawn(move || {
        worker.run().unwrap_or_else(|error| error!("recovery ended: {error}"))
    })?;
    Ok(Feed { messages, bell, worker, planned })
}

impl Feed {
    /// Tells of an event; `book` is what is known of its agent.
    pub(crate) fn tell(&self, event: &Event, book: &Book, observer: &Observer) {
        let Some(about) = event.about.filter(|_| self.planned) else { return };
        let at_ns = event.observer_ns;
        let cause = match event.what {
            What::Stall { .. } => Cause::Stall,
            What::Exit { cause, .. } => Cause::Exit(cause),
            What::Recovered { .. } => {
                return self.send(Message::Recovered { agent: about.agent });
            }
            _ => return,
        };
        let subject = Subject {
            agent: about.agent,
            pid: about.pid,
            claimed_pid: about.claimed_pid,
            origin: about.origin,
            unconfirmed: book.unconfirmed,
            status: book.status,
            payload: book.payload,
            cause,
            silent_ns: at_ns.saturating_sub(book.last_ns),
        };
        self.send(match cause {
            Cause::Stall => {
                let pidfd = observer.pidfd(about.agent).ok().flatten();
                Message::Stalled { at_ns, subject, pidfd }
            }
            Cause::Exit(_) => Message::Exited { at_ns, subject },
        });
    }

    pub(crate) fn plan(&mut self, plan: Option<Plan>) {
        self.planned = plan.is_some();
        self.send(Message::Plan(plan.map(Box::new)));
    }

    /// Ends it within this time.
    pub(crate) fn end(self, grace: Duration) {
        self.send(Message::End { by: Instant::now() + grace });
        if self.worker.join().is_err() {
            error!("recovery's thread has panicked");
        }
    }

    fn send(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            error!("recovery has {WAITING} messages waiting or is gone; one was dropped");
            return;
        }
        // A full counter means that it has been rung already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}
