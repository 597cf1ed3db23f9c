//! Waiting for something that does not come.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::ptr;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::{Last, end_with_parent, forever, in_process, in_thread};

pub(crate) fn on_a_condition(last: Last<'_>) {
    let (mutex, condition) = (Mutex::new(()), Condvar::new());
    let mut guard = mutex.lock().unwrap();
    last();
    loop {
        guard = condition.wait(guard).unwrap();
    }
}

pub(crate) fn on_a_semaphore(last: Last<'_>) {
    // SAFETY: bytes, all of which may be zero.
    let semaphore = Box::leak(Box::new(unsafe { std::mem::zeroed::<libc::sem_t>() }));
    // SAFETY: it may be written, and is never freed.
    unsafe { libc::sem_init(semaphore, 0, 0) };
    last();
    // SAFETY: it was initialized.
    unsafe { libc::sem_wait(semaphore) };
}

pub(crate) fn on_the_end_of_a_thread(last: Last<'_>) {
    let thread = in_thread(|| ());
    last();
    thread.join().unwrap();
}

pub(crate) fn parked(last: Last<'_>) {
    last();
    loop {
        thread::park();
    }
}

pub(crate) fn on_a_channel(last: Last<'_>) {
    let (sender, receiver) = mpsc::channel::<Infallible>();
    last();
    let _ = receiver.recv();
    drop(sender);
}

pub(crate) fn on_a_child(last: Last<'_>) {
    in_process(|| ());
    last();
    // SAFETY: null means that the status is not wanted.
    unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
}

pub(crate) fn on_a_child_that_does_not_exec(last: Last<'_>) {
    last();
    // SAFETY: the child makes two system calls and touches no memory.
    if unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_VFORK | libc::SIGCHLD, 0, 0, 0, 0) }
        == 0
    {
        end_with_parent();
        forever();
    }
}

pub(crate) fn in_receive(last: Last<'_>) {
    let (own, _other) = UnixDatagram::pair().unwrap();
    last();
    let _ = own.recv(&mut [0]);
}

pub(crate) fn in_a_pipe(last: Last<'_>) {
    let (mut reader, _writer) = std::io::pipe().unwrap();
    last();
    let _ = reader.read(&mut [0]);
}

pub(crate) fn in_epoll(last: Last<'_>) {
    // SAFETY: takes a number.
    let epoll = unsafe { libc::epoll_create1(0) };
    // SAFETY: numbers, all of which may be zero.
    let mut event: libc::epoll_event = unsafe { std::mem::zeroed() };
    last();
    // SAFETY: one event, which may be written.
    unsafe { libc::epoll_wait(epoll, &raw mut event, 1, -1) };
}

pub(crate) fn in_poll(last: Last<'_>) {
    let (own, _other) = UnixDatagram::pair().unwrap();
    let mut asked = libc::pollfd { fd: own.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    last();
    // SAFETY: one entry, which is ours.
    unsafe { libc::poll(&raw mut asked, 1, -1) };
}

pub(crate) fn in_sleep(last: Last<'_>) {
    last();
    thread::sleep(Duration::from_secs(1_000));
}

pub(crate) fn in_pause(last: Last<'_>) {
    last();
    forever();
}

pub(crate) fn in_a_full_socket(last: Last<'_>) {
    let (mut own, _other) = UnixStream::pair().unwrap();
    own.set_nonblocking(true).unwrap();
    while own.write(&[0; 65_536]).is_ok() {}
    own.set_nonblocking(false).unwrap();
    last();
    let _ = own.write(&[0]);
}

pub(crate) fn in_connect(last: Last<'_>) {
    let name = format!("connect-{}", std::process::id());
    let listener = UnixListener::bind(&name).unwrap();
    // SAFETY: takes numbers alone.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let _first = UnixStream::connect(&name).unwrap();
    last();
    let _second = UnixStream::connect(&name);
    drop(listener);
}
