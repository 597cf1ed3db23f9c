//! A datagram with attached descriptors never blocks the observer on kernels that cannot
//! refuse it (before Linux 6.16).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{
    Folder, LingeringSocket, NEVER, forget_socket_option, frame, in_child, limit_descriptors,
    ms, open_descriptors, send_with_descriptors, wait_until,
};
use varta_observer::{Builder, Observer};

/// A lingering close sleeps for 300 s. Even on a busy machine, everything else takes less than
/// this.
const AT_MOST: Duration = Duration::from_secs(20);

const SO_PASSRIGHTS: libc::c_int = 83;

/// An observer as on a kernel without `SO_PASSRIGHTS`, and a socket that sends to it.
struct Pair {
    observer: Observer,
    sender: UnixDatagram,
    sent: u64,
}

impl Pair {
    fn bind(folder: &Folder) -> Self {
        forget_socket_option(SO_PASSRIGHTS);
        let path = folder.join("varta.sock");
        let observer = Observer::bind(&path, NEVER, 0o600).unwrap();
        Self::with(observer, &path)
    }

    fn with(observer: Observer, path: &Path) -> Self {
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(path).unwrap();
        Self { observer, sender, sent: 0 }
    }

    /// Polls until all that was sent has been received. No poll may block.
    #[track_caller]
    fn receive(&mut self) {
        loop {
            let start = Instant::now();
            let _ = self.observer.poll_timeout(ms(1)).unwrap();
            assert!(start.elapsed() < AT_MOST, "a poll took {:?}", start.elapsed());
            let counters = self.observer.stats().unwrap();
            if counters.received == self.sent {
                assert_eq!(counters.settled(), self.sent, "{counters:?}");
                return;
            }
        }
    }

    fn beat(&mut self, nonce: u64) {
        self.sender.send(&frame(std::process::id(), nonce)).unwrap();
        self.sent += 1;
    }

    /// Sends a datagram with a lingering socket. Returns the peer, which must stay open.
    fn linger(&mut self, lingering: LingeringSocket, bytes: &[u8]) -> TcpStream {
        self.sent += 1;
        lingering.send(&self.sender, bytes)
    }
}

#[test]
fn a_lingering_socket_does_not_block_the_observer() {
    in_child(|| {
        let folder = Folder::new();
        let mut pair = Pair::bind(&folder);
        let before = open_descriptors();
        let own = frame(std::process::id(), 9);
        let mut peers = Vec::new();
        // Until an agent is followed the kernel passes pidfds, so that there is room for
        // control data, in which attached descriptors could arrive. Later there is none.
        for round in 0..2 {
            for bytes in [&[][..], &own, &[7; 99]] {
                peers.push(pair.linger(LingeringSocket::new(), bytes));
                pair.receive();
            }
            let plain = vec![pair.sender.as_fd(); 253];
            send_with_descriptors(&pair.sender, &own, &plain).unwrap();
            pair.sent += 1;
            // All of these are read in one poll.
            peers.push(pair.linger(LingeringSocket::new(), &own));
            for nonce in 1..=3 {
                pair.beat(3 * round + nonce);
            }
            pair.receive();
            assert_eq!(pair.observer.stats().unwrap().beats, 3 * (round + 1));
        }
        assert_eq!(pair.observer.stats().unwrap().control_truncated, 10);
        // All attached descriptors are closed. The observer holds one descriptor of this
        // process.
        drop(peers);
        wait_until(|| open_descriptors() == before + 1);
    });
}

#[test]
fn a_lingering_socket_does_not_block_the_observer_when_no_descriptor_is_free() {
    in_child(|| {
        let folder = Folder::new();
        let mut pair = Pair::bind(&folder);
        let lingering: Vec<_> = (0..6).map(|_| LingeringSocket::new()).collect();
        let mut files = Vec::new();
        limit_descriptors(File::open("/dev/null").unwrap().as_raw_fd().unsigned_abs().into());
        let mut peers = Vec::new();
        for (nonce, lingering) in (1..).zip(lingering) {
            peers.push(pair.linger(lingering, &[7; 32]));
            // The sender's own copy was the last free descriptor.
            files.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
            pair.beat(nonce);
            pair.receive();
            assert_eq!(pair.observer.stats().unwrap().beats, nonce);
        }
    });
}

#[test]
fn dropping_an_observer_does_not_wait_for_a_queued_lingering_socket() {
    in_child(|| {
        let folder = Folder::new();
        let mut pair = Pair::bind(&folder);
        let _peer = pair.linger(LingeringSocket::new(), &[7; 32]);
        let Pair { observer, sender, .. } = pair;
        let start = Instant::now();
        // Once in a forked child, which has none of the observer's threads, and once here.
        in_child(move || drop(observer));
        assert!(start.elapsed() < AT_MOST, "{:?}", start.elapsed());
        assert!(sender.send(&[7; 32]).is_err());
    });
}

/// This also happens on kernels that can refuse descriptors, because these were queued
/// earlier.
#[test]
fn a_lingering_socket_queued_before_the_socket_is_inherited_does_not_block_the_observer() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let early = UnixDatagram::unbound().unwrap();
        early.connect(&path).unwrap();
        let _peers: Vec<_> =
            (0..3).map(|_| LingeringSocket::new().send(&early, &[7; 32])).collect();
        let observer = Builder::new().inherit(socket.into()).bind().unwrap();
        let mut pair = Pair::with(observer, &path);
        pair.sent = 3;
        pair.beat(1);
        pair.receive();
        assert_eq!(pair.observer.stats().unwrap().control_truncated, 3);
    });
}
