//! Floods: a fast agent takes nothing from the others, and under any load each accepted beat
//! is one event.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{
    Folder, NEVER, PATIENCE, Sender, assert_accounted, count, frame, is, is_about, kill, ms,
    poll_all, poll_until, stop, text_of, wait_until,
};
use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Event, Observer, Rate, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap())
}

/// The number of beats of each process.
fn beats(events: &[Event]) -> HashMap<u32, u64> {
    let mut beats = HashMap::new();
    for event in events.iter().filter(|event| event.what.name() == "beat") {
        *beats.entry(event.about.unwrap().pid).or_default() += 1;
    }
    beats
}

#[test]
fn a_flood_takes_nothing_from_fifty_other_agents() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(3_000), 0o600).unwrap();
    let quiet: Vec<_> = (0..50).map(|_| Sender::five_times_a_second(&path)).collect();
    let mut events = Vec::new();
    while observer.snapshot().unwrap().len() < 50 {
        events.extend(observer.poll().unwrap());
    }
    let flood = Sender::flood(&path);
    let start = Instant::now();
    let mut dead = None;
    let mut found = None;
    while start.elapsed() < ms(5_000) || found.is_none() {
        assert!(start.elapsed() < PATIENCE);
        let event = observer.poll().unwrap();
        if start.elapsed() > ms(1_500) && dead.is_none() {
            kill(quiet[7].pid(), libc::SIGKILL);
            dead = Some((quiet[7].pid(), Instant::now()));
        }
        let Some(event) = event else { continue };
        match (event.what, dead) {
            (What::Exit { .. }, Some((pid, since))) if is_about(&event, pid) => {
                found = Some(since.elapsed());
            }
            (What::Stall { .. }, _) => {
                let agent = quiet.iter().find(|one| is_about(&event, one.pid())).unwrap();
                assert!(agent.longest() >= ms(2_900), "{event}: {:?}", agent.longest());
            }
            (What::Exit { .. }, _) => panic!("{event}"),
            _ => {}
        }
        events.push(event);
    }
    let slowest = quiet.iter().filter(|one| one.pid() != quiet[7].pid()).map(Sender::longest);
    let slowest = slowest.max().unwrap();
    assert!(found.unwrap() < ms(2_000) + slowest, "{found:?}");
    // All agents are still followed, and all beats that the kernel accepted are reported.
    assert_eq!(observer.snapshot().unwrap().len(), 50);
    let all: Vec<_> = quiet.iter().chain([&flood]).collect();
    let alive: Vec<_> = all.iter().copied().filter(|one| one.pid() != quiet[7].pid()).collect();
    events.extend(stop(&mut observer, &alive));
    let beats = beats(&events);
    for sender in alive {
        assert_eq!(beats[&sender.pid()], sender.accepted());
    }
    assert_accounted(&observer, count(&events, "beat") as u64);
}

/// A process that beats too fast must not cost a slow one its beats, with a rate limit or
/// without.
#[test]
fn a_rate_limit_takes_beats_only_from_the_agent_that_is_too_fast() {
    for limit in [None, Some(Rate { per_second: 20, burst: 5 })] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut builder = listening(&path).threshold(ms(2_000));
        if let Some(limit) = limit {
            builder = builder.rate_per_agent(limit).rate(Rate { per_second: 1_000, burst: 10 });
        }
        let mut observer = builder.bind().unwrap();
        let slow = Sender::start(|| {
            let mut agent = Varta::connect(&path).unwrap();
            let mut taken = 0;
            move || {
                std::thread::sleep(ms(60));
                // Retries when the queue is full, because this test is about the beats that
                // the kernel accepted.
                wait_until(|| taken >= 30 || agent.beat(Status::Ok, 0) == BeatOutcome::Sent);
                taken += 1;
                taken <= 30
            }
        });
        let fast = Sender::flood(&path);
        let mut events = Vec::new();
        let start = Instant::now();
        while slow.accepted() < 30 {
            assert!(start.elapsed() < PATIENCE);
            events.extend(observer.poll().unwrap());
        }
        events.extend(stop(&mut observer, &[&slow, &fast]));
        let beats = beats(&events);
        assert_eq!(beats[&slow.pid()], 30);
        let starved = slow.longest() >= ms(1_900);
        assert!(count(&events, "stall") == 0 || starved, "{}", text_of(&events));
        let stats = observer.stats().unwrap();
        assert_eq!(stats.settled(), stats.received);
        assert_eq!(stats.rate_limited_global, 0);
        assert_eq!(stats.rate_limited_agent > 0, limit.is_some());
        assert_eq!(beats[&fast.pid()] + stats.rate_limited_agent, fast.accepted());
    }
}

#[test]
fn a_silent_agent_is_found_during_a_flood() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(500), 0o600).unwrap();
    let silent = Sender::start(|| {
        let mut agent = Varta::connect(&path).unwrap();
        move || {
            let taken = agent.beat(Status::Ok, 0) == BeatOutcome::Sent;
            wait_until(|| false);
            taken
        }
    });
    poll_until(&mut observer, is("beat"));
    let floods = [(); 2].map(|()| Sender::flood(&path));
    let events = poll_until(&mut observer, is("stall"));
    let stall = events.last().unwrap();
    assert!(is_about(stall, silent.pid()), "{stall}");
    let What::Stall { last_ns, .. } = stall.what else { panic!("{stall}") };
    let late = Duration::from_nanos(stall.observer_ns - last_ns) - ms(500);
    // Beats can be lost in a flood, so a Stall may be put off for ten thresholds.
    assert!(late < ms(5_500) || count(&events, "paused") > 0, "{late:?}");
    drop(floods);
}

/// Floods both sockets for two seconds and then compares the counts.
#[test]
fn floods_over_udp_and_unix_are_fully_accounted_for() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer =
        listening(&path).udp(([127, 0, 0, 1], 0).into()).threshold(NEVER).bind().unwrap();
    let address: SocketAddr = observer.udp_addresses().next().unwrap();
    let local = [(); 2].map(|()| Sender::flood(&path));
    let network = Sender::start(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut nonce = 0;
        move || {
            nonce += 1;
            socket.send_to(&frame(77, nonce), address).is_ok()
        }
    });
    let mut events = vec![Event::NOTHING; 100];
    let (start, mut beats) = (Instant::now(), HashMap::<_, u64>::new());
    let mut note = |events: &[Event]| {
        for event in events {
            match event.what {
                What::Beat { .. } => *beats.entry(event.about.unwrap().pid).or_default() += 1,
                What::Paused { .. } => {}
                _ => panic!("{event}"),
            }
        }
    };
    while start.elapsed() < ms(2_000) {
        let count = observer.poll_many(&mut events, ms(100)).unwrap();
        note(&events[..count]);
    }
    note(&stop(&mut observer, &[&local[0], &local[1], &network]));
    for sender in &local {
        assert_eq!(beats[&sender.pid()], sender.accepted());
    }
    let stats = observer.stats().unwrap();
    // The kernel reports drops with the next datagram that it delivers.
    let from_network = beats[&0] + stats.kernel_drops;
    assert!(from_network <= network.accepted() && beats[&0] > 0);
    assert_accounted(&observer, beats.values().sum());
    assert_eq!(stats.received, stats.beats);
}

/// A poll returns even if all datagrams cause no event.
#[test]
fn a_flood_of_invalid_datagrams_does_not_block_a_poll() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer =
        listening(&path).udp(([127, 0, 0, 1], 0).into()).threshold(NEVER).bind().unwrap();
    let address: SocketAddr = observer.udp_addresses().next().unwrap();
    let floods = [
        Sender::start(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            move || socket.send_to(&[7; 33], address).is_ok()
        }),
        Sender::start(|| {
            let socket = UnixDatagram::unbound().unwrap();
            socket.connect(&path).unwrap();
            move || socket.send(&[7; 31]).is_ok()
        }),
    ];
    let slow = Sender::five_times_a_second(&path);
    let (start, mut polls, mut beats) = (Instant::now(), 0, 0);
    let mut events = [Event::NOTHING; 8];
    while start.elapsed() < ms(1_500) || beats < 3 {
        assert!(start.elapsed() < PATIENCE);
        let received = match polls % 3 {
            0 => observer.poll_many(&mut events, Duration::ZERO).unwrap(),
            1 => observer.poll_timeout(Duration::ZERO).unwrap().iter().count(),
            _ => observer.poll_timeout(ms(10)).unwrap().iter().count(),
        };
        beats += received;
        polls += 1;
    }
    let stats = observer.stats().unwrap();
    assert!(stats.wrong_length > 1_000 && stats.settled() == stats.received, "{stats:?}");
    drop((floods, slow));
}

/// A listener with many queued datagrams must not keep others from being read.
#[test]
fn a_long_queue_does_not_delay_another_listener() {
    const QUEUED: u64 = 400;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let endpoint = || path.to_str().unwrap().parse().unwrap();
    let here: SocketAddr = ([127, 0, 0, 1], 0).into();
    // With each of them as the first.
    for both in [
        Builder::new().udp(here).listen(endpoint()),
        Builder::new().listen(endpoint()).udp(here),
    ] {
        let mut observer = both.threshold(NEVER).bind().unwrap();
        let address = observer.udp_addresses().next().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for nonce in 1..=QUEUED {
            sender.send_to(&frame(77, nonce), address).unwrap();
        }
        let local = UnixDatagram::unbound().unwrap();
        local.send_to(&frame(std::process::id(), 1), &path).unwrap();
        let events = poll_until(&mut observer, |event| is_about(event, std::process::id()));
        // Only one or two batches of the other listener are read before it.
        assert!((events.len() as u64) < QUEUED / 2, "after {} others", events.len() - 1);
        let received = events.len() + poll_all(&mut observer).len();
        assert_eq!(received as u64, QUEUED + 1);
    }
}
