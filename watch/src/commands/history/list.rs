//! The records of a history, one in a line.

use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};
use varta::internal::write_escaped;
use varta_history::{Entry, Kind, Words};

use super::survey::Survey;
use super::{each, is_of_program, utc};
use crate::commands::Failure;
use crate::commands::period::Period;

/// What is listed unless other kinds are wanted.
const USUAL: [Kind; 16] = [
    Kind::Started,
    Kind::Stopped,
    Kind::Paused,
    Kind::Lost,
    Kind::Task,
    Kind::Ended,
    Kind::Violation,
    Kind::Stall,
    Kind::Cause,
    Kind::Recovered,
    Kind::Exit,
    Kind::Recovery,
    Kind::Missing,
    Kind::Present,
    Kind::Service,
    Kind::Eviction,
];

/// The columns of --csv: members of the JSON objects, then the line in words.
const COLUMNS: [&str; 19] = [
    "time",
    "observer_ns",
    "host",
    "run",
    "seq",
    "event",
    "program",
    "agent",
    "pid",
    "task",
    "task_name",
    "threshold_ns",
    "silent_ns",
    "cause",
    "code",
    "signal",
    "step",
    "change",
    "state",
];

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    period: Period,
    /// List only what is about the program with this name
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// List only these kinds, which may be others than usual, such as stall,exit or gap
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
    kind: Vec<Kind>,
    /// Print one JSON object per line, as `events --json` does
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values, with the names of the columns in the first line
    #[arg(long)]
    csv: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("give some of {}", names.join(", "))
    })
}

pub(super) fn run(arguments: &List) -> Result<ExitCode, Failure> {
    let survey = Survey::of(&arguments.period)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = None;
    if arguments.csv {
        failed = writeln!(out, "{},words", COLUMNS.join(",")).err();
    }
    let (since_ns, until_ns) = arguments.period.wall_ns();
    each(arguments.period.folder(), |entry| {
        let is_wanted = !entry.again
            && (since_ns..=until_ns).contains(&entry.wall_ns)
            && entry.kind().is_some_and(|kind| arguments.wants(kind));
        let Some(record) = is_wanted.then(|| entry.record()).flatten() else { return true };
        if !is_of_program(entry, &record, arguments.program.as_deref()) {
            return true;
        }
        let Some(members) = entry.members() else { return true };
        let written = match arguments {
            List { json: true, .. } => writeln!(out, "{}", Value::Object(members)),
            List { csv: true, .. } => writeln!(out, "{}", Columns(&members)),
            _ => writeln!(out, "{}", line(entry, &members, &survey)),
        };
        failed = failed.take().or(written.err());
        failed.is_none()
    })?;
    match failed.or(out.flush().err()) {
        // Like any other command that is cut short by `head`.
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot print: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

impl List {
    fn wants(&self, kind: Kind) -> bool {
        if self.kind.is_empty() { USUAL.contains(&kind) } else { self.kind.contains(&kind) }
    }
}

/// A record in words, with its time.
pub(super) fn line(entry: &Entry<'_>, members: &Map<String, Value>, survey: &Survey) -> String {
    at(entry, entry.observer_ns, survey) + &words(members)
}

/// The time of a line: in UTC, and by the boot clock if the wall clock showed it twice.
pub(super) fn at(entry: &Entry<'_>, observer_ns: u64, survey: &Survey) -> String {
    let wall_ns = entry.wall_ns.saturating_add(observer_ns).saturating_sub(entry.observer_ns);
    let mut text = utc(wall_ns);
    if survey.is_twice(wall_ns) {
        let boot_ns = entry.header.boot_ns.saturating_add(observer_ns);
        let (seconds, ms) = (boot_ns / 1_000_000_000, boot_ns / 1_000_000 % 1_000);
        // Writing to a string does not fail.
        let _ = write!(text, " (boot clock {seconds}.{ms:03} s)");
    }
    text.push(' ');
    text
}

/// Without anything that a terminal interprets.
pub(super) fn words(members: &Map<String, Value>) -> String {
    Escaped(&Words(members).to_string()).to_string()
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0)
    }
}

/// A line of comma-separated values.
struct Columns<'a>(&'a Map<String, Value>);

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for column in COLUMNS {
            match self.0.get(column) {
                None => {}
                Some(Value::String(text)) => quoted(text, f)?,
                Some(value) => write!(f, "{value}")?,
            }
            f.write_char(',')?;
        }
        quoted(&words(self.0), f)
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match text.contains([',', '"', '\n', '\r']) {
        true => write!(f, "\"{}\"", text.replace('"', "\"\"")),
        false => f.write_str(text),
    }
}
