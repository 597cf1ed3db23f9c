//! The audit log, with a line for each recovery action and refusal. Every line contains a hash
//! of itself and of the previous hash, so that a changed or removed line is detected as long as
//! the lines after it are unchanged. The hashes have no key. So it can only be detected by
//! comparison with a line known from elsewhere that lines were removed from the end, or that
//! all lines were rewritten. The daemon's log contains such anchors.

mod chain;
mod file;
mod record;
mod tail;
mod verify;

pub(crate) use chain::Link;
pub(crate) use file::{AuditFile, Options};
pub(crate) use verify::{Anchor, Finding, Position, verify};
