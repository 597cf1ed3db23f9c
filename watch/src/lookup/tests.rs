use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::*;
use crate::state;

const PATIENCE: Duration = Duration::from_secs(60);

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn about(child: &Child, agent: u64) -> Process {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    Process { agent, task: 0, pid: child.id(), pidfd }
}

const QUESTION: Question = Question::LockOwner { thread: 1 };

fn found() -> Option<Found> {
    Some(Found::LockOwner(LockOwner { thread: 1, does: Does::Unknown }))
}

#[test]
fn a_lookup_that_never_ends_keeps_nobody_waiting() {
    let mut child = sleeper();
    let (begun, has_begun) = channel();
    let (go, may_go) = channel::<()>();
    let lookups = Lookups::start_with(state::shared().unwrap().0, move |_, _| {
        begun.send(()).unwrap();
        may_go.recv().ok().and_then(|()| found())
    })
    .unwrap();
    assert!(lookups.ask(about(&child, 0), QUESTION));
    has_begun.recv_timeout(PATIENCE).unwrap();
    for agent in 1..=WAITING {
        assert!(lookups.ask(about(&child, agent.try_into().unwrap()), QUESTION));
    }
    assert!(!lookups.ask(about(&child, 99), QUESTION), "the queue is full");
    assert_eq!(lookups.answers().count(), 0);

    // Once it ends, all others are answered.
    for _ in 0..=WAITING {
        go.send(()).unwrap();
    }
    let answers = (0..=WAITING).map(|_| lookups.answers.recv_timeout(PATIENCE).unwrap().agent);
    assert!(answers.eq(0..=WAITING as u64));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn there_is_no_answer_about_a_process_that_has_ended_meanwhile() {
    let (mut ended, mut ending, mut alive) = (sleeper(), sleeper(), sleeper());
    let (ended_already, ends_in_between, lives) =
        (about(&ended, 1), about(&ending, 2), about(&alive, 3));
    let victim = ends_in_between.pidfd.try_clone().unwrap();
    let (of_ending, of_ended) = (ending.id(), ended.id());
    ended.kill().unwrap();
    ended.wait().unwrap();
    let lookups = Lookups::start_with(state::shared().unwrap().0, move |pid, _| {
        assert_ne!(pid, of_ended, "another process may have its pid by now");
        if pid == of_ending {
            pidfd_send_signal(&victim, Signal::KILL).unwrap();
            while !has_ended(&victim) {}
        }
        found()
    })
    .unwrap();
    for process in [ended_already, ends_in_between, lives] {
        assert!(lookups.ask(process, QUESTION));
    }
    assert_eq!(lookups.answers.recv_timeout(PATIENCE).unwrap().agent, 3);
    for child in [&mut ending, &mut alive] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
