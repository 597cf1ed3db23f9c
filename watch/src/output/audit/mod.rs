//! The audit log: what recovery did and refused, a line each. Every line carries a hash over
//! itself and the hash before it, so that a line that was changed or removed is noticed, as
//! long as those after it are as they were written. The hashes have no key: lines removed
//! from the end, or all rewritten, are noticed only by comparison with a line that was noted
//! elsewhere. The daemon's log holds such anchors.

mod chain;
mod file;
mod record;
mod tail;
mod verify;

pub(crate) use chain::Link;
pub(crate) use file::{AuditFile, Options};
pub(crate) use verify::{Anchor, Finding, Position, verify};
