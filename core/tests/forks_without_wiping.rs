//! A fork is detected even if the kernel does not wipe memory on fork, whether it reports
//! that or, like some emulators, accepts the advice and ignores it.
//!
//! A process checks this once for all its agents. So these tests make agents in children
//! only, and are in a program of their own.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::process;

use support::{Folder, Receiver, forge, in_child};
use varta::BeatOutcome::Sent;
use varta::{Frame, Status, Varta};

/// Beats in a process, its child and its grandchild, while every `madvise` returns this errno.
fn assert_forks_detected(errno: libc::c_int) {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    in_child(|| {
        forge(libc::SYS_madvise, errno);
        let [mut one, mut two] = [(); 2].map(|()| Varta::connect(&path).unwrap());
        assert!(format!("{one:?}").contains(r#"fork_detection: "at-fork hook""#), "{one:?}");
        let mut beat = |nonce, recoveries| {
            for (agent, nonce) in [(&mut one, nonce), (&mut two, nonce + 1)] {
                assert_eq!(agent.beat(Status::Ok, 0), Sent);
                let Frame { pid, nonce: sent, .. } = receiver.next_frame();
                assert_eq!((pid, sent), (process::id(), nonce));
                assert_eq!(agent.fork_recoveries(), recoveries);
            }
        };
        beat(1, 0);
        in_child(|| {
            beat(1, 1);
            in_child(|| beat(1, 2));
            beat(3, 1);
        });
        beat(3, 0);
    });
}

#[test]
fn forks_are_detected_if_the_kernel_does_not_know_the_advice() {
    assert_forks_detected(libc::EINVAL);
}

#[test]
fn forks_are_detected_if_every_advice_succeeds() {
    assert_forks_detected(0);
}

/// Makes sure that the tests above test something else than the default.
#[test]
fn the_kernel_wipes_by_default() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let _receiver = Receiver::uds(&path);
    in_child(|| {
        let agent = Varta::connect(&path).unwrap();
        assert!(
            format!("{agent:?}").contains(r#"fork_detection: "wipe-on-fork""#),
            "{agent:?}"
        );
    });
}
