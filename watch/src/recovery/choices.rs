//! Which command is for which agent, and what starts it.

use crate::config::{Command, Settings};
use crate::flags::Triggers;

/// A command by its number in the plan, and what starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) command: usize,
    /// None if the flags say it.
    pub(super) on: Option<Triggers>,
}

impl Choice {
    /// There is no command.
    pub(super) const NOTHING: Self = Self { command: 0, on: Some(Triggers::NONE) };
}

/// The choices for agents without a rule, and for those of each rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choices {
    pub(super) commands: Vec<Command>,
    by_flags: Choice,
    by_rule: Vec<Choice>,
}

impl Choices {
    /// Returns None if no command is configured. `commands` are those of earlier settings, which
    /// keep their numbers.
    pub(super) fn new(settings: &Settings, mut commands: Vec<Command>) -> Option<Self> {
        if !settings.has_commands() {
            return None;
        }
        let mut number = |command: &Command| {
            commands.iter().position(|known| known == command).unwrap_or_else(|| {
                commands.push(command.clone());
                commands.len() - 1
            })
        };
        let default = settings.command.as_ref().map(&mut number);
        let choice = |command: Option<usize>, on| match command {
            Some(command) => Choice { command, on },
            None => Choice::NOTHING,
        };
        let by_rule =
            settings.rules.rules.iter().map(|rule| {
                choice(rule.command.as_ref().map(&mut number).or(default), rule.on)
            });
        let by_rule = by_rule.collect();
        Some(Self { by_flags: choice(default, None), by_rule, commands })
    }

    /// The choice for an agent with this rule.
    pub(super) fn of(&self, rule: Option<usize>) -> Choice {
        match rule {
            Some(rule) => self.by_rule.get(rule).copied().unwrap_or(Choice::NOTHING),
            None => self.by_flags,
        }
    }
}
