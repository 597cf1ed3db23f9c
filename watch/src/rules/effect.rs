//! What a rule means for one agent at one time.

use std::time::Duration;

use super::Rules;
use crate::platform::clock::nanoseconds;

/// What applies to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    /// False if the rule says that the agent has no stalls and no recovery.
    pub(crate) is_watched: bool,
    pub(crate) threshold: Duration,
    /// How late its tasks may be. None if the flags decide.
    pub(crate) slack: Option<Duration>,
    /// When its silence is judged by its usual threshold, if it is not yet.
    pub(crate) grace_end_ns: Option<u64>,
    /// Whether the threshold comes from a rule. If not, a service may have one of its own.
    pub(crate) is_chosen: bool,
}

impl Rules {
    /// What a rule means for an agent that got its first rule at `first_ns`, or what it means
    /// to have none. `flags` is the threshold of agents without a rule.
    pub(crate) fn effect(
        &self,
        rule: Option<usize>,
        flags: Duration,
        first_ns: u64,
        now_ns: u64,
    ) -> Effect {
        let unruled = Effect {
            is_watched: true,
            threshold: flags,
            slack: None,
            grace_end_ns: None,
            is_chosen: false,
        };
        let Some(rule) = rule.and_then(|number| self.get(number)) else { return unruled };
        if !rule.watch {
            let never = Duration::MAX;
            let (is_watched, slack) = (false, Some(never));
            return Effect { is_watched, threshold: never, slack, is_chosen: true, ..unruled };
        }
        let usual = rule.threshold.unwrap_or(flags);
        let ruled = Effect {
            threshold: usual,
            slack: rule.slack,
            is_chosen: rule.threshold.is_some(),
            ..unruled
        };
        let startup = rule.startup.unwrap_or_default();
        let end_ns = first_ns.saturating_add(nanoseconds(startup));
        if end_ns <= now_ns {
            return ruled;
        }
        // The threshold counts from the last beat, which is later than the first.
        let threshold = usual.max(startup);
        Effect { threshold, grace_end_ns: Some(end_ns), is_chosen: true, ..ruled }
    }
}
