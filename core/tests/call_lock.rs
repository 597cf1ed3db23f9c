//! A lock that one call at a time may take: real threads, signal handlers, forks, and a kernel that
//! refuses the barrier with which a thread stops being the owner.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "signal handlers and forks")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use support::{Folder, forge, in_child};
use varta::Varta;
use varta::internal::CallLock;

/// After this many calls in a row a thread is the owner, with much to spare.
const MANY: u64 = 2_000;

/// A lock, and what only its holder may change.
struct Counted {
    lock: CallLock,
    value: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
}

impl Counted {
    fn new() -> Self {
        let [value, granted, refused] = [(); 3].map(|()| AtomicU64::new(0));
        Self { lock: CallLock::new().unwrap(), value, granted, refused }
    }

    fn call(&self) {
        let Some(_guard) = self.lock.try_lock() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let value = self.value.load(Ordering::Relaxed);
        std::hint::spin_loop();
        self.value.store(value + 1, Ordering::Relaxed);
        self.granted.fetch_add(1, Ordering::Relaxed);
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(self.value.load(Ordering::Relaxed), self.granted.load(Ordering::Relaxed));
        assert!(!self.lock.is_locked() && self.lock.try_lock().is_some());
    }
}

/// Runs a test in a process that registered for barriers while it had one thread.
fn with_barrier(run: impl FnOnce()) {
    in_child(|| {
        let folder = Folder::new();
        drop(Varta::open(folder.join("nobody.sock")).unwrap());
        run();
    });
}

#[test]
fn no_two_threads_have_the_lock_at_once() {
    with_barrier(|| {
        let turn = Barrier::new(3);
        let locks: Vec<_> = (0..300).map(|_| Counted::new()).collect();
        thread::scope(|threads| {
            threads.spawn(|| {
                for counted in &locks {
                    (0..MANY).for_each(|_| counted.call());
                    turn.wait();
                    (0..MANY).for_each(|_| counted.call());
                }
            });
            for _ in 0..2 {
                threads.spawn(|| {
                    for (round, counted) in (0..).zip(&locks) {
                        turn.wait();
                        (0..round * 7 % 1_000).for_each(|_| std::hint::spin_loop());
                        (0..MANY).for_each(|_| counted.call());
                    }
                });
            }
        });
        locks.iter().for_each(Counted::check);
    });
}

#[test]
fn a_signal_handler_never_has_the_lock_beside_the_call_that_it_interrupts() {
    static COUNTED: LazyLock<Counted> = LazyLock::new(Counted::new);
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    extern "C" fn call(_: libc::c_int) {
        COUNTED.call();
    }
    with_barrier(|| {
        LazyLock::force(&COUNTED);
        let handler = call as extern "C" fn(libc::c_int);
        // SAFETY: the handler makes no call that a handler must not make.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        let busy = thread::spawn(|| {
            while !IS_OVER.load(Ordering::Relaxed) {
                COUNTED.call();
            }
        });
        // Handlers interrupt it while it takes the lock, as the owner, and as the former one.
        let interrupt = |until: u64| {
            while COUNTED.refused.load(Ordering::Relaxed) < until {
                use std::os::unix::thread::JoinHandleExt;
                // SAFETY: the thread runs until it is joined.
                unsafe { libc::pthread_kill(busy.as_pthread_t(), libc::SIGUSR1) };
                thread::yield_now();
            }
        };
        interrupt(50);
        COUNTED.call();
        let refused = COUNTED.refused.load(Ordering::Relaxed);
        interrupt(refused + 50);
        IS_OVER.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        COUNTED.check();
    });
}

#[test]
fn a_child_does_not_inherit_the_call_of_another_thread() {
    with_barrier(|| {
        for calls in [1, MANY] {
            let counted = Counted::new();
            let (locked, forked) = (Barrier::new(2), Barrier::new(2));
            thread::scope(|threads| {
                threads.spawn(|| {
                    (1..calls).for_each(|_| counted.call());
                    let _guard = counted.lock.try_lock().unwrap();
                    locked.wait();
                    forked.wait();
                });
                locked.wait();
                assert!(counted.lock.try_lock().is_none());
                in_child(|| {
                    (0..MANY).for_each(|_| counted.call());
                    assert_eq!(counted.refused.load(Ordering::Relaxed), 0);
                    counted.check();
                });
                forked.wait();
            });
            counted.check();
        }
    });
}

#[test]
fn a_thread_that_the_kernel_refuses_a_barrier_waits_a_millisecond_for_the_owner() {
    with_barrier(|| {
        let counted = Counted::new();
        thread::scope(|threads| {
            threads.spawn(|| (0..MANY).for_each(|_| counted.call()));
        });
        forge(libc::SYS_membarrier, libc::EPERM);
        let begun = Instant::now();
        counted.call();
        assert!(begun.elapsed() >= Duration::from_millis(1));
        assert_eq!(counted.refused.load(Ordering::Relaxed), 0);
        counted.check();
    });
}
