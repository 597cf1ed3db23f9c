//! Shared by the tests of this folder: folders, receivers, forked children, deadlines.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(unsafe_code, reason = "forking")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod child;
mod folder;
pub(crate) mod observer;
mod receiver;
mod root;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod seccomp;
mod shared;
#[cfg(target_os = "linux")]
mod trace;
mod uninterrupted;

use std::time::{Duration, Instant};

pub(crate) use child::{Child, Ended, in_child};
pub(crate) use folder::Folder;
pub(crate) use receiver::{Receiver, decode, refusing_port};
#[cfg(target_os = "linux")]
pub(crate) use root::fork_as;
pub(crate) use root::{become_user, needs_root};
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use seccomp::{confine, forge};
pub(crate) use shared::shared_numbers;
#[cfg(target_os = "linux")]
pub(crate) use trace::system_calls_of;
pub(crate) use uninterrupted::uninterrupted;

/// The longest time to wait for anything. It is reached only if something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds; panics if it does not within `deadline`.
#[track_caller]
pub(crate) fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "waited for {deadline:?} in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}
