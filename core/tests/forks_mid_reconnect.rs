//! A fork by one thread while another is in the middle of a reconnect: the child finds the
//! old descriptor or the new one, and never one that is closed already.
//!
//! The moment is hit by a `close` of this program's own, which forks. It has a file of its
//! own, because every close of the process comes by.

#![allow(unsafe_code, reason = "forking, and standing in for the C library")]

use std::ffi::c_int;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::{fs, ptr};

use varta::{BeatOutcome, Status, Varta};

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

#[test]
fn the_child_beats() {
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
