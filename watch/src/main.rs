//! The observer daemon and its subcommands.

mod cli;
mod commands;
mod config;
mod daemon;
mod event_loop;
mod flags;
mod lookup;
mod output;
mod platform;
mod recovery;
mod replay;
mod rules;
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
    let mut cli = match cli::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let result = match cli.command.take() {
        Some(Command::Run(arguments)) => commands::run::run(&arguments),
        Some(Command::Signal(arguments)) => commands::signal::run(&arguments),
        Some(Command::Decode(arguments)) => commands::decode::run(&arguments),
        Some(Command::Audit(arguments)) => commands::audit::run(&arguments),
        Some(Command::Top(arguments)) => commands::top::run(&arguments),
        Some(Command::Events(arguments)) => commands::events::run(&arguments),
        Some(Command::Check(arguments)) => commands::check::run(&arguments),
        Some(Command::History(arguments)) => commands::history::run(&arguments),
        Some(Command::Replay(arguments)) => commands::replay::run(&arguments),
        Some(Command::Rules(arguments)) => commands::rules::run(&arguments),
        Some(Command::Why(arguments)) => commands::why::run(&arguments),
        None => watch(cli, arguments),
    };
    result.unwrap_or_else(|failure| failure.report())
}

fn watch(cli: cli::Cli, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    // First, while all open descriptors are ones that were passed.
    let passed = platform::systemd::take_sockets();
    let only_check = cli.flags.check_config;
    let settings = match config::resolve(cli, &arguments) {
        Ok(settings) => settings,
        Err(Refusal::Usage(error)) => error.exit(),
        Err(Refusal::Invalid(why)) => return Err(Failure::bad_arguments(why)),
    };
    if only_check {
        for warning in settings.exposure().into_iter().chain(settings.missing_folder()) {
            let _ = writeln!(std::io::stderr(), "warning: {warning}");
        }
        print("configuration OK");
        return Ok(ExitCode::SUCCESS);
    }
    daemon::run(settings, arguments, passed).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}
