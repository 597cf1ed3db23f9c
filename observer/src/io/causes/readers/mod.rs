//! Threads that read processes, and that may be lost: a process can keep its reader waiting for ever.

mod desk;
mod patience;
mod worker;

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use self::desk::{Desk, Question};
use self::patience::Patience;
use self::worker::{Stage, Worker};
use super::groups::Groups;
use super::read_clocks;
use crate::judge::{Depth, Lacks, Sample, ThreadReading};
use crate::sys::{self, Owner};

/// At most this many threads. If one is lost, the next one takes its place, until all are.
const MOST: usize = 4;

/// A thread is lost if it has not answered for this long while this process itself went on, until
/// it answers.
const LOST_NS: u64 = 500_000_000;

/// An answer that came late is used for this long.
const FRESH_NS: u64 = 100_000_000;

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
        self.ask(Question::process(pid, depth, wanted), |desk| {
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
        if worker.lock().stage == Stage::Idle {
            worker.ask(question, now).map_err(|_| NotYet::Stuck(0))?;
        }
        worker.wait(now, &mut self.patience, take).ok_or(NotYet::Late)
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
    /// Threads that are lost end when they come back.
    fn drop(&mut self) {
        // In a forked child a lock may be held by a thread that does not exist there.
        if self.owner.is_here() {
            for worker in &self.workers {
                worker.end();
            }
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("lost", &self.lost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
