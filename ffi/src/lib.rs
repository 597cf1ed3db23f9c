//! The C ABI: the halves of varta behind functions that any language can call.
//!
//! `include/varta.h` is made of this crate's doc comments and is its manual. Nothing is
//! decided here: a function checks what it was given, calls core or observer, and puts the
//! answer into a number.

#![allow(unsafe_code, reason = "this crate is the boundary to C")]
#![allow(non_camel_case_types, reason = "the names of types are those of the header")]
#![allow(unreachable_pub, reason = "what is exported is public by its symbol")]

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
mod observer;
mod sealing;
mod simulated;
mod sized;
mod version;

#[cfg(test)]
#[path = "../tests/mod.rs"]
mod tests;
