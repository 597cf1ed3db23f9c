//! A process has one nonce counter per endpoint. With any number of agents, threads and
//! spellings of the endpoint, no nonce is sent twice, the nonces of each agent increase, and
//! every beat that reaches `send` uses one.

#![cfg(all(unix, feature = "secure-udp"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use support::{Folder, PATIENCE, Receiver, decode, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone};
use varta::secure::{Cipher, Key};
use varta::{BeatTransport, Frame, Status, Varta, v1};

#[track_caller]
fn send<T: BeatTransport>(agent: &mut Varta<T>) {
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
}

/// The nonces of all queued frames, of either version.
fn nonces(receiver: &Receiver) -> Vec<u64> {
    receiver.queued_datagrams().iter().map(|wire| nonce(wire)).collect()
}

fn nonce(wire: &[u8]) -> u64 {
    let wire = wire.try_into().unwrap();
    Frame::decode(wire).map_or_else(|_| v1::Frame::decode(wire).unwrap().nonce, |f| f.nonce)
}

/// All frames received until the threads are done.
fn received_during(receiver: &Receiver, threads: impl FnOnce() + Send) -> Vec<Frame> {
    thread::scope(|scope| {
        let working = scope.spawn(threads);
        let mut frames = Vec::new();
        while !working.is_finished() {
            match receiver.queued_datagram() {
                Some(datagram) => frames.push(decode(&datagram)),
                None => thread::yield_now(),
            }
        }
        working.join().unwrap();
        frames.extend(receiver.queued_frames());
        frames
    })
}

#[test]
fn many_threads_and_short_lived_agents_share_a_counter() {
    const THREADS: u64 = 8;
    const AGENTS: u64 = 40;
    const BEATS: u64 = 100;

    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let (made, dropped) = (AtomicU32::new(0), AtomicU64::new(0));
    let number_agent = || made.fetch_add(1, Relaxed);
    let count = |outcome| match outcome {
        Sent => {}
        Dropped(KernelQueueFull) => drop(dropped.fetch_add(1, Relaxed)),
        other => panic!("{other}"),
    };
    let frames = received_during(&receiver, || {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let (mut permanent, number) =
                        (Varta::connect(&path).unwrap(), number_agent());
                    for _ in 0..AGENTS {
                        let (mut brief, brief_number) =
                            (Varta::open(&path).unwrap(), number_agent());
                        for _ in 0..BEATS {
                            count(permanent.beat(Status::Ok, number));
                            count(brief.beat(Status::Ok, brief_number));
                        }
                    }
                });
            }
        });
    });

    let beats = THREADS * AGENTS * 2 * BEATS;
    let mut last_of = BTreeMap::new();
    for frame in &frames {
        let last = last_of.insert(frame.payload, frame.nonce).unwrap_or(0);
        assert!(frame.nonce > last, "{} after {last}", frame.nonce);
    }
    let distinct: BTreeSet<_> = frames.iter().map(|frame| frame.nonce).collect();
    assert_eq!(distinct.len(), frames.len());
    assert_eq!(distinct.len() as u64 + dropped.into_inner(), beats);
    // No nonce was skipped: the next one is one more than the number of beats.
    send(&mut Varta::connect(&path).unwrap());
    assert_eq!(nonces(&receiver), [beats + 1]);
}

#[test]
fn all_spellings_of_a_path_share_a_counter() {
    let folder = Folder::new();
    // In a child, because relative paths need another working directory.
    in_child(|| {
        std::env::set_current_dir(folder.path()).unwrap();
        fs::create_dir("sockets").unwrap();
        symlink("sockets", "link-to-folder").unwrap();
        symlink("sockets/varta.sock", "link").unwrap();
        symlink("link", "link-to-link").unwrap();
        let absolute = folder.join("sockets/varta.sock").display().to_string();
        let spellings = [
            &absolute,
            &format!("unix://{absolute}"),
            "sockets/varta.sock",
            "./sockets/../sockets//varta.sock",
            "link-to-folder/varta.sock",
            "link",
            "link-to-link",
        ];

        // Half of the agents are opened before the socket exists.
        let early = spellings.map(|spelling| Varta::open(spelling).unwrap());
        let receiver = Receiver::uds("link-to-folder/varta.sock");
        let late = spellings.map(|spelling| Varta::open(spelling).unwrap());
        for (mut agent, expected) in early.into_iter().chain(late).zip(1..) {
            wait_until(PATIENCE, || agent.beat(Status::Ok, 0) == Sent);
            assert_eq!(nonces(&receiver), [expected]);
        }
        send(&mut Varta::connect("link").unwrap());
        assert_eq!(nonces(&receiver), [2 * spellings.len() as u64 + 1]);
    });
}

#[test]
fn different_endpoints_have_different_counters() {
    let folder = Folder::new();
    let paths = [folder.join("one.sock"), folder.join("two.sock")];
    let on_paths = paths.each_ref().map(Receiver::uds);
    let on_ports = [Receiver::udp(), Receiver::udp()];
    for expected in 1..=3 {
        for (path, receiver) in paths.iter().zip(&on_paths) {
            send(&mut Varta::connect(path).unwrap());
            assert_eq!(nonces(receiver), [expected]);
        }
        for receiver in &on_ports {
            send(&mut Varta::connect_udp(receiver.address()).unwrap());
            assert_eq!(nonce(&receiver.next_datagram()), expected);
        }
    }
}

/// A name is different from the path with the same spelling.
#[test]
#[cfg(target_os = "linux")]
fn an_abstract_name_has_its_own_counter() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let on_path = Receiver::uds(&path);
    let name = SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes()).unwrap();
    let on_name = Receiver::of(UnixDatagram::bind_addr(&name).unwrap());
    for expected in 1..=2 {
        send(&mut Varta::open(&path).unwrap());
        send(&mut Varta::open(format!("@{}", path.display())).unwrap());
        assert_eq!((nonces(&on_path), nonces(&on_name)), (vec![expected], vec![expected]));
    }
}

/// An observer keeps one nonce per process, whether its beats are sealed or not.
#[test]
fn sealed_and_plain_agents_of_an_address_share_a_counter() {
    let key = || Key::from_bytes([7; 32]);
    let receiver = Receiver::udp();
    let address = receiver.address();
    let mut plain = Varta::connect_udp(address).unwrap();
    let mut opened = Varta::open(format!("udp://{address}")).unwrap();
    let mut old = v1::Varta::connect_udp(address).unwrap();
    let mut sealed = Varta::connect_secure_udp(address, key()).unwrap();
    for round in 0..3 {
        send(&mut plain);
        assert_eq!(nonce(&receiver.next_datagram()), 4 * round + 1);
        send(&mut sealed);
        let wire = receiver.next_datagram().try_into().unwrap();
        let frame = Cipher::new(&key()).open(&wire).unwrap();
        assert_eq!(nonce(&frame), 4 * round + 2);
        send(&mut opened);
        assert_eq!(nonce(&receiver.next_datagram()), 4 * round + 3);
        assert_eq!(old.beat(Status::Ok, 0), Sent);
        assert_eq!(nonce(&receiver.next_datagram()), 4 * round + 4);
    }
}

#[test]
fn both_versions_and_new_agents_continue_the_counter() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    for _ in 0..2 {
        send(&mut Varta::connect(&path).unwrap());
        assert_eq!(v1::Varta::connect(&path).unwrap().beat(Status::Ok, 0), Sent);
    }
    assert_eq!(nonces(&receiver), [1, 2, 3, 4]);
}

#[test]
fn a_dropped_beat_uses_a_nonce_and_a_stall_does_not() {
    // In a child, so that no child of another test keeps the closed socket open.
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let receiver = Receiver::uds(&path);
        let mut agent = Varta::connect(&path).unwrap();
        let mut used = 0;
        loop {
            used += 1;
            match agent.beat(Status::Ok, 0) {
                Sent => {}
                outcome => break assert_eq!(outcome, Dropped(KernelQueueFull)),
            }
        }
        assert_eq!(nonces(&receiver), (1..used).collect::<Vec<_>>());

        for _ in 0..5 {
            assert!(matches!(agent.beat(Status::Stall, 0), Failed(_)));
        }
        send(&mut agent);
        assert_eq!(nonces(&receiver), [used + 1]);

        drop(receiver);
        fs::remove_file(&path).unwrap();
        for _ in 0..3 {
            assert!(matches!(agent.beat(Status::Ok, 0), Dropped(NoObserver | PeerGone)));
        }
        let receiver = Receiver::uds(&path);
        agent.reconnect().unwrap();
        send(&mut agent);
        assert_eq!(nonces(&receiver), [used + 5]);
    });
}

/// Without a session, a beat does not reach `send`.
#[test]
fn beats_before_the_first_session_use_no_nonce() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut agent = Varta::open(&path).unwrap();
    for _ in 0..5 {
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
    }
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || agent.beat(Status::Ok, 0) == Sent);
    assert_eq!(nonces(&receiver), [1]);
}

/// Stores the last nonce, and fails every other time.
struct LastNonce {
    last: Arc<AtomicU64>,
    fails: bool,
    endpoint: Option<&'static OsStr>,
}

impl BeatTransport for LastNonce {
    fn send(&mut self, frame: &[u8; 32]) -> io::Result<usize> {
        self.last.store(nonce(frame), Relaxed);
        self.fails = !self.fails;
        match self.fails {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(frame.len()),
        }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn endpoint(&self) -> Option<&OsStr> {
        self.endpoint
    }
}

#[test]
fn a_custom_transport_uses_the_counter_of_its_endpoint() {
    let agent = |endpoint: Option<&'static str>| {
        let last = Arc::new(AtomicU64::new(0));
        let endpoint = endpoint.map(OsStr::new);
        let transport = LastNonce { last: Arc::clone(&last), fails: false, endpoint };
        let mut agent = Varta::with_transport(transport).unwrap();
        // A beat that fails in `send` uses a nonce too.
        move || {
            assert!(matches!(agent.beat(Status::Ok, 0), Failed(_)));
            send(&mut agent);
            last.load(Relaxed)
        }
    };
    let (mut alone, mut also_alone) = (agent(None), agent(None));
    let (mut one, mut two) = (agent(Some("nonces.rs: a")), agent(Some("nonces.rs: a")));
    let mut other = agent(Some("nonces.rs: b"));
    assert_eq!((alone(), also_alone(), alone()), (2, 2, 4));
    assert_eq!((one(), two(), one()), (2, 4, 6));
    assert_eq!((other(), two()), (2, 8));
}

/// Stores all nonces.
struct AllNonces(Arc<Mutex<Vec<u64>>>);

impl BeatTransport for AllNonces {
    fn send(&mut self, frame: &[u8; 32]) -> io::Result<usize> {
        let nonce = frame[16..24].try_into().unwrap();
        self.0.lock().unwrap().push(u64::from_le_bytes(nonce));
        Ok(frame.len())
    }

    fn reconnect(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn endpoint(&self) -> Option<&OsStr> {
        Some(OsStr::new("nonces.rs: all"))
    }
}

/// Sending takes almost no time here, so the threads use the counter all the time.
#[test]
fn no_nonce_is_lost_or_repeated_when_threads_compete_for_the_counter() {
    const THREADS: usize = 4;
    const BEATS: u64 = 50_000;

    let lists = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            scope.spawn(|| {
                let list = Arc::new(Mutex::new(Vec::new()));
                let transport = || AllNonces(Arc::clone(&list));
                let mut new = Varta::with_transport(transport()).unwrap();
                let mut old = v1::Varta::with_transport(transport()).unwrap();
                for _ in 0..BEATS / 2 {
                    send(&mut new);
                    assert_eq!(old.beat(Status::Ok, 0), Sent);
                }
                std::mem::take(&mut *list.lock().unwrap())
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(lists.iter().all(|list| list.is_sorted_by(|a, b| a < b)));
    let mut all = lists.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=THREADS as u64 * BEATS));
}
