//! A beat makes exactly one system call, `send`, over every transport and with every outcome.
//! This is checked by a filter that kills on any other system call, and by a tracer that
//! counts. A beat into a page makes none, but for a check of the connection now and then.

#![cfg(feature = "secure-udp")]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "making system calls directly")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use std::{fs, io};

use support::observer::LaneObserver;
use support::{Child, Ended, Folder, Receiver, confine, refusing_port, system_calls_of};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone};
use varta::secure::Key;
use varta::{BeatOutcome, BeatTransport, Status, Varta, v1};

const BEATS: usize = 1_000;
const KEY: [u8; 32] = [7; 32];

/// An agent of either version.
trait Beating {
    fn beat(&mut self) -> BeatOutcome;
}

impl<T: BeatTransport> Beating for Varta<T> {
    fn beat(&mut self) -> BeatOutcome {
        self.beat(Status::Ok, 7)
    }
}

impl<T: BeatTransport> Beating for v1::Varta<T> {
    fn beat(&mut self) -> BeatOutcome {
        self.beat(Status::Ok, 7)
    }
}

/// Connects an agent to the receiver at a path or address; the folder contains a key file.
/// Called in the child that beats, because the first beat of an inherited agent does more.
type Connect = fn(to: &str, folder: &Folder) -> Box<dyn Beating>;

fn boxed<A: Beating + 'static>(agent: io::Result<A>) -> Box<dyn Beating> {
    Box::new(agent.unwrap())
}

const ON_UNIX_SOCKETS: [(&str, Connect); 4] = [
    ("connect", |to, _| boxed(Varta::connect(to))),
    ("open", |to, _| boxed(Varta::open(to))),
    ("v1 connect", |to, _| boxed(v1::Varta::connect(to))),
    ("v1 open", |to, _| boxed(v1::Varta::open(to))),
];

const ON_UDP: [(&str, Connect); 8] = [
    ("udp", |to, _| boxed(Varta::connect_udp(address(to)))),
    ("open udp", |to, _| boxed(Varta::open(format!("udp://{to}")))),
    ("shared key", |to, _| boxed(Varta::connect_secure_udp(address(to), key()))),
    ("open shared key", |to, folder| {
        let file = folder.join("key");
        boxed(Varta::open(format!("udp+secure://{to}?key-file={}", file.display())))
    }),
    ("master key", |to, _| boxed(Varta::connect_secure_udp_with_master(address(to), key()))),
    ("open master key", |to, folder| {
        let file = folder.join("key");
        boxed(Varta::open(format!("udp+secure://{to}?master-key-file={}", file.display())))
    }),
    ("v1 udp", |to, _| boxed(v1::Varta::connect_udp(address(to)))),
    ("v1 open udp", |to, _| boxed(v1::Varta::open(format!("udp://{to}")))),
];

fn address(text: &str) -> std::net::SocketAddr {
    text.parse().unwrap()
}

fn key() -> Key {
    Key::from_bytes(KEY)
}

/// A receiver, and a way to connect an agent to it.
struct Connection<'a> {
    name: &'a str,
    receiver: Receiver,
    connect: &'a dyn Fn() -> Box<dyn Beating>,
}

fn for_each_connection(mut test: impl FnMut(Connection<'_>)) {
    let folder = Folder::new();
    folder.key_file("key", &KEY);
    for (name, connect) in ON_UNIX_SOCKETS {
        let path = folder.join(name);
        let (receiver, to) = (Receiver::uds(&path), path.display().to_string());
        test(Connection { name, receiver, connect: &|| connect(&to, &folder) });
    }
    for (name, connect) in ON_UDP {
        let receiver = Receiver::udp();
        let to = receiver.address().to_string();
        test(Connection { name, receiver, connect: &|| connect(&to, &folder) });
    }
    let to = format!("@varta-one-system-call-{}", folder.path().display());
    let bound =
        SocketAddr::from_abstract_name(&to[1..]).and_then(|a| UnixDatagram::bind_addr(&a));
    let receiver = Receiver::of(bound.unwrap());
    test(Connection { name: "open @name", receiver, connect: &|| boxed(Varta::open(&to)) });
}

/// The system calls that a beat may make. Reading the clock is one of them only if that is
/// not served by the vDSO.
fn allowed() -> Vec<libc::c_long> {
    let mut clock = Child::start(|| {
        confine(&[libc::SYS_exit, libc::SYS_exit_group]);
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is a local variable.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    });
    let mut allowed = vec![libc::SYS_sendto, libc::SYS_exit, libc::SYS_exit_group];
    match clock.wait() {
        Ended::Exited(0) => {}
        Ended::Killed(libc::SIGSYS) => allowed.push(libc::SYS_clock_gettime),
        other => panic!("the child that reads the clock {other}"),
    }
    allowed
}

#[test]
fn the_filter_kills_on_other_calls_and_permits_the_allowed_ones() {
    let mut gets_pid = Child::start(|| {
        confine(&allowed());
        // SAFETY: has no arguments and cannot fail.
        unsafe { libc::syscall(libc::SYS_getpid) };
    });
    assert_eq!(gets_pid.wait(), Ended::Killed(libc::SIGSYS));

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut changes_a_socket = Child::start(|| {
        confine(&allowed());
        let _ = socket.set_nonblocking(true);
    });
    assert_eq!(changes_a_socket.wait(), Ended::Killed(libc::SIGSYS));

    let mut exits = Child::start(|| confine(&allowed()));
    assert_eq!(exits.wait(), Ended::Exited(0));
}

#[test]
fn a_thousand_beats_make_no_call_that_the_filter_forbids() {
    let allowed = allowed();
    for_each_connection(|Connection { name, receiver, connect }| {
        let mut child = Child::start(|| {
            let mut agent = connect();
            confine(&allowed);
            // A beat to a full queue does not count, so another one is made.
            let mut sent = 0;
            while sent < BEATS {
                match agent.beat() {
                    Sent => sent += 1,
                    Dropped(KernelQueueFull) => {}
                    // The panic's system calls kill this child.
                    other => panic!("{other}"),
                }
            }
            // Closing the socket would kill this child.
            std::mem::forget(agent);
        });
        while child.ended().is_none() {
            receiver.queued_datagrams();
        }
        assert_eq!(child.wait(), Ended::Exited(0), "{name}: the child {}", child.wait());
    });
}

#[test]
fn a_sent_beat_makes_one_call() {
    for_each_connection(|Connection { name, receiver, connect }| {
        let beats = || {
            let mut agent = connect();
            move || (0..BEATS).for_each(|_| assert_eq!(agent.beat(), Sent))
        };
        assert_one_call_each(
            name,
            system_calls_of(beats, || drop(receiver.queued_datagrams())),
        );
    });
}

#[test]
fn a_dropped_beat_makes_one_call() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");

    let gone = || {
        let receiver = Receiver::uds(&path);
        let mut agent = boxed(Varta::connect(&path));
        drop(receiver);
        // The kernel disconnects the socket when the first send is refused.
        let mut expected = NoObserver;
        move || {
            for _ in 0..BEATS {
                assert_eq!(agent.beat(), Dropped(std::mem::replace(&mut expected, PeerGone)));
            }
        }
    };
    assert_one_call_each("observer gone", system_calls_of(gone, || ()));
    fs::remove_file(&path).unwrap();

    let full = || {
        let receiver = Receiver::uds(&path);
        let mut agent = boxed(Varta::open(&path));
        while agent.beat() != Dropped(KernelQueueFull) {}
        move || {
            let _stays = &receiver;
            (0..BEATS).for_each(|_| assert_eq!(agent.beat(), Dropped(KernelQueueFull)));
        }
    };
    assert_one_call_each("queue full", system_calls_of(full, || ()));

    let refusing = refusing_port();
    let address = refusing.local_addr().unwrap();
    let refused = || {
        let mut agent = boxed(Varta::connect_secure_udp(address, key()));
        // The refusal of one beat is reported by the next one.
        move || {
            for _ in 0..BEATS {
                assert!(matches!(agent.beat(), Sent | Dropped(NoObserver)));
            }
        }
    };
    assert_one_call_each("refused", system_calls_of(refused, || ()));
}

#[test]
fn a_beat_into_a_page_makes_no_call_but_a_check_ten_times_a_second() {
    const MANY: usize = 100 * BEATS;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let beats = || {
        let observer = LaneObserver::bind(&path);
        let (mut agent, connection, page) = observer.attach(&path);
        move || {
            for _ in 0..MANY {
                assert_eq!(agent.beat(Status::Ok, 7), Sent);
            }
            let _stay = (&observer, &connection, &page);
        }
    };
    let mut calls = except_the_clock(system_calls_of(beats, || ()));
    let checks = calls.remove(&libc::SYS_recvfrom).unwrap_or_default();
    assert!(calls.is_empty() && checks < MANY / 100, "{checks} checks and {calls:?}");
}

#[test]
fn a_sandbox_without_system_calls_does_not_end_the_lane() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut allowed = allowed();
    allowed.retain(|call| *call != libc::SYS_sendto);
    allowed.push(libc::SYS_recvfrom);
    let mut child = Child::start(|| {
        let observer = LaneObserver::bind(&path);
        let (mut agent, connection, page) = observer.attach(&path);
        confine(&allowed);
        for _ in 0..BEATS {
            assert_eq!(agent.beat(Status::Ok, 7), Sent);
        }
        // Closing the sockets would kill this child.
        std::mem::forget((observer, agent, connection, page));
    });
    assert_eq!(child.wait(), Ended::Exited(0));
}

#[test]
fn the_calls_of_a_task_make_no_system_call() {
    let receiver = Receiver::udp();
    let calls = system_calls_of(
        || {
            let agent = Varta::connect_udp(receiver.address()).unwrap();
            let mut task = agent.task("quiet", Duration::from_millis(1)).unwrap();
            move || {
                for number in 0..1_000 {
                    assert_eq!(task.beat(Status::Ok, number), Sent);
                    drop(task.watch(Duration::from_secs(1)));
                    task.reach(1);
                    task.progress(number, 1);
                    task.idle();
                }
            }
        },
        || (),
    );
    assert_eq!(except_the_clock(calls), BTreeMap::new());
}

#[track_caller]
fn assert_one_call_each(name: &str, calls: BTreeMap<libc::c_long, usize>) {
    assert_eq!(except_the_clock(calls), [(libc::SYS_sendto, BEATS)].into(), "{name}");
}

fn except_the_clock(mut calls: BTreeMap<libc::c_long, usize>) -> BTreeMap<libc::c_long, usize> {
    if allowed().contains(&libc::SYS_clock_gettime) {
        calls.remove(&libc::SYS_clock_gettime);
    }
    calls
}
