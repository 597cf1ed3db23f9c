//! The line of a task, which each of its calls writes.

use std::io;

use super::TaskOptions;
use super::promises::Promises;
use crate::fork::{ForkGuard, Process};
use crate::lane::layout::{Cold, Hot, State};
use crate::lane::pairs::{Pair, Pairs};
use crate::outcome::{BeatError, with_message};
use crate::sys::{self, monotonic_ns};

/// Writes what the calls of a task promise, in whatever process they are made.
pub(super) struct TaskLine {
    pub(super) promises: Promises,
    /// What the line holds.
    hot: Hot,
    pub(super) cold: Cold,
    /// None if this process, a forked child, had no pair left.
    pair: Option<Pair>,
    pairs: &'static Pairs,
    fork_guard: &'static ForkGuard,
    /// The process that the pair belongs to.
    process: Process,
    /// The calls in a process that had no pair left.
    pub(super) undeclared: u64,
}

impl TaskLine {
    pub(super) fn declare(
        pairs: &'static Pairs,
        name: &str,
        options: &TaskOptions,
    ) -> io::Result<Self> {
        let name = options.check(name)?;
        if !pairs.settle() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let fork_guard = ForkGuard::of_process()?;
        let mut promises = Promises::new(options)?;
        let mut line = Self {
            hot: promises.hot(),
            promises,
            cold: options.cold(name),
            pair: None,
            pairs,
            fork_guard,
            process: fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?,
            undeclared: 0,
        };
        match line.claim(monotonic_ns()) {
            true => Ok(line),
            false => Err(with_message(
                &io::Error::from_raw_os_error(libc::ENOSPC),
                format!("cannot declare the task {name:?}: the process has 31 tasks already"),
            )),
        }
    }

    /// Makes a call and writes what it promises.
    #[inline]
    pub(super) fn call<R>(
        &mut self,
        make: impl FnOnce(&mut Promises, u64) -> R,
    ) -> Result<R, BeatError> {
        let now = monotonic_ns();
        if self.pair.is_none() || !self.fork_guard.is_still(self.process) {
            self.declare_in_child(now)?;
        }
        let result = make(&mut self.promises, now);
        self.publish();
        Ok(result)
    }

    /// Writes the line, and rings if the observer should look at once.
    #[inline]
    fn publish(&mut self) {
        let hot = self.promises.hot();
        let Some(pair) = &mut self.pair else { return };
        if !self.cold.roams && sys::thread::id() != self.cold.thread {
            self.cold.thread = sys::thread::id();
            pair.set_thread(self.cold.thread);
        }
        let violations = self.promises.violations();
        let added = violations.total().wrapping_sub(self.cold.violations);
        if let (1.., Some(last)) = (added, violations.last()) {
            self.cold.violations = violations.total();
            pair.add_violation(last, violations.total());
            if pair.wanted() {
                self.pairs.leave_violation_to_observer(hot.at);
            }
        }
        pair.store(&hot);
        if added != 0 || is_news(&self.hot, &hot) {
            pair.ring();
        }
        self.hot = hot;
    }

    /// Declares the task in this process. Returns whether there was a free pair.
    fn claim(&mut self, now: u64) -> bool {
        let Some(mut pair) = self.pairs.claim() else { return false };
        self.promises.declare(now);
        self.hot = self.promises.hot();
        self.cold.number = pair.number();
        self.cold.thread = if self.cold.roams { 0 } else { sys::thread::id_anew() };
        self.cold.violations = 0;
        pair.declare(&self.cold, &self.hot);
        pair.ring();
        self.pair = Some(pair);
        true
    }

    #[cold]
    fn declare_in_child(&mut self, now: u64) -> Result<(), BeatError> {
        let Some(process) = self.fork_guard.process() else {
            return Err(BeatError::of_kind(io::ErrorKind::WouldBlock));
        };
        if process != self.process {
            // The pair is the parent's.
            self.pair = None;
            self.process = process;
        }
        if self.claim(now) {
            return Ok(());
        }
        self.undeclared = self.undeclared.saturating_add(1);
        Err(BeatError::from_io(&io::Error::from_raw_os_error(libc::ENOSPC)))
    }

    /// Ends the task, if it is one of this process.
    pub(super) fn end(&mut self, state: State) {
        let Some(pair) = self.pair.take() else { return };
        if self.fork_guard.is_still(self.process) {
            pair.end(state);
        }
    }
}

/// The bits of the status and of the broken promises in a line.
const STATUS: u64 = 0xff;
const BROKEN: u64 = 0xf << 12;

/// Whether the observer should hear of a call at once: the status changed, the call came after
/// something was due, or a broken promise is kept again.
#[inline]
fn is_news(before: &Hot, now: &Hot) -> bool {
    (before.info ^ now.info) & STATUS != 0
        || now.at >= before.until
        || before.info & !now.info & BROKEN != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::layout::Info;
    use crate::status::Status;

    #[test]
    fn a_change_of_the_status_a_late_call_and_a_kept_promise_are_news() {
        let info = Info {
            status: Status::Ok,
            which: None,
            idle: false,
            broken: 0,
            checkpoint: 0,
            payload: 0,
        };
        let hot = |at, info: Info| Hot { at, until: 10, info: info.to_word(), last: 0 };
        let before = hot(1, info);
        let other = Info { which: None, idle: true, checkpoint: 7, payload: 9, ..info };
        assert!(!is_news(&before, &hot(9, other)));
        assert!(is_news(&before, &hot(10, info)));
        assert!(is_news(&before, &hot(2, Info { status: Status::Critical, ..info })));
        for broken in [1, 2, 4, 8] {
            let broken = hot(2, Info { broken, ..info });
            assert!(!is_news(&before, &broken));
            assert!(is_news(&broken, &hot(3, info)));
        }
    }
}
