//! Observers on inherited sockets and on abstract names.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::io::ErrorKind;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use support::{
    Folder, NEVER, PATIENCE, TestAgent, agent_info, assert_accounted, count, frame, is,
    is_about, kill, ms, poll_all, poll_until, readable_within, wait_until,
};
use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Observer, Uids, What};

/// A service manager keeps the socket and passes it to one observer after another.
#[test]
fn an_inherited_socket_is_used_and_never_removed() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let managed = UnixDatagram::bind(&path).unwrap();
    // This is queued before the socket passes credentials.
    let early = UnixDatagram::unbound().unwrap();
    early.send_to(&frame(std::process::id(), 1), &path).unwrap();

    let agent = TestAgent::at(&path);
    for round in 1..=2 {
        let inherited = managed.try_clone().unwrap().into();
        let mut observer =
            Builder::new().inherit(inherited).threshold(NEVER).uids(Uids::Any).bind().unwrap();
        agent.beat(round);
        let events = poll_until(&mut observer, |event| is_about(event, agent.pid()));
        assert_eq!(count(&events, "beat"), 1);
        let stats = observer.stats().unwrap();
        assert_eq!(stats.received, 1 + u64::from(round == 1));
        assert_accounted(&observer, 1);
        drop(observer);
        assert!(path.exists());
        // Beats that arrive without an observer are queued for the next one.
        if round == 1 {
            agent.beat(10);
            let inherited = managed.try_clone().unwrap().into();
            let mut next = Builder::new().inherit(inherited).bind().unwrap();
            poll_until(&mut next, |event| is_about(event, agent.pid()));
        }
    }
    // The path is in use as long as the manager holds the socket.
    let taken = Observer::bind(&path, NEVER, 0o600).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_descriptor_that_is_not_a_bound_socket_is_refused() {
    let unbound = UnixDatagram::unbound().unwrap();
    let error = Builder::new().inherit(unbound.into()).bind().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(Builder::new().inherit(file.into()).bind().is_err());
}

/// Another holder of a socket can shut it down. It is then always readable, but there is
/// nothing to read.
#[test]
fn a_socket_that_is_shut_down_is_reported_and_tried_again() {
    for how in [Shutdown::Read, Shutdown::Both] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let managed = UnixDatagram::bind(&path).unwrap();
        let mut observer = Builder::new()
            .inherit(managed.try_clone().unwrap().into())
            .udp(([127, 0, 0, 1], 0).into())
            .threshold(NEVER)
            .bind()
            .unwrap();
        let mut agent = TestAgent::at(&path);
        agent.beat(1);
        poll_until(&mut observer, is("beat"));
        managed.shutdown(how).unwrap();
        let failed = poll_until(&mut observer, is("io")).pop().unwrap();
        assert_eq!(failed.what, What::Io { errno: libc::ESHUTDOWN });
        assert_eq!(observer.stats().unwrap().io_errors, 1);
        if how == Shutdown::Read {
            // It is tried again even if no agent is followed.
            agent.exit(0);
            agent.reap();
            poll_until(&mut observer, is("exit"));
            assert!(observer.snapshot().unwrap().is_empty());
            poll_io_when_readable(&mut observer);
            continue;
        }
        // The other socket is still read, and the host is not managed busy.
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.send_to(&frame(77, 1), observer.udp_addresses().next().unwrap()).unwrap();
        poll_until(&mut observer, is("beat"));
        wait_until(|| !readable_within(observer.as_fd(), Duration::ZERO));
        poll_io_when_readable(&mut observer);
    }
}

/// After a while the socket is tried again, which wakes a host that waits for the descriptor.
fn poll_io_when_readable(observer: &mut Observer) {
    while observer.poll_timeout(Duration::ZERO).unwrap().is_none_or(|event| !is("io")(&event)) {
        assert!(readable_within(observer.as_fd(), PATIENCE));
    }
}

#[test]
fn an_observer_listens_on_an_abstract_name() {
    let name = format!("@varta-test-{}", std::process::id());
    let listening = || Builder::new().listen(name.parse().unwrap()).threshold(ms(200));
    let mut observer = listening().bind().unwrap();
    let taken = listening().bind().unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        taken.to_string(),
        format!("cannot bind {name}: an observer is already listening there")
    );
    let beating = support::Child::start(|| {
        let mut agent = Varta::open(&name).unwrap();
        wait_until(|| agent.beat(Status::Ok, 0) == BeatOutcome::Sent);
        wait_until(|| false);
    });
    poll_until(&mut observer, is("beat"));
    assert!(agent_info(&observer, beating.pid()).is_some());
    poll_until(&mut observer, is("stall"));
    kill(beating.pid(), libc::SIGKILL);
    let events = poll_until(&mut observer, is("exit"));
    assert!(is_about(events.last().unwrap(), beating.pid()));
    assert!(poll_all(&mut observer).is_empty());
}

#[test]
fn advice_warns_of_a_short_queue() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let endpoint = || path.to_str().unwrap().parse().unwrap();
    let observer = Builder::new().listen(endpoint()).capacity(1 << 17).bind().unwrap();
    assert!(observer.advice().unwrap().contains("net.unix.max_dgram_qlen"));
    drop(observer);
    let observer = Builder::new().listen(endpoint()).capacity(1).bind().unwrap();
    assert_eq!(observer.advice(), None);
}
