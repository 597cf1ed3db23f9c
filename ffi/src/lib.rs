//! The C ABI: agents and observers behind functions that any language can call.
//!
//! `include/varta.h` is generated from this crate's doc comments and is its manual. The crate
//! has no logic of its own: a function checks its arguments, calls core or observer, and
//! returns the result as a number.

#![allow(unsafe_code, reason = "this crate is the boundary to C")]
#![allow(non_camel_case_types, reason = "types are named as in the header")]
#![allow(unreachable_pub, reason = "exported items are public through their symbols")]

mod agent;
mod args;
mod codec;
mod constants;
mod crash;
mod errors;
mod event;
#[cfg(feature = "faults")]
mod faults;
mod guard;
mod handle;
mod notify;
mod observer;
mod sealing;
mod simulated;
mod sized;
mod task;
mod version;

#[cfg(test)]
#[path = "../tests/mod.rs"]
mod tests;
