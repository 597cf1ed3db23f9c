//! Code that needs `unsafe`: waiting, signals, and calls into JavaScript from a thread.

mod bell;
mod call;
mod room;
mod signals;
mod wait;

pub(crate) use bell::Bell;
pub(crate) use call::{Answer, Arguments, Call, export};
pub(crate) use room::words;
pub(crate) use signals::{install as install_at_signals, number_of as signal_number};
pub(crate) use wait::{Waker, wait};
