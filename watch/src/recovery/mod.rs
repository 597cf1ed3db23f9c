//! Recovery: runs a command for an agent that has stalled or crashed, or for a late task.
//! [`policy`] decides what to run. Recovery has its own thread, so that neither a fork nor a slow
//! disk delays the event loop.

mod choices;
mod command;
mod config;
mod feed;
mod holds;
mod inbox;
mod policy;
mod record;
mod records;
mod report;
mod snapshot;
mod worker;

pub(crate) use config::Plan;
pub(crate) use feed::{Feed, Known, start};
pub(crate) use report::{Completed, Decision, Exit, LateTask, Step};
