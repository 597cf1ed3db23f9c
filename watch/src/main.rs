//! The observer as a daemon.

mod cli;
mod commands;
mod config;
mod daemon;
mod event_loop;
mod flags;
mod output;
mod platform;
mod recovery;
mod server;
mod state;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use cli::Command;
use commands::{Failure, print};
use config::Refusal;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut said = match cli::parse(&arguments) {
        Ok(said) => said,
        Err(error) => error.exit(),
    };
    let done = match said.command.take() {
        Some(Command::Run(wanted)) => commands::run::run(&wanted),
        Some(Command::Signal(wanted)) => commands::signal::run(&wanted),
        Some(Command::Decode(wanted)) => commands::decode::run(&wanted),
        Some(Command::Audit(wanted)) => commands::audit::run(&wanted),
        Some(Command::Top(wanted)) => commands::top::run(&wanted),
        Some(Command::Events(wanted)) => commands::events::run(&wanted),
        Some(Command::Check(wanted)) => commands::check::run(&wanted),
        None => watch(said, arguments),
    };
    done.unwrap_or_else(|failure| failure.report())
}

fn watch(said: cli::Cli, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    // First, while every open descriptor is one that was passed.
    let passed = platform::systemd::take_sockets();
    let only_check = said.flags.check_config;
    let settings = match config::settle(said, &arguments) {
        Ok(settings) => settings,
        Err(Refusal::Usage(error)) => error.exit(),
        Err(Refusal::Unfit(why)) => return Err(Failure::bad_arguments(why)),
    };
    if only_check {
        if let Some(exposure) = settings.exposure() {
            let _ = writeln!(std::io::stderr(), "warning: {exposure}");
        }
        print("the settings are fine");
        return Ok(ExitCode::SUCCESS);
    }
    daemon::run(settings, arguments, passed).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}
