//! Shows that a beat is one `send` and nothing else, over every transport and whatever
//! becomes of it: under a filter that kills at any other system call, and counted by a
//! tracer.

#![cfg(feature = "secure-udp")]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "system calls for their own sake")]
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
use std::{fs, io};

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

/// Connects an agent to the receiver at a path or address; the folder holds a key file.
/// Called in the child that beats: one that inherited its agent has more to do at first.
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

/// A receiver, and the agent that will beat to it.
struct Way<'a> {
    name: &'a str,
    receiver: Receiver,
    connect: &'a dyn Fn() -> Box<dyn Beating>,
}

fn for_each_way(mut test: impl FnMut(Way<'_>)) {
    let folder = Folder::new();
    folder.key_file("key", &KEY);
    for (name, connect) in ON_UNIX_SOCKETS {
        let path = folder.join(name);
        let (receiver, to) = (Receiver::uds(&path), path.display().to_string());
        test(Way { name, receiver, connect: &|| connect(&to, &folder) });
    }
    for (name, connect) in ON_UDP {
        let receiver = Receiver::udp();
        let to = receiver.address().to_string();
        test(Way { name, receiver, connect: &|| connect(&to, &folder) });
    }
    let to = format!("@varta-one-system-call-{}", folder.path().display());
    let bound =
        SocketAddr::from_abstract_name(&to[1..]).and_then(|a| UnixDatagram::bind_addr(&a));
    let receiver = Receiver::of(bound.unwrap());
    test(Way { name: "open @name", receiver, connect: &|| boxed(Varta::open(&to)) });
}

/// What a beat may call. Where the clock is served without the kernel, it may not ask it.
fn allowed() -> Vec<libc::c_long> {
    let mut clock = Child::start(|| {
        confine(&[libc::SYS_exit, libc::SYS_exit_group]);
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is ours to be written.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    });
    let mut allowed = vec![libc::SYS_sendto, libc::SYS_exit, libc::SYS_exit_group];
    match clock.wait() {
        Ended::Exited(0) => {}
        Ended::Killed(libc::SIGSYS) => allowed.push(libc::SYS_clock_gettime),
        other => panic!("the clock's reader {other}"),
    }
    allowed
}

#[test]
fn the_filter_kills_and_spares() {
    let mut asks_pid = Child::start(|| {
        confine(&allowed());
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getpid) };
    });
    assert_eq!(asks_pid.wait(), Ended::Killed(libc::SIGSYS));

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut changes_a_socket = Child::start(|| {
        confine(&allowed());
        let _ = socket.set_nonblocking(true);
    });
    assert_eq!(changes_a_socket.wait(), Ended::Killed(libc::SIGSYS));

    let mut leaves = Child::start(|| confine(&allowed()));
    assert_eq!(leaves.wait(), Ended::Exited(0));
}

#[test]
fn a_thousand_beats_under_the_filter() {
    let allowed = allowed();
    for_each_way(|Way { name, receiver, connect }| {
        let mut child = Child::start(|| {
            let mut agent = connect();
            confine(&allowed);
            // From the first beat on. When the queue is full, there is another.
            let mut sent = 0;
            while sent < BEATS {
                match agent.beat() {
                    Sent => sent += 1,
                    Dropped(KernelQueueFull) => {}
                    // Whatever this calls, it kills.
                    other => panic!("{other}"),
                }
            }
            // Closing would kill.
            std::mem::forget(agent);
        });
        while child.ended().is_none() {
            receiver.queued_datagrams();
        }
        assert_eq!(child.wait(), Ended::Exited(0), "{name}: the child {}", child.wait());
    });
}

#[test]
fn as_many_calls_as_beats() {
    for_each_way(|Way { name, receiver, connect }| {
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
fn a_beat_that_nobody_takes_is_one_call_too() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");

    let gone = || {
        let receiver = Receiver::uds(&path);
        let mut agent = boxed(Varta::connect(&path));
        drop(receiver);
        // The kernel forgets the connection when the first send finds nobody.
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
        // A refusal of one beat is told to the next.
        move || {
            for _ in 0..BEATS {
                assert!(matches!(agent.beat(), Sent | Dropped(NoObserver)));
            }
        }
    };
    assert_one_call_each("refused", system_calls_of(refused, || ()));
}

#[track_caller]
fn assert_one_call_each(name: &str, mut calls: BTreeMap<libc::c_long, usize>) {
    if allowed().contains(&libc::SYS_clock_gettime) {
        calls.remove(&libc::SYS_clock_gettime);
    }
    assert_eq!(calls, [(libc::SYS_sendto, BEATS)].into(), "{name}");
}
