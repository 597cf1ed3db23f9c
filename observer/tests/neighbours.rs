//! Cases in which other observers are known to fail.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::panic;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{
    Child, Folder, NEVER, TestAgent, agent_info, assert_accounted, count, frame, in_child, is,
    is_about, ms, names, nonce, poll_all, poll_for, poll_until, system_calls_of, text_of,
};
use varta::{BeatOutcome, NONCE_TERMINAL, Status, Varta};
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{Builder, DEFAULT_CAPACITY, DEFAULT_THRESHOLD, Event, Observer, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap())
}

/// One process can have several handles and can reopen them.
#[test]
fn beats_of_a_second_and_of_a_restarted_handle_count() {
    const THRESHOLD: u64 = 1_000_000_000;
    let mut observer = Observer::simulated();
    observer.set_default_threshold(THRESHOLD);
    // Two handles with their own nonces, then each of them restarted. Without any one of these
    // beats the agent would be silent for more than the threshold.
    let nonces = [1, 900, 2, 901, 3, 902, 1, 903, 2, 1, 3, 2];
    let (mut now, mut sent) = (0, 0);
    for nonce in nonces.repeat(3) {
        now += THRESHOLD * 3 / 4;
        observer.advance(now);
        let sender = Sender::Kernel { pid: 77, uid: 0, process: None };
        observer.feed(now, &Datagram::new(0, sender, &frame(77, nonce)));
        sent += 1;
        let events: Vec<_> = std::iter::from_fn(|| observer.poll()).collect();
        assert_eq!(events.iter().map(support::nonce).collect::<Vec<_>>(), [Some(nonce)]);
    }
    let stats = observer.stats();
    assert_eq!((stats.beats, stats.stalls), (sent, 0), "{stats:?}");
    assert!(stats.not_forward > 0);
    assert_eq!(observer.snapshot()[0].beats, sent);
}

/// A caught panic sends last words, and the process then continues with its nonces.
#[test]
fn beats_after_a_caught_panic_count() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let child = Child::start(|| {
        panic::set_hook(Box::new(|_| {}));
        varta::install_panic_handler(&path).unwrap();
        let mut agent = Varta::connect(&path).unwrap();
        for _ in 0..3 {
            assert_eq!(agent.beat(Status::Ok, 0), BeatOutcome::Sent);
        }
        assert!(panic::catch_unwind(|| panic!("this panic is caught")).is_err());
        for _ in 0..3 {
            assert_eq!(agent.beat(Status::Ok, 1), BeatOutcome::Sent);
        }
    });
    let events = poll_until(&mut observer, is("exit"));
    child.finish();
    let nonces: Vec<_> = events.iter().filter_map(nonce).collect();
    assert_eq!(nonces, [1, 2, 3, NONCE_TERMINAL, 4, 5, 6]);
    assert!(events.iter().all(|event| event.about == events[0].about || event.about.is_none()));

    let agent = TestAgent::at(&path);
    let mut last = 0;
    for nonce in [4_000_000, NONCE_TERMINAL, 4_000_001, NONCE_TERMINAL, 1, 2] {
        agent.beat(nonce);
        let event = poll_until(&mut observer, is("beat")).pop().unwrap();
        let What::Beat { nonce: seen, missed, .. } = event.what else { panic!("{event}") };
        assert_eq!((seen, missed), (nonce, 0), "after {last}");
        last = nonce;
    }
}

/// Waiting at one socket must not delay another.
#[test]
fn udp_is_read_at_full_speed_while_the_unix_socket_is_idle() {
    const FRAMES: u64 = 1_000;
    let folder = Folder::new();
    let mut observer =
        listening(&folder.join("varta.sock")).udp(([127, 0, 0, 1], 0).into()).bind().unwrap();
    let address = observer.udp_addresses().next().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    for nonce in 1..=FRAMES {
        sender.send_to(&frame(77, nonce), address).unwrap();
        let events = poll_until(&mut observer, is("beat"));
        assert_eq!(events.last().and_then(support::nonce), Some(nonce));
    }
    // At ten frames a second it would take a hundred seconds.
    assert!(start.elapsed() < Duration::from_secs(50), "{:?}", start.elapsed());
    assert_accounted(&observer, FRAMES);
}

/// With several listeners no event is lost.
#[test]
fn every_listener_is_drained_to_the_last_event() {
    const ROUNDS: u64 = 200;
    let folder = Folder::new();
    let paths = ["one.sock", "two.sock"].map(|name| folder.join(name));
    let mut observer = listening(&paths[0])
        .listen(paths[1].to_str().unwrap().parse().unwrap())
        .udp(([127, 0, 0, 1], 0).into())
        .udp(([127, 0, 0, 1], 0).into())
        .threshold(NEVER)
        .bind()
        .unwrap();
    let agents = [TestAgent::at(&paths[0]), TestAgent::at(&paths[1])];
    let addresses: Vec<_> = observer.udp_addresses().collect();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut events = Vec::new();
    for nonce in 1..=ROUNDS {
        // All of them send before any datagram is read.
        for agent in &agents {
            agent.beat(nonce);
            agent.send(&[0; 32]);
        }
        for address in &addresses {
            udp.send_to(&frame(77, nonce), address).unwrap();
        }
        events.extend(poll_all(&mut observer));
    }
    events.extend(poll_all(&mut observer));
    let mut about: Vec<_> =
        events.iter().filter(|event| nonce(event).is_some()).map(|event| event.about).collect();
    assert_eq!(about.len() as u64, 4 * ROUNDS, "{}", text_of(&events));
    about.sort_by_key(|about| about.map(|about| about.agent));
    about.dedup();
    assert_eq!(about.len(), 4);
    assert_eq!(count(&events, "decode") as u64, 2 * ROUNDS);
    assert_accounted(&observer, 4 * ROUNDS);
}

/// The exact delay is measured by a benchmark. The regular tick of a second would find most
/// stalls later than this.
#[test]
fn a_stall_is_reported_in_time() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for threshold in [ms(60), ms(250)] {
        let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
        let agent = TestAgent::at(&path);
        let mut late = [1, 2, 3, 4, 5].map(|nonce| {
            agent.beat(nonce);
            let events = poll_until(&mut observer, is("stall"));
            let stall = events.last().unwrap();
            let What::Stall { last_ns, .. } = stall.what else { panic!("{stall}") };
            let silent = Duration::from_nanos(stall.observer_ns - last_ns);
            assert!(silent >= threshold);
            silent - threshold
        });
        // A machine that is busy or held is late now and then, but not mostly.
        late.sort();
        assert!(late[2] < ms(250), "{late:?}");
    }
}

/// Once an agent is known, its beats cost only the system calls of a batch.
#[test]
fn a_beat_of_a_known_agent_costs_its_share_of_a_batch() {
    const BEATS: u64 = 8;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let calls = system_calls_of(
        || {
            let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
            let agent = UnixDatagram::unbound().unwrap();
            agent.connect(&path).unwrap();
            let mut round = move |from| {
                let (own_pid, mut received) = (std::process::id(), 0);
                for nonce in from..from + BEATS {
                    agent.send(&frame(own_pid, nonce)).unwrap();
                }
                while received < BEATS {
                    received += u64::from(observer.poll_timeout(NEVER).unwrap().is_some());
                }
            };
            round(1);
            move || round(100)
        },
        || {},
    );
    let sends = usize::try_from(BEATS).unwrap();
    let total: usize = calls.values().sum();
    // One wait for descriptors, one read, and the clocks where they cost a system call.
    assert!(total - sends <= 6, "{calls:?}");
}

/// The capacity can be larger than the default, and an agent can have its own threshold.
#[test]
fn thousands_of_agents_are_followed_and_one_can_have_its_own_threshold() {
    const AGENTS: u32 = 6_000;
    assert_eq!((DEFAULT_CAPACITY, DEFAULT_THRESHOLD), (4_096, Duration::from_secs(2)));
    let mut observer = Builder::new()
        .udp(([127, 0, 0, 1], 0).into())
        .capacity(100_000)
        .threshold(NEVER)
        .bind()
        .unwrap();
    let address = observer.udp_addresses().next().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for pid in 2..AGENTS + 2 {
        sender.send_to(&frame(pid, 1), address).unwrap();
        if pid % 100 == 0 {
            poll_all(&mut observer);
        }
    }
    poll_all(&mut observer);
    assert_accounted(&observer, AGENTS.into());
    assert_eq!(observer.snapshot().unwrap().len(), 6_000);

    let agent =
        observer.snapshot().unwrap().into_iter().find(|agent| agent.claimed_pid == 5_000);
    let agent = agent.unwrap().agent;
    assert!(observer.set_threshold(agent, ms(50)).unwrap());
    assert!(!observer.set_threshold(u64::MAX, ms(50)).unwrap());
    let events = poll_until(&mut observer, is("stall"));
    assert_eq!(events.last().unwrap().about.unwrap().agent, agent);
    assert!(names(&poll_for(&mut observer, ms(100))).is_empty());
}

/// Recoveries, exits, missed and refused beats are events or counters.
#[test]
fn everything_that_happens_is_reported_or_counted() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = listening(&path).threshold(ms(80)).bind().unwrap();
    let agent = TestAgent::at(&path);
    agent.beat(1);
    poll_until(&mut observer, is("stall"));
    agent.beat(5);
    let events = poll_until(&mut observer, is("beat"));
    let [.., recovered, beat] = events.as_slice() else { panic!("{}", text_of(&events)) };
    let What::Recovered { silent_ns, .. } = recovered.what else { panic!("{recovered}") };
    assert!(Duration::from_nanos(silent_ns) >= ms(80));
    assert!(matches!(beat.what, What::Beat { missed: 3, .. }), "{beat}");
    assert!(is_about(recovered, agent.pid()) && recovered.about == beat.about);

    agent.send(&frame(2, 6));
    let forged = poll_until(&mut observer, is("auth-failure")).pop().unwrap();
    let what = What::AuthFailure { claimed_pid: 2, true_pid: agent.pid() };
    assert_eq!((forged.what, forged.about), (what, None));
    agent.exit(0);
    poll_until(&mut observer, is("exit"));
    let stats = observer.stats().unwrap();
    assert_eq!((stats.missed, stats.auth_failures, stats.beats), (3, 1, 2));
    assert_eq!((stats.recoveries, stats.exits), (1, 1));
}

/// The observer reports the status, payload and name of an agent unchanged.
#[test]
fn status_payload_and_name_arrive() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        std::fs::write("/proc/thread-self/comm", "worker (7)").unwrap();
        let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
        let mut beating = Varta::connect(&path).unwrap();
        assert_eq!(beating.beat(Status::Degraded, 4_000_000_000), BeatOutcome::Sent);
        let event: Event = poll_until(&mut observer, is("beat"))[0];
        let what = What::Beat {
            status: Status::Degraded,
            payload: 4_000_000_000,
            nonce: 1,
            missed: 0,
            count: 1,
        };
        assert_eq!(event.what, what);
        let known = agent_info(&observer, std::process::id()).unwrap();
        assert_eq!((known.status, known.beats), (Status::Degraded, 1));
        assert_eq!(known.name.to_string(), "worker (7)");
        assert_eq!(known.uid, std::fs::metadata("/proc/self").ok().map(|_| uid()));
    });
}

fn uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}
