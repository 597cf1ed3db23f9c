//! Beats at a steady rate: `steady ENDPOINT INTERVAL_US PHASE_US MILLISECONDS`.
//!
//! It starts when its standard input ends, so that many can start together, and beats at
//! multiples of the interval by the wall clock, so that those with the same phase beat at the
//! same instant. The payload of a beat is the time since the start in microseconds. At the end
//! it prints how many beats were sent and how many were refused, and stays until it is killed,
//! because an exit would be reported too.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::io::Read;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use varta::{BeatOutcome, Status, Varta};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [endpoint, numbers @ ..] = arguments.as_slice() else { return usage() };
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
    let Ok([interval @ 1..=u64::MAX, phase, time]) = numbers.as_deref() else { return usage() };
    let micros = Duration::from_micros;
    match beat(endpoint, *interval, micros(*phase), Duration::from_millis(*time)) {
        Ok((sent, refused)) => println!("{sent} {refused}"),
        Err(error) => {
            eprintln!("steady: {endpoint}: {error}");
            return ExitCode::FAILURE;
        }
    }
    loop {
        thread::park();
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: steady ENDPOINT INTERVAL_US PHASE_US MILLISECONDS");
    ExitCode::from(2)
}

fn beat(
    endpoint: &str,
    interval_us: u64,
    phase: Duration,
    time: Duration,
) -> std::io::Result<(u64, u64)> {
    let interval = Duration::from_micros(interval_us);
    let mut agent = Varta::open(endpoint)?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let (began, since) = (now(), Instant::now());
    // A little later, so that all processes have started.
    let soon = began + Duration::from_millis(300);
    let into = u64::try_from(soon.as_micros()).unwrap_or(u64::MAX) % interval_us;
    let mut next = soon - Duration::from_micros(into) + interval + phase;
    let (mut sent, mut refused) = (0, 0);
    while now() < began + time {
        thread::sleep(next.saturating_sub(now()));
        let micros = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
        match agent.beat(Status::Ok, micros) {
            BeatOutcome::Sent => sent += 1,
            _ => refused += 1,
        }
        next += interval;
    }
    Ok((sent, refused))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
