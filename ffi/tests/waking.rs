//! A thread that ends the wait of another one's poll.

use std::thread;
use std::time::Instant;

use super::support::{Agent, Child, Ended, Folder, Observer, PATIENCE, init};
use crate::event::varta_event;
use crate::observer::polling::{
    varta_observer_fd, varta_observer_poll, varta_observer_poll_many,
};
use crate::observer::waking::varta_observer_wake;

const BUSY: i32 = -libc::EBUSY;
const INTERRUPTED: i32 = -libc::EINTR;

fn wake(observer: &Observer) -> i32 {
    unsafe { varta_observer_wake(observer.0) }.number()
}

fn poll(observer: &Observer, timeout_ms: i32) -> (i32, varta_event) {
    let mut event = unsafe { std::mem::zeroed() };
    let code = unsafe { varta_observer_poll(observer.0, &raw mut event, timeout_ms) };
    (code.number(), event)
}

#[test]
fn a_poll_that_waits_is_interrupted_once() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    thread::scope(|scope| {
        let waits = || loop {
            match poll(&observer, -1).0 {
                BUSY => thread::yield_now(),
                code => return code,
            }
        };
        let waiting = scope.spawn(waits);
        // The handle is busy once the poll has begun.
        let start = Instant::now();
        while poll(&observer, 0).0 != BUSY {
            assert!(start.elapsed() < PATIENCE);
        }
        assert_eq!(wake(&observer), 0);
        assert_eq!(waiting.join().unwrap(), INTERRUPTED);
    });
    assert_eq!(poll(&observer, 0).0, 0);
}

#[test]
fn a_wake_before_the_poll_counts_once_and_loses_no_event() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    assert_eq!([wake(&observer), wake(&observer)], [0, 0]);
    let fd = unsafe { varta_observer_fd(observer.0) }.number();
    let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    assert_eq!(unsafe { libc::poll(&raw mut wanted, 1, 0) }, 1, "the descriptor is readable");
    assert_eq!(agent.beat(0, 7), 0);
    let answers = [(); 3].map(|()| poll(&observer, 0));
    let codes = answers.map(|(code, _)| code);
    let events: Vec<_> = answers.iter().filter(|(code, _)| *code == 1).collect();
    assert_eq!(codes.iter().filter(|code| **code == INTERRUPTED).count(), 1, "{codes:?}");
    assert_eq!(events.len(), 1, "{codes:?}");
    assert_eq!(events[0].1.payload, 7);

    wake(&observer);
    let mut event = unsafe { std::mem::zeroed() };
    let many = |event| unsafe { varta_observer_poll_many(observer.0, event, 1, -1) }.number();
    assert_eq!(many(&raw mut event), INTERRUPTED);
    assert_eq!(agent.beat(0, 8), 0);
    assert_eq!(many(&raw mut event), 1);
}

#[test]
fn a_child_does_not_wake_its_parent_and_a_simulation_cannot_be_woken() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let child = Child::start(|| i32::from(wake(&observer) != -libc::ECHILD));
    assert_eq!(child.ended(), Ended::Exited(0));
    assert_eq!(poll(&observer, 0).0, 0);
    assert_eq!(wake(&Observer::simulate(&init())), -libc::EOPNOTSUPP);
}
