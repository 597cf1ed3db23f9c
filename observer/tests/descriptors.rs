//! Agents for which there is no descriptor are followed too, and looked up when they are
//! silent for too long.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use support::{
    Folder, NEVER, TestAgent, count, in_child, is, kill, limit_descriptors, ms,
    open_descriptors, poll_all, poll_for, poll_until, text_of, wait_until,
};
use varta::BeatError;
use varta_observer::{Builder, Event, ExitCause, Observer, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap())
}

/// Agents with two beats each.
fn agents_with_two_beats(
    observer: &mut Observer,
    path: &Path,
    how_many: usize,
) -> Vec<TestAgent> {
    let agents: Vec<_> = (0..how_many).map(|_| TestAgent::at(path)).collect();
    for agent in &agents {
        for nonce in [1, 2] {
            agent.beat(nonce);
            poll_until(observer, is("beat"));
        }
    }
    agents
}

fn end(agent: &mut TestAgent) {
    kill(agent.pid(), libc::SIGKILL);
    agent.reap();
}

/// The agents with an event of this name, as indexes.
fn indexes_of(events: &[Event], name: &str, agents: &[TestAgent]) -> Vec<usize> {
    let mut indexes: Vec<_> = events
        .iter()
        .filter(|event| event.what.name() == name)
        .filter_map(|event| {
            agents.iter().position(|agent| agent.pid() == event.about.unwrap().pid)
        })
        .collect();
    indexes.sort_unstable();
    indexes
}

#[test]
fn exits_beyond_the_descriptor_bound_are_found() {
    assert_exits_are_found(3);
}

#[test]
fn exits_are_found_without_descriptors() {
    assert_exits_are_found(0);
}

fn assert_exits_are_found(bound: usize) {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(250);
    let mut observer = listening(&path).threshold(threshold).descriptors(bound).bind().unwrap();
    let mut agents = agents_with_two_beats(&mut observer, &path, 8);
    assert_eq!(observer.snapshot().unwrap().len(), 8);
    poll_all(&mut observer);
    // Agents that have stalled on a slow machine recover here.
    for (nonce, agent) in (3..).zip(&agents) {
        agent.beat(nonce);
        poll_until(&mut observer, is("beat"));
    }
    let gone = [0, 5, 6];
    gone.into_iter().for_each(|nth| end(&mut agents[nth]));
    let mut events = Vec::new();
    while count(&events, "exit") < 3 || count(&events, "stall") < 5 {
        assert!(events.len() < 100, "{}", text_of(&events));
        events.extend(observer.poll().unwrap());
    }
    assert_eq!(indexes_of(&events, "exit", &agents), gone);
    assert_eq!(indexes_of(&events, "stall", &agents), [1, 2, 3, 4, 7], "{}", text_of(&events));
    for event in events.iter().filter(|event| event.what.name() == "exit") {
        let What::Exit { cause, .. } = event.what else { panic!("{event}") };
        let held = bound > 0 && event.about.unwrap().pid == agents[0].pid();
        let known = if held { ExitCause::Signal(libc::SIGKILL) } else { ExitCause::Unknown };
        assert_eq!(cause, known);
    }
    // An agent that exits after its Stall is found too, but later.
    end(&mut agents[7]);
    let events = poll_until(&mut observer, is("exit"));
    assert_eq!(indexes_of(&events, "exit", &agents), [7], "{}", text_of(&events));
    assert_eq!(observer.snapshot().unwrap().len(), 4);
}

#[test]
fn no_more_descriptors_are_held_than_allowed_and_none_leaks() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        for (bound, expected) in [(0, 0), (4, 4), (100, 12)] {
            let mut observer =
                listening(&path).threshold(NEVER).descriptors(bound).bind().unwrap();
            let before = open_descriptors();
            let mut agents: Vec<_> = (0..12).map(|_| TestAgent::at(&path)).collect();
            let in_use_by_agents = open_descriptors() - before;
            for agent in &agents {
                for nonce in [1, 2, 3] {
                    agent.beat(nonce);
                    poll_until(&mut observer, is("beat"));
                }
            }
            poll_all(&mut observer);
            assert_eq!(open_descriptors(), before + in_use_by_agents + expected);
            agents.iter_mut().for_each(end);
            wait_until(|| {
                poll_all(&mut observer);
                observer.stats().unwrap().exits == expected as u64
            });
            drop(agents);
            assert_eq!(open_descriptors(), before);
        }
    });
}

/// The host itself has used up all descriptors.
#[test]
fn exits_are_found_when_descriptors_run_out() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let threshold = ms(400);
        let mut observer = listening(&path).threshold(threshold).bind().unwrap();
        let mut agents: Vec<_> = (0..10).map(|_| TestAgent::at(&path)).collect();
        let next = File::open("/dev/null").unwrap().as_raw_fd();
        limit_descriptors(u64::try_from(next).unwrap() + 3);
        let files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(!files.is_empty());

        for agent in &agents {
            for nonce in [1, 2] {
                agent.beat(nonce);
                poll_until(&mut observer, |event| support::nonce(event) == Some(nonce));
            }
        }
        assert_eq!(observer.snapshot().unwrap().len(), 10);
        for (nonce, agent) in (3..).zip(&agents) {
            agent.beat(nonce);
            poll_until(&mut observer, is("beat"));
        }
        let gone = [2, 3];
        gone.into_iter().for_each(|nth| end(&mut agents[nth]));
        let mut events = Vec::new();
        while count(&events, "exit") < 2 || count(&events, "stall") < 8 {
            assert!(events.len() < 100, "{}", text_of(&events));
            events.extend(observer.poll().unwrap());
        }
        assert_eq!(indexes_of(&events, "exit", &agents), gone, "{}", text_of(&events));

        // There are free descriptors again. An agent gets one with its next beats.
        drop(files);
        for nonce in [100, 101] {
            agents[9].beat(nonce);
            poll_until(&mut observer, |event| support::nonce(event) == Some(nonce));
        }
        end(&mut agents[9]);
        let events = poll_until(&mut observer, is("exit"));
        let What::Exit { cause, .. } = events.last().unwrap().what else { panic!() };
        assert_eq!(cause, ExitCause::Signal(libc::SIGKILL), "{}", text_of(&events));
        let _ = poll_for(&mut observer, Duration::ZERO);
    });
}

/// With any number of free descriptors, bind works, or returns an error and leaves no file.
#[test]
fn bind_without_enough_descriptors_fails_and_leaves_no_file() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for left in 0..12 {
        in_child(|| {
            let next = u64::try_from(File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
            limit_descriptors(next + left);
            match Observer::bind(&path, NEVER, 0o640) {
                Ok(observer) => {
                    assert!(path.exists() && left > 3);
                    limit_descriptors(0);
                    drop(observer);
                }
                Err(error) => {
                    assert_eq!(BeatError::from_io(&error).errno, libc::EMFILE, "{error}");
                    assert!(left < 11, "{error}");
                }
            }
        });
        assert!(!path.exists(), "with {left} descriptors left");
    }
}
