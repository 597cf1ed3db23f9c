//! Questions about processes whose answers may never come: a process, a file system or a swap
//! device can keep the reader of its memory waiting. So they are asked in a thread of their own.
//! While it waits, further questions wait too, and beyond [`WAITING`] they are dropped.

mod owner;
mod script;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use varta_observer::{Label, ProcessReader};

#[cfg(test)]
pub(crate) use self::owner::Does;
pub(crate) use self::owner::LockOwner;
pub(crate) use self::script::may_run_script;
use crate::platform::priority;
use crate::platform::process::has_ended;
use crate::state::Shared;

/// The length of the queue.
const WAITING: usize = 64;

/// A process, and the task of it that is late; 0 for the process itself.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) agent: u64,
    pub(crate) task: u32,
    pub(crate) pid: u32,
    /// Shows that the pid still refers to this process.
    pub(crate) pidfd: OwnedFd,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    /// Which thread holds the lock for which this thread waits?
    LockOwner { thread: u32 },
    /// Which script does this interpreter run?
    ScriptName,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) agent: u64,
    pub(crate) task: u32,
    pub(crate) found: Found,
}

#[derive(Debug)]
pub(crate) enum Found {
    LockOwner(LockOwner),
    ScriptName(Label),
}

/// The event loop's side.
#[derive(Debug)]
pub(crate) struct Lookups {
    questions: SyncSender<(Process, Question)>,
    answers: Receiver<Answer>,
}

impl Lookups {
    /// Starts the thread. Nobody waits for its end: it may be stuck.
    pub(crate) fn start(shared: Shared) -> io::Result<Self> {
        let mut reader = ProcessReader::try_new()?;
        Self::start_with(shared, move |pid, question| match question {
            Question::LockOwner { thread } => {
                owner::find(&mut reader, pid, thread).map(Found::LockOwner)
            }
            Question::ScriptName => script::find(pid).map(Found::ScriptName),
        })
    }

    fn start_with(
        shared: Shared,
        mut find: impl FnMut(u32, Question) -> Option<Found> + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, waiting) = sync_channel(WAITING);
        let (answering, answers) = channel();
        thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            priority::lower();
            answer(&waiting, &answering, &shared, &mut find);
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks a question, and wakes the event loop when it is answered. There may be no answer.
    /// Returns false if the queue is full.
    pub(crate) fn ask(&self, process: Process, question: Question) -> bool {
        self.questions.try_send((process, question)).is_ok()
    }

    /// The answers since the last call.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }
}

/// Answers questions until there can be no more.
fn answer(
    questions: &Receiver<(Process, Question)>,
    answers: &Sender<Answer>,
    shared: &Shared,
    find: &mut impl FnMut(u32, Question) -> Option<Found>,
) {
    for (Process { agent, task, pid, pidfd }, question) in questions {
        // If the process has ended meanwhile, another may have had its pid.
        let found = (!has_ended(&pidfd))
            .then(|| find(pid, question))
            .flatten()
            .filter(|_| !has_ended(&pidfd));
        let Some(found) = found else { continue };
        if answers.send(Answer { agent, task, found }).is_err() {
            return;
        }
        shared.wake();
    }
}

#[cfg(test)]
mod tests;
