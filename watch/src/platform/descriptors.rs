//! The limit of open descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// How many descriptors each agent may need. The observer uses a quarter of all for shared memory.
const FOR_EACH: u64 = 4;

/// How many descriptors the daemon needs besides.
const OTHERS: u64 = 1_024;

/// Raises the soft limit, as far as the hard limit allows it, to what this many agents may need.
/// It is raised no further, because recovery commands inherit it.
pub(crate) fn raise_limit(agents: usize) {
    let limit = getrlimit(Resource::Nofile);
    let needed = (agents as u64).saturating_mul(FOR_EACH).saturating_add(OTHERS);
    let (Some(current), most) = (limit.current, limit.maximum.unwrap_or(u64::MAX)) else {
        return;
    };
    let raised = needed.min(most);
    if raised <= current {
        return;
    }
    let limit = Rlimit { current: Some(raised), maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, from = current, to = raised, "cannot raise the limit of open descriptors");
    }
}
