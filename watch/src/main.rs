//! The observer as a daemon.

mod audit;
mod books;
mod cli;
mod clock;
mod config;
mod daemon;
mod export;
mod flags;
mod histogram;
mod json;
mod keeper;
mod log;
mod recovery;
mod rotation;
mod signals;
mod state;
mod systemd;
mod tallies;
mod watching;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use config::Refusal;

const BAD_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let settings = match config::load(&arguments) {
        Ok(settings) => settings,
        Err(Refusal::Usage(error)) => error.exit(),
        Err(Refusal::Unfit(why)) => return complain(&why, BAD_ARGUMENTS.into()),
    };
    if settings.flags.check_config {
        return ExitCode::SUCCESS;
    }
    match daemon::run(settings, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string(), ExitCode::FAILURE),
    }
}

fn complain(why: &str, code: ExitCode) -> ExitCode {
    // With stderr closed, the code has to do.
    let _ = writeln!(io::stderr(), "varta-watch: {why}");
    code
}
