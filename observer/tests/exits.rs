//! The end of a process is one Exit with its cause, after all its beats and long before its
//! silence would be a Stall.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::time::{Duration, Instant};

use support::{
    Child, End, Folder, NEVER, PATIENCE, TestAgent, agent_info, assert_accounted, count, is,
    is_about, kill, ms, names, nonce, poll_all, poll_for, poll_until, shared_numbers, text_of,
    wait_until,
};
use varta::{Status, Varta};
use varta_observer::{Event, ExitCause, Observer, What};

fn cause(event: &Event) -> ExitCause {
    match event.what {
        What::Exit { cause, .. } => cause,
        _ => panic!("{event}"),
    }
}

#[test]
fn each_exit_has_its_cause() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    type Ending = fn(&TestAgent);
    let ends: [(Ending, ExitCause); 4] = [
        (|agent| kill(agent.pid(), libc::SIGKILL), ExitCause::Signal(libc::SIGKILL)),
        (|agent| agent.exit(7), ExitCause::Code(7)),
        (|agent| agent.exit(0), ExitCause::Code(0)),
        (|agent| agent.die_of(libc::SIGSEGV), ExitCause::Signal(libc::SIGSEGV)),
    ];
    for reaped_first in [false, true] {
        for (end, expected) in ends {
            let mut agent = TestAgent::at(&path);
            agent.beat(1);
            let first = poll_until(&mut observer, is("beat"))[0];
            end(&agent);
            if reaped_first {
                agent.reap();
            }
            let exit = poll_until(&mut observer, is("exit")).pop().unwrap();
            assert_eq!((exit.about, cause(&exit)), (first.about, expected));
            assert!(agent_info(&observer, agent.pid()).is_none());
        }
    }
    assert!(observer.snapshot().unwrap().is_empty());
    assert_accounted(&observer, 8);
}

/// Under a service manager the observer is not the parent of the agents.
#[test]
fn the_exit_of_another_process_child_has_its_cause() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let [pid, go] = shared_numbers();
    let _parent = Child::start(|| {
        let mut child = Child::start(|| {
            let mut agent = Varta::connect(&path).unwrap();
            let _ = agent.beat(Status::Degraded, 0);
            wait_until(|| go.load(std::sync::atomic::Ordering::SeqCst) == 1);
            // SAFETY: ends this child.
            #[allow(unsafe_code, reason = "an exit code")]
            unsafe {
                libc::_exit(7)
            };
        });
        pid.store(child.pid().into(), std::sync::atomic::Ordering::SeqCst);
        child.wait();
        wait_until(|| false);
    });
    poll_until(&mut observer, is("beat"));
    go.store(1, std::sync::atomic::Ordering::SeqCst);
    let exit = poll_until(&mut observer, is("exit")).pop().unwrap();
    assert_eq!(
        exit.what,
        What::Exit { cause: ExitCause::Code(7), last_status: Status::Degraded }
    );
    let pid = u32::try_from(pid.load(std::sync::atomic::Ordering::SeqCst)).unwrap();
    assert!(is_about(&exit, pid));
}

#[test]
fn an_exit_is_reported_after_all_queued_beats() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(300), 0o600).unwrap();
    for already_followed in [false, true] {
        // Any kernel queues at least this many.
        let beats = 10;
        let mut agent = TestAgent::at(&path);
        let pid = agent.pid();
        if already_followed {
            agent.beat(1 << 40);
            poll_until(&mut observer, is("beat"));
        }
        // The next poll finds the exit and the beats together.
        assert!(names(&poll_all(&mut observer)).is_empty());
        agent.beat_and_end(beats, End::Exit, 3);
        agent.wait_for_end();
        let events = poll_until(&mut observer, is("exit"));
        let nonces: Vec<_> = events.iter().filter_map(nonce).collect();
        assert_eq!(nonces, (1..=beats.into()).collect::<Vec<u64>>(), "{}", text_of(&events));
        assert!(events.iter().all(|event| event.about.is_none() || is_about(event, pid)));
        assert_eq!(cause(events.last().unwrap()), ExitCause::Code(3));
        assert!(agent_info(&observer, pid).is_none());
        agent.reap();
        // There are no further events about it.
        let later = poll_for(&mut observer, ms(700));
        assert!(names(&later).is_empty(), "{}", text_of(&later));
    }
}

/// There are more exits than one epoll wait returns, and all agents are past their deadlines.
#[test]
fn many_exits_at_once_cause_no_stall() {
    const MANY: usize = 200;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(400);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    let mut agents = Vec::new();
    for _ in 0..MANY {
        let agent = TestAgent::at(&path);
        // With a second beat, so that all pidfds were passed with datagrams.
        for nonce in [1, 2] {
            agent.beat(nonce);
            poll_until(&mut observer, is("beat"));
        }
        agents.push(agent);
    }
    // Agents that have stalled because starting all of them took long recover here.
    for agent in &agents {
        agent.beat(3);
        poll_all(&mut observer);
    }
    let mut events = poll_all(&mut observer);
    let stalled_before = observer.stats().unwrap().stalls;
    for agent in &mut agents {
        kill(agent.pid(), libc::SIGKILL);
        agent.reap();
    }
    // The host is busy with other work.
    std::thread::sleep(threshold * 2);
    let start = Instant::now();
    while count(&events, "exit") < MANY {
        assert!(start.elapsed() < PATIENCE, "{}", text_of(&events));
        events.extend(observer.poll_timeout(Duration::ZERO).unwrap());
    }
    assert_eq!(observer.stats().unwrap().stalls, stalled_before, "{}", text_of(&events));
    assert!(
        events
            .iter()
            .filter(|event| event.what.name() == "exit")
            .all(|exit| { cause(exit) == ExitCause::Signal(libc::SIGKILL) })
    );
    assert!(observer.snapshot().unwrap().is_empty());
}

#[test]
fn without_exit_detection_an_exited_agent_stalls() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let endpoint = path.to_str().unwrap().parse().unwrap();
    let mut observer = Observer::builder()
        .listen(endpoint)
        .threshold(ms(200))
        .detect_exits(false)
        .bind()
        .unwrap();
    let mut agent = TestAgent::at(&path);
    agent.beat(1);
    poll_until(&mut observer, is("beat"));
    agent.exit(0);
    agent.reap();
    let events = poll_until(&mut observer, is("stall"));
    assert_eq!(names(&events), ["stall"]);
    assert!(agent_info(&observer, agent.pid()).unwrap().stalled);
}
