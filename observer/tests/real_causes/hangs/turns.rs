//! Going on without beating.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::ptr;
use std::sync::mpsc;
use std::thread;

use super::Last;
use crate::support::ms;

pub(crate) fn spinning(last: Last<'_>) {
    last();
    loop {
        std::hint::spin_loop();
    }
}

pub(crate) fn spinning_in_calls(last: Last<'_>) {
    last();
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
}

pub(crate) fn reading_zeros(last: Last<'_>) {
    let mut file = File::open("/dev/zero").unwrap();
    let mut buffer = vec![0; 65_536];
    last();
    loop {
        file.read_exact(&mut buffer).unwrap();
    }
}

pub(crate) fn yielding(last: Last<'_>) {
    last();
    loop {
        thread::yield_now();
    }
}

pub(crate) fn polling_without_waiting(last: Last<'_>) {
    last();
    loop {
        // SAFETY: no entries.
        unsafe { libc::poll(ptr::null_mut(), 0, 0) };
    }
}

pub(crate) fn sleeping_a_little(last: Last<'_>) {
    last();
    loop {
        thread::sleep(ms(1));
    }
}

pub(crate) fn trying_to_receive(last: Last<'_>) {
    let (_sender, receiver) = mpsc::channel::<Infallible>();
    last();
    loop {
        let _ = receiver.recv_timeout(ms(5));
    }
}
