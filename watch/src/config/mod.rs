//! Turns a command line and a configuration file into checked settings.

mod exposure;
mod file;
mod restart;
mod secrets;
mod settings;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::Error as Usage;

use crate::cli::{self, Cli};
use crate::rules::Rules;
use file::ConfigFile;

pub(crate) use file::is_flag;
pub(crate) use secrets::Token;
pub(crate) use settings::{Command, Keys, Settings};

/// Why there are no settings. In both cases the user has to correct the input.
#[derive(Debug)]
pub(crate) enum Refusal {
    Usage(Usage),
    /// The message names the flag, or the file and line, and what to do.
    Invalid(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Invalid(why) => why.fmt(f),
        }
    }
}

impl From<Usage> for Refusal {
    fn from(error: Usage) -> Self {
        Self::Usage(error)
    }
}

/// An invalid value of a flag.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The name of the flag, without dashes.
    flag: &'static str,
    why: String,
}

impl Problem {
    pub(crate) fn new(flag: &'static str, why: impl fmt::Display) -> Self {
        Self { flag, why: why.to_string() }
    }
}

/// Parses the command line, reads the configuration file if there is one, and all files that
/// either refers to, and checks them. A reload does the same again.
pub(crate) fn load(arguments: &[OsString]) -> Result<Settings, Refusal> {
    resolve(cli::parse(arguments)?, arguments)
}

/// Like [`load`], for a command line that has been parsed.
pub(crate) fn resolve(cli: Cli, arguments: &[OsString]) -> Result<Settings, Refusal> {
    let file = match &cli.flags.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let flags = if file.is_empty() { cli } else { merged(&file, arguments)? }.flags;
    Settings::check(flags, file.rules.clone()).map_err(|problem| {
        let Problem { flag, why } = problem;
        match file.line_of(flag).filter(|_| !on_command_line(arguments, flag)) {
            Some(at) => Refusal::Invalid(format!("{at}: {flag}: {why}")),
            None => Refusal::Invalid(format!("--{flag}: {why}")),
        }
    })
}

/// The rules of a configuration file, and its threshold of agents without one, if it sets that.
/// Nothing else in it is checked against other files.
pub(crate) fn rules_of(path: &Path) -> Result<(Rules, Option<Duration>), Refusal> {
    let file = ConfigFile::read_unchecked(path)?;
    let flags = merged(&file, &[OsString::from("varta-watch")])?.flags;
    let mut rules = file.rules;
    rules.read_users().map_err(|error| {
        let path = path.display();
        Refusal::Invalid(format!("{path}: a rule needs /etc/passwd: {error}"))
    })?;
    Ok((rules, flags.listening.threshold_ms.map(Duration::from_millis)))
}

/// Puts the arguments of the file before those of the command line, which take precedence.
fn merged(file: &ConfigFile, arguments: &[OsString]) -> Result<Cli, Usage> {
    let (name, rest) = arguments.split_at(arguments.len().min(1));
    let all: Vec<_> = name.iter().chain(file.arguments()).chain(rest).cloned().collect();
    cli::parse(&all)
}

fn on_command_line(arguments: &[OsString], flag: &str) -> bool {
    arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        let name = argument.strip_prefix("--").unwrap_or_default();
        name == flag || name.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))
    })
}

/// Formats a file and line for messages.
fn at_line(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}
