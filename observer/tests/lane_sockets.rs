//! The second socket of an observer, on which shared memory is handed out, follows the rules of
//! the first.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "sockets made by hand")]

mod support;

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::lane::{Answer, LaneAgent, LaneSocket};
use support::{Folder, in_child, ms, open_descriptors, poll_all, poll_for, wait_until};
use varta::Endpoint;
use varta_observer::{Builder, Observer};

fn at(path: &Path) -> Builder {
    Builder::new().listen(Endpoint::Path(path.to_owned())).lane(true)
}

fn beside(path: &Path) -> PathBuf {
    format!("{}.lane", path.display()).into()
}

/// A page is handed out at this name.
#[track_caller]
fn assert_hands_out_pages(observer: &mut Observer, name: &[u8]) {
    let socket = LaneSocket::connect_to(name).unwrap();
    socket.hello().unwrap();
    LaneAgent::with(socket, || drop(poll_all(observer)));
}

#[test]
fn without_the_lane_there_is_no_second_socket_and_no_descriptor() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let descriptors_with = |lane| {
            let before = open_descriptors();
            let observer = at(&path).lane(lane).bind().unwrap();
            assert_eq!(beside(&path).exists(), lane);
            assert_eq!(observer.sockets().count(), if lane { 2 } else { 1 });
            open_descriptors() - before
        };
        let plain = Observer::bind(&path, ms(500), 0o600).unwrap();
        assert!(!beside(&path).exists(), "it is off by default");
        drop(plain);
        assert!(descriptors_with(true) > descriptors_with(false));
    });
}

#[test]
fn the_second_socket_has_the_mode_of_the_first_and_is_removed_with_it() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let observer = at(&path).socket_mode(0o620).bind().unwrap();
    for path in [&path, &beside(&path)] {
        let about = fs::symlink_metadata(path).unwrap();
        assert!(about.file_type().is_socket());
        assert_eq!(about.permissions().mode() & 0o7777, 0o620, "{}", path.display());
    }
    drop(observer);
    assert!(!path.exists() && !beside(&path).exists());
}

#[test]
fn a_dead_second_socket_is_replaced() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    in_child(|| std::mem::forget(at(&path).bind().unwrap()));
    assert!(path.exists() && beside(&path).exists());
    let mut observer = at(&path).bind().unwrap();
    assert_hands_out_pages(&mut observer, beside(&path).as_os_str().as_encoded_bytes());
    let error = at(&path).bind().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    // If only the second one is in use, nothing is left of the first.
    fs::remove_file(&path).unwrap();
    let error = at(&path).bind().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let what = beside(&path).display().to_string();
    assert!(error.to_string().contains(&what), "{error}");
    assert!(!path.exists() && beside(&path).exists());
}

/// An agent that finds no second socket while its datagrams are taken does not look for it
/// again. In a process of its own, because the children that other tests fork would keep an ended
/// observer's sockets open.
#[test]
fn whenever_datagrams_are_taken_the_second_socket_is_there() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let looks = threads.spawn(|| {
                let mut looks = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let socket = UnixDatagram::unbound().unwrap();
                    if socket.connect(&path).is_ok() {
                        let there = LaneSocket::connect(&path).is_ok();
                        // An observer may have ended in between.
                        assert!(there || socket.send(&[]).is_err());
                        looks += 1;
                    }
                }
                looks
            });
            for _ in 0..200 {
                let observer = at(&path).bind().unwrap();
                std::thread::sleep(Duration::from_micros(300));
                drop(observer);
            }
            is_over.store(true, Ordering::SeqCst);
            assert!(looks.join().unwrap() > 0);
        });
    });
}

#[test]
fn what_is_not_a_dead_socket_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    fs::write(beside(&path), "text").unwrap();
    assert_eq!(at(&path).bind().unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(beside(&path)).unwrap(), b"text");
    fs::remove_file(beside(&path)).unwrap();
    let _datagrams = UnixDatagram::bind(beside(&path)).unwrap();
    assert_eq!(at(&path).bind().unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(!path.exists() && beside(&path).exists());
}

#[test]
fn a_path_that_is_too_long_for_a_second_socket_leaves_datagrams_and_advice() {
    let folder = Folder::new();
    let name = "x".repeat(107 - 5 + 1 - folder.join("").as_os_str().len());
    let path = folder.join(&name);
    let observer = at(&path).bind().unwrap();
    assert_eq!(observer.sockets().count(), 1);
    let advice = observer.advice().unwrap();
    assert!(advice.contains("has 108 bytes"), "{advice}");
    drop(observer);
    assert!(!at(&path).lane(false).bind().unwrap().advice().unwrap().contains("bytes"));
    let path = folder.join(&name[1..]);
    let observer = at(&path).bind().unwrap();
    assert_eq!(observer.sockets().count(), 2);
    assert!(!observer.advice().unwrap().contains("bytes"));
}

#[test]
fn an_abstract_name_has_both_sockets() {
    let name = format!("varta-lane-{}", std::process::id());
    let builder = || Builder::new().listen(Endpoint::Abstract(name.clone().into())).lane(true);
    let mut observer = builder().bind().unwrap();
    assert_hands_out_pages(&mut observer, format!("\0{name}").as_bytes());
    assert_eq!(builder().bind().unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(observer);
    // A child that another test starts has a copy of the sockets until it runs its program.
    wait_until(|| builder().bind().is_ok());
}

#[test]
fn an_endpoint_that_is_added_later_has_both_sockets() {
    let folder = Folder::new();
    let [first, second] = ["a", "b"].map(|name| folder.join(name));
    let mut observer = at(&first).bind().unwrap();
    observer.listen(Endpoint::Path(second.clone())).unwrap();
    for path in [first, second] {
        assert_hands_out_pages(&mut observer, beside(&path).as_os_str().as_encoded_bytes());
    }
}

#[test]
fn an_endpoint_without_the_lane_has_one_socket() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let name = format!("varta-off-{}", std::process::id());
    for endpoint in [format!("{}?lane=off", path.display()), format!("@{name}?lane=off")] {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let observer = Builder::new().listen(endpoint).lane(true).bind().unwrap();
        assert_eq!(observer.sockets().count(), 1);
    }
    assert!(!beside(&path).exists());
}

/// A socket for connections, bound to a path.
fn connection_socket(path: &Path, listening: bool) -> OwnedFd {
    // SAFETY: takes numbers alone.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0) };
    assert!(fd >= 0);
    // SAFETY: made just now.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: numbers, all of which may be zero.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap();
    for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_encoded_bytes()) {
        *to = *from as libc::c_char;
    }
    let length = size_of_val(&address).try_into().unwrap();
    // SAFETY: the address is as long as given.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    if listening {
        // SAFETY: takes numbers alone.
        assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 8) }, 0);
    }
    socket
}

#[test]
fn inherited_sockets_are_told_apart_by_their_type() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let datagrams = || UnixDatagram::unbound().unwrap();
    drop(datagrams());
    let socket = UnixDatagram::bind(&path).unwrap();
    let connections = connection_socket(&beside(&path), true);
    let builder = Builder::new().inherit(connections).inherit(socket.into()).lane(true);
    let mut observer = builder.bind().unwrap();
    assert!(!observer.advice().unwrap().contains("SOCK_SEQPACKET"));
    assert_hands_out_pages(&mut observer, beside(&path).as_os_str().as_encoded_bytes());
    drop(observer);
    assert!(path.exists() && beside(&path).exists(), "they belong to another program");
}

#[test]
fn an_inherited_socket_that_cannot_serve_is_an_error_or_advice() {
    let folder = Folder::new();
    let bind = |listening, lane, name| {
        let socket = connection_socket(&folder.join(name), listening);
        Builder::new().inherit(socket).lane(lane).bind().unwrap_err().to_string()
    };
    let error = bind(true, false, "off");
    assert!(error.ends_with("it is a SOCK_SEQPACKET socket, and the lane is off"), "{error}");
    let error = bind(false, true, "not-listening");
    assert!(error.ends_with("that does not listen"), "{error}");

    let socket = UnixDatagram::bind(folder.join("datagrams")).unwrap();
    let observer = Builder::new().inherit(socket.into()).lane(true).bind().unwrap();
    let advice = observer.advice().unwrap();
    assert!(advice.contains("no SOCK_SEQPACKET socket was inherited"), "{advice}");
}

#[test]
fn a_forked_observer_leaves_the_lane_alone() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path).bind().unwrap();
    let mut agent = LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
    agent.beat();
    let mut observer = Some(observer);
    in_child(|| {
        let mut child = observer.take().unwrap();
        assert!(child.poll().is_err());
        drop(child);
    });
    let mut observer = observer.unwrap();
    poll_for(&mut observer, ms(20));
    assert!(beside(&path).exists() && !agent.is_closed());
    agent.beat();
    LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
}

#[test]
fn a_connection_ends_at_once_when_the_observer_is_dropped() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path).bind().unwrap();
    let agent = LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
    // A child holds copies of all descriptors.
    let _child = support::Child::start(|| {
        loop {
            std::thread::park();
        }
    });
    drop(observer);
    assert!(matches!(agent.socket.answer(), Some(Answer::Closed)));
}
