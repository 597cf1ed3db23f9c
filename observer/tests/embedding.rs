//! An observer in a host's event loop: its descriptor is readable exactly when there are
//! events, and it does not wake a quiet host.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use support::{
    End, Folder, NEVER, PATIENCE, TestAgent, is, kill, ms, names, poll_all, poll_until,
    readable_within, wait_until,
};
use varta_observer::{Builder, Event, Observer};

/// Polls like a host that waits for only this descriptor.
fn poll_when_readable(
    observer: &mut Observer,
    mut is_it: impl FnMut(&Event) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    while !events.last().is_some_and(&mut is_it) {
        assert!(readable_within(observer.as_fd(), PATIENCE), "{events:?}");
        events.extend(observer.poll_timeout(Duration::ZERO).unwrap());
    }
    events
}

#[test]
fn the_descriptor_is_readable_for_each_kind_of_event() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(100);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    // The descriptor was requested before there was any agent.
    assert!(!readable_within(observer.as_fd(), Duration::ZERO));
    let mut agent = TestAgent::at(&path);
    agent.beat(1);
    let events = poll_when_readable(&mut observer, is("stall"));
    assert_eq!(names(&events), ["beat", "stall"]);
    agent.beat(2);
    let events = poll_when_readable(&mut observer, is("stall"));
    assert_eq!(names(&events), ["recovered", "beat", "stall"]);
    agent.send(&[0; 32]);
    poll_when_readable(&mut observer, is("decode"));
    kill(agent.pid(), libc::SIGKILL);
    poll_when_readable(&mut observer, is("exit"));
    agent.reap();
    assert!(observer.snapshot().unwrap().is_empty());
}

#[test]
fn the_descriptor_is_readable_until_all_events_are_taken() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let agent = TestAgent::at(&path);
    let readable = |observer: &Observer| readable_within(observer.as_fd(), Duration::ZERO);
    for round in 0..3 {
        for beat in 1..=8 {
            agent.beat(round * 8 + beat);
        }
        for _ in 1..=8 {
            assert!(readable(&observer));
            let event = observer.poll_timeout(Duration::ZERO).unwrap().unwrap();
            assert_eq!(event.what.name(), "beat");
        }
        // It may be readable once more without an event.
        wait_until(|| poll_all(&mut observer).is_empty() && !readable(&observer));
    }
    // Other poll functions behave the same.
    agent.beat(100);
    agent.beat(101);
    assert!(observer.poll_timeout(NEVER).unwrap().is_some());
    assert!(readable(&observer));
    let mut events = [Event::NOTHING; 4];
    assert_eq!(observer.poll_many(&mut events, NEVER).unwrap(), 1);
    wait_until(|| poll_all(&mut observer).is_empty() && !readable(&observer));
}

/// Many stalls and exits at the same time, taken one by one.
#[test]
fn the_descriptor_is_readable_while_stalls_and_exits_are_pending() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(150);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    let mut agents: Vec<_> = (0..30).map(|_| TestAgent::at(&path)).collect();
    for agent in &agents {
        agent.beat(1);
        poll_until(&mut observer, is("beat"));
    }
    std::thread::sleep(threshold * 2);
    while observer.stats().unwrap().stalls < 30 {
        assert!(readable_within(observer.as_fd(), PATIENCE));
        observer.poll_timeout(Duration::ZERO).unwrap();
    }
    for agent in &mut agents {
        agent.beat_and_end(1, End::Exit, 0);
        agent.reap();
        poll_all(&mut observer);
    }
    while observer.stats().unwrap().exits < 30 {
        assert!(readable_within(observer.as_fd(), PATIENCE));
        observer.poll_timeout(Duration::ZERO).unwrap();
    }
}

#[test]
fn a_host_can_sleep_until_the_next_deadline() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(500);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    assert_eq!(observer.next_deadline().unwrap(), None);
    let agent = TestAgent::at(&path);
    agent.beat(1);
    let beat = poll_until(&mut observer, is("beat"))[0];
    assert!(observer.next_deadline().unwrap().unwrap() <= threshold);
    let (mut polls, mut paused) = (0, false);
    let stall = loop {
        std::thread::sleep(observer.next_deadline().unwrap().unwrap());
        match observer.poll_timeout(Duration::ZERO).unwrap() {
            Some(event) if event.what.name() == "stall" => break event,
            // On a busy machine.
            Some(event) if event.what.name() == "paused" => paused = true,
            Some(event) => panic!("{event}"),
            None => polls += 1,
        }
    };
    // The deadline may be early, but not often.
    assert!(polls <= 8 || paused, "{polls} polls");
    let silent = Duration::from_nanos(stall.observer_ns - beat.observer_ns);
    assert!(silent >= threshold && (silent < threshold * 2 || paused), "{silent:?}");
    assert_eq!(
        observer.next_deadline().unwrap(),
        None,
        "the kernel reports the exit of a stalled agent"
    );
    agent.beat(2);
    agent.beat(3);
    poll_until(&mut observer, is("recovered"));
    assert_eq!(
        observer.next_deadline().unwrap(),
        Some(Duration::ZERO),
        "its beats are pending"
    );
}

/// The number of voluntary context switches of this thread.
fn waits() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn a_quiet_observer_wakes_at_most_once_a_second() {
    let folder = Folder::new();
    let observers = [ms(60_000), ms(20_000), NEVER].map(|threshold| {
        let path = folder.join(&format!("{}", threshold.as_millis()));
        let endpoint = path.to_str().unwrap().parse().unwrap();
        let mut observer = Builder::new().listen(endpoint).threshold(threshold).bind().unwrap();
        let agents: Vec<_> = (0..5).map(|_| TestAgent::at(&path)).collect();
        for agent in &agents {
            for nonce in [1, 2] {
                agent.beat(nonce);
                poll_until(&mut observer, is("beat"));
            }
        }
        (observer, agents)
    });
    // Each in its own thread, first blocking and then with poll(2).
    std::thread::scope(|scope| {
        for (mut observer, agents) in observers {
            scope.spawn(move || {
                let before = waits();
                assert_eq!(observer.poll_timeout(ms(3_000)).unwrap(), None);
                let blocking = waits() - before;
                // Three ticks, the end of the wait, and other reasons for a thread to wait.
                assert!(blocking <= 6, "{blocking} wakes");

                for (nonce, agent) in (3..).zip(&agents) {
                    agent.beat(nonce);
                    poll_until(&mut observer, is("beat"));
                }
                let (start, mut wakes) = (Instant::now(), 0);
                while start.elapsed() < ms(3_000) {
                    let left = ms(3_000).saturating_sub(start.elapsed());
                    wakes += u64::from(readable_within(observer.as_fd(), left));
                    assert_eq!(observer.poll_timeout(Duration::ZERO).unwrap(), None);
                }
                assert!(wakes <= 6, "{wakes} wakes");
                drop(agents);
            });
        }
    });
}
