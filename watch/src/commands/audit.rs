//! `audit verify`: checks the hash chain of an audit log.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, print};
use crate::output::audit::{Anchor, Finding, Link, Position, verify};

/// Examine the recovery audit log
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Check that no line was changed or removed
    ///
    /// Each line contains a hash of itself and of the previous line. The hashes have no key.
    /// To detect that lines were removed from the end, or that all lines were rewritten, pass
    /// the number and hash of a line from another source to --at-least: the daemon logs one
    /// every 1000 lines.
    Verify {
        /// The audit log; pass rotated files in order, oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also check that the log contains this line number, and that the line has this hash
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
        let finding = verify(file, &mut position)
            .map_err(|error| Failure::new(format_args!("{name}: {error}")))?;
        match finding {
            Finding::Invalid { line, why } => {
                return Err(Failure::new(format_args!("{name}, line {line}: {why}")));
            }
            Finding::Valid { cut_off: 1.., .. } if at + 1 < files.len() => {
                let why = "it ends with an unfinished line, but another file follows";
                return Err(Failure::new(format_args!("{name}: {why}")));
            }
            Finding::Valid { lines, cut_off: 0 } => {
                print(format_args!("{name}: valid, {lines} lines so far"));
            }
            Finding::Valid { lines, cut_off } => {
                print(format_args!(
                    "{name}: valid, {lines} lines so far, and {cut_off} bytes of an unfinished \
                     line; the next start of the daemon removes them"
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
