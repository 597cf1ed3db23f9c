//! The three ways to reconnect to an observer: on request (`reconnect`), after a number of
//! drops (`set_reconnect_after`), and automatically (`open`).

#![cfg(feature = "secure-udp")]
#![allow(unsafe_code, reason = "limiting the descriptors of a forked child")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

#[path = "support/peers.rs"]
mod peers;
mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use peers::{
    MASTER_KEY, Opener, SHARED_KEY, Scripted, connects, forking, run_again, run_program_again,
    without_forks,
};
use support::observer::LaneObserver;
use support::{Folder, PATIENCE, Receiver, in_child, needs_root, uninterrupted, wait_until};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, NotConfigured, PeerGone};
use varta::secure::Key;
use varta::{
    AnyTransport, BeatError, BeatOutcome, BeatTransport, DEFAULT_ENDPOINT, ENDPOINT_VARIABLE,
    Endpoint, Frame, Options, Status, Varta, v1,
};

fn beat<T: BeatTransport>(agent: &mut Varta<T>) -> BeatOutcome {
    agent.beat(Status::Ok, 0)
}

/// Replaces the receiver at a path by a new one.
fn replace(receiver: Receiver, path: &Path) -> Receiver {
    drop(receiver);
    fs::remove_file(path).unwrap();
    Receiver::uds(path)
}

// --------------------------------------------------------------- on request: reconnect

#[test]
fn a_connected_agent_reaches_a_new_observer_only_after_reconnect() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    let before = receiver.next_frame();
    let receiver = replace(receiver, &path);

    // Longer than the retry interval of an agent that reconnects by itself.
    let start = Instant::now();
    let mut beats = 1;
    while beats < 10 || start.elapsed() < Duration::from_millis(250) {
        assert!(matches!(beat(&mut agent), Dropped(NoObserver | PeerGone)));
        beats += 1;
    }
    assert_eq!(receiver.queued_frames(), []);

    agent.reconnect().unwrap();
    assert_eq!(beat(&mut agent), Sent);
    let after = receiver.next_frame();
    // The nonce continues, and the gap shows the dropped beats.
    assert_eq!(after.nonce, beats + 1);
    // The clock continues too.
    let passed = after.timestamp - before.timestamp;
    assert!(Duration::from_nanos(passed) >= Duration::from_millis(250));
}

#[test]
fn reconnecting_over_udp_makes_a_new_session() {
    let observer = UdpSocket::bind("127.0.0.1:0").unwrap();
    observer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut agent = Varta::connect_udp(observer.local_addr().unwrap()).unwrap();
    let mut received = Vec::new();
    for _ in 0..3 {
        assert_eq!(beat(&mut agent), Sent);
        agent.reconnect().unwrap();
        let mut wire = [0; 32];
        let (_, from) = uninterrupted(|| observer.recv_from(&mut wire)).unwrap();
        received.push((from.port(), Frame::decode(&wire).unwrap()));
    }
    // The new socket is made while the old one still has its port.
    assert_ne!(received[0].0, received[1].0);
    assert_ne!(received[1].0, received[2].0);
    assert_eq!([0, 1, 2].map(|place: usize| received[place].1.nonce), [1, 2, 3]);
    assert!(received.is_sorted_by_key(|(_, frame)| frame.timestamp));
    assert!(received[2].1.timestamp > received[0].1.timestamp);
}

#[test]
fn reconnecting_a_sealed_agent_takes_a_new_salt() {
    let receiver = Receiver::udp();
    let mut opener = Opener::new();
    for sealed in [
        Varta::connect_secure_udp(receiver.address(), Key::from_bytes(SHARED_KEY)),
        Varta::connect_secure_udp_with_master(receiver.address(), Key::from_bytes(MASTER_KEY)),
    ] {
        let mut agent = sealed.unwrap();
        let mut send = |agent: &mut Varta<_>| {
            assert_eq!(beat(agent), Sent);
            opener.open(&receiver.next_datagram())
        };
        let before = [send(&mut agent), send(&mut agent)];
        agent.reconnect().unwrap();
        let after = [send(&mut agent), send(&mut agent)];
        assert_eq!(before.map(|sealed| sealed.iv.counter), [1, 2]);
        assert_eq!(after.map(|sealed| sealed.iv.counter), [1, 2]);
        assert_eq!(after[0].iv.prefix, after[1].iv.prefix);
        assert_ne!(before[0].iv.prefix, after[0].iv.prefix);
        assert_eq!(after[0].frame.nonce, before[1].frame.nonce + 1);
        assert!(after[0].frame.timestamp >= before[1].frame.timestamp);
    }
}

#[test]
fn a_failed_reconnect_keeps_the_old_session() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for nonce in 1..4 {
        assert_eq!(agent.reconnect().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(beat(&mut agent), Sent);
        assert_eq!(receiver.next_frame().nonce, nonce);
    }
}

#[test]
fn a_failed_reconnect_keeps_the_old_sealed_session_and_its_counter() {
    let _guard = forking();
    let receiver = Receiver::udp();
    let key = Key::from_bytes(SHARED_KEY);
    in_child(|| {
        let mut agent = Varta::connect_secure_udp(receiver.address(), key).unwrap();
        assert_eq!(beat(&mut agent), Sent);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads a local variable. From now on this child cannot open a descriptor.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
        let error = agent.reconnect().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        assert_eq!(beat(&mut agent), Sent);
    });
    let mut opener = Opener::new();
    let sealed = [0, 1].map(|_| opener.open(&receiver.next_datagram()));
    assert_eq!(sealed[0].iv.prefix, sealed[1].iv.prefix);
    assert_eq!(sealed.map(|sealed| sealed.iv.counter), [1, 2]);
    assert_eq!(sealed.map(|sealed| sealed.frame.nonce), [1, 2]);
}

// ----------------------------------------------- after some drops: set_reconnect_after

/// Beats over a transport that expects exactly these calls. Each letter of `steps` is one
/// step: a digit sets `reconnect_after`; `s`, `d` and `f` are beats that must be sent, be
/// dropped or fail. Returns the nonces of the sends.
#[track_caller]
fn play(calls: &str, steps: &str) -> Vec<u64> {
    let (transport, script) = Scripted::spelled(calls);
    let mut agent = Varta::with_transport(transport).unwrap();
    for (place, letter) in steps.chars().enumerate() {
        if let Some(drops) = letter.to_digit(10) {
            agent.set_reconnect_after(drops);
        } else if letter != ' ' {
            let outcome = match beat(&mut agent) {
                Sent => 's',
                Dropped(_) => 'd',
                Failed(_) => 'f',
            };
            assert_eq!(outcome, letter, "at {place} of {steps:?} with {calls:?}");
        }
    }
    script.assert_done();
    let (nonces, wires) = (script.nonces(), script.wires());
    for (nonce, wire) in nonces.windows(2).zip(wires.windows(2)) {
        assert!(nonce[0] != nonce[1] || wire[0] == wire[1], "another frame was sent again");
    }
    nonces
}

#[test]
fn after_n_drops_in_a_row_the_agent_reconnects_and_sends_the_same_frame_again() {
    assert_eq!(play("dR. .", "1 s s"), [1, 1, 2]);
    assert_eq!(play("d dR. .", "2 d s s"), [1, 2, 2, 3]);
    let twice = play(". d d dR. . d d dR. .", "3 s d d s s d d s s");
    assert_eq!(twice, [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9]);
    // The reason of the drops does not matter.
    assert_eq!(play("q d qR.", "3 d d s"), [1, 2, 3, 3]);
}

#[test]
fn every_later_beat_tries_again_until_one_is_sent() {
    // New sessions, but the frame is dropped on them too.
    let nonces = play("d dRd dRd dRq dR. .", "2 d d d d s s");
    assert_eq!(nonces, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    // No new session, so the frame is not sent again.
    assert_eq!(play("d dx dx dx dR. .", "2 d d d d s s"), [1, 2, 3, 4, 5, 5, 6]);
    // The old session may work again.
    assert_eq!(play("d dx dx . d dR.", "2 d d d s d s"), [1, 2, 3, 4, 5, 6, 6]);
    // After a success the count of drops starts again.
    assert_eq!(play("d dx dR. d dR.", "2 d d s d s"), [1, 2, 3, 3, 4, 5, 5]);
}

#[test]
fn a_sent_or_failed_beat_resets_the_count_of_drops() {
    assert_eq!(play("d . d . d dR.", "2 d s d s d s"), [1, 2, 3, 4, 5, 6, 6]);
    assert_eq!(play("d f d f d dR.", "2 d f d f d s"), [1, 2, 3, 4, 5, 6, 6]);
    // So does a frame that fails when it is sent again.
    assert_eq!(play("d dRf d dR.", "2 d f d s"), [1, 2, 2, 3, 4, 4]);
}

#[test]
fn setting_it_resets_the_count_of_drops_and_zero_turns_it_off() {
    assert_eq!(play("d d dR.", "2 d 2 d s"), [1, 2, 3, 3]);
    assert_eq!(play("d d d dR.", "9 d d d 1 s"), [1, 2, 3, 4, 4]);
    assert_eq!(play("d dx d d d .", "2 d d 0 d d d s"), [1, 2, 3, 4, 5, 6]);
    // Off is the default.
    assert_eq!(play("d d d d d d d d d d .", "d d d d d d d d d d s"), Vec::from_iter(1..=11));
}

#[test]
fn a_new_observer_receives_the_beat_that_reconnected() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    agent.set_reconnect_after(3);
    assert_eq!(beat(&mut agent), Sent);
    let receiver = replace(receiver, &path);
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    assert!(matches!(beat(&mut agent), Dropped(_)));
    assert_eq!(beat(&mut agent), Sent);
    let nonces: Vec<u64> = receiver.queued_frames().iter().map(|frame| frame.nonce).collect();
    assert_eq!(nonces, [4]);
}

// ---------------------------------------------------------------- automatically: open

/// The minimum time between two attempts to reconnect.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// An agent's attempts to reconnect, counted by its calls to `connect`.
struct Attempts {
    /// Before and after the call that made the last attempt.
    last: (Instant, Instant),
    /// How many times this thread has called `connect` so far.
    seen: u64,
}

impl Attempts {
    /// Opens an agent, which is the first attempt.
    fn opening(path: &Path) -> (Self, Varta<AnyTransport>) {
        let before = Instant::now();
        let agent = Varta::open(path).unwrap();
        (Self { last: (before, Instant::now()), seen: connects() }, agent)
    }

    /// Checks one beat of an agent that is not connected. Returns its outcome, and whether it
    /// made an attempt.
    #[track_caller]
    fn during(&mut self, beat: impl FnOnce() -> BeatOutcome) -> (BeatOutcome, bool) {
        let before = Instant::now();
        let outcome = beat();
        let after = Instant::now();
        let (last_before, last_after) = self.last;
        // This holds on a slow machine too: each time, the agent has read its clock between
        // `before` and `after`.
        match connects() - self.seen {
            0 => assert!(before - last_after < RETRY_INTERVAL, "no attempt, but one was due"),
            1 => {
                assert!(after - last_before >= RETRY_INTERVAL, "an attempt too early");
                self.last = (before, after);
                self.seen += 1;
            }
            attempts => panic!("{attempts} attempts in one beat"),
        }
        (outcome, self.last.0 == before)
    }

    /// Beats until this many attempts were made; each beat must have the given outcome.
    #[track_caller]
    fn watch(
        &mut self,
        attempts: u64,
        mut beat: impl FnMut() -> BeatOutcome,
        expected: BeatOutcome,
    ) {
        let end = self.seen + attempts;
        wait_until(PATIENCE, || {
            // Far more beats than attempts.
            (0..100).for_each(|_| assert_eq!(self.during(&mut beat).0, expected));
            self.seen >= end
        });
    }
}

#[test]
fn an_agent_that_starts_before_its_observer_tries_to_connect_ten_times_a_second() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let connects_before = connects();
    let (mut attempts, mut agent) = Attempts::opening(&path);
    assert_eq!(attempts.seen, connects_before + 1);
    attempts.watch(5, || beat(&mut agent), Dropped(NoObserver));

    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || attempts.during(|| beat(&mut agent)) == (Sent, true));
    assert_eq!(receiver.next_frame().nonce, 1);
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(connects(), attempts.seen);
}

#[test]
fn a_version_1_agent_reconnects_too() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let mut agent = v1::Varta::open(&path).unwrap();
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || agent.beat(Status::Ok, 0) == Sent);
    drop(replace(receiver, &path));
    fs::remove_file(&path).unwrap();
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || agent.beat(Status::Ok, 1 << 40) == Sent);
    let wire = receiver.next_datagram();
    assert_eq!(v1::Frame::decode(wire[..].try_into().unwrap()).unwrap().payload, 1 << 40);
}

#[test]
fn the_beat_after_the_dropped_one_reaches_the_new_observer() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::open(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    // Opening was an attempt too.
    thread::sleep(RETRY_INTERVAL);
    let receiver = replace(receiver, &path);
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(receiver.next_frame().nonce, 3);
}

#[test]
fn an_agent_tries_to_reconnect_to_an_absent_observer_ten_times_a_second() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let (mut attempts, mut agent) = Attempts::opening(&path);
    drop(receiver);

    // There is no attempt until a beat was dropped.
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    assert_eq!(connects(), attempts.seen);
    let gone = if cfg!(target_os = "linux") { PeerGone } else { NoObserver };
    attempts.watch(5, || beat(&mut agent), Dropped(gone));

    fs::remove_file(&path).unwrap();
    attempts.watch(2, || beat(&mut agent), Dropped(gone));
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || attempts.during(|| beat(&mut agent)) == (Sent, true));
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn an_observer_that_accepts_connections_but_no_beats_gets_no_more_attempts() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let observer = UnixDatagram::bind(&path).unwrap();
    let (mut attempts, mut agent) = Attempts::opening(&path);
    observer.shutdown(Shutdown::Read).unwrap();
    assert_eq!(beat(&mut agent), Dropped(PeerGone));
    assert_eq!(connects(), attempts.seen);
    attempts.watch(5, || beat(&mut agent), Dropped(PeerGone));

    let receiver = replace(Receiver::of(observer), &path);
    wait_until(PATIENCE, || beat(&mut agent) == Sent);
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[test]
fn a_removed_socket_file_matters_only_when_the_observer_closes_its_socket() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let old = Receiver::uds(&path);
    let mut agent = Varta::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let new = Receiver::uds(&path);
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!((old.queued_frames().len(), new.queued_frames().len()), (1, 0));
    drop(old);
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    wait_until(PATIENCE, || beat(&mut agent) == Sent);
    assert_eq!(new.queued_frames().len(), 1);
}

#[test]
fn a_full_queue_does_not_cause_a_reconnect() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::open(&path).unwrap();
    // An attempt would be due.
    thread::sleep(RETRY_INTERVAL);
    let connects_before = connects();
    while beat(&mut agent) == Sent {}
    for _ in 0..10 {
        assert_eq!(beat(&mut agent), Dropped(KernelQueueFull));
    }
    assert!(!receiver.queued_frames().is_empty());
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(connects(), connects_before);
}

#[test]
fn the_session_is_kept_over_udp() {
    let folder = Folder::new();
    let key = folder.key_file("key", &SHARED_KEY);
    for (scheme, parameter) in
        [("udp", String::new()), ("udp+secure", format!("?key-file={}", key.display()))]
    {
        let observer = UdpSocket::bind("127.0.0.1:0").unwrap();
        observer.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = observer.local_addr().unwrap();
        let mut agent = Varta::open(format!("{scheme}://{address}{parameter}")).unwrap();
        let connects_before = connects();
        assert_eq!(beat(&mut agent), Sent);
        let (port, wire) = receive(&observer);
        // An attempt would be due, if any were made over UDP.
        thread::sleep(RETRY_INTERVAL);

        // A socket that is connected to another address refuses this agent and keeps its port.
        observer.connect("127.0.0.1:9").unwrap();
        let mut refused = 0;
        wait_until(PATIENCE, || {
            let outcome = beat(&mut agent);
            assert!(matches!(outcome, Sent | Dropped(NoObserver)), "{outcome}");
            refused += u32::from(outcome != Sent);
            refused == 3
        });
        observer.connect(port).unwrap();
        wait_until(PATIENCE, || beat(&mut agent) == Sent);
        let (port_after, wire_after) = receive(&observer);
        assert_eq!(port, port_after);
        if scheme == "udp+secure" {
            let [before, after] = [wire, wire_after].map(|wire| Opener::new().open(&wire).iv);
            assert_eq!(before.prefix, after.prefix);
            assert!(after.counter > before.counter + 3);
        }
        // The observer itself has connected twice, and the agent not at all.
        assert_eq!(connects(), connects_before + 2);
    }
}

/// The next datagram and its sender.
fn receive(observer: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut room = [0; 128];
    let (length, from) = uninterrupted(|| observer.recv_from(&mut room)).unwrap();
    (from, room[..length].to_vec())
}

#[test]
fn open_without_follow_behaves_like_connect() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let endpoint = Endpoint::from_os_str(path.as_os_str()).unwrap();
    let options = Options::default().follow(false);
    for error in [
        Varta::open_with(&endpoint, options).unwrap_err(),
        v1::Varta::open_with(&endpoint, options).unwrap_err(),
        AnyTransport::connect(&endpoint).unwrap_err(),
    ] {
        let as_connect = Varta::connect(&path).unwrap_err();
        assert_eq!(error.to_string(), as_connect.to_string());
        assert_eq!(BeatError::from_io(&error), BeatError::from_io(&as_connect));
    }

    let receiver = Receiver::uds(&path);
    let mut agent = Varta::open_with(&endpoint, options).unwrap();
    let mut reconnecting = Varta::open_with(&endpoint, options.reconnect_after(2)).unwrap();
    let receiver = replace(receiver, &path);
    // An attempt would be due, if the agent made any.
    thread::sleep(RETRY_INTERVAL);
    let connects_before = connects();
    for _ in 0..10 {
        assert!(matches!(beat(&mut agent), Dropped(NoObserver | PeerGone)));
    }
    assert_eq!(connects(), connects_before);
    assert_eq!(receiver.queued_frames(), []);

    assert_eq!(beat(&mut reconnecting), Dropped(NoObserver));
    assert_eq!(beat(&mut reconnecting), Sent);
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[test]
fn an_agent_that_follows_also_supports_reconnect_and_reconnect_after() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let mut agent = Varta::open(&path).unwrap();
    let error: io::Error = agent.reconnect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let receiver = Receiver::uds(&path);
    agent.reconnect().unwrap();
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(receiver.next_frame().nonce, 1);

    agent.set_reconnect_after(1);
    let receiver = replace(receiver, &path);
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(receiver.next_frame().nonce, 2);
}

// ------------------------------------------------------------------- $VARTA_ENDPOINT

#[test]
fn the_environment_names_the_endpoint() {
    const THIS: &str = "the_environment_names_the_endpoint";

    match peers::part().as_deref() {
        None => {
            let _guard = forking();
            let folder = Folder::new();
            // Paths need not be UTF-8.
            for name in [OsStr::new("observer"), OsStr::from_bytes(b"\xff\xfe")] {
                let path: PathBuf = folder.path().join(name);
                let receiver = Receiver::uds(&path);
                run_again(THIS, "beat", |it| it.env(ENDPOINT_VARIABLE, &path));
                assert_eq!(receiver.next_frame().payload, 77);
            }
            run_again(THIS, "default", |it| it.env_remove(ENDPOINT_VARIABLE));
            let bad = "udp://observer.example:9000";
            run_again(THIS, "bad", |it| it.env(ENDPOINT_VARIABLE, bad));
        }
        Some("beat") => {
            let mut agent = Varta::open_default().unwrap();
            assert_eq!(agent.beat(Status::Ok, 77), Sent);
        }
        Some("default") => {
            assert_eq!(DEFAULT_ENDPOINT, "/run/varta/varta.sock");
            assert_eq!(Endpoint::from_env(), DEFAULT_ENDPOINT.parse());
        }
        Some("bad") => {
            let error = Varta::open_default().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), Endpoint::from_env().unwrap_err().to_string());
            assert!(error.to_string().contains("host \"observer.example\""), "{error}");
        }
        Some(other) => panic!("there is no part {other}"),
    }
}

/// A user who starts a set-user-ID program must not choose what it opens.
#[test]
fn a_program_with_raised_rights_ignores_the_environment() {
    const THIS: &str = "a_program_with_raised_rights_ignores_the_environment";
    const NOBODY: u32 = 65_534;

    if peers::part().is_some() {
        // SAFETY: has no arguments and cannot fail.
        assert_eq!(unsafe { libc::getuid() }, NOBODY);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::geteuid() }, 0);
        assert!(std::env::var_os(ENDPOINT_VARIABLE).is_some());
        assert_eq!(Endpoint::from_env(), DEFAULT_ENDPOINT.parse());
        // Nor does the user choose the name of the service.
        assert!(std::env::var_os("VARTA_NAME").is_some());
        let folder = Folder::new();
        let observer = LaneObserver::bind(&folder.join("varta.sock"));
        let _agent = Varta::open(folder.join("varta.sock")).unwrap();
        assert_eq!(observer.connection().hello.name, [0; 64]);
        // Nor whom it notifies.
        assert!(std::env::var_os("NOTIFY_SOCKET").is_some());
        let options = Options::default().notify(true);
        let endpoint = Endpoint::Path(folder.join("varta.sock"));
        let agent = Varta::open_with(&endpoint, options).unwrap();
        assert_eq!(agent.ready(), Dropped(NotConfigured));
        return;
    }
    if !needs_root() {
        return;
    }
    let _guard = forking();
    let folder = Folder::new();
    let program = folder.path().join("raised");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    run_program_again(program, THIS, "raised", |it| {
        it.uid(NOBODY)
            .env(ENDPOINT_VARIABLE, "/tmp/stranger.sock")
            .env("VARTA_NAME", "stranger")
            .env("NOTIFY_SOCKET", "/tmp/stranger.sock")
            .current_dir("/")
    });
}
