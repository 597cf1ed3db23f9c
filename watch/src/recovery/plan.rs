//! What the settings say about recovery.

use std::time::Duration;

use super::policy::Rules;
use crate::config::{Command, Settings};

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

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
