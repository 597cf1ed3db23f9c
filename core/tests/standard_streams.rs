//! If a program has closed its standard streams, nothing that it prints goes to an observer,
//! and opening the streams again does not close the socket of an agent.

#![cfg(feature = "secure-udp")]
#![allow(unsafe_code, reason = "closing descriptors in a forked child")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd;

use support::{Folder, Receiver, in_child};
use varta::{BeatOutcome, LastWords, Status, Varta};

/// Closes the standard streams, as some daemons do.
fn close_the_standard_streams() {
    for fd in 0..3 {
        // SAFETY: this child does not use them any more.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    }
}

/// Which of the descriptors 0, 1 and 2 are free.
fn free() -> [bool; 3] {
    // SAFETY: all arguments are numbers.
    [0, 1, 2].map(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) == -1 })
}

/// Writes to standard error, as an abort or a failing assertion of the C library does.
fn print_an_error() {
    let text = [b'!'; 32];
    // SAFETY: pointer and length describe a local array, which is only read.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

#[test]
fn printed_text_does_not_reach_an_observer() {
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
            // A child that has to reconnect does not use these descriptors either.
            in_child(|| {
                let before = free();
                assert!(before[2], "this child's own descriptors are 0 and 1");
                assert_eq!(agent.beat(Status::Ok, 2), BeatOutcome::Sent);
                assert_eq!(free(), before);
            });
            assert_eq!(free(), [true; 3]);
            print_an_error();
            // The program opens all three again.
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
