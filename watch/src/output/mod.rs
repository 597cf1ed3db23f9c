//! The daemon's output: the log, the event export, the audit log, and JSON.

pub(crate) mod audit;
pub(crate) mod batches;
pub(crate) mod cause;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod rotation;
pub(crate) mod stamp;
