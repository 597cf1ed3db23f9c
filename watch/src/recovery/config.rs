//! What the settings say about recovery.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::policy::Rules;
use crate::config::{Command, Settings};

/// How long a command for a process that has ended may wait for the budget: an hour.
const EXIT_WAIT_NS: u64 = 3_600_000_000_000;

/// One descriptor of this many may be a pidfd that is held.
const SHARE_OF_DESCRIPTORS: u64 = 8;

/// How recovery is to be done. A reload brings another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) command: Command,
    /// Beyond PATH.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) inherit_environment: bool,
    pub(crate) timeout: Option<Duration>,
    /// How many bytes of what the command prints are counted; None leaves it the daemon's
    /// own output.
    pub(crate) capture: Option<u32>,
    pub(crate) dry_run: bool,
    pub(super) rules: Rules,
}

impl Plan {
    /// None where no command was given.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        let told = &settings.flags.recovery;
        let command = settings.command.clone()?;
        let budget = usize::try_from(told.recovery_budget).unwrap_or(usize::MAX);
        let rules = Rules {
            debounce_ns: ns(told.recovery_debounce_ms),
            tries: told.recovery_tries,
            backoff_ns: ns(told.recovery_backoff_ms),
            backoff_max_ns: ns(told.recovery_backoff_max_ms),
            budget,
            window_ns: ns(told.recovery_budget_window_ms),
            exit_wait_ns: EXIT_WAIT_NS,
            pidfds: most_pidfds(),
            capacity: settings.flags.admission.tracker_capacity,
            for_unconfirmed: told.recovery_for_unconfirmed,
            for_sealed: told.secure_udp_i_accept_recovery_on_unauthenticated_transport,
            for_plain: told.plaintext_udp_i_accept_recovery_on_unauthenticated_transport,
        };
        Some(Self {
            command,
            environment: told.recovery_env.clone(),
            inherit_environment: told.recovery_inherit_env,
            timeout: told.recovery_timeout_ms.map(Duration::from_millis),
            capture: told.recovery_capture_stdio.then_some(told.recovery_capture_bytes),
            dry_run: told.dry_run,
            rules,
        })
    }
}

/// How many pidfds are held in order to pass them on.
fn most_pidfds() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / SHARE_OF_DESCRIPTORS).unwrap_or(usize::MAX).max(1)
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
