//! The rules that an operator sets.

use varta_observer::Origin;

use super::share::Start;
use crate::flags::Triggers;
use crate::recovery::report::{Reason, Subject};

/// The rules. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Minimum time between two runs for one pid.
    pub(crate) debounce_ns: u64,
    /// Maximum number of tries in one run.
    pub(crate) tries: u32,
    /// Wait before the second try.
    pub(crate) backoff_ns: u64,
    /// Maximum wait between two tries.
    pub(crate) backoff_max_ns: u64,
    /// Maximum number of starts in a window, and of commands at once.
    pub(crate) budget: usize,
    pub(crate) window_ns: u64,
    /// Maximum time that a start after an exit may wait for the budget.
    pub(crate) exit_wait_ns: u64,
    /// Maximum number of agents with a run.
    pub(crate) capacity: usize,
    /// Maximum number of runs that hold a pidfd.
    pub(crate) pidfds: usize,
    /// What begins a run, unless a rule of the agent says otherwise.
    pub(crate) on: Triggers,
    pub(crate) for_unconfirmed: bool,
    pub(crate) for_sealed: bool,
    pub(crate) for_plain: bool,
}

impl Rules {
    /// Checks whether a command may be run for an agent at all.
    pub(super) fn admit(&self, subject: &Subject) -> Result<(), Reason> {
        match subject.origin {
            Origin::SecureNetwork if !self.for_sealed => Err(Reason::Unauthenticated),
            Origin::Network if !self.for_plain => Err(Reason::Unauthenticated),
            // To kill(2), pid 0 means the caller's own process group.
            Origin::KernelAttested if subject.pid == 0 => Err(Reason::CrossNamespace),
            Origin::KernelAttested | Origin::SecureNetwork
                if subject.unconfirmed && !self.for_unconfirmed =>
            {
                Err(Reason::Unconfirmed)
            }
            _ if subject.deaf => Err(Reason::Deaf),
            _ => Ok(()),
        }
    }

    /// What begins a run for this agent.
    pub(crate) fn on(&self, subject: &Subject) -> Triggers {
        subject.on.unwrap_or(self.on)
    }

    /// When a start after an exit has waited too long.
    pub(super) fn too_late(&self, (at, _): &Start) -> u64 {
        at.saturating_add(self.exit_wait_ns)
    }

    /// The wait after this many tries.
    pub(super) fn backoff(&self, tries: u32) -> u64 {
        let doubled = 1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
        self.backoff_ns.saturating_mul(doubled).min(self.backoff_max_ns)
    }
}
