//! A forked child of the observer's process cannot affect the observer.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use support::{
    Child, Folder, NEVER, PATIENCE, TestAgent, in_child, is, is_about, ms, names, poll_until,
    readable_within,
};
use varta_observer::{AgentInfo, Event, Observer};

fn assert_refused<T: std::fmt::Debug>(answer: std::io::Result<T>) {
    assert_eq!(answer.unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

/// Everything that a child may try.
fn assert_all_calls_fail(observer: &mut Observer, agent: u64) {
    let mut events = [Event::NOTHING; 8];
    assert_refused(observer.poll());
    assert_refused(observer.poll_timeout(Duration::ZERO));
    assert_refused(observer.poll_timeout(Duration::MAX));
    assert_refused(observer.poll_many(&mut events, Duration::ZERO));
    assert_refused(observer.poll_many(&mut [], Duration::ZERO));
    assert_refused(observer.poll_interruptible(Duration::ZERO));
    let _ = observer.as_fd();
    assert_refused(observer.next_deadline());
    assert_refused(observer.set_threshold(agent, ms(1)));
    assert_refused(observer.snapshot());
    assert_refused(observer.snapshot_into(&mut [AgentInfo::NOBODY; 4]));
    assert_refused(observer.stats());
    assert_refused(observer.drain_evictions());
    assert_refused(observer.drain_capacity_exceeded());
    assert_refused(observer.wake_by(std::io::stdin()));
    assert_refused(observer.poll_timeout(Duration::ZERO));
}

#[test]
fn a_child_gets_an_error_and_does_not_affect_the_observer() {
    for embedded in [false, true] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = Observer::builder()
            .listen(path.to_str().unwrap().parse().unwrap())
            .udp(([127, 0, 0, 1], 0).into())
            .threshold(ms(400))
            .bind()
            .unwrap();
        let mut agents = [(); 3].map(|()| TestAgent::at(&path));
        let ids = agents.each_ref().map(|agent| {
            agent.beat(1);
            let events = poll_until(&mut observer, is("beat"));
            events.last().unwrap().about.unwrap().agent
        });
        if embedded {
            let _ = observer.as_fd();
        }
        // Beats are queued in the socket and in the observer, and a Stall is due soon.
        for nonce in [2, 3] {
            agents[0].beat(nonce);
        }
        poll_until(&mut observer, is("beat"));

        // One child drops it, one returns, and one exits without dropping it.
        let mut shared = Some(observer);
        in_child(|| {
            let mut observer = shared.take().unwrap();
            assert_all_calls_fail(&mut observer, ids[0]);
            drop(observer);
        });
        in_child(|| assert_all_calls_fail(shared.as_mut().unwrap(), ids[0]));
        let mut grandchildren = Child::start(|| {
            in_child(|| drop(shared.take()));
            // SAFETY: ends this child.
            #[allow(unsafe_code, reason = "an exit without unwinding")]
            unsafe {
                libc::_exit(0)
            };
        });
        grandchildren.wait();
        let mut observer = shared.take().unwrap();

        // The parent continues where it was, with queued events, beats, stalls and exits.
        assert!(path.exists());
        let events = poll_until(&mut observer, |event| support::nonce(event) == Some(3));
        assert_eq!(names(&events), ["beat"]);
        agents[1].beat(2);
        poll_until(&mut observer, |event| is_about(event, agents[1].pid()));
        if embedded {
            assert!(readable_within(observer.as_fd(), PATIENCE));
        }
        poll_until(&mut observer, is("stall"));
        agents[2].exit(5);
        agents[2].reap();
        let exit = poll_until(&mut observer, is("exit")).pop().unwrap();
        assert!(is_about(&exit, agents[2].pid()));
        // The children closed only their copies of the pidfds.
        assert_eq!(observer.snapshot().unwrap().len(), 2);
        let found = Observer::bind(&path, NEVER, 0o600).unwrap_err();
        assert_eq!(found.kind(), std::io::ErrorKind::AddrInUse);
        drop(observer);
        assert!(!path.exists());
    }
}

/// A child that keeps running holds copies of all descriptors, including those of exited
/// processes.
#[test]
fn a_surviving_child_does_not_keep_the_observer_busy() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let mut agents: Vec<_> = (0..10).map(|_| TestAgent::at(&path)).collect();
    for agent in &agents {
        agent.beat(1);
        poll_until(&mut observer, is("beat"));
    }
    let _child = Child::start(|| support::wait_until(|| false));
    for agent in &mut agents {
        agent.exit(0);
        agent.reap();
        poll_until(&mut observer, is("exit"));
    }
    // A pidfd that could not be removed from the epoll set would stay ready for ever.
    assert_eq!(observer.poll_timeout(Duration::ZERO).unwrap(), None);
    assert!(!readable_within(observer.as_fd(), Duration::ZERO));
}

/// An agent's first pidfd is opened by pid if the kernel passes none with the datagram, and is
/// replaced later. A child may still hold the first.
#[test]
fn a_child_that_holds_a_replaced_pidfd_does_not_keep_the_observer_busy() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let first = TestAgent::at(&path);
    first.beat(1);
    first.beat(2);
    poll_until(&mut observer, |event| support::nonce(event) == Some(2));
    let mut agent = TestAgent::at(&path);
    agent.beat(1);
    poll_until(&mut observer, is("beat"));
    let _child = Child::start(|| support::wait_until(|| false));
    agent.beat(2);
    poll_until(&mut observer, is("beat"));
    agent.exit(0);
    agent.reap();
    poll_until(&mut observer, is("exit"));
    // It would stop being ready when the child exits, but that child keeps running.
    let start = Instant::now();
    while readable_within(observer.as_fd(), Duration::ZERO) {
        assert!(start.elapsed() < PATIENCE / 6, "the descriptor stays ready for ever");
        observer.poll_timeout(Duration::ZERO).unwrap();
    }
}
