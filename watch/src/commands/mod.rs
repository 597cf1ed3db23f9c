//! The subcommands.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod events;
pub(crate) mod history;
mod launch;
pub(crate) mod period;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod signal;
pub(crate) mod top;
pub(crate) mod why;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command failed: the message to print, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    why: String,
    code: u8,
}

impl Failure {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), code: 1 }
    }

    /// The arguments are to blame.
    pub(crate) fn bad_arguments(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), code: 2 }
    }

    pub(crate) fn with_code(why: impl fmt::Display, code: u8) -> Self {
        Self { why: why.to_string(), code }
    }

    /// Prints the message and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // If stderr is closed, the exit code has to suffice.
        let _ = writeln!(io::stderr(), "varta-watch: {}", self.why);
        self.code.into()
    }
}

/// Writes a line to stdout. Returns false once stdout is closed.
pub(crate) fn print(line: impl fmt::Display) -> bool {
    writeln!(io::stdout(), "{line}").is_ok()
}
