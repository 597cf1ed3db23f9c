//! Beats over a network: a beat that moves forward counts, and one that does not is a replay;
//! sealed beats with several keys; and floods of forged senders.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use support::{
    assert_accounted, count, frame, is, ms, names, poll_all, poll_until, text_of, wait_until,
};
use varta::secure::{Cipher, Iv, Key, derive_agent_key};
use varta::{NONCE_TERMINAL, Status, Varta, v1};
use varta_observer::{Builder, ExitCause, Observer, Origin, What};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn sealed_by(byte: u8, prefix: u8, counter: u32, frame: &[u8; 32]) -> [u8; 60] {
    Cipher::new(&key(byte)).seal(Iv { prefix: [prefix; 8], counter }, frame).unwrap()
}

fn bound(builder: Builder) -> (Observer, SocketAddr) {
    let observer = builder.bind().unwrap();
    let address = observer.udp_addresses().next().unwrap();
    (observer, address)
}

fn sender(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.connect(to).unwrap();
    socket
}

#[test]
fn a_beat_that_does_not_move_forward_is_a_replay() {
    let (mut observer, address) =
        bound(Builder::new().udp((HERE, 0).into()).threshold(ms(60_000)));
    let socket = sender(address);
    for nonce in [5, 5, 4, 6, 9] {
        socket.send(&frame(4321, nonce)).unwrap();
    }
    // Another port is the same agent; another pid is another agent.
    sender(address).send(&frame(4321, 9)).unwrap();
    sender(address).send(&frame(4322, 1)).unwrap();

    let events = poll_until(&mut observer, |event| {
        event.about.is_some_and(|about| about.claimed_pid == 4322)
    });
    let beats: Vec<_> = events
        .iter()
        .filter_map(|event| match event.what {
            What::Beat { nonce, missed, .. } => Some((nonce, missed)),
            _ => None,
        })
        .collect();
    assert_eq!(beats, [(5, 0), (6, 0), (9, 2), (1, 0)], "{}", text_of(&events));
    assert_eq!(observer.stats().unwrap().replays, 3);
    assert!(events.iter().all(|event| event.about.unwrap().origin == Origin::Network));
    assert_accounted(&observer, 4);
}

#[test]
fn after_a_stall_any_nonce_is_accepted() {
    let (mut observer, address) = bound(Builder::new().udp((HERE, 0).into()).threshold(ms(50)));
    let socket = sender(address);
    socket.send(&frame(4321, 1_000_000)).unwrap();
    poll_until(&mut observer, is("stall"));
    socket.send(&frame(4321, 1)).unwrap();
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(names(&events), ["recovered", "beat"]);
}

#[test]
fn silence_after_last_words_is_an_exit() {
    let (mut observer, address) = bound(Builder::new().udp((HERE, 0).into()).threshold(ms(50)));
    sender(address).send(&frame(4321, NONCE_TERMINAL)).unwrap();
    let events = poll_until(&mut observer, |event| event.what.name() != "beat");
    assert_eq!(
        events.last().unwrap().what,
        What::Exit { cause: ExitCause::Unknown, last_status: Status::Critical }
    );
    assert!(observer.snapshot().unwrap().is_empty());
}

#[test]
fn each_of_several_shared_keys_is_accepted() {
    let (mut observer, address) = bound(
        Builder::new()
            .secure_udp((HERE, 0).into())
            .shared_key(key(1))
            .shared_key(key(2))
            .threshold(ms(60_000)),
    );
    let mut old = Varta::connect_secure_udp(address, key(1)).unwrap();
    let mut new = Varta::connect_secure_udp(address, key(2)).unwrap();
    let mut stranger = Varta::connect_secure_udp(address, key(3)).unwrap();
    let _ = stranger.beat(Status::Ok, 0);
    let _ = old.beat(Status::Ok, 1);
    let _ = new.beat(Status::Degraded, 2);

    let events = poll_until(&mut observer, |event| {
        matches!(event.what, What::Beat { status: Status::Degraded, payload: 2, .. })
    });
    assert_eq!(names(&events), ["beat", "beat"]);
    assert!(events.iter().all(|event| event.about.unwrap().origin == Origin::SecureNetwork));
    assert_eq!(observer.stats().unwrap().decrypt_failures, 1);
    assert_accounted(&observer, 2);
}

#[test]
fn a_master_key_gives_each_process_its_own() {
    let (mut observer, address) = bound(
        Builder::new().secure_udp((HERE, 0).into()).master_key(key(9)).threshold(ms(60_000)),
    );
    let mut agent = Varta::connect_secure_udp_with_master(address, key(9)).unwrap();
    let _ = agent.beat(Status::Ok, 7);
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(events[0].about.unwrap().claimed_pid, std::process::id());

    // A frame does not open with the key of another pid, or with another pid in it.
    let cipher = Cipher::new(&derive_agent_key(&key(9), 4321).unwrap());
    let iv = |counter| Iv { prefix: [1; 8], counter };
    let socket = sender(address);
    socket.send(&cipher.seal_as(4322, iv(1), &frame(4322, 1)).unwrap()).unwrap();
    socket.send(&cipher.seal_as(4321, iv(2), &frame(4322, 1)).unwrap()).unwrap();
    socket.send(&cipher.seal_as(4321, iv(3), &frame(4321, 1)).unwrap()).unwrap();
    poll_until(&mut observer, is("beat"));
    assert_eq!(observer.stats().unwrap().decrypt_failures, 2);
    assert_accounted(&observer, 2);
}

#[test]
fn a_sealed_beat_counts_once() {
    let (mut observer, address) = bound(
        Builder::new().secure_udp((HERE, 0).into()).shared_key(key(1)).threshold(ms(60_000)),
    );
    let socket = sender(address);
    let send = |prefix, counter, nonce| {
        socket.send(&sealed_by(1, prefix, counter, &frame(4321, nonce))).unwrap();
    };
    send(b'a', 0, 1);
    send(b'a', 0, 1); // the same bytes again
    send(b'a', 2, 2);
    send(b'a', 1, 3); // recorded and delayed
    send(b'b', 1, 2); // a new session that goes back
    send(b'b', 1, 3); // and one that moves forward
    send(b'a', 3, 4); // an earlier session that is remembered
    let events =
        poll_until(&mut observer, |event| matches!(event.what, What::Beat { nonce: 4, .. }));
    assert_eq!(count(&events, "beat"), 4, "{}", text_of(&events));
    assert_eq!(observer.stats().unwrap().replays, 3);
    assert_accounted(&observer, 4);
}

#[test]
fn a_recorded_beat_is_a_replay_from_any_address() {
    let (mut observer, address) = bound(
        Builder::new()
            .secure_udp((Ipv4Addr::UNSPECIFIED, 0).into())
            .shared_key(key(1))
            .capacity(100)
            .threshold(ms(60_000)),
    );
    let to = SocketAddr::from((HERE, address.port()));
    let recorded: Vec<_> = (1..=5)
        .map(|counter| sealed_by(1, b'a', counter, &frame(4321, counter.into())))
        .collect();
    let agent = sender(to);
    recorded.iter().for_each(|bytes| assert_eq!(agent.send(bytes).unwrap(), 60));
    poll_until(&mut observer, |event| matches!(event.what, What::Beat { nonce: 5, .. }));
    for host in 2..81 {
        let elsewhere = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
        elsewhere.send_to(&recorded[0], to).unwrap();
        elsewhere.send_to(&recorded[4], to).unwrap();
        wait_until(|| {
            assert!(poll_all(&mut observer).is_empty());
            observer.stats().unwrap().replays == 2 * u64::from(host - 1)
        });
    }
    assert_eq!(observer.snapshot().unwrap().len(), 1);
    // The agent may move to another address, and there is room for a new agent.
    let moved = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 99), 0)).unwrap();
    moved.send_to(&sealed_by(1, b'a', 6, &frame(4321, 6)), to).unwrap();
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(events[0].about.unwrap().agent, 1);
    assert_eq!(observer.snapshot().unwrap()[0].address, Some([127, 0, 0, 99].into()));
    agent.send(&sealed_by(1, b'n', 1, &frame(4322, 1))).unwrap();
    poll_until(&mut observer, is("beat"));
    assert_accounted(&observer, 7);
}

#[test]
fn a_flood_of_forged_senders_does_not_make_the_observer_forget_an_agent() {
    // Anyone with the key can claim any pid. The observer remembers as many senders as it can
    // follow.
    let (mut observer, address) = bound(
        Builder::new()
            .secure_udp((HERE, 0).into())
            .shared_key(key(1))
            .capacity(32)
            .threshold(ms(60_000)),
    );
    let socket = sender(address);
    let live = sealed_by(1, b'l', 1, &frame(4321, 1));
    socket.send(&live).unwrap();
    poll_until(&mut observer, is("beat"));

    let mut beats = 1;
    for pid in 10_000..11_000 {
        socket.send(&sealed_by(1, b'f', pid, &frame(pid, 1))).unwrap();
        beats += count(&poll_all(&mut observer), "beat") as u64;
    }
    // At most half of the capacity is for network agents.
    assert_eq!(observer.snapshot().unwrap().len(), 16);
    let counters = observer.stats().unwrap();
    assert_eq!(counters.capacity_exceeded + counters.sender_memory_full, 1_000 - 15);

    socket.send(&live).unwrap();
    socket.send(&sealed_by(1, b'l', 2, &frame(4321, 2))).unwrap();
    let events = poll_until(&mut observer, |event| {
        event.about.is_some_and(|about| about.claimed_pid == 4321)
    });
    beats += count(&events, "beat") as u64;
    assert_eq!(observer.stats().unwrap().replays, 1);
    assert_eq!(observer.drain_evictions().unwrap(), 0);
    assert_accounted(&observer, beats);
}

#[test]
fn version_1_is_accepted_if_enabled() {
    for (enabled, beats, refused) in [(false, 1, 1), (true, 2, 0)] {
        let (mut observer, address) =
            bound(Builder::new().udp((HERE, 0).into()).version1(enabled).threshold(ms(60_000)));
        let mut wire = [0; 32];
        v1::Frame::new(Status::Ok, 4321, 0, 1, u64::MAX).encode(&mut wire);
        let socket = sender(address);
        socket.send(&wire).unwrap();
        socket.send(&frame(4322, 1)).unwrap();
        let events = poll_until(&mut observer, |event| {
            event.about.is_some_and(|about| about.claimed_pid == 4322)
        });
        assert_eq!(count(&events, "beat"), beats);
        assert_eq!(count(&events, "decode"), refused);
        if enabled {
            let What::Beat { payload, .. } = events[0].what else { panic!("{}", events[0]) };
            assert_eq!(payload, u64::MAX);
        }
        assert_accounted(&observer, beats as u64);
    }
}

#[test]
fn datagrams_of_a_wrong_length_are_only_counted() {
    let (mut observer, address) =
        bound(Builder::new().udp((HERE, 0).into()).threshold(ms(60_000)));
    let socket = sender(address);
    socket.send(&[]).unwrap();
    for length in (1..32).chain(33..120) {
        socket.send(&vec![b'V'; length]).unwrap();
    }
    socket.send(&[0; 32]).unwrap();
    socket.send(&frame(4321, 1)).unwrap();
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(names(&events), ["decode", "beat"]);
    let counters = observer.stats().unwrap();
    assert_eq!((counters.probes, counters.wrong_length), (1, 118));
    assert_accounted(&observer, 1);
}
