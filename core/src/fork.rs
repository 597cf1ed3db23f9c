//! Knowing without asking that this process is a forked child, and what a child must
//! find blank: who it is, and how far its nonces have come.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::sys::{List, Page, SLOTS, Wiping};

/// A process: its pid, and an incarnation that no ancestor of it has. A grandchild that
/// was given its grandparent's pid is another process all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u64);

impl Process {
    fn new(incarnation: u32, pid: u32) -> Self {
        Self(u64::from(incarnation) << 32 | u64::from(pid))
    }

    #[inline]
    pub(crate) fn pid(self) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let pid = self.0 as u32;
        pid
    }

    /// One whose identity is being established carries no incarnation yet.
    fn is_settled(self) -> bool {
        self.0 >> 32 != 0
    }
}

/// Memory that a child finds blank. There is one for the process, and nothing in it
/// takes a lock, so that a fork in the middle of anything leaves a child nothing held.
pub(crate) struct Memory {
    wiping: Wiping,
    process: &'static AtomicU64,
    sheets: List<Sheet>,
    counters: List<Counter>,
    /// In ordinary memory: a child inherits it and counts on from there.
    incarnations: AtomicU32,
}

struct Sheet {
    page: Page,
    used: AtomicUsize,
}

/// The last nonce that this process sent to an endpoint.
struct Counter {
    endpoint: OsString,
    last: &'static AtomicU64,
}

impl Memory {
    /// The one of this process.
    pub(crate) fn of_process() -> io::Result<&'static Self> {
        static MEMORY: List<Memory> = List::new();
        MEMORY.find_or_add(|_| true, || Self::on(Page::new()?))
    }

    fn on(page: Page) -> io::Result<Self> {
        let wiping = page.wiping;
        let [process, ..] = page.slots();
        let sheets = List::new();
        sheets.find_or_add(|_| false, || Ok::<_, io::Error>(Sheet { page, used: 1.into() }))?;
        Ok(Self {
            wiping,
            process,
            sheets,
            counters: List::new(),
            incarnations: AtomicU32::new(0),
        })
    }

    pub(crate) fn wiping(&self) -> Wiping {
        self.wiping
    }

    /// This process; None while another thread of a child is wiping what nobody else
    /// wipes, which a later call finds done.
    #[inline]
    pub(crate) fn process(&self) -> Option<Process> {
        let seen = Process(self.process.load(Ordering::Acquire));
        if self.wiping == Wiping::Nobody {
            return self.ask_for_process(seen);
        }
        if seen.is_settled() {
            return Some(seen);
        }
        Some(self.settle(seen))
    }

    /// Whether this is still that process.
    #[inline]
    pub(crate) fn is_still(&self, process: Process) -> bool {
        if self.wiping == Wiping::Nobody {
            return self.process() == Some(process);
        }
        self.process.load(Ordering::Acquire) == process.0
    }

    /// The counter of the nonces to an endpoint, the same one for all who ask.
    pub(crate) fn counter(&self, endpoint: &OsStr) -> io::Result<&'static AtomicU64> {
        self.counters
            .find_or_add(
                |counter| counter.endpoint == endpoint,
                || Ok(Counter { endpoint: endpoint.to_owned(), last: self.slot()? }),
            )
            .map(|counter| counter.last)
    }

    fn slot(&self) -> io::Result<&'static AtomicU64> {
        loop {
            let sheet = self.sheets.find_or_add(
                |sheet| sheet.used.load(Ordering::Relaxed) < SLOTS,
                || {
                    Ok::<_, io::Error>(Sheet {
                        page: Page::wiped_by(self.wiping)?,
                        used: 0.into(),
                    })
                },
            )?;
            let free = sheet.used.fetch_add(1, Ordering::Relaxed);
            if let Some(slot) = sheet.page.slots().get(free) {
                return Ok(slot);
            }
        }
    }

    #[cold]
    fn settle(&self, seen: Process) -> Process {
        let incarnation = self.incarnations.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let new = Process::new(incarnation, process::id());
        match self.process.compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => new,
            Err(settled) => Process(settled),
        }
    }

    #[cold]
    fn ask_for_process(&self, seen: Process) -> Option<Process> {
        let wiping = Process::new(0, process::id());
        if seen.pid() == wiping.pid() {
            return seen.is_settled().then_some(seen);
        }
        self.process
            .compare_exchange(seen.0, wiping.0, Ordering::AcqRel, Ordering::Acquire)
            .ok()?;
        for counter in self.counters.iter() {
            counter.last.store(0, Ordering::Relaxed);
        }
        Some(self.settle(wiping))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("wiping", &self.wiping).finish_non_exhaustive()
    }
}

/// Which process this is, for those who keep marks that must not outlive a fork.
#[derive(Debug, Clone, Copy)]
pub struct Here(&'static Memory);

impl Here {
    /// Makes sure that it can be known from now on.
    ///
    /// # Errors
    ///
    /// There is no memory for what notices a fork.
    pub fn find() -> io::Result<Self> {
        Memory::of_process().map(Self)
    }

    /// A number, not 0, that this process has and no ancestor of it had. A signal handler
    /// may ask. None while another thread is finding out that this is a child, which only
    /// happens where nothing tells it.
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

    fn memory(wiping: Wiping) -> &'static Memory {
        Box::leak(Box::new(Memory::on(Page::wiped_by(wiping).unwrap()).unwrap()))
    }

    /// Runs `check` in a forked child and panics unless it is true there.
    fn in_child(check: impl FnOnce() -> bool) {
        // SAFETY: the child only checks numbers and leaves.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child without running what is the parent's to run.
            0 => unsafe { libc::_exit(if check() { 0 } else { 1 }) },
            pid => {
                let mut status = 0;
                // SAFETY: `status` is ours to be written.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                assert!(libc::WIFEXITED(status), "the child was killed: {status:#x}");
                assert_eq!(libc::WEXITSTATUS(status), 0);
            }
        }
    }

    #[test]
    fn a_child_starts_blank_however_it_is_wiped() {
        for wiping in [Wiping::Kernel, Wiping::Hook, Wiping::Nobody] {
            let memory = memory(wiping);
            assert_eq!(memory.wiping(), wiping);
            let parent = memory.process().unwrap();
            assert_eq!(parent.pid(), process::id());
            let counter = memory.counter(OsStr::new("/a")).unwrap();
            counter.store(41, Ordering::Relaxed);

            in_child(|| {
                let child = memory.process().unwrap();
                let blank = counter.swap(5, Ordering::Relaxed) == 0;
                let stays = memory.process() == Some(child);
                in_child(|| {
                    let grandchild = memory.process().unwrap();
                    grandchild != child
                        && grandchild != parent
                        && counter.load(Ordering::Relaxed) == 0
                });
                let kept = counter.load(Ordering::Relaxed) == 5;
                child != parent && child.pid() == process::id() && blank && stays && kept
            });
            assert_eq!(counter.load(Ordering::Relaxed), 41);
            assert_eq!(memory.process(), Some(parent));
        }
    }

    #[test]
    fn the_kernel_wipes_here() {
        assert_eq!(Memory::of_process().unwrap().wiping(), Wiping::Kernel);
    }

    #[test]
    fn one_counter_for_an_endpoint_and_room_for_many() {
        let memory = memory(Wiping::Kernel);
        let names: Vec<OsString> = (0..3 * SLOTS).map(|n| format!("/{n}").into()).collect();
        let counters: Vec<_> = names.iter().map(|name| memory.counter(name).unwrap()).collect();
        for (number, counter) in counters.iter().enumerate() {
            counter.store(number as u64 + 1, Ordering::Relaxed);
        }
        for (number, name) in names.iter().enumerate() {
            let counter = memory.counter(name).unwrap();
            assert_eq!(counter.load(Ordering::Relaxed), number as u64 + 1);
        }
        in_child(|| counters.iter().all(|counter| counter.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_wipe_that_died_with_its_process_is_done_again() {
        let memory = memory(Wiping::Nobody);
        let counter = memory.counter(OsStr::new("/a")).unwrap();
        counter.store(9, Ordering::Relaxed);
        let elsewhere = Process::new(0, process::id() + 1);
        memory.process.store(elsewhere.0, Ordering::Relaxed);
        assert_eq!(memory.process().map(Process::pid), Some(process::id()));
        assert_eq!(counter.load(Ordering::Relaxed), 0);

        let in_progress = Process::new(0, process::id());
        memory.process.store(in_progress.0, Ordering::Relaxed);
        assert_eq!(memory.process(), None);
    }
}
