//! Recovery: a command for an agent that is silent or has crashed. What is done is decided by
//! [`policy`], in a thread of its own, so that neither a fork nor a slow disk delays the
//! watch.

mod command;
mod config;
mod feed;
mod inbox;
mod policy;
mod records;
mod report;
mod worker;

pub(crate) use config::Plan;
pub(crate) use feed::{Feed, start};
pub(crate) use report::{Completed, Decision, Exit, Step};
