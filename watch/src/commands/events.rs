//! `events`: prints the events of a running daemon.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, print};
use crate::server::control::client::Target;

/// Print the events of a running daemon as they happen
///
/// Prints a line for each beat, stall, recovery, exit and so on, until the daemon ends or
/// stdout is closed. If events are read too slowly, some are dropped, and a line reports how
/// many.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print one JSON object per line, as in the export file with --export-format json
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let connection = arguments.target.connect().map_err(Failure::new)?;
    for line in connection.events(arguments.json).map_err(Failure::new)? {
        if !print(line.map_err(Failure::new)?) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
