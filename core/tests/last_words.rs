//! Last words: what a panic tells the observer, what it leaves as it was, and that sealed
//! words share no AEAD nonce with anything.

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
use support::{Child, Ended, Folder, PATIENCE, Receiver, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone};
use varta::secure::Key;
use varta::{
    BeatError, Frame, LastWords, NONCE_TERMINAL, Status, Varta, install_panic_handler,
    install_panic_handler_secure_udp, install_panic_handler_udp,
};

/// From now on this child's panics print nothing.
fn be_quiet() {
    panic::set_hook(Box::new(|_| ()));
}

/// Panics and survives it.
#[track_caller]
fn survive_a_panic() {
    let told = panic::catch_unwind(|| panic!("enough")).unwrap_err();
    assert_eq!(told.downcast_ref(), Some(&"enough"));
}

#[track_caller]
fn assert_last_words(frame: Frame, pid: u32) {
    assert_eq!((frame.status, frame.nonce), (Status::Critical, NONCE_TERMINAL));
    assert_eq!((frame.pid, frame.payload), (pid, 0));
}

#[test]
fn a_panic_is_told_first_then_the_earlier_hook_runs_then_it_unwinds() {
    /// Says that it was dropped.
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
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (logged, hearing) = (log.clone(), heard.clone());
        panic::set_hook(Box::new(move |about| {
            hearing.lock().unwrap().extend(receiver.queued_frames());
            logged.lock().unwrap().push(*about.payload().downcast_ref().unwrap());
        }));
        install_panic_handler(&path).unwrap();

        let unwound = Unwound(log.clone());
        let told = panic::catch_unwind(AssertUnwindSafe(move || {
            let _unwound = unwound;
            panic!("enough");
        }));
        assert_eq!(told.unwrap_err().downcast_ref(), Some(&"enough"));
        assert_eq!(*log.lock().unwrap(), ["enough", "unwound"]);
        // The hook found them there when it ran.
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 1);
        assert_last_words(heard[0], std::process::id());
    });
}

#[test]
fn who_survives_a_panic_goes_on_beating() {
    const THIS: &str = "who_survives_a_panic_goes_on_beating";

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
    let said = run_again(THIS, path.to_str().unwrap(), |it| it);
    // The hook that every program has from the start was not lost either.
    assert_eq!(said.matches("enough of this").count(), 2, "{said}");

    let frames = receiver.queued_frames();
    let nonces: Vec<u64> = frames.iter().map(|frame| frame.nonce).collect();
    assert_eq!(nonces, [1, 2, NONCE_TERMINAL, 3, 4, NONCE_TERMINAL, 5]);
    assert_last_words(frames[2], frames[0].pid);
    assert_last_words(frames[5], frames[0].pid);
    assert!(frames[5].timestamp > frames[2].timestamp);
}

#[test]
fn a_panic_within_a_panic_has_words_too_and_still_aborts() {
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
        // An abort that is meant needs no core file and no message.
        std::env::set_current_dir(folder.path()).unwrap();
        let nowhere = fs::File::create("/dev/null").unwrap();
        // SAFETY: from now on this child's standard error is another file.
        assert_eq!(unsafe { libc::dup2(nowhere.as_raw_fd(), 2) }, 2);
        be_quiet();
        install_panic_handler(&path).unwrap();
        let _again = PanicsAgain;
        panic!("enough");
    });
    assert_eq!(child.wait(), Ended::Killed(6));
    let frames = receiver.queued_frames();
    // Rust may count its own decision to abort as a panic too.
    assert!(frames.len() >= 2, "{frames:?}");
    for frame in frames {
        assert_last_words(frame, child.pid());
    }
}

#[test]
fn a_forked_child_speaks_for_itself() {
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
fn after_the_observer_was_replaced_one_new_connection_is_made() {
    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    in_child(|| {
        be_quiet();
        // Bound in here, so that it is gone when this process closes it.
        let old = Receiver::uds(&path);
        install_panic_handler(&path).unwrap();
        drop(old);
        fs::remove_file(&path).unwrap();
        let new = Receiver::uds(&path);
        // Each panic for itself: what the first one opened was gone with it.
        for _ in 0..3 {
            survive_a_panic();
            assert_last_words(new.next_frame(), std::process::id());
            assert_eq!(new.queued_frames(), []);
        }
    });
}

#[test]
fn words_that_nobody_hears_cost_one_connection_and_change_nothing() {
    let _guard = forking();
    let folder = Folder::new();
    let path = folder.join("observer");
    in_child(|| {
        let receiver = Receiver::uds(&path);
        let last_words = LastWords::open(&path).unwrap();
        let tried = |wanted| {
            let connects_before = connects();
            assert_eq!(last_words.say(5), wanted);
            connects() - connects_before
        };
        assert_eq!(tried(Sent), 0);
        // A full queue is no reason for a new connection.
        while last_words.say(5) == Sent {}
        assert_eq!(tried(Dropped(KernelQueueFull)), 0);
        let frame = receiver.next_frame();
        assert_eq!((frame.nonce, frame.payload), (NONCE_TERMINAL, 5));

        drop(receiver);
        assert_eq!(tried(Dropped(NoObserver)), 1);
        let gone = if cfg!(target_os = "linux") { PeerGone } else { NoObserver };
        assert_eq!(tried(Dropped(gone)), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(tried(Dropped(gone)), 1);
        let receiver = Receiver::uds(&path);
        assert_eq!(tried(Sent), 1);
        assert_eq!(receiver.queued_frames().len(), 1);

        be_quiet();
        install_panic_handler(&path).unwrap();
        drop(receiver);
        survive_a_panic();
    });
}

#[test]
fn installing_fails_when_nobody_is_bound_and_leaves_the_hook() {
    let _guard = forking();
    let folder = Folder::new();
    let stale = folder.join("stale");
    drop(Receiver::uds(&stale));
    in_child(|| {
        let ran = Arc::new(Mutex::new(0));
        let running = ran.clone();
        panic::set_hook(Box::new(move |_| *running.lock().unwrap() += 1));
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
        assert_eq!(*ran.lock().unwrap(), 1);
    });
}

#[test]
fn who_installs_twice_tells_both() {
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
fn every_spelling_of_an_endpoint_will_do() {
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
        say_in_child(|| install_panic_handler(&endpoint).unwrap());
        assert_eq!(receiver.next_datagram().len(), length, "{endpoint}");
    }
    say_in_child(|| install_panic_handler(folder.join("observer")).unwrap());
    assert_eq!(uds.next_datagram().len(), 32);
    say_in_child(|| install_panic_handler_udp(address).unwrap());
    assert_eq!(udp.next_datagram().len(), 32);
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_will_do_too() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let _guard = forking();
    let name = format!("varta-last-words-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let receiver = Receiver::of(UnixDatagram::bind_addr(&address).unwrap());
    say_in_child(|| install_panic_handler(format!("@{name}")).unwrap());
    assert_eq!(receiver.queued_frames().len(), 1);
}

/// Installs a hook in a child and panics there.
#[track_caller]
fn say_in_child(install: impl FnOnce()) {
    in_child(|| {
        be_quiet();
        install();
        survive_a_panic();
    });
}

// ---------------------------------------------------------------------------- sealed

/// What comes when a process and its child beat and panic, both of them twice, sealed.
fn heard_sealed(
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
    let (words, beats): (Vec<_>, Vec<_>) =
        opened.into_iter().partition(|opened| opened.frame.nonce == NONCE_TERMINAL);
    assert_eq!((words.len(), beats.len()), (6, 12));
    for word in &words {
        assert_eq!((word.frame.status, word.frame.payload), (Status::Critical, 0));
    }
    for kind in [&words, &beats] {
        let own = kind.iter().filter(|opened| opened.frame.pid == pid).count();
        assert_eq!(3 * own, 2 * kind.len(), "a third of them is the child's");
    }
    let prefixes = |opened: &[Opened]| -> HashSet<[u8; 8]> {
        opened.iter().map(|opened| opened.iv.prefix).collect()
    };
    assert_eq!(prefixes(&words).len(), words.len(), "every word has a prefix of its own");
    assert!(prefixes(&words).is_disjoint(&prefixes(&beats)));
}

#[test]
fn words_sealed_with_a_shared_key_have_nonces_of_their_own() {
    let _guard = forking();
    let key = || Key::from_bytes(SHARED_KEY);
    check_sealed(heard_sealed(
        |receiver| install_panic_handler_secure_udp(receiver.address(), key()).unwrap(),
        |receiver| Varta::connect_secure_udp(receiver.address(), key()).unwrap(),
    ));
}

#[test]
fn words_sealed_with_a_master_key_have_nonces_of_their_own() {
    let _guard = forking();
    let folder = Folder::new();
    let file = folder.key_file("master", &MASTER_KEY);
    let heard = heard_sealed(
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
    // Each process seals with the key of its own pid, words and beats alike.
    assert!(heard.1.iter().all(|opened| opened.agent == Some(opened.frame.pid)));
    check_sealed(heard);
}

#[test]
fn refused_words_go_over_a_new_connection_with_a_nonce_of_their_own() {
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
    let mut hear = |observer: &UdpSocket| {
        observer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut wire = [0; 60];
        let (length, from) = observer.recv_from(&mut wire).unwrap();
        assert!(prefixes.insert(opener.open(&wire[..length]).iv.prefix), "a nonce repeats");
        from
    };
    assert_eq!(last_words.say(1), Sent);
    let first = hear(&observer);
    drop(observer);

    // The first word into the closed port is lost, and the news of that meets the next.
    wait_until(PATIENCE, || {
        assert_eq!(last_words.say(2), Sent);
        // Somebody else may have looked for a port of this kind just now.
        let Ok(observer) = UdpSocket::bind(address) else { return false };
        assert_eq!(last_words.say(3), Sent);
        let again = hear(&observer);
        again != first
    });
}
