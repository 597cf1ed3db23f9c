//! One thread forks while another is in the middle of a reconnect. The child has the old
//! descriptor or the new one, and never one that is closed already; or it has the number of a
//! descriptor that is not in its table: see `transport/socket.rs`.
//!
//! To fork at that moment, this program replaces `close`. That affects every close of the
//! process, so these tests are in a file of their own.

#![allow(unsafe_code, reason = "forking, and replacing a function of the C library")]

use std::ffi::c_int;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::{fs, ptr};

use varta::{BeatOutcome, Status, Varta};

/// The tests depend on descriptor numbers, so they must not run at the same time.
static TURN: Mutex<()> = Mutex::new(());
static ARMED: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicI32 = AtomicI32::new(-1);
static AGENT: AtomicPtr<Varta> = AtomicPtr::new(ptr::null_mut());

/// Replaces the C library's `close`. If armed, it forks right after closing the descriptor.
#[unsafe(no_mangle)]
extern "C" fn close(fd: c_int) -> c_int {
    // SAFETY: closes the descriptor that the caller wants closed.
    let result = unsafe { libc::syscall(libc::SYS_close, fd) };
    if ARMED.swap(false, Ordering::Relaxed) {
        fork_and_beat();
    }
    c_int::try_from(result).unwrap_or(-1)
}

fn fork_and_beat() {
    // SAFETY: the child beats and exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: nothing else uses it in the child; the parent is in the middle of using it,
        // as another thread could be.
        let agent = unsafe { &mut *AGENT.load(Ordering::Relaxed) };
        let sent = agent.beat(Status::Ok, 7) == BeatOutcome::Sent;
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(if sent { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is a local variable.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    ENDED.store(status, Ordering::Relaxed);
}

/// The other thread has reconnected between the copying of the descriptor table and of the
/// memory.
#[test]
fn a_descriptor_that_the_child_does_not_have_is_not_closed() {
    use std::os::fd::{AsRawFd, IntoRawFd};

    let _turn = TURN.lock();
    let folder = std::env::temp_dir().join(format!("varta-other-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("varta.sock");
    let observer = UnixDatagram::bind(&path).unwrap();
    // The lowest free number, which the agent's socket will get.
    let number = fs::File::open("/dev/null").unwrap().as_raw_fd();
    let mut agent = Varta::connect(&path).unwrap();
    for taken in [false, true] {
        // SAFETY: the child beats and exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: makes the child one that does not have the descriptor.
            unsafe { libc::syscall(libc::SYS_close, number) };
            let other = taken.then(|| fs::File::open("/dev/zero").unwrap().into_raw_fd());
            let sent = agent.beat(Status::Ok, 1) == BeatOutcome::Sent
                && agent.beat(Status::Ok, 2) == BeatOutcome::Sent;
            // SAFETY: only reads the flags of a descriptor.
            let open = other.is_none_or(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0);
            let same_number = other.is_none_or(|fd| fd == number);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(if sent && open && same_number { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is a local variable.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(status, 0, "taken: {taken}");
    }
    drop(observer);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_child_forked_in_the_middle_of_a_reconnect_beats() {
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
