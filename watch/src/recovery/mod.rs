//! Recovery: a command for an agent that is silent or has crashed.

mod decision;
mod policy;

pub(crate) use decision::Decision;
