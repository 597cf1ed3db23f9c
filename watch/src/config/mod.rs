//! From a command line and a file to settings that have been checked.

mod exposure;
mod file;
mod restart;
mod secrets;
mod settings;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use clap::Error as Usage;

use crate::cli::{self, Cli};
use file::ConfigFile;

pub(crate) use secrets::Token;
pub(crate) use settings::{Command, Keys, Settings};

/// Why there are no settings. Either is the fault of who gave them.
#[derive(Debug)]
pub(crate) enum Refusal {
    Usage(Usage),
    /// Names the flag, or file and line, and says what to do.
    Unfit(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Unfit(why) => why.fmt(f),
        }
    }
}

impl From<Usage> for Refusal {
    fn from(error: Usage) -> Self {
        Self::Usage(error)
    }
}

/// Something wrong with what a flag says.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Its name, without dashes.
    flag: &'static str,
    why: String,
}

impl Problem {
    pub(crate) fn new(flag: &'static str, why: impl fmt::Display) -> Self {
        Self { flag, why: why.to_string() }
    }
}

/// Reads the file that a command line names, if it names one, and all the files that the
/// two name, and checks them. A reload does the same again.
pub(crate) fn load(arguments: &[OsString]) -> Result<Settings, Refusal> {
    settle(cli::parse(arguments)?, arguments)
}

/// As [`load`], of a command line that has been read.
pub(crate) fn settle(said: Cli, arguments: &[OsString]) -> Result<Settings, Refusal> {
    let file = match &said.flags.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let flags = if file.is_empty() { said } else { merged(&file, arguments)? }.flags;
    Settings::check(flags).map_err(|problem| {
        let Problem { flag, why } = problem;
        match file.line_of(flag).filter(|_| !on_command_line(arguments, flag)) {
            Some(at) => Refusal::Unfit(format!("{at}: {flag}: {why}")),
            None => Refusal::Unfit(format!("--{flag}: {why}")),
        }
    })
}

/// What the file says stands before what the command line says, whose word is the last.
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

/// How a file is called in messages, with the line.
fn at_line(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}
