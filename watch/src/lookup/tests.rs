use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::*;
use crate::state;

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that lives as long as what is returned beside it. Its socket becomes readable when
/// it ends, as a pidfd does.
fn process(pid: u32) -> (Process, UnixStream) {
    let (alive, pidfd) = UnixStream::pair().unwrap();
    (Process { agent: pid.into(), task: 0, pid, pidfd: pidfd.into() }, alive)
}

const QUESTION: Question = Question::LockOwner { thread: 1 };

fn found() -> Option<Found> {
    Some(Found::LockOwner(LockOwner { thread: 1, does: Does::Unknown }))
}

#[test]
fn a_lookup_that_never_ends_keeps_nobody_waiting() {
    let most = u32::try_from(WAITING).unwrap();
    let (begun, has_begun) = channel();
    let (go, may_go) = channel::<()>();
    let lookups = Lookups::start_with(state::shared().unwrap().0, move |_, _| {
        begun.send(()).unwrap();
        may_go.recv().ok().and_then(|()| found())
    })
    .unwrap();
    let (processes, _alive): (Vec<_>, Vec<_>) = (0..=most + 1).map(process).unzip();
    for process in processes {
        let pid = process.pid;
        assert_eq!(lookups.ask(process, QUESTION), pid <= most, "the queue is full at last");
        if pid == 0 {
            has_begun.recv_timeout(PATIENCE).unwrap();
        }
    }
    assert_eq!(lookups.answers().count(), 0);

    // Once it ends, all others are answered.
    for _ in 0..=most {
        go.send(()).unwrap();
    }
    let answers = (0..=most).map(|_| lookups.answers.recv_timeout(PATIENCE).unwrap().agent);
    assert!(answers.eq(0..=u64::from(most)));
}

#[test]
fn there_is_no_answer_about_a_process_that_has_ended_meanwhile() {
    let (ended, alive) = process(1);
    drop(alive);
    let (ending, ends) = process(2);
    let (living, _alive) = process(3);
    let mut ends = Some(ends);
    let lookups = Lookups::start_with(state::shared().unwrap().0, move |pid, _| {
        assert_ne!(pid, 1, "another process may have its pid by now");
        if pid == 2 {
            ends.take();
        }
        found()
    })
    .unwrap();
    for process in [ended, ending, living] {
        assert!(lookups.ask(process, QUESTION));
    }
    assert_eq!(lookups.answers.recv_timeout(PATIENCE).unwrap().agent, 3);
}
