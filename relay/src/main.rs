//! Publishes the transitions that varta-watch records to NATS JetStream, and prints those of a
//! fleet.

mod ask;
mod backlog;
mod batch;
mod cli;
mod connection;
mod cursor_file;
mod fleet;
mod message;
mod metrics;
mod new_records;
mod relay;
mod sender;
mod session;
mod streams;
mod subject;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};
use tokio::runtime;
use tokio::task::LocalSet;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// Why the program ends with an error: the message, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    why: String,
    code: u8,
}

impl Failure {
    /// Something failed at run time.
    pub(crate) fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), code: 1 }
    }

    /// The arguments or the file are to blame.
    pub(crate) fn bad_arguments(why: impl ToString) -> Self {
        Self { why: why.to_string(), code: 2 }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let result = match cli::parse(&arguments) {
        Ok(cli) => run(cli),
        Err(cli::Refusal::Usage(error)) => error.exit(),
        Err(cli::Refusal::Invalid(why)) => Err(Failure::bad_arguments(why)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { why, code }) => {
            // If stderr is closed, the exit code has to suffice.
            let _ = writeln!(io::stderr(), "varta-relay: {why}");
            code.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let flags = cli.flags;
    if flags.check_config {
        cli.nats.check().map_err(Failure::bad_arguments)?;
        flags.check().map_err(Failure::bad_arguments)?;
        return print("configuration OK").map_err(Failure::new);
    }
    // What the NATS client logs is in our own messages too.
    let ours = Targets::new().with_target("varta_relay", flags.log_level());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let subscriber =
        tracing_subscriber::registry().with(lines.with_ansi(false).with_filter(ours));
    tracing::subscriber::set_global_default(subscriber).map_err(Failure::new)?;
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    let local = LocalSet::new();
    let result = local.block_on(&runtime, async {
        match cli.command {
            Some(Command::Watch(arguments)) => watch::run(&cli.nats, &arguments).await,
            None => relay::run(&cli.nats, flags).await,
        }
    });
    // A thread that resolves a name would otherwise hold up the end.
    runtime.shutdown_background();
    result
}

/// Prints a line to stdout.
pub(crate) fn print(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
