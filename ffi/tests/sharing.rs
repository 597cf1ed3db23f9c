//! One handle that several threads or signal handlers use at once.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use super::support::{Agent, Ended, Folder, Observer, PATIENCE};
use crate::agent::{varta_agent, varta_beat};
use crate::constants::*;
use crate::handle::Handle;
use crate::observer::polling::varta_observer_poll;

const BUSY: i32 = -libc::EBUSY;

#[test]
fn eight_threads_beating_at_once_send_only_whole_frames() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    let start = Barrier::new(8);
    let answers: Vec<i32> = thread::scope(|scope| {
        let beat = |thread: u32| {
            start.wait();
            (0..2_000).map(|n| agent.beat(0, thread << 16 | n)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || beat(n))).collect();
        // Polls until all threads are done, so that the queue is seldom full.
        while threads.iter().any(|thread| !thread.is_finished()) {
            let event = observer.poll(1);
            assert!(event.is_none_or(|event| event.kind == VARTA_EVENT_BEAT));
        }
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut counted = BTreeMap::new();
    for answer in answers {
        *counted.entry(answer).or_insert(0) += 1;
    }
    for answer in counted.keys() {
        let known = [VARTA_SENT, VARTA_DROPPED_KERNEL_QUEUE_FULL, BUSY];
        assert!(known.contains(answer), "{counted:?}");
    }
    assert!(counted[&VARTA_SENT] > 0);
    // A frame that two threads had written would be a decode error.
    while let Some(event) = observer.poll(0) {
        assert_eq!(event.kind, VARTA_EVENT_BEAT);
    }
    assert_eq!(agent.beat(0, 0), VARTA_SENT, "the handle is free again");
}

#[test]
fn a_second_call_is_refused_at_once_and_the_first_continues() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    let waits = |observer: &Observer| {
        let mut event = unsafe { std::mem::zeroed() };
        loop {
            let code = unsafe { varta_observer_poll(observer.0, &raw mut event, -1) };
            match code.number() {
                BUSY => thread::yield_now(),
                number => return (number, event.payload),
            }
        }
    };
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits(&observer));
        let start = Instant::now();
        let mut event = unsafe { std::mem::zeroed() };
        while unsafe { varta_observer_poll(observer.0, &raw mut event, 0) }.number() != BUSY {
            assert!(start.elapsed() < PATIENCE);
        }
        assert_eq!(agent.beat(0, 5), VARTA_SENT);
        assert_eq!(waiting.join().unwrap(), (1, 5));
    });
}

#[test]
fn a_handle_moves_between_threads() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let mut agent = Agent::connect(&folder.socket());
    for payload in 0..5 {
        agent = thread::spawn(move || {
            assert_eq!(agent.beat(0, payload), VARTA_SENT);
            agent
        })
        .join()
        .unwrap();
    }
    for nonce in 1..=5 {
        assert_eq!(observer.wait(|_| true).nonce, nonce);
    }
}

#[test]
fn a_beat_from_a_signal_handler_during_a_call_is_refused() {
    static AGENT: AtomicPtr<varta_agent> = AtomicPtr::new(ptr::null_mut());
    static ANSWER: AtomicI32 = AtomicI32::new(i32::MAX);
    extern "C" fn on_signal(_: i32) {
        let agent = AGENT.load(Ordering::Relaxed);
        ANSWER.store(unsafe { varta_beat(agent, 0, 77) }.number(), Ordering::Relaxed);
    }
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    AGENT.store(agent.0, Ordering::Relaxed);
    let old = unsafe { libc::signal(libc::SIGUSR1, on_signal as *const () as usize) };
    let in_the_middle = |agent: &mut crate::agent::Agent| {
        unsafe { libc::raise(libc::SIGUSR1) };
        Ok(i32::from(agent.beat(varta::Status::Ok, 1) != varta::BeatOutcome::Sent))
    };
    assert_eq!(
        unsafe { Handle::<crate::agent::Agent>::with(agent.0.cast(), in_the_middle) },
        Ok(0)
    );
    assert_eq!(ANSWER.load(Ordering::Relaxed), BUSY);
    // Between two calls the handler can beat.
    unsafe { libc::raise(libc::SIGUSR1) };
    unsafe { libc::signal(libc::SIGUSR1, old) };
    assert_eq!(ANSWER.load(Ordering::Relaxed), VARTA_SENT);
    let payloads = [observer.wait(|_| true).payload, observer.wait(|_| true).payload];
    assert_eq!(payloads, [1, 77]);
}

/// Signals interrupt a thread that beats all the time, at arbitrary moments.
#[test]
fn beats_from_signal_handlers_never_fail() {
    static AGENT: AtomicPtr<varta_agent> = AtomicPtr::new(ptr::null_mut());
    static CAUGHT: AtomicU32 = AtomicU32::new(0);
    static INTERRUPTED: AtomicU32 = AtomicU32::new(0);
    static UNEXPECTED: AtomicI32 = AtomicI32::new(0);
    extern "C" fn on_signal(_: i32) {
        let answer = unsafe { varta_beat(AGENT.load(Ordering::Relaxed), 0, 0) }.number();
        CAUGHT.fetch_add(1, Ordering::Relaxed);
        match answer {
            BUSY => _ = INTERRUPTED.fetch_add(1, Ordering::Relaxed),
            VARTA_SENT | VARTA_DROPPED_KERNEL_QUEUE_FULL => {}
            other => UNEXPECTED.store(other, Ordering::Relaxed),
        }
    }
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    AGENT.store(agent.0, Ordering::Relaxed);
    let old = unsafe { libc::signal(libc::SIGUSR2, on_signal as *const () as usize) };
    let over = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (agent, over) = (&agent, &over);
        scope.spawn(move || {
            sender.send(unsafe { libc::pthread_self() }).unwrap();
            while !over.load(Ordering::Relaxed) {
                let answer = agent.beat(0, 0);
                assert!([VARTA_SENT, VARTA_DROPPED_KERNEL_QUEUE_FULL].contains(&answer));
            }
        });
        let thread = receiver.recv().unwrap();
        while INTERRUPTED.load(Ordering::Relaxed) < 20 && start.elapsed() < PATIENCE {
            unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
            observer.poll(0);
        }
        over.store(true, Ordering::Relaxed);
    });
    unsafe { libc::signal(libc::SIGUSR2, old) };
    assert_eq!(UNEXPECTED.load(Ordering::Relaxed), 0);
    assert!(INTERRUPTED.load(Ordering::Relaxed) >= 20, "{}", CAUGHT.load(Ordering::Relaxed));
}

/// Debug builds abort the program, so each misuse runs in a child.
#[cfg(debug_assertions)]
#[test]
fn use_after_close_is_caught() {
    let folder = Folder::new();
    let aborts = |misuse: &dyn Fn(*mut varta_agent)| {
        let child = super::support::Child::start(|| {
            let agent = std::mem::ManuallyDrop::new(Agent::connect(&folder.socket()));
            misuse(agent.0);
            0
        });
        assert_eq!(child.ended(), Ended::Killed(libc::SIGABRT));
    };
    let close = |agent| unsafe { crate::agent::varta_close(agent) };
    aborts(&|agent| {
        close(agent);
        unsafe { varta_beat(agent, 0, 0) };
    });
    aborts(&|agent| {
        close(agent);
        close(agent);
    });
    aborts(&|agent| {
        let agent = std::mem::ManuallyDrop::new(Agent(agent));
        let task = super::support::Task::open(&agent, "task", 1 << 40).take();
        unsafe { crate::task::varta_task_fail(task) };
        unsafe { crate::task::varta_task_beat(task, 0, 0) };
    });
    aborts(&|agent| {
        let _ = unsafe {
            Handle::<crate::agent::Agent>::with(agent.cast(), |_| {
                close(agent);
                Ok(0)
            })
        };
    });
}
