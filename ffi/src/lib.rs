//! The C ABI: the halves of varta behind functions that any language can call.
//!
//! `include/varta.h` is made of this crate's doc comments and is its manual. Nothing is
//! decided here: a function checks what it was given, calls core or observer, and puts the
//! answer into a number.

#![allow(unsafe_code, reason = "this crate is the boundary to C")]
#![allow(non_camel_case_types, reason = "the names of types are those of the header")]
#![allow(unreachable_pub, reason = "what is exported is public by its symbol")]

mod about;
mod agent;
mod codec;
mod crash;
mod errors;
mod event;
mod given;
mod guard;
mod handle;
mod names;
mod observer;
#[cfg(feature = "planted")]
mod planted;
mod sealing;
mod simulated;
mod sized;

#[cfg(test)]
#[path = "../tests/mod.rs"]
mod tests;
