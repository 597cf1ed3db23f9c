//! A child is detected even if it has the pid of the process that made the agent: the first
//! process has exited, and its grandchild reuses the pid.
//!
//! Choosing a pid takes a pid namespace, which needs root.

#![cfg(all(target_os = "linux", feature = "secure-udp"))]
#![allow(unsafe_code, reason = "forking")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::io::Error;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use support::{Child, Folder, Receiver, decode, fork_as, needs_root, shared_numbers};
use varta::BeatOutcome::Sent;
use varta::secure::{Cipher, Iv, Key, derive_agent_key};
use varta::{BeatTransport, Status, Varta};

fn key() -> Key {
    Key::from_bytes([7; 32])
}

/// Runs three generations of processes in a new pid namespace. The first one makes an agent
/// and beats three times, the second one beats `beats_between` times, and the third one,
/// which has the pid of the first one, beats twice. Returns the age of the third one in
/// nanoseconds after its first beat.
fn three_generations<T: BeatTransport>(
    connect: impl Fn() -> Varta<T>,
    beats_between: u64,
) -> u64 {
    let [age] = shared_numbers();
    Child::start(|| {
        // SAFETY: the argument is a number; only children of this process are affected.
        let moved = unsafe { libc::unshare(libc::CLONE_NEWPID) };
        assert_eq!(moved, 0, "{}", Error::last_os_error());
        // The first process of the namespace, which adopts orphans.
        Child::start(|| {
            // SAFETY: all arguments are numbers. Its own alarm does not end such a process.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Child::start(|| first(connect(), beats_between, age)).finish();
            let mut status = 0;
            // SAFETY: `status` is a local variable.
            let orphan = unsafe { libc::waitpid(-1, &raw mut status, 0) };
            assert!(orphan > 0 && status == 0, "the second generation: {status:#x}");
        })
        .finish();
    })
    .finish();
    age.load(Relaxed)
}

fn first<T: BeatTransport>(mut agent: Varta<T>, beats_between: u64, age: &AtomicU64) {
    for _ in 0..3 {
        assert_eq!(agent.beat(Status::Ok, 1), Sent);
    }
    let first_pid = process::id();
    let second = Child::start(|| {
        for _ in 0..beats_between {
            assert_eq!(agent.beat(Status::Ok, 2), Sent);
        }
        let recoveries = beats_between.min(1) + 1;
        let third = || third(&mut agent, first_pid, recoveries, age);
        Child::start_by(|| fork_as(first_pid), third).finish();
    });
    // The second generation outlives this process.
    std::mem::forget(second);
}

fn third<T: BeatTransport>(agent: &mut Varta<T>, pid: u32, recoveries: u64, age: &AtomicU64) {
    let start = Instant::now();
    assert_eq!(process::id(), pid);
    assert_eq!(agent.beat(Status::Ok, 3), Sent);
    age.store(start.elapsed().as_nanos().try_into().unwrap(), Relaxed);
    assert_eq!(agent.beat(Status::Ok, 3), Sent);
    assert_eq!(agent.fork_recoveries(), recoveries);
}

#[test]
fn a_grandchild_with_the_same_pid_counts_from_one_on_its_own_clock() {
    if !needs_root() {
        return;
    }
    for beats_between in [0, 2] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let receiver = Receiver::uds(&path);
        let age = three_generations(|| Varta::connect(&path).unwrap(), beats_between);

        let frames = receiver.queued_frames();
        let numbers: Vec<_> = frames.iter().map(|frame| (frame.payload, frame.nonce)).collect();
        let expected = [(1, 3), (2, beats_between), (3, 2)]
            .into_iter()
            .flat_map(|(generation, beats)| (1..=beats).map(move |nonce| (generation, nonce)));
        assert_eq!(numbers, expected.collect::<Vec<_>>());

        let of = |generation| frames.iter().find(|frame| frame.payload == generation);
        let [first, third] = [1, 3].map(|generation| of(generation).unwrap());
        assert_eq!(third.pid, first.pid);
        assert!(third.timestamp <= age, "{} ns, but it is {age} ns old", third.timestamp);
    }
}

/// The key is derived from the pid, so it is the same; the IVs must differ.
#[test]
fn a_grandchild_with_the_same_pid_seals_with_its_own_salt() {
    if !needs_root() {
        return;
    }
    let receiver = Receiver::udp();
    let connect = || Varta::connect_secure_udp_with_master(receiver.address(), key()).unwrap();
    three_generations(connect, 0);

    let wires: Vec<[u8; 64]> =
        (0..5).map(|_| receiver.next_datagram().try_into().unwrap()).collect();
    let (pid, _) = wires[0].split_first_chunk().unwrap();
    let cipher = Cipher::new(&derive_agent_key(&key(), u32::from_le_bytes(*pid)).unwrap());
    let mut ivs = Vec::new();
    for (wire, (generation, nonce)) in
        wires.iter().zip([(1, 1), (1, 2), (1, 3), (3, 1), (3, 2)])
    {
        let frame = decode(&cipher.open_from(wire).unwrap());
        assert_eq!((frame.payload, frame.nonce), (generation, nonce));
        ivs.push(Iv::from_bytes(wire[4..16].try_into().unwrap()));
    }
    assert_eq!(ivs.iter().map(|iv| iv.counter).collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
    assert!(ivs[..3].iter().all(|iv| iv.prefix == ivs[0].prefix));
    assert_ne!(ivs[3].prefix, ivs[0].prefix);
    assert_eq!(ivs[4].prefix, ivs[3].prefix);
}
