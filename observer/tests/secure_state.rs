//! An observer refuses the sealed frames that a previous observer with the same state file has
//! accepted.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;

use support::{Child, Folder, NEVER, frame, in_child, kill, poll_all, poll_until, wait_until};
use varta::secure::{Cipher, Iv, Key};
use varta_observer::{Builder, Observer, What};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn bind(state: &Path) -> std::io::Result<Observer> {
    Builder::new()
        .secure_udp((HERE, 0).into())
        .shared_key(Key::from_bytes([1; 32]))
        .secure_state_file(state)
        .threshold(NEVER)
        .bind()
}

fn beat(counter: u32) -> [u8; 60] {
    let iv = Iv { prefix: *b"a prefix", counter };
    Cipher::new(&Key::from_bytes([1; 32])).seal(iv, &frame(4321, counter.into())).unwrap()
}

fn poll_until_nonce(observer: &mut Observer, nonce: u64) {
    poll_until(
        observer,
        |event| matches!(event.what, What::Beat { nonce: last, .. } if last == nonce),
    );
}

/// Sends the beats up to `last` again, then the following ones. Returns the first that counts.
fn first_that_counts(state: &Path, last: u32) -> u32 {
    let mut observer = bind(state).unwrap();
    let to = observer.udp_addresses().next().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 7), 0)).unwrap();
    let mut send = |counter| {
        let before = observer.stats().unwrap().received;
        socket.send_to(&beat(counter), to).unwrap();
        let mut events = Vec::new();
        wait_until(|| {
            events.extend(poll_all(&mut observer));
            observer.stats().unwrap().received > before
        });
        !events.is_empty()
    };
    for counter in 1..=last {
        assert!(!send(counter), "{counter} counts again");
    }
    let first = (last + 1..).find(|counter| send(*counter)).unwrap();
    assert!(observer.snapshot().unwrap().iter().all(|agent| !agent.unconfirmed));
    first
}

#[test]
fn a_beat_counts_once_even_if_the_observer_is_killed() {
    let folder = Folder::new();
    let state = folder.join("sessions");
    let (mut output, mut input) = UnixStream::pair().unwrap();
    let child = Child::start(|| {
        let mut observer = bind(&state).unwrap();
        let port = observer.udp_addresses().next().unwrap().port();
        input.write_all(&port.to_be_bytes()).unwrap();
        poll_until_nonce(&mut observer, 20);
        input.write_all(&[1]).unwrap();
        loop {
            let _ = observer.poll();
        }
    });
    let mut port = [0; 2];
    output.read_exact(&mut port).unwrap();
    let to = SocketAddr::from((HERE, u16::from_be_bytes(port)));
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    for counter in 1..=20 {
        socket.send_to(&beat(counter), to).unwrap();
    }
    output.read_exact(&mut [0]).unwrap();
    let error = bind(&state).unwrap_err().to_string();
    assert!(error.ends_with("another observer is using it"), "{error}");
    kill(child.pid(), libc::SIGKILL);
    drop(child);
    // The state file has recorded counters up to 24.
    assert_eq!(first_that_counts(&state, 20), 25);
}

#[test]
fn an_observer_that_ends_cleanly_loses_no_beat() {
    in_child(|| {
        let folder = Folder::new();
        let state = folder.join("sessions");
        let mut observer = bind(&state).unwrap();
        let to = observer.udp_addresses().next().unwrap();
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        for counter in 1..=20 {
            socket.send_to(&beat(counter), to).unwrap();
        }
        poll_until_nonce(&mut observer, 20);
        drop(observer);
        assert_eq!(first_that_counts(&state, 20), 21);
    });
}
