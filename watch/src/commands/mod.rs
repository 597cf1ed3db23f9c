//! What the binary does besides watching.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod events;
pub(crate) mod run;
pub(crate) mod signal;
pub(crate) mod top;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command cannot go on: what it says, and the code it ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    why: String,
    code: u8,
}

impl Failure {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), code: 1 }
    }

    /// The fault of what was given.
    pub(crate) fn bad_arguments(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), code: 2 }
    }

    pub(crate) fn with_code(why: impl fmt::Display, code: u8) -> Self {
        Self { why: why.to_string(), code }
    }

    /// Says it, and what to end with.
    pub(crate) fn report(&self) -> ExitCode {
        // With stderr closed, the code has to do.
        let _ = writeln!(io::stderr(), "varta-watch: {}", self.why);
        self.code.into()
    }
}

/// Writes a line to stdout; false once nobody reads there.
pub(crate) fn print(line: impl fmt::Display) -> bool {
    writeln!(io::stdout(), "{line}").is_ok()
}
