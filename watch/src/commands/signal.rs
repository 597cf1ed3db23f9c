//! `signal`: a signal to the process that a recovery is about, and to no other.

use std::process::ExitCode;

use clap::Args;
use rustix::process::{Signal, pidfd_send_signal};

use super::Failure;
use crate::platform::passed_fds;

/// Send a signal to the process that a recovery is about
///
/// For recovery scripts: it takes the process from VARTA_PIDFD, so that it cannot hit
/// another that was given the same pid. Ends with 0, having done nothing, if the recovery is
/// about a process that has ended; with 1 if it is gone by now.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Its name, with or without SIG, or its number
    #[arg(value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    signal: i32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let number = std::env::var("VARTA_PIDFD").ok().and_then(|number| number.parse().ok());
    let Some(number) = number else {
        if has_ended() {
            return Ok(ExitCode::SUCCESS);
        }
        return Err(Failure::bad_arguments(
            "VARTA_PIDFD is not set: there is no process to signal, or it is gone already",
        ));
    };
    let pidfd = passed_fds::take(number).map_err(|error| {
        Failure::bad_arguments(format_args!("VARTA_PIDFD {number}: {error}"))
    })?;
    let signal = Signal::from_named_raw(arguments.signal)
        .ok_or_else(|| Failure::bad_arguments("there is no such signal"))?;
    pidfd_send_signal(pidfd, signal).map_err(|error| {
        Failure::new(format_args!("the process cannot be signalled: {error}"))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the recovery is about a crash: then there is nobody left to signal, and nothing
/// that a further try would mend.
fn has_ended() -> bool {
    std::env::var("VARTA_CAUSE")
        .is_ok_and(|cause| cause.starts_with("exit:") || cause.starts_with("signal:"))
}

fn signal(text: &str) -> Result<i32, String> {
    const NAMED: [(&str, Signal); 11] = [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("ABRT", Signal::ABORT),
        ("KILL", Signal::KILL),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("ALRM", Signal::ALARM),
        ("TERM", Signal::TERM),
        ("CONT", Signal::CONT),
        ("STOP", Signal::STOP),
    ];
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found = NAMED
        .into_iter()
        .find(|(known, signal)| *known == name || text.parse() == Ok(signal.as_raw()));
    found.map(|(_, signal)| signal.as_raw()).ok_or_else(|| {
        let names = NAMED.map(|(name, _)| name).join(", ");
        format!("give one of {names}, or its number")
    })
}
