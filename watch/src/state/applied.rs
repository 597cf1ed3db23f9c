//! Which rule applies to which agent.

use std::collections::HashMap;

/// What applies to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The number of its rule.
    pub(crate) rule: Option<usize>,
    /// False if the rule says that it has no stalls and no recovery.
    pub(crate) is_watched: bool,
    /// Its own threshold. None if it follows the flags.
    pub(crate) threshold_ns: Option<u64>,
    /// Since when the threshold applies, and when it got its first rule.
    pub(crate) since_ns: u64,
    pub(crate) first_ns: u64,
}

impl Applied {
    /// Only the flags apply.
    const FLAGS: Self =
        Self { rule: None, is_watched: true, threshold_ns: None, since_ns: 0, first_ns: 0 };
}

/// The agents that have a rule, had one, or may get one.
#[derive(Debug, Default)]
pub(crate) struct AppliedRules(HashMap<u64, Applied>);

impl AppliedRules {
    pub(crate) fn of(&self, agent: u64) -> Applied {
        self.0.get(&agent).copied().unwrap_or(Applied::FLAGS)
    }

    /// Sets the rule of an agent. Returns None if it never had one.
    pub(crate) fn set_rule(
        &mut self,
        agent: u64,
        rule: Option<usize>,
        now_ns: u64,
    ) -> Option<&mut Applied> {
        if rule.is_none() && !self.0.contains_key(&agent) {
            return None;
        }
        let applied = self.enter(agent, now_ns);
        applied.rule = rule;
        Some(applied)
    }

    /// Enters an agent without a rule.
    pub(crate) fn enter(&mut self, agent: u64, now_ns: u64) -> &mut Applied {
        let new = Applied { first_ns: now_ns, ..Applied::FLAGS };
        self.0.entry(agent).or_insert(new)
    }

    pub(crate) fn get_mut(&mut self, agent: u64) -> Option<&mut Applied> {
        self.0.get_mut(&agent)
    }

    pub(crate) fn forget(&mut self, agent: u64) {
        self.0.remove(&agent);
    }

    /// The number of the rule of each agent that has one.
    pub(crate) fn rules(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.values().filter_map(|applied| applied.rule)
    }
}
