//! `history`: what happened to agents, from the files that the daemon keeps.

mod around;
mod list;
mod openmetrics;
mod programs;
mod survey;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use varta_history::{Entry, Item, Reader, Record, Rfc3339};

use super::Failure;

/// Print what happened to agents, from the recorded history
///
/// Prints a line for each stall, recovery, exit and so on, the oldest first. Times are in UTC;
/// a line also has the boot clock if the wall clock was set back and showed its time twice.
/// Needs no running daemon, only permission to read the folder of the history.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    list: list::List,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Programs(programs::Arguments),
    Around(around::Arguments),
    Export(openmetrics::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        None => list::run(&arguments.list),
        Some(Command::Programs(arguments)) => programs::run(arguments),
        Some(Command::Around(arguments)) => around::run(arguments),
        Some(Command::Export(arguments)) => openmetrics::run(arguments),
    }
}

/// Passes each record of a history to a function, until that returns false.
fn each(folder: &Path, mut visit: impl FnMut(&Entry<'_>) -> bool) -> Result<(), Failure> {
    let mut reader = Reader::open(folder).map_err(Failure::new)?;
    while let Some(item) = reader.next().map_err(Failure::new)? {
        // The survey has reported everything else.
        if let Item::Record(entry) = item
            && !visit(&entry)
        {
            break;
        }
    }
    Ok(())
}

/// A time in UTC, to the millisecond.
fn utc(wall_ns: u64) -> String {
    let mut text = Rfc3339(wall_ns).to_string();
    text.truncate("2026-11-30T03:12:00.000".len());
    text.push('Z');
    text
}

/// Nanoseconds as seconds.
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// Whether a record is about the program, if one is wanted.
fn is_of_program(entry: &Entry<'_>, record: &Record, program: Option<&str>) -> bool {
    let Some(wanted) = program else { return true };
    match record {
        Record::Missing(body) | Record::Present(body) => body.program == wanted,
        Record::Service(body) => body.program == wanted,
        Record::Minute(body) => body.program == wanted,
        _ => {
            let known = record.agent().and_then(|agent| entry.agents.get(agent));
            known.is_some_and(|known| known.agent.program == wanted)
        }
    }
}
