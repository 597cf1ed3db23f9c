//! Finding an observer again: told to (`reconnect`), by rule (`set_reconnect_after`), and
//! by itself (`open`).

#![cfg(feature = "secure-udp")]
#![allow(unsafe_code, reason = "taking the descriptors away from a forked child")]
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
use std::io::{self, ErrorKind, Write};
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
use support::{Folder, PATIENCE, Receiver, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone};
use varta::secure::Key;
use varta::{
    AnyTransport, BeatError, BeatOutcome, BeatTransport, DEFAULT_ENDPOINT, ENDPOINT_VARIABLE,
    Endpoint, Frame, Options, Status, Varta, v1,
};

fn beat<T: BeatTransport>(agent: &mut Varta<T>) -> BeatOutcome {
    agent.beat(Status::Ok, 0)
}

/// Somebody else takes the place of whoever is bound to a path.
fn replace(receiver: Receiver, path: &Path) -> Receiver {
    drop(receiver);
    fs::remove_file(path).unwrap();
    Receiver::uds(path)
}

// ------------------------------------------------------------------ told to: reconnect

#[test]
fn a_connected_agent_finds_a_new_observer_only_when_told_to() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    let before = receiver.next_frame();
    let receiver = replace(receiver, &path);

    // Longer than the time between two looks of an agent that does follow.
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
    // The nonce goes on, and the gap tells of the beats that were dropped.
    assert_eq!(after.nonce, beats + 1);
    // The clock goes on too: more has passed than since the reconnect.
    let passed = after.timestamp - before.timestamp;
    assert!(Duration::from_nanos(passed) >= Duration::from_millis(250));
}

#[test]
fn reconnecting_over_udp_makes_a_new_session() {
    let observer = UdpSocket::bind("127.0.0.1:0").unwrap();
    observer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut agent = Varta::connect_udp(observer.local_addr().unwrap()).unwrap();
    let mut heard = Vec::new();
    for _ in 0..3 {
        assert_eq!(beat(&mut agent), Sent);
        agent.reconnect().unwrap();
        let mut wire = [0; 32];
        let (_, from) = observer.recv_from(&mut wire).unwrap();
        heard.push((from.port(), Frame::decode(&wire).unwrap()));
    }
    // The new socket is made while the old one still has its port.
    assert_ne!(heard[0].0, heard[1].0);
    assert_ne!(heard[1].0, heard[2].0);
    assert_eq!([0, 1, 2].map(|place: usize| heard[place].1.nonce), [1, 2, 3]);
    assert!(heard.is_sorted_by_key(|(_, frame)| frame.timestamp));
    assert!(heard[2].1.timestamp > heard[0].1.timestamp);
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
        let mut hear = |agent: &mut Varta<_>| {
            assert_eq!(beat(agent), Sent);
            opener.open(&receiver.next_datagram())
        };
        let before = [hear(&mut agent), hear(&mut agent)];
        agent.reconnect().unwrap();
        let after = [hear(&mut agent), hear(&mut agent)];
        assert_eq!(before.map(|sealed| sealed.iv.counter), [1, 2]);
        assert_eq!(after.map(|sealed| sealed.iv.counter), [1, 2]);
        assert_eq!(after[0].iv.prefix, after[1].iv.prefix);
        assert_ne!(before[0].iv.prefix, after[0].iv.prefix);
        assert_eq!(after[0].frame.nonce, before[1].frame.nonce + 1);
        assert!(after[0].frame.timestamp >= before[1].frame.timestamp);
    }
}

#[test]
fn a_failed_reconnect_leaves_the_old_session() {
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
fn a_failed_reconnect_leaves_a_sealed_session_with_its_counter() {
    let _guard = forking();
    let receiver = Receiver::udp();
    let key = Key::from_bytes(SHARED_KEY);
    in_child(|| {
        let mut agent = Varta::connect_secure_udp(receiver.address(), key).unwrap();
        assert_eq!(beat(&mut agent), Sent);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads a limit of ours. From now on this child gets no new descriptor.
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

// ------------------------------------------------------ by rule: set_reconnect_after

/// Beats over a transport that expects exactly these calls. `course` says what is done
/// and what comes of it: a digit sets `reconnect_after`; `s`, `d` and `f` stand for a beat
/// that is sent, dropped, failed. Returns the nonces of the calls.
#[track_caller]
fn play(calls: &str, course: &str) -> Vec<u64> {
    let (transport, script) = Scripted::spelled(calls);
    let mut agent = Varta::with_transport(transport).unwrap();
    for (place, letter) in course.chars().enumerate() {
        if let Some(drops) = letter.to_digit(10) {
            agent.set_reconnect_after(drops);
        } else if letter != ' ' {
            let came = match beat(&mut agent) {
                Sent => 's',
                Dropped(_) => 'd',
                Failed(_) => 'f',
            };
            assert_eq!(came, letter, "at {place} of {course:?} with {calls:?}");
        }
    }
    script.assert_done();
    let (nonces, wires) = (script.nonces(), script.wires());
    for (nonce, wire) in nonces.windows(2).zip(wires.windows(2)) {
        assert!(nonce[0] != nonce[1] || wire[0] == wire[1], "not the same frame once more");
    }
    nonces
}

#[test]
fn after_so_many_drops_in_a_row_the_same_frame_is_sent_once_more() {
    assert_eq!(play("dR. .", "1 s s"), [1, 1, 2]);
    assert_eq!(play("d dR. .", "2 d s s"), [1, 2, 2, 3]);
    let twice = play(". d d dR. . d d dR. .", "3 s d d s s d d s s");
    assert_eq!(twice, [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9]);
    // Whatever they were dropped for.
    assert_eq!(play("q d qR.", "3 d d s"), [1, 2, 3, 3]);
}

#[test]
fn while_it_does_not_help_every_later_beat_tries_again() {
    // New sessions, and nobody hears them either.
    let unheard = play("d dRd dRd dRq dR. .", "2 d d d d s s");
    assert_eq!(unheard, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    // No new session, and so nothing to send on once more.
    assert_eq!(play("d dx dx dx dR. .", "2 d d d d s s"), [1, 2, 3, 4, 5, 5, 6]);
    // The observer may also come back to the old session.
    assert_eq!(play("d dx dx . d dR.", "2 d d d s d s"), [1, 2, 3, 4, 5, 6, 6]);
    // After a success a run has its full length again.
    assert_eq!(play("d dx dR. d dR.", "2 d d s d s"), [1, 2, 3, 3, 4, 5, 5]);
}

#[test]
fn a_run_ends_with_what_is_sent_and_with_what_fails() {
    assert_eq!(play("d . d . d dR.", "2 d s d s d s"), [1, 2, 3, 4, 5, 6, 6]);
    assert_eq!(play("d f d f d dR.", "2 d f d f d s"), [1, 2, 3, 4, 5, 6, 6]);
    // Also with a frame that fails when it is sent once more.
    assert_eq!(play("d dRf d dR.", "2 d f d s"), [1, 2, 2, 3, 4, 4]);
}

#[test]
fn setting_it_begins_a_new_run_and_zero_turns_it_off() {
    assert_eq!(play("d d dR.", "2 d 2 d s"), [1, 2, 3, 3]);
    assert_eq!(play("d d d dR.", "9 d d d 1 s"), [1, 2, 3, 4, 4]);
    assert_eq!(play("d dx d d d .", "2 d d 0 d d d s"), [1, 2, 3, 4, 5, 6]);
    // Off is the default.
    assert_eq!(play("d d d d d d d d d d .", "d d d d d d d d d d s"), Vec::from_iter(1..=11));
}

#[test]
fn a_new_observer_hears_the_beat_that_found_it() {
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

// ------------------------------------------------------------------- by itself: open

/// The least time between two looks for an observer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// An agent's looks for its observer, as seen from outside: by the connections it tries.
struct Looks {
    /// Before and after the call in which the last one was.
    last: (Instant, Instant),
    /// How many connections this thread has tried, up to now.
    seen: u64,
}

impl Looks {
    /// Opens an agent, which is the first look.
    fn opening(path: &Path) -> (Self, Varta<AnyTransport>) {
        let before = Instant::now();
        let agent = Varta::open(path).unwrap();
        (Self { last: (before, Instant::now()), seen: connects() }, agent)
    }

    /// Watches one beat of an agent that has lost its observer, or never met it; says
    /// whether it looked.
    #[track_caller]
    fn during(&mut self, beat: impl FnOnce() -> BeatOutcome) -> (BeatOutcome, bool) {
        let before = Instant::now();
        let outcome = beat();
        let after = Instant::now();
        let (last_before, last_after) = self.last;
        // However slow this machine is: the agent has read its clock between `before` and
        // `after`, this time and the last.
        match connects() - self.seen {
            0 => assert!(before - last_after < BETWEEN_LOOKS, "it has stopped looking"),
            1 => {
                assert!(after - last_before >= BETWEEN_LOOKS, "looks follow too closely");
                self.last = (before, after);
                self.seen += 1;
            }
            looks => panic!("{looks} looks in one beat"),
        }
        (outcome, self.last.0 == before)
    }

    /// Watches beat after beat until there were so many looks.
    #[track_caller]
    fn watch(
        &mut self,
        looks: u64,
        mut beat: impl FnMut() -> BeatOutcome,
        wanted: BeatOutcome,
    ) {
        let end = self.seen + looks;
        wait_until(PATIENCE, || {
            // Far more beats than looks.
            (0..100).for_each(|_| assert_eq!(self.during(&mut beat).0, wanted));
            self.seen >= end
        });
    }
}

#[test]
fn an_agent_may_start_before_its_observer_and_looks_ten_times_a_second() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let connects_before = connects();
    let (mut looks, mut agent) = Looks::opening(&path);
    assert_eq!(looks.seen, connects_before + 1);
    looks.watch(5, || beat(&mut agent), Dropped(NoObserver));

    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || looks.during(|| beat(&mut agent)) == (Sent, true));
    assert_eq!(receiver.next_frame().nonce, 1);
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(connects(), looks.seen);
}

#[test]
fn version_1_follows_too() {
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
fn the_beat_after_the_one_that_found_nobody_finds_the_new_observer() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::open(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    // Opening was a look too.
    thread::sleep(BETWEEN_LOOKS);
    let receiver = replace(receiver, &path);
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(receiver.next_frame().nonce, 3);
}

#[test]
fn an_observer_that_stays_away_is_looked_for_ten_times_a_second() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let (mut looks, mut agent) = Looks::opening(&path);
    drop(receiver);

    // Nobody looks until a beat has been lost.
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    assert_eq!(connects(), looks.seen);
    let gone = if cfg!(target_os = "linux") { PeerGone } else { NoObserver };
    looks.watch(5, || beat(&mut agent), Dropped(gone));

    fs::remove_file(&path).unwrap();
    looks.watch(2, || beat(&mut agent), Dropped(gone));
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || looks.during(|| beat(&mut agent)) == (Sent, true));
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn an_observer_that_takes_connections_and_no_beats_is_not_courted_more_often() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let observer = UnixDatagram::bind(&path).unwrap();
    let (mut looks, mut agent) = Looks::opening(&path);
    observer.shutdown(Shutdown::Read).unwrap();
    assert_eq!(beat(&mut agent), Dropped(PeerGone));
    assert_eq!(connects(), looks.seen);
    looks.watch(5, || beat(&mut agent), Dropped(PeerGone));

    let receiver = replace(Receiver::of(observer), &path);
    wait_until(PATIENCE, || beat(&mut agent) == Sent);
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[test]
fn a_removed_socket_file_is_missed_only_when_the_observer_goes() {
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
fn a_full_queue_is_no_reason_to_look() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::open(&path).unwrap();
    // A look would be due.
    thread::sleep(BETWEEN_LOOKS);
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
fn over_udp_the_session_is_kept() {
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
        let (port, wire) = hear(&observer);
        // Looks would be due, were there any.
        thread::sleep(BETWEEN_LOOKS);

        // Connected to somebody else it is not there for this agent, and keeps its port.
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
        let (port_after, wire_after) = hear(&observer);
        assert_eq!(port, port_after);
        if scheme == "udp+secure" {
            let [before, after] = [wire, wire_after].map(|wire| Opener::new().open(&wire).iv);
            assert_eq!(before.prefix, after.prefix);
            assert!(after.counter > before.counter + 3);
        }
        // The observer itself has connected twice, and nobody else.
        assert_eq!(connects(), connects_before + 2);
    }
}

/// The next datagram and where it came from.
fn hear(observer: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut room = [0; 128];
    let (length, from) = observer.recv_from(&mut room).unwrap();
    (from, room[..length].to_vec())
}

#[test]
fn without_following_open_does_as_connect_does() {
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
    let mut by_rule = Varta::open_with(&endpoint, options.reconnect_after(2)).unwrap();
    let receiver = replace(receiver, &path);
    // A look would be due, were there any.
    thread::sleep(BETWEEN_LOOKS);
    let connects_before = connects();
    for _ in 0..10 {
        assert!(matches!(beat(&mut agent), Dropped(NoObserver | PeerGone)));
    }
    assert_eq!(connects(), connects_before);
    assert_eq!(receiver.queued_frames(), []);

    assert_eq!(beat(&mut by_rule), Dropped(NoObserver));
    assert_eq!(beat(&mut by_rule), Sent);
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[test]
fn an_agent_that_follows_can_be_told_and_ruled_too() {
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
            // Paths need not be text.
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
        Some(other) => panic!("no part is called {other}"),
    }
}

/// Set-user-ID programs are started by users who must not choose what they open.
#[test]
fn a_program_with_raised_rights_ignores_the_environment() {
    const THIS: &str = "a_program_with_raised_rights_ignores_the_environment";
    const NOBODY: u32 = 65_534;

    if peers::part().is_some() {
        // SAFETY: asks who has started this process.
        assert_eq!(unsafe { libc::getuid() }, NOBODY);
        // SAFETY: asks whose rights it has.
        assert_eq!(unsafe { libc::geteuid() }, 0);
        assert!(std::env::var_os(ENDPOINT_VARIABLE).is_some());
        assert_eq!(Endpoint::from_env(), DEFAULT_ENDPOINT.parse());
        return;
    }
    // SAFETY: asks who this process is.
    if unsafe { libc::geteuid() } != 0 {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "in CI this needs root");
        io::stderr().write_all(b"SKIPPED: only root can give a program its rights\n").unwrap();
        return;
    }
    let _guard = forking();
    let folder = Folder::new();
    let program = folder.path().join("raised");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    run_program_again(program, THIS, "raised", |it| {
        it.uid(NOBODY).env(ENDPOINT_VARIABLE, "/tmp/stranger.sock").current_dir("/")
    });
}
