//! The settings for recovery.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::choices::Choices;
use super::policy::Rules;
use super::report::Subject;
use crate::config::{Command, Settings};
use crate::flags::Triggers;
use crate::platform::clock::nanoseconds;

/// How long a command for an exited process may wait for the budget: an hour.
const EXIT_WAIT_NS: u64 = 3_600_000_000_000;

/// One in this many descriptors may be used for a pidfd.
const SHARE_OF_DESCRIPTORS: u64 = 8;

/// The settings for recovery. A reload replaces them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(super) choices: Choices,
    /// Variables besides PATH.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) inherit_environment: bool,
    pub(crate) timeout: Option<Duration>,
    /// How many bytes of the command's output are counted. With None, the command inherits the
    /// daemon's stdout and stderr.
    pub(crate) capture: Option<u32>,
    pub(crate) dry_run: bool,
    /// Where to write what a process does before the command is started for it.
    pub(super) snapshot_dir: Option<PathBuf>,
    /// How long a process may be silent.
    pub(super) threshold_ns: u64,
    pub(super) rules: Rules,
}

impl Plan {
    /// Returns None if no command is configured. `commands` are those of the plan before, because
    /// runs that have begun keep theirs.
    pub(crate) fn new(settings: &Settings, commands: Vec<Command>) -> Option<Self> {
        let flags = &settings.flags.recovery;
        let choices = Choices::new(settings, commands)?;
        let budget = usize::try_from(flags.recovery_budget).unwrap_or(usize::MAX);
        let rules = Rules {
            debounce_ns: ns(flags.recovery_debounce_ms),
            tries: flags.recovery_tries,
            backoff_ns: ns(flags.recovery_backoff_ms),
            backoff_max_ns: ns(flags.recovery_backoff_max_ms),
            budget,
            window_ns: ns(flags.recovery_budget_window_ms),
            exit_wait_ns: EXIT_WAIT_NS,
            pidfds: most_pidfds(),
            capacity: settings.flags.admission.tracker_capacity,
            on: flags.recovery_on,
            for_unconfirmed: flags.recovery_for_unconfirmed,
            for_sealed: flags.secure_udp_i_accept_recovery_on_unauthenticated_transport,
            for_plain: flags.plaintext_udp_i_accept_recovery_on_unauthenticated_transport,
        };
        Some(Self {
            choices,
            environment: flags.recovery_env.clone(),
            inherit_environment: flags.recovery_inherit_env,
            timeout: flags.recovery_timeout_ms.map(Duration::from_millis),
            capture: flags.recovery_capture_stdio.then_some(flags.recovery_capture_bytes),
            dry_run: flags.dry_run,
            snapshot_dir: flags.recovery_snapshot_dir.clone(),
            threshold_ns: nanoseconds(settings.threshold),
            rules,
        })
    }
}

impl Plan {
    /// Which command is for which agent, and what starts it by the flags.
    pub(super) fn choices(&self) -> (Choices, Triggers) {
        (self.choices.clone(), self.rules.on)
    }

    /// The command for an agent.
    pub(super) fn command(&self, subject: &Subject) -> Option<&Command> {
        self.choices.commands.get(subject.command)
    }
}

/// The maximum number of pidfds to hold for commands.
fn most_pidfds() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / SHARE_OF_DESCRIPTORS).unwrap_or(usize::MAX).max(1)
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
