//! Shows that a program which has closed its standard streams sends nothing it prints to an
//! observer, and that whoever opens them again cuts no agent off.

#![cfg(feature = "secure-udp")]
#![allow(unsafe_code, reason = "closing descriptors in a forked child")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd;

use support::{Folder, Receiver, in_child};
use varta::{BeatOutcome, LastWords, Status, Varta};

/// Closes them, as some daemons do.
fn close_the_standard_streams() {
    for fd in 0..3 {
        // SAFETY: this child uses none of them from here on.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    }
}

/// Which of their places are free.
fn free() -> [bool; 3] {
    // SAFETY: takes numbers alone.
    [0, 1, 2].map(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) == -1 })
}

/// What a failing assertion of the C library does, or an abort.
fn print_an_error() {
    let text = [b'!'; 32];
    // SAFETY: pointer and length are those of a live array, which is only read.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

#[test]
fn what_is_printed_does_not_reach_an_observer() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let key = folder.key_file("key", &[7; 32]);
    let uds = Receiver::uds(&path);
    let udp = Receiver::udp();
    let address = udp.address();
    let endpoints = [
        path.to_str().unwrap().to_owned(),
        format!("udp://{address}"),
        format!("udp+secure://{address}?key-file={}", key.display()),
    ];
    for (at, endpoint) in endpoints.iter().enumerate() {
        in_child(|| {
            close_the_standard_streams();
            let mut agent = Varta::open(endpoint).unwrap();
            let last_words = LastWords::open(endpoint).unwrap();
            assert_eq!(agent.beat(Status::Ok, 1), BeatOutcome::Sent);
            // One that has to connect again does so in a place of its own too.
            in_child(|| {
                let before = free();
                assert!(before[2], "this child's own are in the first two");
                assert_eq!(agent.beat(Status::Ok, 2), BeatOutcome::Sent);
                assert_eq!(free(), before);
            });
            assert_eq!(free(), [true; 3]);
            print_an_error();
            // Somebody opens all three again.
            let null = [(); 3].map(|()| File::open("/dev/null").unwrap());
            assert_eq!(null.each_ref().map(AsRawFd::as_raw_fd), [0, 1, 2]);
            assert_eq!(agent.beat(Status::Ok, 3), BeatOutcome::Sent);
            assert_eq!(last_words.say(4), BeatOutcome::Sent);
        });
        let receiver = if at == 0 { &uds } else { &udp };
        for _ in 0..4 {
            assert_ne!(receiver.next_datagram(), [b'!'; 32]);
        }
        assert_eq!(receiver.queued_datagrams(), [[0; 0]; 0]);
    }
}
