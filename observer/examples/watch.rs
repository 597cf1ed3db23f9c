//! Says what becomes of the agents that beat to an endpoint, blocking in `poll`:
//!
//! `watch ENDPOINT [--threshold MS] [--exits N]`
//!
//! It ends after so many exits, or never.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;

use varta_observer::{Observer, What};

const USAGE: &str = "usage: watch ENDPOINT [--threshold MS] [--exits N]";

fn main() -> ExitCode {
    let Some((endpoint, threshold, exits)) = wanted() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match watch(&endpoint, threshold, exits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> Option<(String, Duration, u64)> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next()?;
    let (mut threshold, mut exits) = (Duration::from_millis(500), u64::MAX);
    while let Some(option) = arguments.next() {
        let value = arguments.next()?;
        match option.as_str() {
            "--threshold" => threshold = Duration::from_millis(value.parse().ok()?),
            "--exits" => exits = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((endpoint, threshold, exits))
}

fn watch(endpoint: &str, threshold: Duration, exits: u64) -> std::io::Result<()> {
    let mut observer =
        Observer::builder().listen(endpoint.parse()?).threshold(threshold).bind()?;
    if let Some(advice) = observer.advice() {
        eprintln!("watch: {advice}");
    }
    let mut gone = 0;
    while gone < exits {
        if let Some(event) = observer.poll()? {
            println!("{event}");
            gone += u64::from(matches!(event.what, What::Exit { .. }));
        }
    }
    Ok(())
}
