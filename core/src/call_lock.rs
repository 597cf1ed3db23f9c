//! A lock for a value that one call at a time may use. It fails rather than waits, and it does not
//! survive a fork.
//!
//! Taking the lock costs a locked instruction. A thread that has taken it many times in a row
//! becomes its owner, and needs none: it sets `entered`, finds that it still is the owner, and
//! clears `entered` after the call. The first call of another thread ends that for good: it
//! withdraws the ownership, makes the owner see that by a [`barrier`], and only then reads
//! `entered`. An owner that was about to enter has either set it, or finds that it is no longer the
//! owner.

use std::io;
use std::sync::atomic::{Ordering, compiler_fence};

use crate::fork::ProcessToken;
use crate::lane::atomic::{AtomicU64, barrier};
use crate::sys::barrier::has_barrier;
use crate::sys::{monotonic_ns, thread_handle};

/// No call. No process has this number.
const FREE: u64 = 0;

/// What `owner` holds before there is an owner, and after one was withdrawn. No thread has these
/// handles.
const NOBODY: u64 = 0;
const WITHDRAWN: u64 = 1;

/// How often in a row a thread takes the lock before it becomes the owner: what it saves then is
/// at least what withdrawing costs.
const TIMES: u64 = 1_000;

/// For how long an owner is waited for where the kernel refuses a barrier. Its store is visible to
/// all other threads within microseconds.
const VISIBLE_NS: u64 = 1_000_000;

/// The lock. One that is locked in one process is free in its forked children.
#[derive(Debug)]
pub struct CallLock {
    process: ProcessToken,
    /// The thread that enters without taking the lock, or [`NOBODY`], or [`WITHDRAWN`].
    owner: AtomicU64,
    /// The process in which this thread has entered, or [`FREE`].
    entered: AtomicU64,
    /// The process in which a call has taken the lock, or [`FREE`].
    taken: AtomicU64,
    /// The thread that took it last, and how often in a row.
    last: AtomicU64,
    times: AtomicU64,
}

impl CallLock {
    /// A lock that is free.
    ///
    /// # Errors
    ///
    /// There is no memory for detecting forks.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            process: ProcessToken::find()?,
            owner: AtomicU64::new(NOBODY),
            entered: AtomicU64::new(FREE),
            taken: AtomicU64::new(FREE),
            last: AtomicU64::new(NOBODY),
            times: AtomicU64::new(0),
        })
    }

    /// Locks it until the guard is dropped. `None` if a call of this process has locked it: one of
    /// another thread, or one that the calling signal handler has interrupted.
    #[inline]
    pub fn try_lock(&self) -> Option<CallGuard<'_>> {
        let process = self.process.number()?;
        let thread = thread_handle();
        if self.owner.load(Ordering::Relaxed) == thread {
            // Only this thread, and signal handlers that interrupt it, store to `entered`.
            if self.entered.load(Ordering::Acquire) == process {
                return None;
            }
            self.entered.store(process, Ordering::Relaxed);
            // The other half of this fence is the barrier of the one that withdraws.
            compiler_fence(Ordering::SeqCst);
            if self.owner.load(Ordering::Acquire) == thread {
                return Some(CallGuard(&self.entered));
            }
            self.entered.store(FREE, Ordering::Release);
        }
        self.take(process, thread)
    }

    #[inline(never)]
    fn take(&self, process: u64, thread: u64) -> Option<CallGuard<'_>> {
        let mut seen = FREE;
        while let Err(holder) =
            self.taken.compare_exchange(seen, process, Ordering::Acquire, Ordering::Relaxed)
        {
            if holder == process {
                return None;
            }
            // The holder is a call in a parent process, which does not exist in this child.
            seen = holder;
        }
        let guard = CallGuard(&self.taken);
        match self.owner.load(Ordering::Relaxed) {
            NOBODY => return Some(self.count(guard, process, thread)),
            WITHDRAWN => {}
            _ => self.withdraw(),
        }
        // The call of the former owner may not have ended yet.
        (self.entered.load(Ordering::Acquire) != process).then_some(guard)
    }

    /// Makes the thread the owner, if it has taken the lock often enough.
    fn count<'a>(&'a self, guard: CallGuard<'a>, process: u64, thread: u64) -> CallGuard<'a> {
        let before = match self.last.load(Ordering::Relaxed) == thread {
            true => self.times.load(Ordering::Relaxed),
            false => 0,
        };
        self.last.store(thread, Ordering::Relaxed);
        self.times.store(before + 1, Ordering::Relaxed);
        if before + 1 < TIMES || !has_barrier() {
            return guard;
        }
        // In this order: until the guard is dropped, a signal handler finds one or the other.
        self.entered.store(process, Ordering::Relaxed);
        self.owner.store(thread, Ordering::SeqCst);
        CallGuard(&self.entered)
    }

    /// Ends the ownership. Afterwards `entered` is set as long as the owner is in a call.
    #[cold]
    fn withdraw(&self) {
        self.owner.store(WITHDRAWN, Ordering::SeqCst);
        if !barrier() {
            let begun = monotonic_ns();
            while monotonic_ns().saturating_sub(begun) < VISIBLE_NS {
                std::hint::spin_loop();
            }
        }
    }

    /// Whether a call of this process has locked it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let is_here = |word: &AtomicU64| match word.load(Ordering::Acquire) {
            FREE => false,
            holder => self.process.number() == Some(holder),
        };
        is_here(&self.taken) || is_here(&self.entered)
    }
}

/// Unlocks the lock when it is dropped.
#[derive(Debug)]
pub struct CallGuard<'a>(&'a AtomicU64);

impl Drop for CallGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    //! Every order of the accesses of two and three threads, one of which becomes the owner.

    use std::ops::Range;
    use std::sync::atomic;

    use super::*;
    use crate::lane::model::{Thread, explore};
    use crate::sys;

    /// A lock, and what only its holder may change.
    struct World {
        lock: CallLock,
        value: AtomicU64,
        granted: atomic::AtomicU64,
    }

    impl World {
        fn new() -> Self {
            sys::barrier::register();
            let (value, granted) = (AtomicU64::new(0), atomic::AtomicU64::new(0));
            Self { lock: CallLock::new().unwrap(), value, granted }
        }

        fn shared(&self) -> Vec<Range<usize>> {
            [&self.lock.owner, &self.lock.entered, &self.lock.taken, &self.value]
                .map(|word| std::ptr::from_ref(word) as usize)
                .map(|start| start..start + size_of::<AtomicU64>())
                .to_vec()
        }

        fn call(&self) {
            let Some(_guard) = self.lock.try_lock() else { return };
            let value = self.value.load(Ordering::Relaxed);
            self.value.store(value + 1, Ordering::Relaxed);
            self.granted.fetch_add(1, Ordering::Relaxed);
        }

        /// With the first of these calls, this thread becomes the owner, unless another one has the
        /// lock.
        fn calls_of_owner(&self) {
            self.lock.last.store(thread_handle(), Ordering::Relaxed);
            self.lock.times.store(TIMES - 1, Ordering::Relaxed);
            (0..2).for_each(|_| self.call());
        }

        fn check(&self) {
            let granted = self.granted.load(Ordering::Relaxed);
            assert_eq!(self.value.load(Ordering::Relaxed), granted, "two calls at once");
            assert!(granted > 0 && !self.lock.is_locked());
        }
    }

    #[test]
    fn no_two_threads_have_the_lock_at_once() {
        let owners = atomic::AtomicU64::new(0);
        let runs = explore(
            3,
            World::new,
            World::shared,
            |it| vec![Box::new(|| it.calls_of_owner()) as Thread<'_>, Box::new(|| it.call())],
            |it| {
                it.check();
                let had_owner = it.lock.owner.load(Ordering::Relaxed) == WITHDRAWN;
                owners.fetch_add(had_owner.into(), Ordering::Relaxed);
            },
        );
        let owners = owners.into_inner();
        assert!(runs > 1_000 && owners > 100, "{runs} runs, {owners} of them with an owner");
        let runs = explore(
            2,
            World::new,
            World::shared,
            |it| {
                vec![
                    Box::new(|| it.calls_of_owner()) as Thread<'_>,
                    Box::new(|| it.call()),
                    Box::new(|| it.call()),
                ]
            },
            World::check,
        );
        assert!(runs > 1_000, "{runs} runs");
    }

    #[test]
    fn a_thread_that_takes_the_lock_often_becomes_its_owner() {
        let World { lock, .. } = World::new();
        let here = thread_handle();
        for call in 1..=TIMES {
            assert_eq!(lock.owner.load(Ordering::Relaxed), NOBODY, "call {call}");
            let guard = lock.try_lock().unwrap();
            assert!(lock.is_locked() && lock.try_lock().is_none());
            drop(guard);
        }
        assert_eq!(lock.owner.load(Ordering::Relaxed), here);
        let guard = lock.try_lock().unwrap();
        assert!(lock.is_locked() && lock.try_lock().is_none());
        let is_free_elsewhere = || {
            let free = || lock.try_lock().is_some();
            std::thread::scope(|threads| threads.spawn(free).join().unwrap())
        };
        assert!(!is_free_elsewhere());
        assert!(lock.try_lock().is_none(), "the call of the former owner goes on");
        drop(guard);
        assert!(is_free_elsewhere() && !lock.is_locked());
        assert!(lock.try_lock().is_some());
        assert_eq!(lock.owner.load(Ordering::Relaxed), WITHDRAWN);
    }
}
