//! Applies the rules of the configuration file to agents.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::{EventLoop, nanoseconds};

/// The agents whose first silence is not judged yet, by the time when it will be.
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
        if self.context.settings.rules.rules.is_empty() {
            return Ok(());
        }
        let settings = &self.context.settings;
        let Some(stats) = self.stats.get_mut(agent) else { return Ok(()) };
        let found = settings.rules.find(&stats.facts(&stats.name.to_string()));
        if std::mem::replace(&mut stats.rule, found) == found {
            return Ok(());
        }
        self.apply_rule(agent)
    }

    /// Applies the rules of a file that was read again, and the flags where no rule does.
    pub(super) fn update_all_rules(&mut self) -> io::Result<()> {
        self.starting.0.clear();
        for agent in self.stats.agent_numbers() {
            let settings = &self.context.settings;
            let Some(stats) = self.stats.get_mut(agent) else { continue };
            let name = stats.name.to_string();
            stats.rule = settings.rules.find(&stats.facts(&name));
            if stats.threshold_ns != 0 || stats.rule.is_some() {
                self.apply_rule(agent)?;
            }
        }
        Ok(())
    }

    /// Judges the agents whose grace has ended by their own threshold.
    pub(super) fn end_graces(&mut self, now_ns: u64) -> io::Result<()> {
        while let Some(agent) = self.starting.take_due(now_ns) {
            self.apply_rule(agent)?;
        }
        Ok(())
    }

    /// Applies the present rule of an agent, or the flags if it has none.
    fn apply_rule(&mut self, agent: u64) -> io::Result<()> {
        let Some(stats) = self.stats.get_mut(agent) else { return Ok(()) };
        let now_ns = self.context.observer.now_ns();
        let settings = &self.context.settings;
        let rule = stats.rule.and_then(|number| settings.rules.get(number));
        stats.watched = rule.is_none_or(|rule| rule.watch);
        let (mut threshold, mut slack) = match rule {
            Some(rule) => (rule.threshold.unwrap_or(settings.threshold), rule.slack),
            None => (settings.threshold, None),
        };
        let grace_end_ns = rule
            .and_then(|rule| rule.startup)
            .map(|startup| stats.first_ns.saturating_add(nanoseconds(startup)))
            .filter(|end_ns| *end_ns > now_ns);
        if !stats.watched {
            (threshold, slack) = (Duration::MAX, Some(Duration::MAX));
        } else if let Some(end_ns) = grace_end_ns {
            // The threshold counts from the last beat, which is later than the first.
            threshold = threshold.max(Duration::from_nanos(end_ns - stats.first_ns));
            self.starting.0.insert((end_ns, agent));
        }
        stats.threshold_ns = nanoseconds(threshold);
        stats.judged_from_ns = now_ns;
        self.context.observer.set_threshold(agent, threshold)?;
        self.context.observer.set_agent_slack(agent, slack)?;
        Ok(())
    }
}
