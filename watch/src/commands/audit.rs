//! `audit verify`: whether a log of recovery is as it was written.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, print};
use crate::output::audit::{Anchor, Finding, Link, Position, verify};

/// Look into the log of recovery
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Check that no line was changed or taken away
    ///
    /// Each line carries a hash over itself and the hash before it. The hashes have no key, so
    /// lines removed from the end, or all rewritten, are found only with --at-least and a line
    /// that was noted elsewhere: the daemon's log names one every 1000 lines.
    Verify {
        /// The log; several that follow one another, the oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check that the log reaches this line number, and that the line has this hash
        #[arg(long, num_args = 2, value_names = ["SEQ", "HASH"])]
        at_least: Option<Vec<String>>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments::Verify { files, at_least } = arguments;
    let anchor = at_least.as_deref().map(anchor).transpose()?;
    let mut position = Position::with_anchor(anchor);
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
    if let Err(why) = position.check_anchor() {
        let name = files.last().map(|file| file.display().to_string()).unwrap_or_default();
        return Err(Failure::new(format_args!("{name}: {why}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn anchor(words: &[String]) -> Result<Anchor, Failure> {
    let [seq, hash] = words else {
        return Err(Failure::bad_arguments("--at-least: give a line number and a hash"));
    };
    let seq = seq.parse().map_err(|error| {
        Failure::bad_arguments(format_args!("--at-least: line number {seq:?}: {error}"))
    })?;
    let link = Link::from_hex(hash).ok_or_else(|| {
        Failure::bad_arguments(format_args!("--at-least: hash {hash:?} is not 64 hex digits"))
    })?;
    Ok(Anchor { seq, link })
}
