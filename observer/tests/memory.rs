//! A capacity that does not fit into memory is an error and does not abort the host.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "limits")]

mod support;

use support::{Folder, in_child};
use varta::BeatError;
use varta::secure::Key;
use varta_observer::Builder;

/// Limits the memory that this process can map.
fn limit_memory(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: reads `limit`.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_capacity_that_does_not_fit_into_memory_is_an_error() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        limit_memory(2 << 30);
        for capacity in [1 << 24, 1 << 28, u32::MAX as usize, usize::MAX] {
            let builder = || Builder::new().capacity(capacity);
            let endpoint = path.to_str().unwrap().parse().unwrap();
            let bound = builder().listen(endpoint).bind().unwrap_err();
            // Without exit detection less memory is needed.
            let simulated = builder().detect_exits(false).simulate().unwrap_err();
            for error in [bound, simulated] {
                assert_eq!(BeatError::from_io(&error).errno, libc::ENOMEM, "{error}");
                assert!(error.to_string().contains(&capacity.to_string()), "{error}");
            }
            assert!(!path.exists());
        }
    });
}

/// The memory for senders of sealed beats is allocated with the first key.
#[test]
fn setting_a_key_when_memory_is_short_does_not_abort_the_host() {
    in_child(|| {
        let mut observer =
            Builder::new().capacity(1 << 22).udp(([127, 0, 0, 1], 0).into()).bind().unwrap();
        limit_memory(0);
        observer.set_keys(vec![Key::from_bytes([7; 32])], None).unwrap();
    });
}
