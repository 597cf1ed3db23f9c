//! A forked child makes a new session before it sends anything. Over sealed UDP that is a new
//! salt and, with a master key, its own key. With a custom transport it is whatever
//! `reconnect` does.

#![cfg(all(unix, feature = "secure-udp"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::io;
use std::process;
use std::sync::{Arc, Mutex};

use support::{Receiver, decode, in_child};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::KernelQueueFull;
use varta::secure::{Cipher, Iv, Key, derive_agent_key};
use varta::{BeatTransport, Frame, SecureUdpTransport, Status, Varta};

fn key() -> Key {
    Key::from_bytes([7; 32])
}

/// The IV of a sealed datagram and the frame in it. If an agent is given, its own key is
/// derived from the master key.
fn opened(wire: &[u8], agent: Option<u32>) -> (Iv, Frame) {
    let (iv, frame) = match agent {
        None => (&wire[..12], Cipher::new(&key()).open(wire.try_into().unwrap())),
        Some(pid) => {
            assert_eq!(wire[..4], pid.to_le_bytes());
            let cipher = Cipher::new(&derive_agent_key(&key(), pid).unwrap());
            (&wire[4..16], cipher.open_from(wire.try_into().unwrap()))
        }
    };
    (Iv::from_bytes(iv.try_into().unwrap()), decode(&frame.unwrap()))
}

#[track_caller]
fn assert_new_session(connect: impl Fn(&Receiver) -> Varta<SecureUdpTransport>, master: bool) {
    let receiver = Receiver::udp();
    let mut agent = connect(&receiver);
    let mut beat = |nonce, recoveries| {
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(agent.fork_recoveries(), recoveries);
        let wire = receiver.next_datagram();
        let (iv, frame) = opened(&wire, master.then(process::id));
        assert_eq!((frame.pid, frame.nonce), (process::id(), nonce));
        assert_eq!(u64::from(iv.counter), nonce);
        iv.prefix
    };
    let of_parent = beat(1, 0);
    in_child(|| {
        let of_child = beat(1, 1);
        assert_ne!(of_child, of_parent);
        in_child(|| {
            let of_grandchild = beat(1, 2);
            assert!(of_grandchild != of_parent && of_grandchild != of_child);
        });
        assert_eq!(beat(2, 1), of_child);
    });
    assert_eq!(beat(2, 0), of_parent);
}

#[test]
fn a_child_with_a_shared_key_makes_a_new_session() {
    let connect = |receiver: &Receiver| Varta::connect_secure_udp(receiver.address(), key());
    assert_new_session(|receiver| connect(receiver).unwrap(), false);
}

#[test]
fn a_child_with_a_master_key_makes_a_new_session() {
    let connect =
        |receiver: &Receiver| Varta::connect_secure_udp_with_master(receiver.address(), key());
    assert_new_session(|receiver| connect(receiver).unwrap(), true);
}

#[test]
fn a_transport_without_an_agent_makes_a_new_session_in_a_child() {
    let receiver = Receiver::udp();
    let mut transport =
        SecureUdpTransport::connect_with_master(receiver.address(), key()).unwrap();
    let mut send = |nonce| {
        let mut wire = [0; 32];
        Frame::new(Status::Ok, process::id(), 0, nonce, 0).encode(&mut wire);
        transport.send(&wire).unwrap();
        let (iv, frame) = opened(&receiver.next_datagram(), Some(process::id()));
        assert_eq!(frame.nonce, nonce);
        iv
    };
    let of_parent = send(1);
    in_child(|| {
        let of_child = send(1);
        assert_ne!(of_child.prefix, of_parent.prefix);
        assert_eq!(of_child.counter, 1);
    });
    assert_eq!(send(2), Iv { counter: 2, ..of_parent });
}

#[derive(Debug, PartialEq)]
enum Event {
    Reconnected,
    Refused,
    Sent(u32, u64),
}

/// The calls of a transport.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Logging {
    log: Log,
    refusals: u32,
    full: bool,
}

impl BeatTransport for Logging {
    fn send(&mut self, frame: &[u8; 32]) -> io::Result<usize> {
        let frame = decode(frame);
        self.log.0.lock().unwrap().push(Event::Sent(frame.pid, frame.nonce));
        match self.full {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(32),
        }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        let (event, result) = match self.refusals.checked_sub(1) {
            Some(left) => {
                self.refusals = left;
                (Event::Refused, Err(io::Error::from_raw_os_error(libc::EMFILE)))
            }
            None => (Event::Reconnected, Ok(())),
        };
        self.log.0.lock().unwrap().push(event);
        result
    }
}

#[test]
fn a_child_reconnects_before_it_sends_and_retries_until_that_succeeds() {
    let log = Log::default();
    let transport = Logging { log: log.clone(), refusals: 2, full: false };
    let mut agent = Varta::with_transport(transport).unwrap();
    let own = process::id();
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    assert_eq!(log.take(), [Event::Sent(own, 1)]);

    in_child(|| {
        let pid = process::id();
        for _ in 0..2 {
            let outcome = agent.beat(Status::Ok, 0);
            assert!(matches!(outcome, Failed(error) if error.errno == libc::EMFILE));
            assert_eq!(log.take(), [Event::Refused]);
            assert_eq!(agent.fork_recoveries(), 0);
        }
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(log.take(), [Event::Reconnected, Event::Sent(pid, 1), Event::Sent(pid, 2)]);
        assert_eq!(agent.fork_recoveries(), 1);
    });
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    assert_eq!(log.take(), [Event::Sent(own, 2)]);
}

#[test]
fn a_beat_with_status_stall_does_not_reconnect_in_a_child() {
    let log = Log::default();
    let transport = Logging { log: log.clone(), refusals: 0, full: false };
    let mut agent = Varta::with_transport(transport).unwrap();
    in_child(|| {
        assert!(matches!(agent.beat(Status::Stall, 0), Failed(_)));
        assert_eq!((log.take(), agent.fork_recoveries()), (vec![], 0));
    });
}

#[test]
fn the_count_of_drops_starts_again_in_a_child() {
    let log = Log::default();
    let transport = Logging { log: log.clone(), refusals: 0, full: true };
    let mut agent = Varta::with_transport(transport).unwrap();
    agent.set_reconnect_after(3);
    let mut beat = || {
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(KernelQueueFull));
        log.take()
    };
    let own = process::id();
    assert_eq!(beat(), [Event::Sent(own, 1)]);
    assert_eq!(beat(), [Event::Sent(own, 2)]);

    // The parent's two drops do not count.
    in_child(|| {
        let pid = process::id();
        assert_eq!(beat(), [Event::Reconnected, Event::Sent(pid, 1)]);
        assert_eq!(beat(), [Event::Sent(pid, 2)]);
        let third = || Event::Sent(pid, 3);
        assert_eq!(beat(), [third(), Event::Reconnected, third()]);
    });
    let third = || Event::Sent(own, 3);
    assert_eq!(beat(), [third(), Event::Reconnected, third()]);
}

/// Salts are entropy from the kernel, not a continuation of the parent's state.
#[test]
fn siblings_have_different_salts() {
    let receiver = Receiver::udp();
    let mut agent = Varta::connect_secure_udp(receiver.address(), key()).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        in_child(|| assert_eq!(agent.beat(Status::Ok, 0), Sent));
        seen.insert(opened(&receiver.next_datagram(), None).0.to_bytes());
    }
    assert_eq!(seen.len(), 20);
}
