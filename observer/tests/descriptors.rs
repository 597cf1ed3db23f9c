//! Shows what becomes of agents for whom there is no descriptor to spare: they are followed
//! all the same, and looked for when they have been silent too long.

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

/// Processes that have been heard twice, one after the other.
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

/// Whose event of this name was heard, by their places among the agents.
fn whose(events: &[Event], name: &str, agents: &[TestAgent]) -> Vec<usize> {
    let mut whose: Vec<_> = events
        .iter()
        .filter(|event| event.what.name() == name)
        .filter_map(|event| {
            agents.iter().position(|agent| agent.pid() == event.about.unwrap().pid)
        })
        .collect();
    whose.sort_unstable();
    whose
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
    // Everybody is back, should the machine have been slow.
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
    assert_eq!(whose(&events, "exit", &agents), gone);
    assert_eq!(whose(&events, "stall", &agents), [1, 2, 3, 4, 7], "{}", text_of(&events));
    for event in events.iter().filter(|event| event.what.name() == "exit") {
        let What::Exit { cause, .. } = event.what else { panic!("{event}") };
        let held = bound > 0 && event.about.unwrap().pid == agents[0].pid();
        let known = if held { ExitCause::Signal(libc::SIGKILL) } else { ExitCause::Unknown };
        assert_eq!(cause, known);
    }
    // One that dies after its Stall is found too, if late.
    end(&mut agents[7]);
    let events = poll_until(&mut observer, is("exit"));
    assert_eq!(whose(&events, "exit", &agents), [7], "{}", text_of(&events));
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
            let of_puppets = open_descriptors() - before;
            for agent in &agents {
                for nonce in [1, 2, 3] {
                    agent.beat(nonce);
                    poll_until(&mut observer, is("beat"));
                }
            }
            poll_all(&mut observer);
            assert_eq!(open_descriptors(), before + of_puppets + expected);
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

/// As when the host has opened all that it may.
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
        let hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(!hoard.is_empty());

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
        assert_eq!(whose(&events, "exit", &agents), gone, "{}", text_of(&events));

        // Now there are some again. Whoever beats is followed as all are.
        drop(hoard);
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

/// However many of them are left: the error says so, and no file stays behind.
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
