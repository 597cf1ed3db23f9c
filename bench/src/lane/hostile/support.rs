//! The hand-written agent of the observer's tests, which can do what no real one does.

#![allow(dead_code, unsafe_code, reason = "code of tests")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]

use std::thread;

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[path = "../../../../observer/tests/support/lane.rs"]
pub(crate) mod lane;
