//! A thread that reads processes, and how it is asked and answers.

use std::ffi::CStr;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::groups::Groups;
use super::desk::{Desk, Question};
use super::patience::Patience;
use crate::sys::{self, Run, start_thread};

/// If nobody looked for longer than this, this process may have been stopped with all its threads.
const LOOK_NS: u64 = 20_000_000;

/// A thread, and what it shares with the one that asks.
pub(super) struct Worker {
    /// Answers a question, which may take for ever.
    answer: fn(&mut Desk, &Question),
    state: Mutex<State>,
    asked: Condvar,
    answered: Condvar,
}

pub(super) struct State {
    pub(super) stage: Stage,
    /// What it works with. While it reads, the thread has it.
    desk: Option<Box<Desk>>,
    pub(super) question: Question,
    /// When the question was asked or answered, or when an answer was last looked for.
    pub(super) seen_at: u64,
    /// For how long an answer was looked for.
    pub(super) awaited_ns: u64,
    has_thread: bool,
    pub(super) is_lost: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Asked,
    Reading,
    Answered,
}

impl Worker {
    pub(super) fn new(
        answer: fn(&mut Desk, &Question),
        groups: &Arc<Groups>,
    ) -> io::Result<Self> {
        let state = State {
            stage: Stage::Idle,
            desk: Some(Box::new(Desk::new(groups)?)),
            question: Question::Thread { pid: 0, thread: 0 },
            seen_at: 0,
            awaited_ns: 0,
            has_thread: false,
            is_lost: false,
            ended: false,
        };
        let (asked, answered) = (Condvar::new(), Condvar::new());
        Ok(Self { answer, state: Mutex::new(state), asked, answered })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a thread that is idle, and starts the thread if it does not run yet. Fails if that is
    /// not possible.
    pub(super) fn ask(self: &Arc<Self>, question: Question, now: u64) -> io::Result<()> {
        let mut state = self.lock();
        if !state.has_thread {
            start_thread(self)?;
            state.has_thread = true;
        }
        (state.question, state.stage) = (question, Stage::Asked);
        (state.seen_at, state.awaited_ns) = (now, 0);
        drop(state);
        // The thread that this wakes up takes the lock.
        self.asked.notify_one();
        Ok(())
    }

    /// Waits for the answer, and takes it. `None` if it is not there in time.
    pub(super) fn wait<T>(
        &self,
        now: u64,
        patience: &mut Patience,
        take: impl FnOnce(&mut Desk) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let (mut left, mut looked_at) = (patience.left(now), now);
        while state.stage != Stage::Answered && left > Duration::ZERO {
            let look = left.min(Duration::from_nanos(LOOK_NS));
            let waited = self.answered.wait_timeout(state, look);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let now = sys::monotonic_ns();
            state.look(now);
            let waited = now.saturating_sub(looked_at).min(LOOK_NS);
            looked_at = now;
            patience.spend(Duration::from_nanos(waited));
            left = left.saturating_sub(Duration::from_nanos(waited));
        }
        if state.stage != Stage::Answered {
            return None;
        }
        state.stage = Stage::Idle;
        state.desk.as_deref_mut().map(take)
    }

    /// Ends the thread. Nobody waits for that, because it may be reading.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.asked.notify_one();
    }
}

impl State {
    /// Counts the time since an answer was last looked for, if it has not come yet.
    pub(super) fn look(&mut self, now: u64) {
        if self.stage != Stage::Answered {
            let waited = now.saturating_sub(self.seen_at).min(LOOK_NS);
            self.awaited_ns = self.awaited_ns.saturating_add(waited);
            self.seen_at = now;
        }
    }
}

impl Run for Worker {
    const NAME: &'static CStr = c"varta-reader";

    /// Answers questions until there can be no more.
    fn run(&self) {
        let mut state = self.lock();
        while !state.ended {
            let desk = match state.stage {
                Stage::Asked => state.desk.take(),
                _ => None,
            };
            let Some(mut desk) = desk else {
                state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let question = state.question;
            state.stage = Stage::Reading;
            drop(state);
            (self.answer)(&mut desk, &question);
            let mut answered = self.lock();
            answered.desk = Some(desk);
            (answered.stage, answered.seen_at) = (Stage::Answered, sys::monotonic_ns());
            drop(answered);
            // The thread that this wakes up takes the lock.
            self.answered.notify_one();
            state = self.lock();
        }
    }
}
