//! Applies the rules of the configuration file to agents.

use std::collections::BTreeSet;
use std::io;

use super::scripts::PATIENCE;
use super::{EventLoop, nanoseconds};
use crate::rules::Effect;

/// The agents whose first silence is not judged yet, or that have no name yet, by the time when
/// that ends.
#[derive(Debug, Default)]
pub(super) struct Starting(BTreeSet<(u64, u64)>);

impl Starting {
    /// When the next agent's grace ends.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.0.first().map(|(end_ns, _)| *end_ns)
    }

    fn take_due(&mut self, now_ns: u64) -> Option<u64> {
        let first = *self.0.first().filter(|(end_ns, _)| *end_ns <= now_ns)?;
        self.0.remove(&first);
        Some(first.1)
    }
}

impl EventLoop {
    /// Finds the rule of an agent, and applies it if it is another one than before.
    pub(super) fn update_rule(&mut self, agent: u64) -> io::Result<()> {
        if self.stats.get(agent).is_some_and(|stats| stats.awaits_script) {
            return self.await_script(agent);
        }
        let before = self.stats.applied.of(agent).rule;
        if self.find_rule(agent) && self.stats.applied.of(agent).rule != before {
            self.apply_rule(agent)?;
        }
        Ok(())
    }

    /// Waits for the name of an agent's script, because a rule may be about that. Meanwhile the agent
    /// is not judged.
    fn await_script(&mut self, agent: u64) -> io::Result<()> {
        if self.context.settings.rules.rules.is_empty() {
            return Ok(());
        }
        let now_ns = self.context.observer.now_ns();
        let asked_ns = self.stats.get(agent).and_then(|stats| stats.script_asked_ns);
        let end_ns = asked_ns.unwrap_or(now_ns).saturating_add(nanoseconds(PATIENCE));
        self.starting.0.insert((end_ns, agent));
        if self.context.settings.threshold < PATIENCE {
            self.stats.applied.enter(agent, now_ns);
            self.context.observer.set_threshold(agent, PATIENCE)?;
            self.note_threshold(agent, "grace")?;
        }
        Ok(())
    }

    /// Applies the rules of a file that was read again, and the flags where no rule does.
    pub(super) fn update_all_rules(&mut self) -> io::Result<()> {
        self.starting.0.clear();
        for agent in self.stats.agent_numbers() {
            self.judge_by_rules(agent)?;
        }
        Ok(())
    }

    /// Applies the rule of an agent, whether or not it still waits for the name of a script.
    fn judge_by_rules(&mut self, agent: u64) -> io::Result<()> {
        if let Some(stats) = self.stats.get_mut(agent) {
            stats.awaits_script = false;
        }
        match self.find_rule(agent) {
            true => self.apply_rule(agent),
            false => Ok(()),
        }
    }

    /// Finds the rule of an agent. Returns false if it has none, and never had one.
    fn find_rule(&mut self, agent: u64) -> bool {
        let rules = &self.context.settings.rules;
        let found = match self.stats.get(agent) {
            Some(stats) if !rules.rules.is_empty() => {
                rules.find(&stats.facts(&stats.name.to_string()))
            }
            _ => None,
        };
        let now_ns = self.context.observer.now_ns();
        self.stats.applied.set_rule(agent, found, now_ns).is_some()
    }

    /// How many agents each rule applies to.
    pub(super) fn agents_by_rule(&self) -> Vec<usize> {
        let mut counts = vec![0; self.context.settings.rules.rules.len()];
        for rule in self.stats.applied.rules() {
            if let Some(count) = counts.get_mut(rule) {
                *count += 1;
            }
        }
        counts
    }

    /// Judges the agents whose grace has ended by their own threshold, and those that have not got
    /// the name of a script by the name of their program.
    pub(super) fn end_graces(&mut self, now_ns: u64) -> io::Result<()> {
        while let Some(agent) = self.starting.take_due(now_ns) {
            self.judge_by_rules(agent)?;
        }
        Ok(())
    }

    /// Applies the present rule of an agent, or the flags if it has none.
    fn apply_rule(&mut self, agent: u64) -> io::Result<()> {
        let Some(applied) = self.stats.applied.get_mut(agent) else { return Ok(()) };
        let now_ns = self.context.observer.now_ns();
        let settings = &self.context.settings;
        let Effect { is_watched, threshold, slack, grace_end_ns, is_chosen } =
            settings.rules.effect(applied.rule, settings.threshold, applied.first_ns, now_ns);
        if let Some(end_ns) = grace_end_ns {
            self.starting.0.insert((end_ns, agent));
        }
        let by = match grace_end_ns {
            _ if !is_watched => "unwatched",
            Some(_) => "grace",
            None if is_chosen => "rule",
            None => "flag",
        };
        applied.is_watched = is_watched;
        applied.threshold_ns = Some(nanoseconds(threshold));
        applied.since_ns = now_ns;
        self.context.observer.set_threshold(agent, threshold)?;
        if !is_chosen {
            // A service may have a time of its own.
            self.context.observer.reset_service_threshold(agent)?;
        }
        self.context.observer.set_agent_slack(agent, slack)?;
        self.note_threshold(agent, by)
    }
}
