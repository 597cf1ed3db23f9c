//! An observer in a program that has closed its standard streams does not use descriptors 0 to
//! 2. Otherwise the program could read beats as its input, or write its output to a socket of
//! the observer.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "closing descriptors in a forked child")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::IntoRawFd;

use support::{Folder, NEVER, TestAgent, frame, in_child, is, poll_until};
use varta_observer::Builder;

fn close_the_standard_streams() {
    for fd in 0..3 {
        // SAFETY: this child does not use them afterwards.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    }
}

/// Which of the descriptors 0 to 2 are free.
fn free_descriptors() -> [bool; 3] {
    // SAFETY: takes only numbers.
    [0, 1, 2].map(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) == -1 })
}

/// Opens files as descriptors 0 to 2.
fn open_standard_streams() {
    let null = [(); 3].map(|()| File::open("/dev/null").unwrap());
    assert_eq!(null.map(IntoRawFd::into_raw_fd), [0, 1, 2]);
}

#[test]
fn the_numbers_of_closed_standard_streams_stay_free() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    in_child(|| {
        close_the_standard_streams();
        let mut observer = Builder::new()
            .listen(path.to_str().unwrap().parse().unwrap())
            .udp(([127, 0, 0, 1], 0).into())
            .threshold(NEVER)
            .bind()
            .unwrap();
        assert_eq!(free_descriptors(), [true; 3]);
        open_standard_streams();
        let agents = [(); 2].map(|()| TestAgent::at(&path));
        close_the_standard_streams();
        // One agent is followed by a pidfd that was passed with its beat, the other by one
        // that the observer opens.
        for nonce in [1, 2] {
            for agent in &agents {
                agent.beat(nonce);
                poll_until(&mut observer, is("beat"));
                assert_eq!(free_descriptors(), [true; 3]);
            }
        }
        open_standard_streams();
        let network = UdpSocket::bind("127.0.0.1:0").unwrap();
        network.send_to(&frame(77, 1), observer.udp_addresses().next().unwrap()).unwrap();
        poll_until(&mut observer, is("beat"));
        for agent in agents {
            agent.exit(0);
            poll_until(&mut observer, is("exit"));
        }
    });
}
