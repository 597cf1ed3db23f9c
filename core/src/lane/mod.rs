//! The lane: beats through memory that an agent shares with its observer.
//!
//! The observer gives each process a page. The agent writes its beats into lines of that page,
//! and the observer reads the lines when it needs to, so a beat makes no system call.
//! [`layout`] describes the page, [`line`] how a line is written and read while both sides use
//! it at the same time, and [`message`] how a page is handed over.

pub(crate) mod atomic;
pub(crate) mod attach;
pub(crate) mod beat;
pub(crate) mod handle;
mod held;
pub mod layout;
pub mod line;
pub(crate) mod mark;
pub mod message;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod pairs;
#[cfg(test)]
mod tests;
