//! Sends beats to an endpoint, to check whether an observer receives them:
//!
//! `beat ENDPOINT [--v1] [--panic] [--every MS] [COUNT]`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use varta::{BeatOutcome, Status, Varta, v1};

const USAGE: &str = "usage: beat ENDPOINT [--v1] [--panic] [--every MS] [COUNT]";

struct Options {
    endpoint: String,
    version_1: bool,
    panic: bool,
    every: Duration,
    count: u32,
}

fn main() -> ExitCode {
    let Some(options) = parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Option<Options> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options {
        endpoint: arguments.next()?,
        version_1: false,
        panic: false,
        every: Duration::from_millis(200),
        count: 5,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--v1" => options.version_1 = true,
            "--panic" => options.panic = true,
            "--every" => options.every = Duration::from_millis(arguments.next()?.parse().ok()?),
            count => options.count = count.parse().ok()?,
        }
    }
    Some(options)
}

fn run(options: &Options) -> std::io::Result<()> {
    let mut beat: Box<dyn FnMut(Status, u32) -> BeatOutcome> = if options.version_1 {
        let mut agent = v1::Varta::open(&options.endpoint)?;
        Box::new(move |status, payload| agent.beat(status, payload.into()))
    } else {
        let mut agent = Varta::open(&options.endpoint)?;
        Box::new(move |status, payload| agent.beat(status, payload))
    };
    if options.panic {
        varta::install_panic_handler(&options.endpoint)?;
    }
    let pid = std::process::id();
    for payload in 1..=options.count {
        let status = if payload % 3 == 0 { Status::Degraded } else { Status::Ok };
        let outcome = beat(status, payload);
        println!("agent {pid}: beat {payload}, {status}: {outcome}");
        thread::sleep(options.every);
    }
    assert!(!options.panic, "--panic: panicking after {} beats", options.count);
    Ok(())
}
