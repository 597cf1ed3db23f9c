//! Reads rules and expectations from the tables of a configuration file.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Expected, Glob, Match, Rule, Rules};
use crate::config::Command;
use crate::flags::Triggers;

/// Why a table is invalid, and where.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// The offset of the key in the file.
    pub(crate) offset: usize,
    pub(crate) key: String,
    pub(crate) why: String,
}

impl Invalid {
    fn new(key: &Spanned<impl AsRef<str>>, why: impl Into<String>) -> Self {
        let (offset, name) = (key.span().start, key.get_ref().as_ref());
        Self { offset, key: name.to_owned(), why: why.into() }
    }
}

/// Whether this key of the file contains rules or expectations, and is no flag.
pub(crate) fn is_table(key: &str) -> bool {
    matches!(key, "rule" | "expect")
}

/// Adds the tables of a key for which [`is_table`] is true. `text` is the file, and `line` the
/// line of an offset in it.
pub(crate) fn add(
    rules: &mut Rules,
    key: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    line: impl Fn(usize) -> usize,
) -> Result<(), Invalid> {
    let name = key.get_ref().as_ref();
    let DeValue::Array(list) = value.get_ref() else {
        return Err(Invalid::new(key, format!("begin each one with a line [[{name}]]")));
    };
    for item in list {
        let DeValue::Table(table) = item.get_ref() else {
            return Err(Invalid::new(key, format!("begin each one with a line [[{name}]]")));
        };
        let start = item.span().start;
        let table = Table { name, start, line: line(start), entries: table, text };
        match name {
            "rule" => rules.rules.push(table.rule()?),
            _ => {
                let expected = table.expected()?;
                let same = |other: &&Expected| other.program == expected.program;
                if let Some(other) = rules.expected.iter().find(same) {
                    let (program, line) = (&other.program, other.line);
                    let why = format!("{program:?} is expected in line {line} already");
                    return Err(table.invalid(&why));
                }
                rules.expected.push(expected);
            }
        }
    }
    Ok(())
}

/// One table, which begins in this line and at this offset.
struct Table<'a> {
    name: &'a str,
    start: usize,
    line: usize,
    entries: &'a DeTable<'a>,
    text: &'a str,
}

impl Table<'_> {
    fn rule(&self) -> Result<Rule, Invalid> {
        let mut rule = Rule::new(self.line, Match::default());
        for (key, value) in self.entries {
            let value = value.get_ref();
            let invalid = |why: String| Invalid::new(key, why);
            match key.get_ref().as_ref() {
                "match" => rule.matching = matching(key, value)?,
                "threshold-ms" => {
                    rule.threshold = Some(time(value, SHORTEST_MS).map_err(invalid)?);
                }
                "startup-ms" => rule.startup = Some(time(value, 0).map_err(invalid)?),
                "slack-ms" => rule.slack = Some(time(value, 0).map_err(invalid)?),
                "recovery-exec" => {
                    let words = text(value).and_then(Command::words_of).map_err(invalid)?;
                    let source = format!("rule in line {}", self.line);
                    rule.command = Some(Command { words, source });
                }
                "recovery-on" => rule.on = Some(triggers(value).map_err(invalid)?),
                "watch" => match value {
                    DeValue::Boolean(watch) => rule.watch = *watch,
                    _ => return Err(Invalid::new(key, "give true or false")),
                },
                _ => return Err(self.unknown(key)),
            }
        }
        rule.text = self.settings();
        if rule.matching == Match::default() {
            return Err(
                self.invalid("give match = { program = \"NAME\" }, unit, user or container")
            );
        }
        Ok(rule)
    }

    fn expected(&self) -> Result<Expected, Invalid> {
        let (mut program, mut count, mut within) = (None, 1, DEFAULT_WITHIN);
        for (key, value) in self.entries {
            let value = value.get_ref();
            let invalid = |why: String| Invalid::new(key, why);
            match key.get_ref().as_ref() {
                "program" => program = Some(pattern(value).map_err(invalid)?.to_owned()),
                "count" => {
                    count = number(value)
                        .and_then(|count| u32::try_from(count).ok())
                        .filter(|count| (1..=MOST_EXPECTED).contains(count))
                        .ok_or_else(|| invalid(format!("give 1 to {MOST_EXPECTED}")))?;
                }
                "within-ms" => within = time(value, 1).map_err(invalid)?,
                _ => return Err(self.unknown(key)),
            }
        }
        let Some(program) = program else {
            return Err(self.invalid("give program = \"NAME\""));
        };
        Ok(Expected { line: self.line, program, count, within })
    }

    /// What a rule says, in the words of the file.
    fn settings(&self) -> String {
        let setting = |(key, value): (&Spanned<_>, &Spanned<_>)| {
            let value = self.text.get(value.span()).unwrap_or_default();
            let value: Vec<_> = value.split_whitespace().collect();
            format!("{} = {}", key.get_ref(), value.join(" "))
        };
        let settings = self.entries.iter().filter(|(key, _)| key.get_ref() != "match");
        let settings: Vec<_> = settings.map(setting).collect();
        settings.join(", ")
    }

    fn invalid(&self, why: &str) -> Invalid {
        Invalid { offset: self.start, key: self.name.to_owned(), why: why.to_owned() }
    }

    /// The error for a key that such a table does not have.
    fn unknown(&self, key: &Spanned<impl AsRef<str>>) -> Invalid {
        let name = self.name;
        let known = match name {
            "rule" => RULE_KEYS,
            _ => EXPECT_KEYS,
        };
        let why = match crate::config::is_flag(key.get_ref().as_ref()) {
            true => "this flag applies to the whole daemon; move it above the first [[rule]] \
                     and [[expect]]"
                .to_owned(),
            false => format!("unknown key; [[{name}]] has {known}"),
        };
        Invalid::new(key, why)
    }
}

const RULE_KEYS: &str =
    "match, threshold-ms, startup-ms, recovery-exec, recovery-on, watch, slack-ms";
const EXPECT_KEYS: &str = "program, count, within-ms";

/// The minimum of --threshold-ms.
const SHORTEST_MS: u64 = 10;

/// A thousand years. Longer times are mistakes.
const LONGEST_MS: u64 = 31_557_600_000_000;

const DEFAULT_WITHIN: Duration = Duration::from_secs(30);
const MOST_EXPECTED: u32 = 1_000_000;

fn matching(key: &Spanned<impl AsRef<str>>, value: &DeValue<'_>) -> Result<Match, Invalid> {
    let DeValue::Table(table) = value else {
        return Err(Invalid::new(key, "give a table: { program = \"NAME\" }"));
    };
    let mut matching = Match::default();
    for (key, value) in table {
        let pattern = pattern(value.get_ref()).map_err(|why| Invalid::new(key, why));
        let field = match key.get_ref().as_ref() {
            "program" => &mut matching.program,
            "unit" => &mut matching.unit,
            "user" => &mut matching.user,
            "container" => &mut matching.container,
            _ => {
                let why = "unknown key; match has program, unit, user, container";
                return Err(Invalid::new(key, why));
            }
        };
        *field = Some(Glob::new(pattern?));
    }
    Ok(matching)
}

fn text<'a>(value: &'a DeValue<'_>) -> Result<&'a str, String> {
    match value {
        DeValue::String(text) => Ok(text),
        _ => Err("give text in quotes".to_owned()),
    }
}

fn pattern<'a>(value: &'a DeValue<'_>) -> Result<&'a str, String> {
    text(value).and_then(|text| match text {
        "" => Err("give at least one character".to_owned()),
        _ => Ok(text),
    })
}

fn number(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
        _ => None,
    }
}

fn time(value: &DeValue<'_>, least_ms: u64) -> Result<Duration, String> {
    number(value)
        .filter(|ms| (least_ms..=LONGEST_MS).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("give a number of milliseconds, {least_ms} or more"))
}

fn triggers(value: &DeValue<'_>) -> Result<Triggers, String> {
    let names = match value {
        DeValue::Array(list) => {
            let names: Result<Vec<_>, _> = list.iter().map(|it| text(it.get_ref())).collect();
            names?.join(",")
        }
        _ => text(value)?.to_owned(),
    };
    Triggers::parse(&names)
}
