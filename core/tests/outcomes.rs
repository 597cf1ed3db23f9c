//! Every outcome of a beat and every drop reason: from the kernel where possible, otherwise
//! from a scripted transport.

#![cfg(all(feature = "panic-handler", feature = "secure-udp"))]
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

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use peers::{Scripted, Step, forking, without_forks};
use support::{
    Folder, PATIENCE, Receiver, become_user, in_child, needs_root, uninterrupted, wait_until,
};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone, StorageFull};
use varta::{BeatError, BeatOutcome, BeatTransport, Frame, Options, Status, Varta, v1};

fn beat<T: BeatTransport>(agent: &mut Varta<T>) -> BeatOutcome {
    agent.beat(Status::Ok, 0)
}

#[test]
fn a_sent_beat_arrives() {
    fn check<T: BeatTransport>(mut agent: Varta<T>, receiver: &Receiver) {
        let sent = [(Status::Ok, 0), (Status::Degraded, 7), (Status::Critical, u32::MAX)];
        for (status, payload) in sent {
            assert_eq!(agent.beat(status, payload), Sent);
        }
        let frames: Vec<Frame> = sent.iter().map(|_| receiver.next_frame()).collect();
        for ((number, frame), (status, payload)) in (1..).zip(&frames).zip(sent) {
            assert_eq!((frame.status, frame.payload), (status, payload));
            assert_eq!((frame.pid, frame.nonce), (std::process::id(), number));
        }
        assert!(frames.is_sorted_by_key(|frame| frame.timestamp));
        assert!(frames[2].timestamp < PATIENCE.as_nanos().try_into().unwrap());
    }
    let folder = Folder::new();
    let path = folder.join("observer");
    let uds = Receiver::uds(&path);
    check(Varta::connect(&path).unwrap(), &uds);

    let path = folder.join("other");
    let uds = Receiver::uds(&path);
    check(Varta::open(&path).unwrap(), &uds);

    let udp = Receiver::udp();
    check(Varta::connect_udp(udp.address()).unwrap(), &udp);
}

#[cfg(target_os = "linux")]
#[test]
fn a_beat_to_an_abstract_name_needs_no_file() {
    let _guard = without_forks();
    use std::os::linux::net::SocketAddrExt;

    let name = format!("varta-outcomes-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let observer = UnixDatagram::bind_addr(&address).unwrap();
    let mut agent = Varta::open(format!("@{name}")).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    drop(observer);
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
}

#[test]
fn a_beat_to_a_full_queue_is_dropped_and_uses_a_nonce() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();

    let accepted = (1..).find(|_| beat(&mut agent) != Sent).unwrap() - 1;
    assert!(accepted > 0);
    // The beat that ended the loop was dropped, and so are these.
    for _ in 0..3 {
        assert_eq!(beat(&mut agent), Dropped(KernelQueueFull));
    }
    let nonces: Vec<u64> = receiver.queued_frames().iter().map(|frame| frame.nonce).collect();
    assert_eq!(nonces, (1..=accepted).collect::<Vec<_>>());

    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(receiver.next_frame().nonce, accepted + 5);
}

#[test]
fn a_version_1_beat_to_a_full_queue_is_dropped() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = v1::Varta::connect(&path).unwrap();

    let mut outcome = Sent;
    let mut accepted = 0;
    while outcome == Sent {
        outcome = agent.beat(Status::Ok, u64::MAX - accepted);
        accepted += u64::from(outcome == Sent);
    }
    assert_eq!(outcome, Dropped(KernelQueueFull));

    let wires = receiver.queued_datagrams();
    assert!(wires.iter().all(|wire| wire[..3] == *b"VA\x01"));
    let frames: Vec<_> =
        wires.iter().map(|wire| v1::Frame::decode(wire[..].try_into().unwrap())).collect();
    for (place, frame) in (0..).zip(&frames) {
        let frame = frame.unwrap();
        assert_eq!((frame.nonce, frame.payload), (place + 1, u64::MAX - place));
        assert_eq!((frame.status, frame.pid), (Status::Ok, std::process::id()));
    }
    assert_eq!(frames.len() as u64, accepted);

    drop(receiver);
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
    assert_eq!(agent.beat(Status::Stall, 0), Failed(invalid_input()));
}

#[test]
fn a_removed_socket_file_does_not_affect_a_connected_agent() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(receiver.next_frame().nonce, 1);
}

#[test]
fn beats_to_a_closed_socket_report_no_observer_and_then_peer_gone() {
    let _guard = without_forks();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    drop(receiver);

    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    // Linux disconnects the socket on the first refusal; other kernels repeat the refusal.
    let later = if cfg!(target_os = "linux") { PeerGone } else { NoObserver };
    for _ in 0..3 {
        assert_eq!(beat(&mut agent), Dropped(later));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn beats_to_a_socket_that_was_shut_down_report_peer_gone() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let observer = UnixDatagram::bind(&path).unwrap();
    let mut agent = Varta::connect(&path).unwrap();
    assert_eq!(beat(&mut agent), Sent);
    observer.shutdown(Shutdown::Read).unwrap();
    for _ in 0..3 {
        assert_eq!(beat(&mut agent), Dropped(PeerGone));
    }
}

/// A UDP observer that can refuse an agent and still keep its port, which no other process
/// must get in between: while the socket is connected to another address, it refuses the
/// agent's datagrams.
struct Closable {
    socket: UdpSocket,
    agent: SocketAddr,
}

impl Closable {
    /// Receives one beat to learn the agent's address.
    fn new<T: BeatTransport>(socket: UdpSocket, agent: &mut Varta<T>) -> Self {
        assert_eq!(beat(agent), Sent);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_, agent) = uninterrupted(|| socket.recv_from(&mut [0; 64])).unwrap();
        Self { socket, agent }
    }

    fn close(&self) {
        self.socket.connect("127.0.0.1:9").unwrap();
    }

    fn open(&self) {
        self.socket.connect(self.agent).unwrap();
    }
}

#[test]
fn beats_to_a_closed_udp_port_report_no_observer() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut agent = Varta::connect_udp(socket.local_addr().unwrap()).unwrap();
    let observer = Closable::new(socket, &mut agent);
    observer.close();

    // The first beat to the closed port is Sent; the refusal is reported by a later one.
    let mut beats = 1;
    wait_until(PATIENCE, || {
        beats += 1;
        match beat(&mut agent) {
            Sent => false,
            outcome => {
                assert_eq!(outcome, Dropped(NoObserver));
                true
            }
        }
    });
    observer.open();
    wait_until(PATIENCE, || {
        beats += 1;
        beat(&mut agent) == Sent
    });
    let mut wire = [0; 32];
    assert_eq!(observer.socket.recv(&mut wire).unwrap(), 32);
    assert_eq!(Frame::decode(&wire).unwrap().nonce, beats);
}

#[test]
fn a_transports_result_is_the_outcome_and_every_send_uses_a_nonce() {
    let os = io::Error::from_raw_os_error;
    let failed = |errno| Failed(BeatError { errno, kind: os(errno).kind() });
    let of_kind = |kind| Failed(BeatError { errno: BeatError::UNKNOWN_ERRNO, kind });
    let results: Vec<(io::Result<usize>, BeatOutcome)> = vec![
        (Ok(32), Sent),
        (Err(os(libc::EAGAIN)), Dropped(KernelQueueFull)),
        (Err(os(libc::EWOULDBLOCK)), Dropped(KernelQueueFull)),
        (Err(os(libc::ENOBUFS)), Dropped(KernelQueueFull)),
        (Err(os(libc::ENOENT)), Dropped(NoObserver)),
        (Err(os(libc::ECONNREFUSED)), Dropped(NoObserver)),
        (Err(os(libc::ECONNRESET)), Dropped(PeerGone)),
        (Err(os(libc::ENOTCONN)), Dropped(PeerGone)),
        (Err(os(libc::EPIPE)), Dropped(PeerGone)),
        (Err(os(libc::ENOSPC)), Dropped(StorageFull)),
        (Err(os(libc::EACCES)), failed(libc::EACCES)),
        (Err(os(libc::EPERM)), failed(libc::EPERM)),
        (Err(os(libc::ENOMEM)), failed(libc::ENOMEM)),
        (Err(os(libc::EMSGSIZE)), failed(libc::EMSGSIZE)),
        (Err(os(libc::EBADF)), failed(libc::EBADF)),
        (Err(os(libc::EINTR)), failed(libc::EINTR)),
        (Err(os(libc::EDQUOT)), failed(libc::EDQUOT)),
        // A custom transport's own errors have a kind and no errno.
        (Err(ErrorKind::WouldBlock.into()), Dropped(KernelQueueFull)),
        (Err(ErrorKind::NotFound.into()), Dropped(NoObserver)),
        (Err(ErrorKind::BrokenPipe.into()), Dropped(PeerGone)),
        (Err(ErrorKind::StorageFull.into()), Dropped(StorageFull)),
        (Err(ErrorKind::OutOfMemory.into()), of_kind(ErrorKind::OutOfMemory)),
        (Err(io::Error::other("a transport's own")), of_kind(ErrorKind::Other)),
        // Less than a whole frame was accepted.
        (Ok(31), of_kind(ErrorKind::WriteZero)),
        (Ok(0), of_kind(ErrorKind::WriteZero)),
        (Ok(32), Sent),
    ];
    let (results, outcomes): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let (transport, script) = Scripted::of(results.into_iter().map(Step::Send));
    let mut agent = Varta::with_transport(transport).unwrap();
    for (number, outcome) in (1..).zip(outcomes) {
        assert_eq!(beat(&mut agent), outcome, "beat {number}");
        assert_eq!(script.nonces().last(), Some(&number));
    }
    script.assert_done();
}

#[test]
fn version_1_has_the_same_outcomes() {
    let (transport, script) = Scripted::spelled(". q d f .");
    let mut agent = v1::Varta::with_transport(transport).unwrap();
    let outcomes: Vec<_> = (0..5).map(|_| agent.beat(Status::Ok, 1 << 63)).collect();
    let denied = Failed(BeatError { errno: libc::EACCES, kind: ErrorKind::PermissionDenied });
    assert_eq!(outcomes, [Sent, Dropped(KernelQueueFull), Dropped(NoObserver), denied, Sent]);
    script.assert_done();
    for (number, wire) in (1..).zip(script.wires()) {
        let frame = v1::Frame::decode(&wire).unwrap();
        assert_eq!((frame.nonce, frame.payload), (number, 1 << 63));
    }
}

fn invalid_input() -> BeatError {
    BeatError { errno: BeatError::UNKNOWN_ERRNO, kind: ErrorKind::InvalidInput }
}

#[test]
fn a_beat_with_status_stall_fails_without_side_effects() {
    // A stall between two drops neither resets the count of drops nor adds to it, so the
    // second drop reconnects. The transport gets no other calls.
    let (transport, script) = Scripted::spelled("d d R . .");
    let mut agent = Varta::with_transport(transport).unwrap();
    agent.set_reconnect_after(2);
    assert_eq!(agent.beat(Status::Stall, 9), Failed(invalid_input()));
    assert_eq!(beat(&mut agent), Dropped(NoObserver));
    assert_eq!(agent.beat(Status::Stall, 9), Failed(invalid_input()));
    assert_eq!(beat(&mut agent), Sent);
    assert_eq!(beat(&mut agent), Sent);
    script.assert_done();
    assert_eq!(script.nonces(), [1, 2, 2, 3]);
    assert_eq!((agent.clock_regressions(), agent.fork_recoveries()), (0, 0));
}

#[test]
fn beats_before_the_first_session_report_no_observer_and_use_no_nonce() {
    let folder = Folder::new();
    let path = folder.join("observer");
    let mut agent = Varta::open(&path).unwrap();
    for _ in 0..5 {
        assert_eq!(beat(&mut agent), Dropped(NoObserver));
        assert_eq!(agent.beat(Status::Stall, 0), Failed(invalid_input()));
    }
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || beat(&mut agent) == Sent);
    // The earlier beats did not reach a socket.
    assert_eq!(receiver.next_frame().nonce, 1);

    let mut agent = v1::Varta::open(folder.join("nobody")).unwrap();
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
}

/// Runs a part of a test as an unprivileged user, in a child. Its working directory is the
/// folder, whose parents may be closed to that user. Only root can become another user.
fn as_another_user(folder: &Folder, run: impl FnOnce()) {
    const NOBODY: u32 = 65_534;
    if !needs_root() {
        return;
    }
    in_child(|| {
        std::env::set_current_dir(folder.path()).unwrap();
        become_user(NOBODY);
        run();
    });
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn opening_fails_if_permission_is_denied_but_not_if_the_observer_is_absent() {
    let _guard = forking();
    let folder = Folder::new();
    allow(folder.path(), 0o755);
    let _receiver = Receiver::uds(folder.join("observer"));
    allow(&folder.join("observer"), 0o700);
    let denied = |error: &io::Error| {
        let expected = BeatError { errno: libc::EACCES, kind: ErrorKind::PermissionDenied };
        assert_eq!(BeatError::from_io(error), expected);
        let text = "cannot connect to observer: Permission denied (os error 13)";
        assert_eq!(error.to_string(), text);
    };
    as_another_user(&folder, || {
        denied(&Varta::connect("observer").unwrap_err());
        denied(&Varta::open("observer").unwrap_err());
        denied(&v1::Varta::open("observer").unwrap_err());
        denied(&varta::LastWords::open("observer").unwrap_err());
        assert!(Varta::open("absent").is_ok());
    });
}

#[test]
fn a_beat_fails_if_permission_to_a_new_observer_is_denied() {
    let _guard = forking();
    let folder = Folder::new();
    allow(folder.path(), 0o777);
    let path = Path::new("observer");
    as_another_user(&folder, || {
        let mut agent = Varta::open(path).unwrap();
        assert_eq!(beat(&mut agent), Dropped(NoObserver));
        let receiver = Receiver::uds(path);
        allow(path, 0);
        let denied = BeatError { errno: libc::EACCES, kind: ErrorKind::PermissionDenied };
        wait_until(PATIENCE, || beat(&mut agent) == Failed(denied));
        allow(path, 0o700);
        wait_until(PATIENCE, || beat(&mut agent) == Sent);
        assert_eq!(receiver.next_frame().nonce, 1);
    });
}

#[test]
fn a_connect_error_names_the_path_and_the_cause() {
    let _guard = without_forks();
    let folder = Folder::new();
    let stale = folder.join("stale");
    drop(Receiver::uds(&stale));
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    let stream = folder.join("stream");
    let _stream = UnixListener::bind(&stream).unwrap();
    let long = folder.join(&"x".repeat(108));
    let absence = |errno| match errno {
        libc::ENOENT | libc::ECONNREFUSED => ", where no observer is listening",
        _ => "",
    };

    for (path, errno) in [
        (folder.join("absent"), libc::ENOENT),
        (folder.join("no/such/folder"), libc::ENOENT),
        (file.join("beneath"), libc::ENOTDIR),
        (folder.path().to_owned(), libc::ECONNREFUSED),
        (file, libc::ECONNREFUSED),
        (stale, libc::ECONNREFUSED),
        (stream, libc::EPROTOTYPE),
    ] {
        let cause = io::Error::from_raw_os_error(errno);
        let text = format!("cannot connect to {}{}: {cause}", path.display(), absence(errno));
        let expected = BeatError { errno, kind: cause.kind() };
        for error in every_error(&path) {
            assert_eq!(error.to_string(), text);
            assert_eq!(BeatError::from_io(&error), expected, "{error}");
        }
    }

    for (path, cause) in [(long, "SUN_LEN"), (folder.join("nul\0"), "null bytes")] {
        let error = Varta::connect(&path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains(cause), "{error}");
        // As endpoints they are refused before a connection is attempted.
        for error in every_error(&path) {
            assert_eq!(BeatError::from_io(&error), invalid_input(), "{error}");
        }
    }
}

/// The errors of all functions that connect to a path.
fn every_error(path: &Path) -> Vec<io::Error> {
    let options = Options::default().follow(false);
    let open_with =
        || Varta::open_with(&varta::Endpoint::from_os_str(path.as_os_str())?, options);
    vec![
        Varta::connect(path).unwrap_err(),
        v1::Varta::connect(path).unwrap_err(),
        open_with().unwrap_err(),
        varta::LastWords::open(path).unwrap_err(),
        varta::install_panic_handler(path).unwrap_err(),
    ]
}
