//! Shows that a forked child of the observer's process can do nothing to the observer.

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

fn is_refused<T: std::fmt::Debug>(answer: std::io::Result<T>) {
    assert_eq!(answer.unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

/// All that a child may try.
fn meddle(observer: &mut Observer, agent: u64) {
    let mut events = [Event::NOTHING; 8];
    is_refused(observer.poll());
    is_refused(observer.poll_timeout(Duration::ZERO));
    is_refused(observer.poll_timeout(Duration::MAX));
    is_refused(observer.poll_many(&mut events, Duration::ZERO));
    is_refused(observer.poll_many(&mut [], Duration::ZERO));
    is_refused(observer.poll_interruptible(Duration::ZERO));
    let _ = observer.as_fd();
    is_refused(observer.next_deadline());
    is_refused(observer.set_threshold(agent, ms(1)));
    is_refused(observer.snapshot());
    is_refused(observer.snapshot_into(&mut [AgentInfo::NOBODY; 4]));
    is_refused(observer.stats());
    is_refused(observer.drain_evictions());
    is_refused(observer.drain_capacity_exceeded());
    is_refused(observer.wake_by(std::io::stdin()));
    is_refused(observer.poll_timeout(Duration::ZERO));
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
        // Beats are queued in the socket and in the observer, and a silence is near.
        for nonce in [2, 3] {
            agents[0].beat(nonce);
        }
        poll_until(&mut observer, is("beat"));

        // One that drops it, one that unwinds, and one that just ends.
        let mut theirs = Some(observer);
        in_child(|| {
            let mut observer = theirs.take().unwrap();
            meddle(&mut observer, ids[0]);
            drop(observer);
        });
        in_child(|| meddle(theirs.as_mut().unwrap(), ids[0]));
        let mut grandchildren = Child::start(|| {
            in_child(|| drop(theirs.take()));
            // SAFETY: ends this child.
            #[allow(unsafe_code, reason = "an end without unwinding")]
            unsafe {
                libc::_exit(0)
            };
        });
        grandchildren.wait();
        let mut observer = theirs.take().unwrap();

        // The parent goes on where it was: what is queued, beats, silences, ends.
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
        // Its own copy of the pidfd went with the children.
        assert_eq!(observer.snapshot().unwrap().len(), 2);
        let found = Observer::bind(&path, NEVER, 0o600).unwrap_err();
        assert_eq!(found.kind(), std::io::ErrorKind::AddrInUse);
        drop(observer);
        assert!(!path.exists());
    }
}

/// A child that lives on holds copies of all descriptors, those of processes that have
/// ended too.
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
    // A pidfd that could not be taken out of the set would be ready for ever.
    assert_eq!(observer.poll_timeout(Duration::ZERO).unwrap(), None);
    assert!(!readable_within(observer.as_fd(), Duration::ZERO));
}

/// An agent's first pidfd is by its pid, while the kernel sends none with the datagrams;
/// then comes the true one in its place. A child may hold on to the first.
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
    // Once the child has gone it would not be ready any more; that one is in no hurry.
    let start = Instant::now();
    while readable_within(observer.as_fd(), Duration::ZERO) {
        assert!(start.elapsed() < PATIENCE / 6, "it is ready for ever");
        observer.poll_timeout(Duration::ZERO).unwrap();
    }
}
