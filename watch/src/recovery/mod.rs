//! Recovery: a command for an agent that is silent or has crashed. What is done is decided by
//! [`policy`], in a thread of its own, so that neither a fork nor a slow disk delays the
//! watch.

mod command;
mod decision;
mod feed;
mod inbox;
mod plan;
mod policy;
mod records;
mod worker;

pub(crate) use decision::{Completed, Decision, Exit, Step};
pub(crate) use feed::{Feed, start};
pub(crate) use plan::Plan;
