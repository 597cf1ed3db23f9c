//! Rules: what applies to the agents of one service instead of the flags, and which programs are
//! expected to run.

mod effect;
mod glob;
mod read;
mod users;

use std::fmt;
use std::io;
use std::time::Duration;

pub(crate) use effect::Effect;
pub(crate) use glob::Glob;
pub(crate) use read::{add, is_table};
use users::Users;

use crate::config::Command;
use crate::flags::Triggers;

/// The rules and expectations of a configuration file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    pub(crate) expected: Vec<Expected>,
    /// Empty if no rule names a user.
    users: Users,
}

/// What applies to the agents that match, instead of the flags. Whatever is None comes from the
/// flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its line in the file.
    pub(crate) line: usize,
    pub(crate) matching: Match,
    pub(crate) threshold: Option<Duration>,
    /// How long the first silence of a new agent is not judged.
    pub(crate) startup: Option<Duration>,
    pub(crate) command: Option<Command>,
    /// What starts the command.
    pub(crate) on: Option<Triggers>,
    /// False if its agents are followed and shown, but have no stalls and no recovery.
    pub(crate) watch: bool,
    /// How late the tasks of its agents may be.
    pub(crate) slack: Option<Duration>,
    /// What it says besides `match`, as in the file.
    pub(crate) text: String,
}

impl Rule {
    /// A rule that changes nothing for the agents that match.
    pub(crate) const fn new(line: usize, matching: Match) -> Self {
        Self {
            line,
            matching,
            threshold: None,
            startup: None,
            command: None,
            on: None,
            watch: true,
            slack: None,
            text: String::new(),
        }
    }
}

/// Patterns that must all match. At least one is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) program: Option<Glob>,
    pub(crate) unit: Option<Glob>,
    pub(crate) user: Option<Glob>,
    pub(crate) container: Option<Glob>,
}

/// A program of which at least this many agents should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) line: usize,
    pub(crate) program: String,
    pub(crate) count: u32,
    /// How long there may be fewer before they are missing.
    pub(crate) within: Duration,
}

/// What is known of an agent, as far as rules can match it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) program: &'a str,
    pub(crate) unit: Option<&'a str>,
    pub(crate) uid: Option<u32>,
    pub(crate) container: Option<&'a str>,
}

impl Rules {
    /// The number of the first rule that matches, which alone applies.
    pub(crate) fn find(&self, facts: &Facts<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| self.mismatch(rule, facts).is_none())
    }

    /// The first pattern of a rule that does not match, with its key.
    pub(crate) fn mismatch<'a>(
        &self,
        rule: &'a Rule,
        facts: &Facts<'_>,
    ) -> Option<(&'static str, &'a Glob)> {
        rule.matching.mismatch(facts, &self.users)
    }

    /// Reads the names of users, if a rule needs them.
    pub(crate) fn read_users(&mut self) -> io::Result<()> {
        if self.rules.iter().any(|rule| rule.matching.user.is_some()) {
            self.users = Users::read()?;
        }
        Ok(())
    }

    /// The name of a user, if a rule needs the names of users.
    pub(crate) fn user_name(&self, uid: u32) -> Option<&str> {
        self.users.name(uid)
    }

    /// Whether any rule has a recovery command.
    pub(crate) fn have_commands(&self) -> bool {
        self.rules.iter().any(|rule| rule.command.is_some())
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Rule> {
        self.rules.get(number)
    }
}

impl Match {
    fn mismatch(&self, facts: &Facts<'_>, users: &Users) -> Option<(&'static str, &Glob)> {
        let is =
            |pattern: &Glob, name: Option<&str>| name.is_some_and(|name| pattern.matches(name));
        let by_name = [
            ("program", &self.program, Some(facts.program)),
            ("unit", &self.unit, facts.unit),
            ("container", &self.container, facts.container),
        ];
        let given = by_name.into_iter().filter_map(|(key, pattern, name)| {
            pattern.as_ref().filter(|pattern| !is(pattern, name)).map(|pattern| (key, pattern))
        });
        let user = self.user.as_ref().filter(|pattern| {
            !facts.uid.is_some_and(|uid| {
                pattern.matches(&uid.to_string()) || is(pattern, users.name(uid))
            })
        });
        given.chain(user.map(|pattern| ("user", pattern))).next()
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = [
            ("program", &self.program),
            ("unit", &self.unit),
            ("user", &self.user),
            ("container", &self.container),
        ];
        let given =
            patterns.into_iter().filter_map(|(key, it)| it.as_ref().map(|it| (key, it)));
        for (index, (key, pattern)) in given.enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{key} = {:?}", pattern.to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(program: &'a str, unit: Option<&'a str>, uid: Option<u32>) -> Facts<'a> {
        Facts { program, unit, uid, container: None }
    }

    #[test]
    fn the_first_rule_whose_patterns_all_match_applies() {
        let glob = |text| Some(Glob::new(text));
        let rules = Rules {
            rules: vec![
                Rule::new(
                    1,
                    Match { program: glob("web*"), unit: glob("*"), ..Match::default() },
                ),
                Rule::new(
                    1,
                    Match { program: glob("web*"), user: glob("www"), ..Match::default() },
                ),
                Rule::new(1, Match { user: glob("33"), ..Match::default() }),
            ],
            expected: vec![],
            users: Users::parse("root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n"),
        };
        let find = |facts: Facts<'_>| rules.find(&facts);
        assert_eq!(find(facts("web1", Some("web.service"), None)), Some(0));
        assert_eq!(find(facts("web1", None, Some(33))), Some(1));
        assert_eq!(find(facts("db", None, Some(33))), Some(2));
        assert_eq!(find(facts("web1", None, Some(34))), None);
        assert_eq!(find(facts("web1", None, None)), None, "an absent field matches nothing");
    }
}
