//! Detects without a system call that this process is a forked child, and holds the state
//! that must be zero in a child: its identity and its nonce counters.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::sys::{List, Page, SLOTS, Wiping};

/// A process: its pid, and an incarnation that none of its ancestors has. A grandchild that
/// reuses its grandparent's pid is still a different process. Where nothing is wiped
/// ([`Wiping::Nobody`]) only the pid is known: such a grandchild is mistaken for its
/// grandparent, unless its parent called [`ForkGuard::process`] in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u64);

impl Process {
    fn new(incarnation: u32, pid: u32) -> Self {
        Self(u64::from(incarnation) << 32 | u64::from(pid))
    }

    #[inline]
    pub(crate) fn pid(self) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
        let pid = self.0 as u32;
        pid
    }

    /// A nonzero number that none of its ancestors has.
    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// While its identity is being established, a process has no incarnation yet.
    fn is_settled(self) -> bool {
        self.0 >> 32 != 0
    }
}

/// Memory that is zero in a child. The process has one, and nothing in it takes a lock, so
/// that a fork at any moment leaves no lock held in the child.
pub(crate) struct ForkGuard {
    /// Its first slot holds the process.
    first: CounterPage,
    more: List<CounterPage>,
    counters: List<Counter>,
    /// In ordinary memory: a child inherits it and continues counting.
    incarnations: AtomicU32,
}

struct CounterPage {
    page: Page,
    used: AtomicUsize,
}

impl CounterPage {
    fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < SLOTS
    }

    fn slot(&self) -> Option<&AtomicU64> {
        if !self.has_room() {
            return None;
        }
        self.page.slots().get(self.used.fetch_add(1, Ordering::Relaxed))
    }
}

/// How many beats this process sent to an endpoint.
pub(crate) struct Counter {
    endpoint: OsString,
    /// The last nonce of a datagram.
    pub(crate) last: &'static AtomicU64,
    /// How many beats went into a page.
    pub(crate) lines: &'static AtomicU64,
    /// How many of `lines` are in `last` too.
    pub(crate) counted: &'static AtomicU64,
}

impl ForkGuard {
    /// The guard of this process.
    pub(crate) fn of_process() -> io::Result<&'static Self> {
        static GUARD: List<ForkGuard> = List::new();
        GUARD.find_or_add(|_| true, || Page::new().map(Self::on))
    }

    fn on(page: Page) -> Self {
        Self {
            first: CounterPage { page, used: 1.into() },
            more: List::new(),
            counters: List::new(),
            incarnations: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn wiping(&self) -> Wiping {
        self.first.page.wiping
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        let [process, ..] = self.first.page.slots();
        process
    }

    /// This process. None while another thread of a child is wiping the counters, where
    /// neither the kernel nor a hook does it; a later call succeeds.
    #[inline]
    pub(crate) fn process(&self) -> Option<Process> {
        let seen = Process(self.word().load(Ordering::Acquire));
        if self.wiping() == Wiping::Nobody {
            return self.process_by_pid(seen);
        }
        if seen.is_settled() {
            return Some(seen);
        }
        Some(self.settle(seen))
    }

    /// Whether the calling process is still `process`.
    #[inline]
    pub(crate) fn is_still(&self, process: Process) -> bool {
        match self.wiping() {
            Wiping::Nobody => self.is_still_by_pid(process),
            _ => self.word().load(Ordering::Acquire) == process.0,
        }
    }

    #[cold]
    fn is_still_by_pid(&self, process: Process) -> bool {
        self.process() == Some(process)
    }

    /// The nonce counter of an endpoint; every caller gets the same one.
    pub(crate) fn counter(&'static self, endpoint: &OsStr) -> io::Result<&'static Counter> {
        self.counters.find_or_add(
            |counter| counter.endpoint == endpoint,
            || {
                Ok(Counter {
                    endpoint: endpoint.to_owned(),
                    last: self.slot()?,
                    lines: self.slot()?,
                    counted: self.slot()?,
                })
            },
        )
    }

    fn slot(&'static self) -> io::Result<&'static AtomicU64> {
        if let Some(slot) = self.first.slot() {
            return Ok(slot);
        }
        loop {
            let page = || Page::wiped_by(self.wiping());
            let page = self.more.find_or_add(CounterPage::has_room, || {
                page().map(|page| CounterPage { page, used: 0.into() })
            })?;
            if let Some(slot) = page.slot() {
                return Ok(slot);
            }
        }
    }

    #[cold]
    fn settle(&self, seen: Process) -> Process {
        let incarnation = self.incarnations.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let new = Process::new(incarnation, process::id());
        match self.word().compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(settled) => Process(settled),
        }
    }

    #[cold]
    fn process_by_pid(&self, seen: Process) -> Option<Process> {
        let wiping = Process::new(0, process::id());
        if seen.pid() == wiping.pid() {
            return seen.is_settled().then_some(seen);
        }
        self.word()
            .compare_exchange(seen.0, wiping.0, Ordering::AcqRel, Ordering::Acquire)
            .ok()?;
        for counter in self.counters.iter() {
            for word in [counter.last, counter.lines, counter.counted] {
                word.store(0, Ordering::Relaxed);
            }
        }
        Some(self.settle(wiping))
    }
}

impl fmt::Debug for ForkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkGuard").field("wiping", &self.wiping()).finish_non_exhaustive()
    }
}

/// Identifies the calling process, for state that must not survive a fork.
#[derive(Debug, Clone, Copy)]
pub struct ProcessToken(&'static ForkGuard);

impl ProcessToken {
    /// Prepares the detection of forks.
    ///
    /// # Errors
    ///
    /// There is no memory for detecting forks.
    pub fn find() -> io::Result<Self> {
        ForkGuard::of_process().map(Self)
    }

    /// A nonzero number that this process has and none of its ancestors had. May be called
    /// from a signal handler. None while another thread is detecting that this is a child,
    /// which only happens where neither the kernel nor a hook wipes the memory.
    #[must_use]
    #[inline]
    pub fn number(self) -> Option<u64> {
        self.0.process().map(|process| process.0)
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "forking")]
mod tests {
    use super::*;

    fn fork_guard(wiping: Wiping) -> &'static ForkGuard {
        Box::leak(Box::new(ForkGuard::on(Page::wiped_by(wiping).unwrap())))
    }

    /// Runs `check` in a forked child and panics unless it is true there.
    fn in_child(check: impl FnOnce() -> bool) {
        // SAFETY: the child only checks numbers and exits.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child without running the parent's exit handlers.
            0 => unsafe { libc::_exit(if check() { 0 } else { 1 }) },
            pid => {
                let mut status = 0;
                // SAFETY: `status` is a local variable.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                assert!(libc::WIFEXITED(status), "the child was killed: {status:#x}");
                assert_eq!(libc::WEXITSTATUS(status), 0);
            }
        }
    }

    #[test]
    fn a_child_starts_at_zero_with_every_kind_of_wiping() {
        for wiping in [Wiping::Kernel, Wiping::Hook, Wiping::Nobody] {
            let fork_guard = fork_guard(wiping);
            assert_eq!(fork_guard.wiping(), wiping);
            let parent = fork_guard.process().unwrap();
            assert_eq!(parent.pid(), process::id());
            let counter = fork_guard.counter(OsStr::new("/a")).unwrap().last;
            counter.store(41, Ordering::Relaxed);

            in_child(|| {
                let child = fork_guard.process().unwrap();
                let blank = counter.swap(5, Ordering::Relaxed) == 0;
                let stays = fork_guard.process() == Some(child);
                in_child(|| {
                    let grandchild = fork_guard.process().unwrap();
                    grandchild != child
                        && grandchild != parent
                        && counter.load(Ordering::Relaxed) == 0
                });
                let kept = counter.load(Ordering::Relaxed) == 5;
                child != parent && child.pid() == process::id() && blank && stays && kept
            });
            assert_eq!(counter.load(Ordering::Relaxed), 41);
            assert_eq!(fork_guard.process(), Some(parent));
        }
    }

    /// When two threads create a guard at the same time, one of the two is not needed.
    #[test]
    fn the_memory_of_an_unused_guard_is_unmapped() {
        // In a child, where no other thread can map something else at the same address.
        in_child(|| {
            [Wiping::Kernel, Wiping::Nobody].into_iter().all(|wiping| {
                let fork_guard = ForkGuard::on(Page::wiped_by(wiping).unwrap());
                let at = std::ptr::from_ref(fork_guard.word()).cast_mut().cast();
                // SAFETY: only checks whether something is mapped at the address.
                let is_mapped = || unsafe { libc::msync(at, 1, libc::MS_ASYNC) } == 0;
                let before = is_mapped();
                drop(fork_guard);
                before && !is_mapped()
            })
        });
    }

    #[test]
    fn the_kernel_does_the_wiping_here() {
        assert_eq!(ForkGuard::of_process().unwrap().wiping(), Wiping::Kernel);
    }

    #[test]
    fn an_endpoint_has_one_counter_and_there_is_room_for_many() {
        let fork_guard = fork_guard(Wiping::Kernel);
        let names: Vec<OsString> = (0..3 * SLOTS).map(|n| format!("/{n}").into()).collect();
        let counters: Vec<_> =
            names.iter().map(|name| fork_guard.counter(name).unwrap().last).collect();
        for (number, counter) in counters.iter().enumerate() {
            counter.store(number as u64 + 1, Ordering::Relaxed);
        }
        for (number, name) in names.iter().enumerate() {
            let counter = fork_guard.counter(name).unwrap().last;
            assert_eq!(counter.load(Ordering::Relaxed), number as u64 + 1);
        }
        in_child(|| counters.iter().all(|counter| counter.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_wipe_that_was_cut_short_is_done_again() {
        let fork_guard = fork_guard(Wiping::Nobody);
        let counter = fork_guard.counter(OsStr::new("/a")).unwrap().last;
        counter.store(9, Ordering::Relaxed);
        let elsewhere = Process::new(0, process::id() + 1);
        fork_guard.word().store(elsewhere.0, Ordering::Relaxed);
        assert_eq!(fork_guard.process().map(Process::pid), Some(process::id()));
        assert_eq!(counter.load(Ordering::Relaxed), 0);

        let in_progress = Process::new(0, process::id());
        fork_guard.word().store(in_progress.0, Ordering::Relaxed);
        assert_eq!(fork_guard.process(), None);
    }
}
