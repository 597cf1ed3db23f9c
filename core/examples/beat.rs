//! Beats to an endpoint, to see whether an observer hears it:
//!
//! `beat ENDPOINT [--v1] [--panic] [--every MS] [COUNT]`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use varta::{BeatOutcome, Status, Varta, v1};

const USAGE: &str = "usage: beat ENDPOINT [--v1] [--panic] [--every MS] [COUNT]";

struct Wanted {
    endpoint: String,
    version_1: bool,
    panic: bool,
    every: Duration,
    count: u32,
}

fn main() -> ExitCode {
    let Some(wanted) = wanted() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> Option<Wanted> {
    let mut arguments = std::env::args().skip(1);
    let mut wanted = Wanted {
        endpoint: arguments.next()?,
        version_1: false,
        panic: false,
        every: Duration::from_millis(200),
        count: 5,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--v1" => wanted.version_1 = true,
            "--panic" => wanted.panic = true,
            "--every" => wanted.every = Duration::from_millis(arguments.next()?.parse().ok()?),
            count => wanted.count = count.parse().ok()?,
        }
    }
    Some(wanted)
}

fn run(wanted: &Wanted) -> std::io::Result<()> {
    let mut beat: Box<dyn FnMut(Status, u32) -> BeatOutcome> = if wanted.version_1 {
        let mut agent = v1::Varta::open(&wanted.endpoint)?;
        Box::new(move |status, payload| agent.beat(status, payload.into()))
    } else {
        let mut agent = Varta::open(&wanted.endpoint)?;
        Box::new(move |status, payload| agent.beat(status, payload))
    };
    if wanted.panic {
        varta::install_panic_handler(&wanted.endpoint)?;
    }
    let pid = std::process::id();
    for payload in 1..=wanted.count {
        let status = if payload % 3 == 0 { Status::Degraded } else { Status::Ok };
        let outcome = beat(status, payload);
        println!("agent {pid}: beat {payload}, {status}: {outcome}");
        thread::sleep(wanted.every);
    }
    assert!(!wanted.panic, "the agent was told to panic after {} beats", wanted.count);
    Ok(())
}
