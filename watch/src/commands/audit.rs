//! `audit verify`: whether a log of recovery is as it was written.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, print};
use crate::audit::{Finding, Position, verify};

/// Look into the log of recovery
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Check that no line was changed or taken away
    ///
    /// Each line carries a hash over itself and the hash before it. The hashes have no key:
    /// who rewrites all lines to the end is not found out.
    Verify {
        /// The log; several that follow one another, the oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments::Verify { files } = arguments;
    let mut position = Position::default();
    for (at, file) in files.iter().enumerate() {
        let name = file.display();
        let found = verify(file, &mut position)
            .map_err(|error| Failure::new(format_args!("{name}: {error}")))?;
        match found {
            Finding::Broken { line, why } => {
                return Err(Failure::new(format_args!("{name}, line {line}: {why}")));
            }
            Finding::Holds { cut_off: 1.., .. } if at + 1 < files.len() => {
                let why = "it ends in the middle of a line, and another file follows";
                return Err(Failure::new(format_args!("{name}: {why}")));
            }
            Finding::Holds { lines, cut_off: 0 } => {
                print(format_args!("{name}: holds, {lines} lines so far"));
            }
            Finding::Holds { lines, cut_off } => {
                print(format_args!(
                    "{name}: holds, {lines} lines so far, and {cut_off} bytes of a line that was \
                     not finished; the next start of the daemon cuts them off"
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
