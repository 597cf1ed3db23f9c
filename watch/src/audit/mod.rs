//! The audit log: what recovery did and refused, a line each. Every line carries a hash over
//! itself and the hash before it, so that a line changed or taken away later is seen.

mod chain;
mod file;
mod record;
mod verify;

pub(crate) use file::{AuditFile, Options};
pub(crate) use verify::{Finding, Position, verify};
