//! The exits of processes, and their causes.

use std::os::fd::AsFd;

use super::pidfds::{index_of, token_of};
use super::{Processes, Stage};
use crate::event::ExitCause;
use crate::io::identity::{Ending, ProcessHandle};
use crate::judge::Slot;
use crate::sys::{ExitStatus, Interest};

/// An exit waits this long for its cause, which the kernel reports once the parent has reaped
/// the process.
const FOR_THE_CAUSE_NS: u64 = 50_000_000;

/// A process that was seen to have exited, and when.
#[derive(Clone, Copy)]
pub(super) struct ExitedProcess {
    slot: Slot,
    agent: u64,
    seen: u64,
    /// The previous check, which found it alive.
    alive: u64,
}

/// How far the end of a process has come.
pub(crate) enum ExitProgress {
    /// The process has ended, and its cause is known or never will be.
    Reaped(Slot, ExitCause),
    /// The process has ended; its cause becomes known when its parent reaps it.
    Unreaped(Slot),
}

impl Processes {
    /// Handles a ready pidfd: its process has exited, or has now been reaped too. At `alive`
    /// it was not ready. Returns whether this is new.
    pub(crate) fn ready(&mut self, token: u64, now: u64, alive: u64) -> bool {
        let Some(followed) = self.followed.get_mut(index_of(token)) else { return false };
        let (Some(slot), Some(handle)) = (followed.slot, &followed.handle) else {
            return false;
        };
        if token != token_of(slot, followed.agent) || followed.stage == Stage::Gone {
            return false;
        }
        // It would stay ready forever and hide others, because a wait returns only a limited
        // number.
        if self.epoll.remove(handle.as_fd()).is_err() {
            return false;
        }
        followed.stage = Stage::Gone;
        let gone = ExitedProcess { slot, agent: followed.agent, seen: now, alive };
        self.look_at_pages_of(slot);
        if self.gone.len() == self.gone.capacity() {
            // There are never more descriptors than this; the other entries are stale.
            let followed = &self.followed;
            self.gone.retain(|gone| {
                let at = followed.get(gone.slot.index());
                at.is_some_and(|at| at.agent == gone.agent && at.stage == Stage::Gone)
            });
        }
        self.gone.push_back(gone);
        true
    }

    /// Everything up to this time must be read before the next exit may be reported.
    pub(crate) fn gone_since(&self) -> Option<u64> {
        self.gone.front().map(|gone| gone.seen)
    }

    /// All processes that are not in `gone` are known to have been alive until this time,
    /// because their pidfds were checked then.
    pub(crate) fn alive_until(&self, checked: u64) -> u64 {
        self.gone.front().map_or(checked, |gone| gone.alive)
    }

    /// When to stop waiting for the next cause.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.unreaped.front().map(|gone| gone.seen.saturating_add(FOR_THE_CAUSE_NS))
    }

    /// The next process whose end must be reported or recorded, if everything that arrived
    /// before `read_until` has been read.
    pub(crate) fn next_exit(&mut self, read_until: u64, now: u64) -> Option<ExitProgress> {
        while let Some(gone) = self.gone.front().copied().filter(|gone| gone.seen <= read_until)
        {
            self.gone.pop_front();
            let Some(ending) = self.handle_of(gone).map(ProcessHandle::ending) else {
                continue;
            };
            // If the queue is full, more processes end at once than there are descriptors.
            if matches!(ending, Ending::Pending)
                && self.unreaped.len() < self.unreaped.capacity()
            {
                self.await_reaping(gone);
                self.unreaped.push_back(gone);
                return Some(ExitProgress::Unreaped(gone.slot));
            }
            return Some(ExitProgress::Reaped(gone.slot, cause_of(&ending)));
        }
        while let Some(gone) = self.unreaped.front().copied() {
            let waiting = gone.seen.saturating_add(FOR_THE_CAUSE_NS) > now;
            let here = self.handle_of(gone).is_some()
                && self.stage_of(gone.slot) == Some(Stage::Unreaped);
            if here && waiting {
                break;
            }
            self.unreaped.pop_front();
            if let Some(handle) = self.handle_of(gone).filter(|_| here) {
                return Some(ExitProgress::Reaped(gone.slot, cause_of(&handle.ending())));
            }
        }
        None
    }

    fn handle_of(&self, gone: ExitedProcess) -> Option<&ProcessHandle> {
        let followed = self.followed.get(gone.slot.index())?;
        // The agent may have got another process since.
        let is_it = followed.agent == gone.agent && followed.stage != Stage::Alive;
        followed.handle.as_ref().filter(|_| is_it)
    }

    fn stage_of(&self, slot: Slot) -> Option<Stage> {
        self.followed.get(slot.index()).map(|followed| followed.stage)
    }

    fn await_reaping(&mut self, gone: ExitedProcess) {
        let Some(followed) = self.followed.get_mut(gone.slot.index()) else { return };
        followed.stage = Stage::Unreaped;
        if let Some(handle) = &followed.handle {
            // If this fails, the cause is queried once more at the end of the wait.
            let token = token_of(gone.slot, gone.agent);
            let _ = self.epoll.add(handle.as_fd(), token, Interest::HangUp);
        }
    }
}

pub(super) fn cause_of(ending: &Ending) -> ExitCause {
    match ending {
        Ending::Exited(ExitStatus::Code(code)) => ExitCause::Code(*code),
        Ending::Exited(ExitStatus::Signal(signal)) => ExitCause::Signal(*signal),
        Ending::Running | Ending::Pending | Ending::Unknown => ExitCause::Unknown,
    }
}
