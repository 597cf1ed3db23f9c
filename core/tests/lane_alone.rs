//! A handle that is alone beats without a locked instruction, in a process that opened its first
//! agent before it started threads. Other handles come and go meanwhile, in other threads and in
//! signal handlers, and no beat is lost.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "a signal handler")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use support::observer::{LaneObserver, SharedPage, monotonic_ns};
use support::{Folder, in_child};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::KernelQueueFull;
use varta::{AnyTransport, Status, Varta};

type Agent = Varta<AnyTransport>;

/// Beats, in one of the ways that count.
fn beat(agent: &mut Agent, payload: u32) {
    let outcome = agent.beat(Status::Ok, payload);
    assert!(matches!(outcome, Sent | Dropped(KernelQueueFull)), "{outcome}");
}

/// The page shows a beat that was made, and none that is older than one before.
fn check(page: &SharedPage, newest: &mut u64) {
    let (_, hot) = page.beat().expect("a page has the last beat");
    assert!(hot.at >= *newest && hot.at <= monotonic_ns(), "{hot:?} after {newest}");
    assert!((0..=3).contains(&page.last().1), "{hot:?}");
    *newest = hot.at;
}

#[test]
fn no_beat_is_lost_while_handles_come_and_go_in_another_thread() {
    const ROUNDS: u32 = 300;
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let observer = LaneObserver::bind(&path);
        let (mut first, _connection, page) = observer.attach(&path);
        let before = page.beat().unwrap().1.last;
        let is_over = AtomicBool::new(false);
        let beats = std::thread::scope(|threads| {
            let thread = threads.spawn(|| {
                let mut beats = 0;
                while !is_over.load(Ordering::Relaxed) {
                    beat(&mut first, 1);
                    beats += 1;
                }
                beats
            });
            let (mut beats, mut newest) = (0, 0);
            for round in 0..ROUNDS {
                let mut other = Varta::open(&path).unwrap();
                for _ in 0..round % 50 {
                    beat(&mut other, 2);
                    beats += 1;
                    check(&page, &mut newest);
                }
                observer.datagrams.queued_datagrams();
                drop(other);
                check(&page, &mut newest);
            }
            is_over.store(true, Ordering::Relaxed);
            beats + thread.join().unwrap()
        });
        observer.datagrams.queued_datagrams();
        assert_eq!(first.beat(Status::Ok, 3), Sent);
        assert_eq!(page.last(), (Status::Ok, 3));
        assert_eq!(page.beat().unwrap().1.last, before + beats + 1, "each beat has a nonce");
    });
}

/// The handle with which the signal handler beats, if any.
static IN_HANDLER: AtomicPtr<Agent> = AtomicPtr::new(ptr::null_mut());
static BEATS_IN_HANDLER: AtomicU64 = AtomicU64::new(0);

extern "C" fn beat_in_handler(_: libc::c_int) {
    let agent = IN_HANDLER.load(Ordering::Acquire);
    // SAFETY: only this handler uses the agent, which lives until the pointer is null again, and
    // it is not interrupted by itself.
    if let Some(agent) = unsafe { agent.as_mut() } {
        if matches!(agent.beat(Status::Ok, 2), Sent | Dropped(KernelQueueFull)) {
            BEATS_IN_HANDLER.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn no_beat_is_lost_while_a_signal_handler_beats_with_another_handle() {
    const IN_HANDLERS: u64 = 500;
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let observer = LaneObserver::bind(&path);
        let (mut first, _connection, page) = observer.attach(&path);
        let before = page.beat().unwrap().1.last;
        let handler = beat_in_handler as extern "C" fn(libc::c_int);
        // SAFETY: the handler makes no call that a handler must not make.
        unsafe { libc::signal(libc::SIGPROF, handler as libc::sighandler_t) };
        let every = libc::timeval { tv_sec: 0, tv_usec: 200 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: the timer is a local variable.
        let set =
            unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
        assert_eq!(set, 0);
        let (mut beats, mut newest) = (0, 0);
        while BEATS_IN_HANDLER.load(Ordering::Relaxed) < IN_HANDLERS {
            let mut other = Varta::open(&path).unwrap();
            IN_HANDLER.store(&raw mut other, Ordering::Release);
            for _ in 0..100_000 {
                beat(&mut first, 1);
            }
            IN_HANDLER.store(ptr::null_mut(), Ordering::Release);
            drop(other);
            for _ in 0..1_000 {
                beat(&mut first, 1);
            }
            beats += 101_000;
            check(&page, &mut newest);
            observer.datagrams.queued_datagrams();
        }
        assert_eq!(first.beat(Status::Ok, 3), Sent);
        assert_eq!(page.last(), (Status::Ok, 3));
        let beats = beats + BEATS_IN_HANDLER.load(Ordering::Relaxed) + 1;
        assert_eq!(page.beat().unwrap().1.last, before + beats, "each beat has a nonce");
    });
}
