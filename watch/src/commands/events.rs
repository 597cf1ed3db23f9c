//! `events`: what a running daemon says, as it says it.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, print};
use crate::server::control::client::Whom;

/// Follow what a running daemon says
///
/// A line for each beat, stall, recovery, exit and so on, from now on, until the daemon
/// ends or nobody reads. Whoever reads too slowly is told how much was lost.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An object a line, as in the export file with --export-format json
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whom: Whom,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let connection = arguments.whom.connect().map_err(Failure::new)?;
    for line in connection.events(arguments.json).map_err(Failure::new)? {
        if !print(line.map_err(Failure::new)?) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
