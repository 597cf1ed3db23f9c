//! Shows that one who is loud takes nothing from the others, and that under any load each
//! accepted beat comes out as one event.

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
    Folder, NEVER, PATIENCE, Sending, assert_accounted, count, frame, hear_all, hear_until, is,
    is_about, kill, ms, spelled, stop, wait_until,
};
use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Event, Observer, Rate, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap())
}

/// How many beats of each process were heard.
fn beats(events: &[Event]) -> HashMap<u32, u64> {
    let mut beats = HashMap::new();
    for event in events.iter().filter(|event| event.what.name() == "beat") {
        *beats.entry(event.about.unwrap().pid).or_default() += 1;
    }
    beats
}

#[test]
fn fifty_beside_a_flood() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(3_000), 0o600).unwrap();
    let quiet: Vec<_> = (0..50).map(|_| Sending::five_times_a_second(&path)).collect();
    let mut heard = Vec::new();
    while observer.snapshot().unwrap().len() < 50 {
        heard.extend(observer.poll().unwrap());
    }
    let flood = Sending::flood(&path);
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
                let whose = quiet.iter().find(|one| is_about(&event, one.pid())).unwrap();
                assert!(whose.longest() >= ms(2_900), "{event}: {:?}", whose.longest());
            }
            (What::Exit { .. }, _) => panic!("{event}"),
            _ => {}
        }
        heard.push(event);
    }
    let slowest = quiet.iter().filter(|one| one.pid() != quiet[7].pid()).map(Sending::longest);
    let slowest = slowest.max().unwrap();
    assert!(found.unwrap() < ms(2_000).max(slowest), "{found:?}");
    // Everyone is still there, and all that was taken of anybody is heard.
    assert_eq!(observer.snapshot().unwrap().len(), 50);
    let all: Vec<_> = quiet.iter().chain([&flood]).collect();
    let living: Vec<_> =
        all.iter().copied().filter(|one| one.pid() != quiet[7].pid()).collect();
    heard.extend(stop(&mut observer, &living));
    let beats = beats(&heard);
    for sending in living {
        assert_eq!(beats[&sending.pid()], sending.taken());
    }
    assert_accounted(&observer, count(&heard, "beat") as u64);
}

/// "One process beating too fast starves a slow neighbour (26 of 30 beats lost, 4 false
/// stalls)": what a rate limit takes, it takes from the one who is too fast.
#[test]
fn a_slow_neighbour_of_one_too_fast() {
    for limit in [None, Some(Rate { per_second: 20, burst: 5 })] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut builder = listening(&path).threshold(ms(2_000));
        if let Some(limit) = limit {
            builder = builder.rate_per_agent(limit).rate(Rate { per_second: 1_000, burst: 10 });
        }
        let mut observer = builder.bind().unwrap();
        let slow = Sending::start(|| {
            let mut agent = Varta::connect(&path).unwrap();
            let mut taken = 0;
            move || {
                std::thread::sleep(ms(60));
                // Whoever is refused by the kernel's queue tries again; this is about what
                // becomes of the beats that it took.
                wait_until(|| taken >= 30 || agent.beat(Status::Ok, 0) == BeatOutcome::Sent);
                taken += 1;
                taken <= 30
            }
        });
        let fast = Sending::flood(&path);
        let mut heard = Vec::new();
        let start = Instant::now();
        while slow.taken() < 30 {
            assert!(start.elapsed() < PATIENCE);
            heard.extend(observer.poll().unwrap());
        }
        heard.extend(stop(&mut observer, &[&slow, &fast]));
        let beats = beats(&heard);
        assert_eq!(beats[&slow.pid()], 30);
        let starved = slow.longest() >= ms(1_900);
        assert!(count(&heard, "stall") == 0 || starved, "{}", spelled(&heard));
        let stats = observer.stats().unwrap();
        assert_eq!(stats.settled(), stats.received);
        assert_eq!(stats.rate_limited_global, 0);
        assert_eq!(stats.rate_limited_agent > 0, limit.is_some());
        assert_eq!(beats[&fast.pid()] + stats.rate_limited_agent, fast.taken());
    }
}

#[test]
fn silence_is_found_during_a_flood() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(500), 0o600).unwrap();
    let silent = Sending::start(|| {
        let mut agent = Varta::connect(&path).unwrap();
        move || {
            let taken = agent.beat(Status::Ok, 0) == BeatOutcome::Sent;
            wait_until(|| false);
            taken
        }
    });
    hear_until(&mut observer, is("beat"));
    let floods = [(); 2].map(|()| Sending::flood(&path));
    let heard = hear_until(&mut observer, is("stall"));
    let stall = heard.last().unwrap();
    assert!(is_about(stall, silent.pid()), "{stall}");
    let What::Stall { last_ns, .. } = stall.what else { panic!("{stall}") };
    let late = Duration::from_nanos(stall.observer_ns - last_ns) - ms(500);
    // Beats may be lost in a flood, so a Stall may be put off for ten thresholds.
    assert!(late < ms(5_500) || count(&heard, "paused") > 0, "{late:?}");
    drop(floods);
}

/// From both sides as fast as it goes, for a while; then all is counted.
#[test]
fn udp_and_unix_at_full_rate_together() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer =
        listening(&path).udp(([127, 0, 0, 1], 0).into()).threshold(NEVER).bind().unwrap();
    let address: SocketAddr = observer.udp_addresses().next().unwrap();
    let local = [(); 2].map(|()| Sending::flood(&path));
    let network = Sending::start(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut nonce = 0;
        move || {
            nonce += 1;
            socket.send_to(&frame(77, nonce), address).is_ok()
        }
    });
    let mut events = vec![Event::NOTHING; 100];
    let (start, mut heard) = (Instant::now(), HashMap::<_, u64>::new());
    let mut note = |events: &[Event]| {
        for event in events {
            match event.what {
                What::Beat { .. } => *heard.entry(event.about.unwrap().pid).or_default() += 1,
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
    for sending in &local {
        assert_eq!(heard[&sending.pid()], sending.taken());
    }
    let stats = observer.stats().unwrap();
    // The kernel says how many it has dropped beside the next that it does not drop.
    let from_network = heard[&0] + stats.kernel_drops;
    assert!(from_network <= network.taken() && heard[&0] > 0);
    assert_accounted(&observer, heard.values().sum());
    assert_eq!(stats.received, stats.beats);
}

/// What leads to no event keeps no host waiting for its turn.
#[test]
fn a_flood_of_what_is_no_beat_holds_up_no_host() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer =
        listening(&path).udp(([127, 0, 0, 1], 0).into()).threshold(NEVER).bind().unwrap();
    let address: SocketAddr = observer.udp_addresses().next().unwrap();
    let floods = [
        Sending::start(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            move || socket.send_to(&[7; 33], address).is_ok()
        }),
        Sending::start(|| {
            let socket = UnixDatagram::unbound().unwrap();
            socket.connect(&path).unwrap();
            move || socket.send(&[7; 31]).is_ok()
        }),
    ];
    let slow = Sending::five_times_a_second(&path);
    let (start, mut polls, mut beats) = (Instant::now(), 0, 0);
    let mut events = [Event::NOTHING; 8];
    while start.elapsed() < ms(1_500) || beats < 3 {
        assert!(start.elapsed() < PATIENCE);
        let heard = match polls % 3 {
            0 => observer.poll_many(&mut events, Duration::ZERO).unwrap(),
            1 => observer.poll_timeout(Duration::ZERO).unwrap().iter().count(),
            _ => observer.poll_timeout(ms(10)).unwrap().iter().count(),
        };
        beats += heard;
        polls += 1;
    }
    let stats = observer.stats().unwrap();
    assert!(stats.wrong_length > 1_000 && stats.settled() == stats.received, "{stats:?}");
    drop((floods, slow));
}

/// "UDP gets about 10 frames a second", and whoever is behind it in line none.
#[test]
fn a_long_queue_delays_no_other_listener() {
    const QUEUED: u64 = 400;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let endpoint = || path.to_str().unwrap().parse().unwrap();
    let here: SocketAddr = ([127, 0, 0, 1], 0).into();
    // Whichever of them is the first.
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
        let heard = hear_until(&mut observer, |event| is_about(event, std::process::id()));
        // A batch or two of the other's, not all of them.
        assert!((heard.len() as u64) < QUEUED / 2, "after {} others", heard.len() - 1);
        let heard = heard.len() + hear_all(&mut observer).len();
        assert_eq!(heard as u64, QUEUED + 1);
    }
}
