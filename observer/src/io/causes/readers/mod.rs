//! Threads that read processes, and that may be lost: a process can keep its reader waiting for ever.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::groups::Groups;
use super::{Reader, read_clocks};
use crate::judge::{Depth, Lacks, Sample, ThreadReading};
use crate::sys::{self, Owner, Run, start_thread};

/// At most this many threads. If one is lost, the next one takes its place, until all are.
const MOST: usize = 4;

/// A thread is lost if it has not answered for this long while this process itself went on, until
/// it answers.
const LOST_NS: u64 = 500_000_000;

/// If nobody looked for longer than this, this process may have been stopped with all its threads.
const LOOK_NS: u64 = 20_000_000;

/// An answer that came late is used for this long.
const FRESH_NS: u64 = 100_000_000;

/// At most this many threads of a process can be asked for: all that are learned, and one that was
/// told.
const MOST_WANTED: usize = 17;

/// Reads processes in threads of its own, of which the first starts with the first reading. After
/// it was created it allocates nothing.
pub(crate) struct Readers {
    workers: [Arc<Worker>; MOST],
    patience: Patience,
    /// How many threads were lost.
    lost: u64,
    owner: Owner,
}

/// There is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotYet {
    /// It takes longer than can be waited for. It may be there when it is asked for again.
    Late,
    /// A reading of the process with this pid does not return, or no thread can be started.
    Stuck(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Process {
        pid: u32,
        depth: Depth,
        wanted: [u32; MOST_WANTED],
    },
    Thread {
        pid: u32,
        thread: u32,
    },
    /// In what a thread waits whose state is known.
    Wait {
        pid: u32,
        thread: u32,
        state: u8,
    },
    LockOwner {
        pid: u32,
        address: u64,
    },
}

impl Question {
    const fn pid(&self) -> u32 {
        match self {
            Self::Process { pid, .. }
            | Self::Thread { pid, .. }
            | Self::Wait { pid, .. }
            | Self::LockOwner { pid, .. } => *pid,
        }
    }

    /// Whether an answer may be used that came when nobody waited for it any more. A process that
    /// beats may have beaten since.
    fn may_be_late(&self) -> bool {
        !matches!(self, Self::Process { depth, .. } if *depth < Depth::Half)
    }
}

/// A thread, and what it shares with the one that asks.
struct Worker {
    /// Answers a question, which may take for ever.
    answer: fn(&mut Desk, &Question),
    state: Mutex<State>,
    asked: Condvar,
    answered: Condvar,
}

struct State {
    stage: Stage,
    /// What it works with. While it reads, the thread has it.
    desk: Option<Box<Desk>>,
    question: Question,
    /// When the question was asked or answered, or when an answer was last looked for.
    seen_at: u64,
    /// For how long an answer was looked for.
    awaited_ns: u64,
    has_thread: bool,
    is_lost: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Asked,
    Reading,
    Answered,
}

struct Desk {
    reader: Reader,
    sample: Sample,
    thread: ThreadReading,
    lacks: Lacks,
    owner: Option<u32>,
    result: io::Result<()>,
}

impl Readers {
    /// Waits for at most `wait` in each `period` for answers.
    pub(crate) fn new(wait: Duration, period: Duration) -> io::Result<Self> {
        Self::with(Desk::answer, wait, period)
    }

    fn with(
        answer: fn(&mut Desk, &Question),
        wait: Duration,
        period: Duration,
    ) -> io::Result<Self> {
        let groups = Arc::new(Groups::find());
        let mut workers = Vec::new();
        for _ in 0..MOST {
            workers.push(Arc::new(Worker::new(answer, &groups)?));
        }
        Ok(Self {
            workers: workers.try_into().map_err(|_| io::ErrorKind::OutOfMemory)?,
            patience: Patience::new(wait, period),
            lost: 0,
            owner: Owner::here(),
        })
    }

    /// How many threads were lost so far.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Reads a process, and `wanted` of its threads before others; see [`Sample`]. At
    /// [`Depth::Whole`] it is also read in what some of its threads wait.
    pub(crate) fn read(
        &mut self,
        pid: u32,
        depth: Depth,
        wanted: &[u32],
        sample: &mut Sample,
    ) -> Result<io::Result<()>, NotYet> {
        read_clocks(pid, sample);
        if depth == Depth::Clock {
            return Ok(Ok(()));
        }
        let mut all = [0; MOST_WANTED];
        for (place, thread) in all.iter_mut().zip(wanted) {
            *place = *thread;
        }
        self.ask(Question::Process { pid, depth, wanted: all }, |desk| {
            mem::swap(sample, &mut desk.sample);
            mem::replace(&mut desk.result, Ok(()))
        })
    }

    /// Reads in what a thread waits. An error if it has ended.
    pub(crate) fn read_wait(
        &mut self,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> Result<io::Result<()>, NotYet> {
        let ThreadReading { thread: number, state, .. } = *thread;
        self.ask(Question::Wait { pid, thread: number, state }, |desk| {
            (thread.wait_channel, thread.call) = (desk.thread.wait_channel, desk.thread.call);
            lacks.add(desk.lacks);
            mem::replace(&mut desk.result, Ok(()))
        })
    }

    /// Reads one thread of a process, and in what it waits.
    pub(crate) fn read_thread(
        &mut self,
        pid: u32,
        thread: u32,
    ) -> Result<io::Result<ThreadReading>, NotYet> {
        self.ask(Question::Thread { pid, thread }, |desk| {
            mem::replace(&mut desk.result, Ok(())).map(|()| desk.thread)
        })
    }

    /// The thread that the process has stored as the owner of a glibc mutex at this address.
    pub(crate) fn lock_owner(&mut self, pid: u32, address: u64) -> Result<Option<u32>, NotYet> {
        self.ask(Question::LockOwner { pid, address }, |desk| desk.owner)
    }

    fn ask<T>(
        &mut self,
        question: Question,
        take: impl FnOnce(&mut Desk) -> T,
    ) -> Result<T, NotYet> {
        let now = sys::monotonic_ns();
        let worker = self.worker(&question, now)?;
        let mut state = worker.lock();
        if state.stage == Stage::Idle {
            if !state.has_thread {
                start_thread(&worker).map_err(|_| NotYet::Stuck(0))?;
                state.has_thread = true;
            }
            (state.question, state.stage) = (question, Stage::Asked);
            (state.seen_at, state.awaited_ns) = (now, 0);
            worker.asked.notify_one();
        }
        let (mut left, mut looked_at) = (self.patience.left(now), now);
        while state.stage != Stage::Answered && left > Duration::ZERO {
            let look = left.min(Duration::from_nanos(LOOK_NS));
            let waited = worker.answered.wait_timeout(state, look);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let now = sys::monotonic_ns();
            state.look(now);
            let waited = now.saturating_sub(looked_at).min(LOOK_NS);
            looked_at = now;
            self.patience.spend(Duration::from_nanos(waited));
            left = left.saturating_sub(Duration::from_nanos(waited));
        }
        if state.stage != Stage::Answered {
            return Err(NotYet::Late);
        }
        state.stage = Stage::Idle;
        state.desk.as_deref_mut().map(take).ok_or(NotYet::Late)
    }

    /// The thread that has answered this question, or one that can be asked it.
    fn worker(&mut self, question: &Question, now: u64) -> Result<Arc<Worker>, NotYet> {
        if !self.owner.is_here() {
            return Err(NotYet::Stuck(0));
        }
        let (mut idle, mut unclaimed, mut stuck) = (None, None, None);
        for worker in &self.workers {
            let mut state = worker.lock();
            if state.stage == Stage::Answered {
                state.is_lost = false;
                let age = now.saturating_sub(state.seen_at);
                if age <= FRESH_NS && state.question.may_be_late() {
                    if state.question == *question {
                        return Ok(Arc::clone(worker));
                    }
                    unclaimed = Some(worker);
                    continue;
                }
                state.stage = Stage::Idle;
            }
            if state.stage == Stage::Idle {
                idle = idle.or(Some(worker));
                continue;
            }
            state.look(now);
            if state.awaited_ns < LOST_NS {
                return Err(NotYet::Late);
            }
            if !mem::replace(&mut state.is_lost, true) {
                self.lost += 1;
            }
            let pid = state.question.pid();
            if stuck.is_none() || pid == question.pid() {
                stuck = Some(pid);
            }
        }
        if let Some(pid) = stuck.filter(|pid| *pid == question.pid()) {
            // Another reading of that process would not return either.
            return Err(NotYet::Stuck(pid));
        }
        if idle.is_none() {
            if let Some(worker) = unclaimed {
                worker.lock().stage = Stage::Idle;
            }
        }
        idle.or(unclaimed).map(Arc::clone).ok_or(NotYet::Stuck(stuck.unwrap_or(0)))
    }
}

impl Drop for Readers {
    /// Threads that are lost end when they come back; nobody waits for them.
    fn drop(&mut self) {
        // In a forked child a lock may be held by a thread that does not exist there.
        if self.owner.is_here() {
            for worker in &self.workers {
                worker.lock().ended = true;
                worker.asked.notify_one();
            }
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Worker {
    fn new(answer: fn(&mut Desk, &Question), groups: &Arc<Groups>) -> io::Result<Self> {
        let desk = Desk {
            reader: Reader::new(groups),
            sample: Sample::try_new()?,
            thread: ThreadReading::NOTHING,
            lacks: Lacks::default(),
            owner: None,
            result: Ok(()),
        };
        let state = State {
            stage: Stage::Idle,
            desk: Some(Box::new(desk)),
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts the time since an answer was last looked for, if there is none yet.
    fn look(&mut self, now: u64) {
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
            state = self.lock();
            state.desk = Some(desk);
            (state.stage, state.seen_at) = (Stage::Answered, sys::monotonic_ns());
            self.answered.notify_one();
        }
    }
}

impl Desk {
    fn answer(&mut self, question: &Question) {
        match *question {
            Question::Process { pid, depth, wanted } => {
                let count =
                    wanted.iter().position(|thread| *thread == 0).unwrap_or(MOST_WANTED);
                let wanted = wanted.get(..count).unwrap_or_default();
                self.result = self.reader.read(pid, depth, wanted, &mut self.sample);
            }
            Question::Thread { pid, thread } => {
                self.result = match self.reader.schedule(pid, thread, true) {
                    Some((reading, _)) => self.read_wait(pid, reading),
                    None => Err(io::ErrorKind::NotFound.into()),
                };
            }
            Question::Wait { pid, thread, state } => {
                let reading = ThreadReading { thread, state, ..ThreadReading::NOTHING };
                self.result = self.read_wait(pid, reading);
            }
            Question::LockOwner { pid, address } => {
                self.owner = self.reader.lock_owner(pid, address);
            }
        }
    }

    fn read_wait(&mut self, pid: u32, reading: ThreadReading) -> io::Result<()> {
        (self.thread, self.lacks) = (reading, Lacks::default());
        self.reader.read_wait(pid, &mut self.thread, &mut self.lacks)
    }
}

/// How long may be waited for answers.
#[derive(Debug)]
struct Patience {
    wait: Duration,
    period_ns: u64,
    began: u64,
    spent: Duration,
}

impl Patience {
    fn new(wait: Duration, period: Duration) -> Self {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Self { wait, period_ns, began: 0, spent: Duration::ZERO }
    }

    fn left(&mut self, now: u64) -> Duration {
        if now >= self.began.saturating_add(self.period_ns) {
            (self.began, self.spent) = (now, Duration::ZERO);
        }
        self.wait.saturating_sub(self.spent)
    }

    fn spend(&mut self, spent: Duration) {
        self.spent = self.spent.saturating_add(spent);
    }
}

#[cfg(test)]
mod tests;
