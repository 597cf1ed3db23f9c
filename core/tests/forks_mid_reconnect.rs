//! A fork by one thread while another is in the middle of a reconnect: the child finds the
//! old descriptor or the new one, and never one that is closed already.
//!
//! Or it finds the number of one that it does not have: see `transport/socket.rs`.
//!
//! The moment is hit by a `close` of this program's own, which forks. It has a file of its
//! own, because every close of the process comes by.

#![allow(unsafe_code, reason = "forking, and standing in for the C library")]

use std::ffi::c_int;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::{fs, ptr};

use varta::{BeatOutcome, Status, Varta};

/// The tests count descriptors, and so take turns.
static TURN: Mutex<()> = Mutex::new(());
static ARMED: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicI32 = AtomicI32::new(-1);
static AGENT: AtomicPtr<Varta> = AtomicPtr::new(ptr::null_mut());

/// Stands before the C library's. Armed, it forks as soon as the descriptor is closed.
#[unsafe(no_mangle)]
extern "C" fn close(fd: c_int) -> c_int {
    // SAFETY: closes what the caller wants closed.
    let answer = unsafe { libc::syscall(libc::SYS_close, fd) };
    if ARMED.swap(false, Ordering::Relaxed) {
        fork_and_beat();
    }
    c_int::try_from(answer).unwrap_or(-1)
}

fn fork_and_beat() {
    // SAFETY: the child beats and leaves.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: in the child nobody else uses it; the parent is in the middle of doing so,
        // as another thread of its would be.
        let agent = unsafe { &mut *AGENT.load(Ordering::Relaxed) };
        let sent = agent.beat(Status::Ok, 7) == BeatOutcome::Sent;
        // SAFETY: ends the child without running what is the parent's to run.
        unsafe { libc::_exit(if sent { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is ours to be written.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    ENDED.store(status, Ordering::Relaxed);
}

/// What a child finds when the other thread was done between the two halves of the fork.
#[test]
fn a_descriptor_that_the_child_does_not_have_is_not_closed() {
    use std::os::fd::{AsRawFd, IntoRawFd};

    let _turn = TURN.lock();
    let folder = std::env::temp_dir().join(format!("varta-other-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("varta.sock");
    let observer = UnixDatagram::bind(&path).unwrap();
    // The number the agent's socket will have: the lowest that is free.
    let number = fs::File::open("/dev/null").unwrap().as_raw_fd();
    let mut agent = Varta::connect(&path).unwrap();
    for taken in [false, true] {
        // SAFETY: the child beats and leaves.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: the child is as one that never had it.
            unsafe { libc::syscall(libc::SYS_close, number) };
            let other = taken.then(|| fs::File::open("/dev/zero").unwrap().into_raw_fd());
            let sent = agent.beat(Status::Ok, 1) == BeatOutcome::Sent
                && agent.beat(Status::Ok, 2) == BeatOutcome::Sent;
            // SAFETY: only asks.
            let whole = other.is_none_or(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0);
            let meant = other.is_none_or(|fd| fd == number);
            // SAFETY: ends the child without running what is the parent's to run.
            unsafe { libc::_exit(if sent && whole && meant { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is ours to be written.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(status, 0, "taken: {taken}");
    }
    drop(observer);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_child_beats() {
    let _turn = TURN.lock();
    let folder = std::env::temp_dir().join(format!("varta-mid-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("varta.sock");
    let observer = UnixDatagram::bind(&path).unwrap();
    let mut agent = Varta::connect(&path).unwrap();
    AGENT.store(&raw mut agent, Ordering::Relaxed);
    ARMED.store(true, Ordering::Relaxed);
    agent.reconnect().unwrap();
    assert!(!ARMED.load(Ordering::Relaxed), "nothing was closed");
    assert_eq!(ENDED.load(Ordering::Relaxed), 0, "how the child ended");

    let mut wire = [0; 32];
    observer.recv(&mut wire).unwrap();
    assert_eq!(varta::Frame::decode(&wire).unwrap().payload, 7);
    fs::remove_dir_all(&folder).unwrap();
}
