//! Last words: what a panic sends to the observer, what it does not change, and that sealed
//! last words share no AEAD nonce with any other datagram.

#![cfg(all(feature = "panic-handler", feature = "secure-udp"))]
#![allow(unsafe_code, reason = "redirecting standard error in a forked child")]
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

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread;

use peers::{
    MASTER_KEY, Opened, Opener, SHARED_KEY, connects, forking, run_again, udp_on_reusable_port,
};
use support::{Child, Ended, Folder, PATIENCE, Receiver, in_child, uninterrupted, wait_until};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone};
use varta::secure::Key;
use varta::{
    BeatError, Frame, LastWords, NONCE_TERMINAL, Status, Varta, install_panic_handler,
    install_panic_handler_secure_udp, install_panic_handler_udp,
};

/// Makes panics of this child print nothing.
fn be_quiet() {
    panic::set_hook(Box::new(|_| ()));
}

/// Panics and survives it.
#[track_caller]
fn survive_a_panic() {
    let payload = panic::catch_unwind(|| panic!("enough")).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"enough"));
}

#[track_caller]
fn assert_last_words(frame: Frame, pid: u32) {
    assert_eq!((frame.status, frame.nonce), (Status::Critical, NONCE_TERMINAL));
    assert_eq!((frame.pid, frame.payload), (pid, 0));
}

#[test]
fn a_panic_sends_last_words_then_runs_the_previous_hook_then_unwinds() {
    /// Logs that it was dropped.
    struct Unwound(Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Unwound {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("unwound");
        }
    }

    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    in_child(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log_of_hook, received_by_hook) = (log.clone(), received.clone());
        panic::set_hook(Box::new(move |info| {
            received_by_hook.lock().unwrap().extend(receiver.queued_frames());
            log_of_hook.lock().unwrap().push(*info.payload().downcast_ref().unwrap());
        }));
        install_panic_handler(&path).unwrap();

        let unwound = Unwound(log.clone());
        let result = panic::catch_unwind(AssertUnwindSafe(move || {
            let _unwound = unwound;
            panic!("enough");
        }));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"enough"));
        assert_eq!(*log.lock().unwrap(), ["enough", "unwound"]);
        // The last words had been sent when the previous hook ran.
        let received = received.lock().unwrap();
        assert_eq!(received.len(), 1);
        assert_last_words(received[0], std::process::id());
    });
}

#[test]
fn a_process_that_survives_a_panic_continues_beating() {
    const THIS: &str = "a_process_that_survives_a_panic_continues_beating";

    let _guard = forking();
    if let Some(path) = peers::part() {
        install_panic_handler(&path).unwrap();
        let mut agent = Varta::connect(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(agent.beat(Status::Ok, 1), Sent);
            assert_eq!(agent.beat(Status::Ok, 1), Sent);
            thread::spawn(|| panic!("enough of this")).join().unwrap_err();
        }
        assert_eq!(agent.beat(Status::Ok, 1), Sent);
        return;
    }
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let output = run_again(THIS, path.to_str().unwrap(), |it| it);
    // The default hook still runs.
    assert_eq!(output.matches("enough of this").count(), 2, "{output}");

    let frames = receiver.queued_frames();
    let nonces: Vec<u64> = frames.iter().map(|frame| frame.nonce).collect();
    assert_eq!(nonces, [1, 2, NONCE_TERMINAL, 3, 4, NONCE_TERMINAL, 5]);
    assert_last_words(frames[2], frames[0].pid);
    assert_last_words(frames[5], frames[0].pid);
    assert!(frames[5].timestamp > frames[2].timestamp);
}

#[test]
fn a_panic_within_a_panic_sends_last_words_too_and_still_aborts() {
    struct PanicsAgain;
    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("and again");
        }
    }

    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    let mut child = Child::start(|| {
        // The abort is expected: its core file goes to the folder, its message nowhere.
        std::env::set_current_dir(folder.path()).unwrap();
        let null = fs::File::create("/dev/null").unwrap();
        // SAFETY: replaces the standard error of this child by another file.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), 2) }, 2);
        be_quiet();
        install_panic_handler(&path).unwrap();
        let _again = PanicsAgain;
        panic!("enough");
    });
    assert_eq!(child.wait(), Ended::Killed(6));
    let frames = receiver.queued_frames();
    // Rust may run the hook for the abort too.
    assert!(frames.len() >= 2, "{frames:?}");
    for frame in frames {
        assert_last_words(frame, child.pid());
    }
}

#[test]
fn a_forked_child_sends_its_own_last_words() {
    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    let receiver = Receiver::uds(&path);
    in_child(|| {
        be_quiet();
        install_panic_handler(&path).unwrap();
        let child = Child::start(survive_a_panic);
        let pid = child.pid();
        child.finish();
        assert_last_words(receiver.next_frame(), pid);
        survive_a_panic();
        assert_last_words(receiver.next_frame(), std::process::id());
    });
    assert_eq!(receiver.queued_frames(), []);
}

#[test]
fn last_words_reach_an_observer_that_was_replaced() {
    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    in_child(|| {
        be_quiet();
        // Bound in this child, so that no other child keeps it open.
        let old = Receiver::uds(&path);
        install_panic_handler(&path).unwrap();
        drop(old);
        fs::remove_file(&path).unwrap();
        let new = Receiver::uds(&path);
        // Each panic makes its own new connection, which is closed afterwards.
        for _ in 0..3 {
            survive_a_panic();
            assert_last_words(new.next_frame(), std::process::id());
            assert_eq!(new.queued_frames(), []);
        }
    });
}

#[test]
fn last_words_without_an_observer_make_one_attempt_to_connect() {
    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    in_child(|| {
        let receiver = Receiver::uds(&path);
        let last_words = LastWords::open(&path).unwrap();
        let attempts = |expected| {
            let connects_before = connects();
            assert_eq!(last_words.say(5), expected);
            connects() - connects_before
        };
        assert_eq!(attempts(Sent), 0);
        // A full queue does not cause a new connection.
        while last_words.say(5) == Sent {}
        assert_eq!(attempts(Dropped(KernelQueueFull)), 0);
        let frame = receiver.next_frame();
        assert_eq!((frame.nonce, frame.payload), (NONCE_TERMINAL, 5));

        drop(receiver);
        assert_eq!(attempts(Dropped(NoObserver)), 1);
        let gone = if cfg!(target_os = "linux") { PeerGone } else { NoObserver };
        assert_eq!(attempts(Dropped(gone)), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(attempts(Dropped(gone)), 1);
        let receiver = Receiver::uds(&path);
        assert_eq!(attempts(Sent), 1);
        assert_eq!(receiver.queued_frames().len(), 1);

        be_quiet();
        install_panic_handler(&path).unwrap();
        drop(receiver);
        survive_a_panic();
    });
}

#[test]
fn installing_fails_without_an_observer_and_keeps_the_hook() {
    let _guard = forking();
    let folder = Folder::new();
    let stale = folder.join("stale");
    drop(Receiver::uds(&stale));
    in_child(|| {
        let runs = Arc::new(Mutex::new(0));
        let runs_of_hook = runs.clone();
        panic::set_hook(Box::new(move |_| *runs_of_hook.lock().unwrap() += 1));
        for (path, errno) in
            [(folder.join("absent"), libc::ENOENT), (stale, libc::ECONNREFUSED)]
        {
            let error = install_panic_handler(&path).unwrap_err();
            assert_eq!(BeatError::from_io(&error).errno, errno);
            let text = format!("cannot connect to {}, where no observer", path.display());
            assert!(error.to_string().starts_with(&text), "{error}");
        }
        let name = format!("@varta-nobody-{}", std::process::id());
        let error = install_panic_handler(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = install_panic_handler("udp://observer.example:9000").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        survive_a_panic();
        assert_eq!(*runs.lock().unwrap(), 1);
    });
}

#[test]
fn two_installed_handlers_both_send_last_words() {
    let _guard = forking();
    let folder = Folder::new();
    let receivers = ["one", "two"].map(|name| Receiver::uds(folder.join(name)));
    in_child(|| {
        be_quiet();
        install_panic_handler(folder.join("one")).unwrap();
        install_panic_handler(folder.join("two")).unwrap();
        survive_a_panic();
    });
    for receiver in receivers {
        assert_eq!(receiver.queued_frames().len(), 1);
    }
}

#[test]
fn a_panic_handler_accepts_every_kind_of_endpoint() {
    let _guard = forking();
    let folder = Folder::new();
    let uds = Receiver::uds(folder.join("observer"));
    let udp = Receiver::udp();
    let key = folder.key_file("key", &SHARED_KEY);
    let (path, address) = (folder.join("observer"), udp.address());
    let path = path.display();
    for (endpoint, receiver, length) in [
        (format!("{path}"), &uds, 32),
        (format!("unix://{path}"), &uds, 32),
        (format!("udp://{address}"), &udp, 32),
        (format!("udp+secure://{address}?key-file={}", key.display()), &udp, 60),
        (format!("udp+secure://{address}?master-key-file={}", key.display()), &udp, 64),
    ] {
        panic_in_child(|| install_panic_handler(&endpoint).unwrap());
        assert_eq!(receiver.next_datagram().len(), length, "{endpoint}");
    }
    panic_in_child(|| install_panic_handler(folder.join("observer")).unwrap());
    assert_eq!(uds.next_datagram().len(), 32);
    panic_in_child(|| install_panic_handler_udp(address).unwrap());
    assert_eq!(udp.next_datagram().len(), 32);
}

#[cfg(target_os = "linux")]
#[test]
fn a_panic_handler_accepts_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let _guard = forking();
    let name = format!("varta-last-words-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let receiver = Receiver::of(UnixDatagram::bind_addr(&address).unwrap());
    panic_in_child(|| install_panic_handler(format!("@{name}")).unwrap());
    assert_eq!(receiver.queued_frames().len(), 1);
}

/// Installs a hook in a child and panics there.
#[track_caller]
fn panic_in_child(install: impl FnOnce()) {
    in_child(|| {
        be_quiet();
        install();
        survive_a_panic();
    });
}

// ---------------------------------------------------------------------------- sealed

/// The sealed datagrams of a process and its child that both beat and panic twice.
fn receive_sealed(
    install: impl FnOnce(&Receiver),
    connect: impl FnOnce(&Receiver) -> Varta<varta::SecureUdpTransport>,
) -> (u32, Vec<Opened>) {
    let receiver = Receiver::udp();
    let child = Child::start(|| {
        be_quiet();
        install(&receiver);
        let mut agent = connect(&receiver);
        let mut beat_and_panic = || {
            for _ in 0..2 {
                assert_eq!(agent.beat(Status::Ok, 1), Sent);
                survive_a_panic();
                assert_eq!(agent.beat(Status::Ok, 1), Sent);
                agent.reconnect().unwrap();
            }
        };
        beat_and_panic();
        in_child(&mut beat_and_panic);
        beat_and_panic();
    });
    let pid = child.pid();
    let mut opener = Opener::new();
    child.finish();
    let opened = (0..18).map(|_| opener.open(&receiver.next_datagram())).collect();
    (pid, opened)
}

#[track_caller]
fn check_sealed((pid, opened): (u32, Vec<Opened>)) {
    let (last_words, beats): (Vec<_>, Vec<_>) =
        opened.into_iter().partition(|opened| opened.frame.nonce == NONCE_TERMINAL);
    assert_eq!((last_words.len(), beats.len()), (6, 12));
    for sealed in &last_words {
        assert_eq!((sealed.frame.status, sealed.frame.payload), (Status::Critical, 0));
    }
    for kind in [&last_words, &beats] {
        let own = kind.iter().filter(|opened| opened.frame.pid == pid).count();
        assert_eq!(3 * own, 2 * kind.len(), "a third of them must be from the child");
    }
    let prefixes = |opened: &[Opened]| -> HashSet<[u8; 8]> {
        opened.iter().map(|opened| opened.iv.prefix).collect()
    };
    assert_eq!(prefixes(&last_words).len(), last_words.len(), "a prefix repeats");
    assert!(prefixes(&last_words).is_disjoint(&prefixes(&beats)));
}

#[test]
fn last_words_sealed_with_a_shared_key_have_their_own_nonces() {
    let _guard = forking();
    let key = || Key::from_bytes(SHARED_KEY);
    check_sealed(receive_sealed(
        |receiver| install_panic_handler_secure_udp(receiver.address(), key()).unwrap(),
        |receiver| Varta::connect_secure_udp(receiver.address(), key()).unwrap(),
    ));
}

#[test]
fn last_words_sealed_with_a_master_key_have_their_own_nonces() {
    let _guard = forking();
    let folder = Folder::new();
    let file = folder.key_file("master", &MASTER_KEY);
    let received = receive_sealed(
        |receiver| {
            let (address, file) = (receiver.address(), file.display());
            let endpoint = format!("udp+secure://{address}?master-key-file={file}");
            install_panic_handler(endpoint).unwrap();
        },
        |receiver| {
            let master = Key::from_bytes(MASTER_KEY);
            Varta::connect_secure_udp_with_master(receiver.address(), master).unwrap()
        },
    );
    // Each process seals beats and last words with the key of its own pid.
    assert!(received.1.iter().all(|opened| opened.agent == Some(opened.frame.pid)));
    check_sealed(received);
}

#[test]
fn refused_last_words_are_sent_again_over_a_new_connection_with_a_new_nonce() {
    let _guard = forking();
    let key = Key::from_bytes(SHARED_KEY);
    let observer = udp_on_reusable_port();
    let address = observer.local_addr().unwrap();
    let folder = Folder::new();
    let file = folder.key_file("key", key.as_bytes());
    let last_words =
        LastWords::open(format!("udp+secure://{address}?key-file={}", file.display())).unwrap();
    let mut opener = Opener::new();
    let mut prefixes = HashSet::new();
    let mut receive = |observer: &UdpSocket| {
        observer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut wire = [0; 60];
        let (length, from) = uninterrupted(|| observer.recv_from(&mut wire)).unwrap();
        assert!(prefixes.insert(opener.open(&wire[..length]).iv.prefix), "a nonce repeats");
        from
    };
    assert_eq!(last_words.say(1), Sent);
    let first = receive(&observer);
    drop(observer);

    // The first datagram to the closed port is lost, and its refusal is reported by the next.
    wait_until(PATIENCE, || {
        assert_eq!(last_words.say(2), Sent);
        // Another test may have taken the port in the meantime.
        let Ok(observer) = UdpSocket::bind(address) else { return false };
        assert_eq!(last_words.say(3), Sent);
        let again = receive(&observer);
        again != first
    });
}
