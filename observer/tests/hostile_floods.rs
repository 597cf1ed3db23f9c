//! A flood, even from a user whose beats do not count, neither stalls a healthy agent nor
//! hides one that hangs or exits.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{
    Folder, NEVER, PATIENCE, Sender, TestAgent, agent_info, become_user, frame, in_child,
    in_new_network_namespace, is, is_about, kill, ms, needs_root, passes_pidfds, poll_until,
    system_calls_of,
};
use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Event, Observer, Uids, What};

const THRESHOLD: Duration = Duration::from_millis(500);
const NOBODY: u32 = 65_534;

/// A process of another user that sends as fast as possible from several sockets.
fn flood_by_nobody(path: &Path) -> Sender {
    Sender::start(|| {
        become_user(NOBODY);
        let sockets = [(); 8].map(|()| {
            let socket = UnixDatagram::unbound().unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(path).unwrap();
            socket
        });
        let mut turn = 0;
        move || {
            turn = (turn + 1) % sockets.len();
            sockets[turn].send(&frame(1, 1)).is_ok()
        }
    })
}

/// An agent that tries to beat ten times a second. It records the longest time between two
/// attempts, which can be long on a busy machine.
fn healthy(path: &Path) -> Sender {
    Sender::start(|| {
        let mut agent = Varta::connect(path).unwrap();
        move || {
            let _ = agent.beat(Status::Ok, 0);
            std::thread::sleep(ms(100));
            true
        }
    })
}

/// An agent that beats until one beat is accepted, and then hangs.
fn hanging(path: &Path) -> Sender {
    Sender::start(|| {
        let mut agent = Varta::connect(path).unwrap();
        move || {
            while agent.beat(Status::Ok, 0) != BeatOutcome::Sent {
                std::thread::sleep(ms(1));
            }
            support::wait_until(|| false);
            true
        }
    })
}

fn poll(observer: &mut Observer, start: Instant) -> Option<Event> {
    assert!(start.elapsed() < PATIENCE, "{:?}", observer.stats());
    observer.poll_timeout(ms(10)).unwrap()
}

#[test]
fn a_flood_by_another_user_neither_stalls_a_healthy_agent_nor_hides_a_hung_one() {
    if !needs_root() {
        return;
    }
    // The queue has the default length, whatever the setting of this machine.
    in_child(|| {
        in_new_network_namespace();
        std::fs::write("/proc/sys/net/unix/max_dgram_qlen", "10").unwrap();
        check_agents_during_a_flood();
    });
}

fn check_agents_during_a_flood() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let builder = Builder::new().listen(path.to_str().unwrap().parse().unwrap());
    let mut observer = builder.threshold(THRESHOLD).socket_mode(0o666).bind().unwrap();
    let agents: Vec<_> = (0..10).map(|_| healthy(&path)).collect();
    let start = Instant::now();
    while observer.snapshot().unwrap().len() < agents.len() {
        poll(&mut observer, start);
    }
    let floods = [(); 4].map(|()| flood_by_nobody(&path));
    let refused_before = observer.stats().unwrap().uid_refused;
    while observer.stats().unwrap().uid_refused < refused_before + 10_000 {
        poll(&mut observer, start);
    }
    let hung = hanging(&path);
    let dead = agents[0].pid();
    let (mut killed, mut exited, mut stalled, mut paused) = (None, false, None, false);
    let flooded = Instant::now();
    while flooded.elapsed() < 14 * THRESHOLD || !exited || stalled.is_none() {
        if killed.is_none() && flooded.elapsed() > 2 * THRESHOLD {
            kill(dead, libc::SIGKILL);
            killed = Some(Instant::now());
        }
        let Some(event) = poll(&mut observer, start) else { continue };
        match event.what {
            What::Stall { deaf, last_ns, .. } if is_about(&event, hung.pid()) => {
                assert!(deaf, "{event}");
                let silent = Duration::from_nanos(event.observer_ns - last_ns);
                stalled = Some(silent);
            }
            What::Stall { deaf: false, .. } => {
                let agent = agents.iter().find(|one| is_about(&event, one.pid())).unwrap();
                assert!(agent.longest() >= THRESHOLD - ms(150), "{event}, but it is healthy");
            }
            What::Exit { .. } => {
                assert!(is_about(&event, dead), "{event}");
                exited = true;
            }
            What::Paused { .. } => paused = true,
            _ => {}
        }
    }
    // One threshold until it is due and ten more; the rest is for a busy machine.
    let silent = stalled.unwrap();
    assert!(silent < 12 * THRESHOLD + Duration::from_secs(5) || paused, "{silent:?}");
    drop(floods);
}

#[test]
fn a_refused_datagram_costs_no_lookup_of_its_sender() {
    const DATAGRAMS: u64 = 8;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let calls = system_calls_of(
        || {
            let builder = Builder::new().listen(path.to_str().unwrap().parse().unwrap());
            let mut observer = builder.uids(Uids::List([NOBODY].into())).bind().unwrap();
            let stranger = UnixDatagram::unbound().unwrap();
            stranger.connect(&path).unwrap();
            move || {
                for nonce in 1..=DATAGRAMS {
                    stranger.send(&frame(1, nonce)).unwrap();
                }
                while observer.stats().unwrap().uid_refused < DATAGRAMS {
                    assert_eq!(observer.poll_timeout(Duration::ZERO).unwrap(), None);
                }
            }
        },
        || {},
    );
    for asked in [libc::SYS_fstatfs, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx] {
        assert_eq!(calls.get(&asked), None, "{calls:?}");
    }
}

/// As long as the observer waits for the pidfd of one agent, the kernel makes one for every
/// datagram.
#[test]
fn a_stalled_agent_does_not_make_the_kernel_pass_pidfds_for_ever() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(200), 0o600).unwrap();
    let [known, idle] = [(); 2].map(|()| TestAgent::at(&path));
    let beat = |observer: &mut Observer, agent: &TestAgent, nonce| {
        agent.beat(nonce);
        poll_until(observer, |event| is_about(event, agent.pid()) && is("beat")(event));
    };
    beat(&mut observer, &known, 1);
    if agent_info(&observer, known.pid()).unwrap().unconfirmed {
        return support::skipped("Linux 6.5, which passes a pidfd with each datagram");
    }
    beat(&mut observer, &known, 2);
    beat(&mut observer, &idle, 1);
    assert!(agent_info(&observer, idle.pid()).unwrap().unconfirmed);
    poll_until(&mut observer, |event| is_about(event, idle.pid()) && is("stall")(event));
    beat(&mut observer, &known, 3);
    assert!(!passes_pidfds(&observer), "pidfds are not passed while the agent is stalled");
    // When it recovers, pidfds are passed again.
    observer.set_default_threshold(NEVER).unwrap();
    beat(&mut observer, &idle, 2);
    beat(&mut observer, &idle, 3);
    assert!(!agent_info(&observer, idle.pid()).unwrap().unconfirmed);
}
