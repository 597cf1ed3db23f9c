//! Prints the events of the agents that send beats to an endpoint, blocking in `poll`:
//!
//! `watch ENDPOINT... [--threshold MS] [--exits N] [--v1]`
//!
//! It ends after N exits, or never; with `--v1` it also accepts frames of version 1.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;

use varta_observer::{Builder, Observer, What};

const DEFAULT_THRESHOLD: Duration = Duration::from_millis(500);

const USAGE: &str = "usage: watch ENDPOINT... [--threshold MS] [--exits N] [--v1]";

fn main() -> ExitCode {
    let Some((builder, exits)) = parse_arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match watch(builder, exits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse_arguments() -> Option<(Builder, u64)> {
    let mut arguments = std::env::args().skip(1);
    let mut builder = Observer::builder()
        .listen(arguments.next()?.parse().ok()?)
        .threshold(DEFAULT_THRESHOLD);
    let mut exits = u64::MAX;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threshold" => {
                let threshold = arguments.next()?.parse().ok()?;
                builder = builder.threshold(Duration::from_millis(threshold));
            }
            "--exits" => exits = arguments.next()?.parse().ok()?,
            "--v1" => builder = builder.version1(true),
            endpoint => builder = builder.listen(endpoint.parse().ok()?),
        }
    }
    Some((builder, exits))
}

fn watch(builder: Builder, exits: u64) -> std::io::Result<()> {
    let mut observer = builder.bind()?;
    if let Some(advice) = observer.advice() {
        eprintln!("watch: {advice}");
    }
    let mut exited = 0;
    while exited < exits {
        if let Some(event) = observer.poll()? {
            println!("{event}");
            exited += u64::from(matches!(event.what, What::Exit { .. }));
        }
    }
    Ok(())
}
