//! A process that reuses a pid is a new agent: the old one ends with an Exit, and the new one
//! inherits nothing.
//!
//! The tests choose pids in their own pid namespace, which needs root.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::path::Path;

use support::{
    End, Folder, NEVER, TestAgent, agent_info, count, fork_as, in_own_namespaces, is, ms,
    names, needs_root, nonce, poll_all, poll_until, text_of, wait_until,
};
use varta_observer::{Builder, Event, ExitCause, Observer, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap())
}

/// Runs a test in namespaces of its own, with a path for a socket.
fn in_namespaces(test: impl FnOnce(&Path) + Send) {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    in_own_namespaces(|| test(&folder.join("varta.sock")));
}

/// Ends a process, and starts another one with its pid.
fn replaced(old: &mut TestAgent, path: &Path) -> TestAgent {
    old.exit(3);
    old.reap();
    TestAgent::forked_by(path, || fork_as(old.pid()))
}

/// An agent with a second beat, which carries a pidfd.
fn followed(observer: &mut Observer, path: &Path) -> TestAgent {
    let agent = TestAgent::at(path);
    for nonce in [1_000_000, 1_000_001] {
        agent.beat(nonce);
        poll_until(observer, is("beat"));
    }
    agent
}

/// Asserts that the events are a beat of the first process, its Exit, and a first beat of the
/// second.
#[track_caller]
fn assert_two_lives(events: &[Event], pid: u32, last_nonce: u64) {
    let events: Vec<_> =
        events.iter().filter(|event| event.what.name() != "paused").copied().collect();
    let [last, exit, first, ..] = events.as_slice() else { panic!("{}", text_of(&events)) };
    assert_eq!(
        (nonce(last), nonce(first)),
        (Some(last_nonce), Some(1)),
        "{}",
        text_of(&events)
    );
    assert_eq!(exit.about, last.about);
    let What::Exit { cause, .. } = exit.what else { panic!("{}", text_of(&events)) };
    assert_eq!(cause, ExitCause::Code(3));
    let [old, new] = [last, first].map(|event| event.about.unwrap());
    assert_eq!((old.pid, new.pid), (pid, pid));
    assert!(new.agent > old.agent);
    assert!(matches!(first.what, What::Beat { missed: 0, .. }), "{first}");
}

#[test]
fn the_exit_is_reported_before_the_new_process() {
    in_namespaces(|path| {
        let mut observer = listening(path).threshold(NEVER).bind().unwrap();
        let mut old = followed(&mut observer, path);
        old.beat(1_000_002);
        old.exit(3);
        old.reap();
        let mut events = poll_until(&mut observer, is("exit"));
        let new = TestAgent::forked_by(path, || fork_as(old.pid()));
        new.beat(1);
        events.extend(poll_until(&mut observer, is("beat")));
        assert_two_lives(&events, old.pid(), 1_000_002);
        assert_eq!(agent_info(&observer, new.pid()).unwrap().beats, 1);
    });
}

#[test]
fn two_processes_with_one_pid_in_one_batch_are_two_agents() {
    in_namespaces(|path| {
        for queued in [1, 5] {
            let mut observer = listening(path).threshold(NEVER).bind().unwrap();
            let mut old = followed(&mut observer, path);
            assert!(poll_all(&mut observer).is_empty());
            old.beat_and_end(queued, End::Exit, 3);
            old.reap();
            let new = TestAgent::forked_by(path, || fork_as(old.pid()));
            for nonce in 1..=queued {
                new.beat(nonce.into());
            }
            let all = usize::from(queued) * 2;
            let mut beats = 0;
            let events = poll_until(&mut observer, |event| {
                beats += usize::from(event.what.name() == "beat");
                beats == all
            });
            assert_eq!(count(&events, "exit"), 1);
            assert_two_lives(&events[usize::from(queued) - 1..], old.pid(), queued.into());
            let known = agent_info(&observer, new.pid()).unwrap();
            assert_eq!((known.beats, known.unconfirmed), (queued.into(), false));
        }
    });
}

#[test]
fn a_new_process_does_not_inherit_a_stall() {
    in_namespaces(|path| {
        let mut observer = listening(path).threshold(ms(300)).bind().unwrap();
        let mut old = followed(&mut observer, path);
        poll_until(&mut observer, is("stall"));
        let new = replaced(&mut old, path);
        new.beat(1);
        let events = poll_until(&mut observer, is("beat"));
        assert_eq!(names(&events), ["exit", "beat"]);
        assert_eq!(observer.stats().unwrap().recoveries, 0);
    });
}

/// The observer holds no descriptor of either. The nonce of the first beat shows the change.
#[test]
fn without_a_descriptor_a_restarted_nonce_is_a_new_agent() {
    in_namespaces(|path| {
        let mut observer = listening(path).threshold(NEVER).descriptors(0).bind().unwrap();
        let mut old = followed(&mut observer, path);
        let number = agent_info(&observer, old.pid()).unwrap().agent;
        old.exit(3);
        old.reap();
        assert!(observer.pidfd(number).unwrap().is_none());
        let new = TestAgent::forked_by(path, || fork_as(old.pid()));
        assert!(
            observer.pidfd(number).unwrap().is_none(),
            "the pid belongs to another process"
        );
        new.beat(1);
        let events = poll_until(&mut observer, is("beat"));
        assert_eq!(names(&events), ["exit", "beat"]);
        let [exit, beat] = [0, 1].map(|at| events[at].about.unwrap());
        assert_eq!((exit.agent, exit.pid, beat.pid), (number, old.pid(), old.pid()));
        assert!(beat.agent > number);
        assert_eq!(agent_info(&observer, new.pid()).unwrap().beats, 1);
        // The new process may have any number of handles.
        for nonce in [7, 1, 8, 2] {
            new.beat(nonce);
            let events = poll_until(&mut observer, is("beat"));
            assert_eq!(events.last().unwrap().about, Some(beat));
        }
    });
}

/// A process that continues the nonce of the old one is found a little later.
#[test]
fn without_a_descriptor_a_continued_nonce_is_found_to_be_a_new_agent() {
    in_namespaces(|path| {
        let mut observer = listening(path).threshold(NEVER).descriptors(0).bind().unwrap();
        let mut old = followed(&mut observer, path);
        let number = agent_info(&observer, old.pid()).unwrap().agent;
        let new = replaced(&mut old, path);
        let mut nonce = 2_000_000;
        let mut events = Vec::new();
        wait_until(|| {
            nonce += 1;
            new.beat(nonce);
            events.extend(poll_until(&mut observer, is("beat")));
            count(&events, "exit") > 0
        });
        let [.., exit, beat] = events.as_slice() else { panic!("{}", text_of(&events)) };
        assert_eq!((exit.what.name(), exit.about.unwrap().agent), ("exit", number));
        let beat = beat.about.unwrap();
        assert!(beat.agent > number);
        assert_eq!(agent_info(&observer, new.pid()).unwrap().agent, beat.agent);
    });
}

/// Many processes with one pid. Beats of some are read only after they, or their successors,
/// have exited.
#[test]
fn each_process_that_reuses_a_pid_is_an_agent() {
    in_namespaces(|path| {
        let mut observer = listening(path).threshold(NEVER).bind().unwrap();
        let mut pid = None;
        let mut events = Vec::new();
        for life in 1..=20_u8 {
            let mut agent = match pid {
                None => TestAgent::at(path),
                Some(pid) => TestAgent::forked_by(path, || fork_as(pid)),
            };
            pid = Some(agent.pid());
            agent.beat_and_end(1 + life % 3, End::Exit, life);
            // A busy observer checks for exits once in a millisecond. It cannot distinguish
            // processes that reuse a pid twice within that time.
            std::thread::sleep(ms(2));
            if life % 2 == 0 {
                events.extend(poll_until(&mut observer, is("beat")));
            }
            agent.reap();
            if life % 5 == 0 {
                events.extend(poll_all(&mut observer));
            }
        }
        while !observer.snapshot().unwrap().is_empty() {
            events.extend(observer.poll().unwrap());
        }
        let mut causes = Vec::new();
        for event in &events {
            if let What::Exit { cause, .. } = event.what {
                causes.push((event.about.unwrap().agent, cause));
            }
        }
        assert_eq!(causes.len(), 20, "{}", text_of(&events));
        for (life, cause) in causes.iter().enumerate() {
            let life = i32::try_from(life).unwrap() + 1;
            assert_eq!(cause.1, ExitCause::Code(life), "{}", text_of(&events));
        }
    });
}
