//! An agent that a forked child inherited uses the child's pid, nonces from 1, and its own
//! clock and session, whatever call made the fork. It sends nothing before it has these.

#![cfg(all(unix, feature = "secure-udp"))]
#![allow(unsafe_code, reason = "forking")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind::NotFound;
use std::process;
use std::time::Instant;

use support::{Child, Folder, PATIENCE, Receiver, decode, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::NoObserver;
use varta::secure::{Cipher, Iv, Key};
use varta::{BeatTransport, Frame, Status, Varta, v1};

const KEY: [u8; 32] = [7; 32];

#[track_caller]
fn send<T: BeatTransport>(agent: &mut Varta<T>) {
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
}

/// The pid and the nonce of each frame.
fn numbers(frames: &[Frame]) -> Vec<(u32, u64)> {
    frames.iter().map(|frame| (frame.pid, frame.nonce)).collect()
}

#[track_caller]
fn assert_child_starts_again(fork: impl FnOnce() -> libc::pid_t) {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    for _ in 0..3 {
        send(&mut agent);
    }

    // After a raw clone the allocator may be locked; nothing in here allocates.
    let child = Child::start_by(fork, || {
        for _ in 0..2 {
            send(&mut agent);
            assert_eq!(agent.fork_recoveries(), 1);
        }
    });
    let pid = child.pid();
    child.finish();
    send(&mut agent);

    assert_eq!(agent.fork_recoveries(), 0);
    let own = process::id();
    assert_eq!(
        numbers(&receiver.queued_frames()),
        [(own, 1), (own, 2), (own, 3), (pid, 1), (pid, 2), (own, 4)]
    );
}

#[test]
fn a_child_of_fork_starts_again() {
    // SAFETY: the child beats and exits.
    assert_child_starts_again(|| unsafe { libc::fork() });
}

/// The C library does not know of this child, and no hook runs.
#[test]
#[cfg(target_os = "linux")]
fn a_child_of_a_raw_clone_starts_again() {
    assert_child_starts_again(|| {
        // SAFETY: like a fork, with nothing shared; the child beats and exits.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        pid.try_into().unwrap()
    });
}

#[test]
fn a_grandchild_starts_again() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    let beat = |agent: &mut Varta, who| assert_eq!(agent.beat(Status::Ok, who), Sent);

    beat(&mut agent, 0);
    in_child(|| {
        beat(&mut agent, 1);
        in_child(|| {
            beat(&mut agent, 2);
            beat(&mut agent, 2);
            assert_eq!(agent.fork_recoveries(), 2);
        });
        beat(&mut agent, 1);
        assert_eq!(agent.fork_recoveries(), 1);
    });
    // The child in between does not beat.
    in_child(|| {
        in_child(|| {
            beat(&mut agent, 3);
            assert_eq!(agent.fork_recoveries(), 1);
        });
    });
    beat(&mut agent, 0);

    let frames = receiver.queued_frames();
    let numbers: Vec<_> = frames.iter().map(|frame| (frame.payload, frame.nonce)).collect();
    assert_eq!(numbers, [(0, 1), (1, 1), (2, 1), (2, 2), (1, 2), (3, 1), (0, 2)]);
    let pids: BTreeSet<_> = frames.iter().map(|frame| (frame.payload, frame.pid)).collect();
    let distinct: BTreeSet<_> = pids.iter().map(|(_, pid)| pid).collect();
    assert_eq!((pids.len(), distinct.len()), (4, 4));
}

/// Such a child shares its parent's memory until it executes another program.
#[test]
#[cfg(target_os = "linux")]
fn vfork_and_exec_leave_the_parent_alone() {
    let receiver = Receiver::udp();
    let mut agent =
        Varta::connect_secure_udp(receiver.address(), Key::from_bytes(KEY)).unwrap();
    send(&mut agent);
    assert!(process::Command::new("/bin/true").status().unwrap().success());
    send(&mut agent);
    vfork_and_exec(c"/bin/true");
    send(&mut agent);
    assert_eq!(agent.fork_recoveries(), 0);

    let wires: Vec<_> = (0..3).map(|_| receiver.next_datagram()).collect();
    let cipher = Cipher::new(&Key::from_bytes(KEY));
    for (wire, number) in wires.iter().zip(1..) {
        let frame = decode(&cipher.open(wire[..].try_into().unwrap()).unwrap());
        assert_eq!((frame.pid, frame.nonce), (process::id(), u64::from(number)));
        // The session is still the first one.
        assert_eq!(iv(wire).prefix, iv(&wires[0]).prefix);
        assert_eq!(iv(wire).counter, number);
    }
}

fn iv(shared: &[u8]) -> Iv {
    Iv::from_bytes(*shared.first_chunk().unwrap())
}

/// Does what `vfork` does, but on a separate stack for the child, because a Rust program must
/// not call a function that returns twice.
#[cfg(target_os = "linux")]
fn vfork_and_exec(program: &std::ffi::CStr) {
    extern "C" fn exec(program: *mut libc::c_void) -> libc::c_int {
        let arguments = [program.cast_const().cast(), std::ptr::null()];
        // SAFETY: a C string, and an array of C strings that ends with a null pointer.
        unsafe { libc::execv(arguments[0], arguments.as_ptr()) };
        127
    }

    let mut stack = [0_u128; 4096];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end. It exists until this call returns, and by
    // then the child executes another program.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(exec, top.cast(), flags, program.as_ptr().cast_mut().cast())
    };
    assert!(pid > 0);
    let mut status = 0;
    // SAFETY: `status` is a local variable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}

#[test]
fn two_inherited_agents_and_a_new_one_share_a_counter() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let [mut one, mut two] = [(); 2].map(|()| Varta::connect(&path).unwrap());
    send(&mut one);
    send(&mut two);

    let child = Child::start(|| {
        for _ in 0..2 {
            send(&mut one);
            send(&mut two);
        }
        let mut three = Varta::connect(&path).unwrap();
        send(&mut three);
        send(&mut one);
        let recoveries = [&one, &two, &three].map(Varta::fork_recoveries);
        assert_eq!(recoveries, [1, 1, 0]);
    });
    let (own, pid) = (process::id(), child.pid());
    child.finish();
    send(&mut one);

    let of_child = (1..=6).map(|nonce| (pid, nonce));
    let expected: Vec<_> =
        [(own, 1), (own, 2)].into_iter().chain(of_child).chain([(own, 3)]).collect();
    assert_eq!(numbers(&receiver.queued_frames()), expected);
}

#[test]
fn an_inherited_agent_recovers_after_the_child_made_its_own() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let mut inherited = Varta::connect(&path).unwrap();
    send(&mut inherited);

    let child = Child::start(|| {
        let mut own = Varta::connect(&path).unwrap();
        send(&mut own);
        send(&mut inherited);
        assert_eq!((own.fork_recoveries(), inherited.fork_recoveries()), (0, 1));
    });
    let pid = child.pid();
    child.finish();
    assert_eq!(numbers(&receiver.queued_frames()), [(process::id(), 1), (pid, 1), (pid, 2)]);
}

/// The first timestamp is the child's own, whether it reconnects explicitly or not.
#[test]
fn the_clock_starts_again_in_a_child() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::connect(&path).unwrap();
    send(&mut agent);
    assert_eq!(receiver.next_frame().nonce, 1);

    for reconnects in [false, true] {
        in_child(|| {
            let start = Instant::now();
            if reconnects {
                agent.reconnect().unwrap();
            }
            send(&mut agent);
            let frame = receiver.next_frame();
            assert_eq!((frame.pid, frame.nonce), (process::id(), 1));
            assert!(u128::from(frame.timestamp) <= start.elapsed().as_nanos());
            // Only recoveries by a beat are counted.
            assert_eq!(agent.fork_recoveries(), u64::from(!reconnects));
        });
    }
}

#[test]
fn a_child_without_a_session_sends_nothing_and_uses_no_nonce() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let lost = Receiver::uds(&path);
    let mut connected = Varta::connect(&path).unwrap();
    let mut opened = Varta::open(&path).unwrap();
    send(&mut connected);
    send(&mut opened);
    assert_eq!(lost.queued_frames().len(), 2);
    // Connected sockets can still send there, but new ones cannot connect.
    fs::remove_file(&path).unwrap();

    in_child(|| {
        for _ in 0..3 {
            for outcome in [connected.beat(Status::Ok, 0), opened.beat(Status::Ok, 0)] {
                assert!(matches!(outcome, Failed(error) if error.kind == NotFound));
            }
            assert!(connected.reconnect().is_err());
        }
        assert_eq!((connected.fork_recoveries(), opened.fork_recoveries()), (0, 0));

        let found = Receiver::uds(&path);
        send(&mut connected);
        send(&mut opened);
        assert_eq!((connected.fork_recoveries(), opened.fork_recoveries()), (1, 1));
        let pid = process::id();
        assert_eq!(numbers(&found.queued_frames()), [(pid, 1), (pid, 2)]);
    });
    assert_eq!(lost.queued_frames(), []);
}

#[test]
fn a_child_inherits_an_agent_that_was_never_connected() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut agent = Varta::open(&path).unwrap();
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));

    in_child(|| {
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
        assert_eq!(agent.fork_recoveries(), 1);
        let receiver = Receiver::uds(&path);
        wait_until(PATIENCE, || agent.beat(Status::Ok, 0) == Sent);
        assert_eq!(agent.fork_recoveries(), 1);
        assert_eq!(numbers(&receiver.queued_frames()), [(process::id(), 1)]);
        fs::remove_file(&path).unwrap();
    });
    let receiver = Receiver::uds(&path);
    wait_until(PATIENCE, || agent.beat(Status::Ok, 0) == Sent);
    assert_eq!(numbers(&receiver.queued_frames()), [(process::id(), 1)]);
}

#[test]
fn a_version_1_agent_starts_again_in_a_child() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let mut agent = v1::Varta::connect(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
    }
    receiver.queued_datagrams();

    in_child(|| {
        assert_eq!(agent.beat(Status::Ok, 1 << 40), Sent);
        assert_eq!(agent.fork_recoveries(), 1);
        let wires = receiver.queued_datagrams();
        assert_eq!(wires.len(), 1);
        let frame = v1::Frame::decode(wires[0][..].try_into().unwrap()).unwrap();
        assert_eq!((frame.pid, frame.nonce, frame.payload), (process::id(), 1, 1 << 40));
    });
}
