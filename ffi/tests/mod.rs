//! The exported functions, called as C would call them.

#![allow(clippy::undocumented_unsafe_blocks, reason = "every call of a C function is unsafe")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]
#![allow(clippy::cast_possible_truncation, reason = "the tests use small numbers")]
#![allow(clippy::cast_sign_loss, reason = "as above")]

mod allocation;
mod causes;
mod crash;
mod errnos;
mod exports;
mod forks;
mod invented;
mod names;
mod notify;
mod nulls;
mod numbers;
mod panics;
mod race;
mod sharing;
mod sizes;
mod support;
mod tables;
mod tasks;
mod waking;
mod whole;
