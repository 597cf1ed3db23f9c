//! Histories in real files: what is written is read, whatever happens in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod damage;
mod disk;
mod follow;
mod kills;
mod retention;
mod support;
mod write;
