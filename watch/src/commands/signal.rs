//! `signal`: signals the process that a recovery is for, and never another one.

use std::process::ExitCode;

use clap::Args;
use rustix::process::{Signal, pidfd_send_signal};

use super::Failure;
use crate::platform::passed_fds;

/// Send a signal to the process that is being recovered
///
/// For recovery scripts. The process is taken from VARTA_PIDFD, so the signal cannot reach
/// another process that reused the pid. If the recovery is for a process that has exited,
/// nothing is done and the exit code is 0. If the process has exited since then, the exit
/// code is 1.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the signal, with or without SIG, or its number
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
            "VARTA_PIDFD is not set: there is no process to signal, or it has exited",
        ));
    };
    let pidfd = passed_fds::take(number).map_err(|error| {
        Failure::bad_arguments(format_args!("VARTA_PIDFD {number}: {error}"))
    })?;
    let signal = Signal::from_named_raw(arguments.signal)
        .ok_or_else(|| Failure::bad_arguments("no such signal"))?;
    pidfd_send_signal(pidfd, signal)
        .map_err(|error| Failure::new(format_args!("cannot signal the process: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the recovery is for a crash. Then there is no process left to signal, and a retry
/// would not help.
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
    let signal = NAMED
        .into_iter()
        .find(|(known, signal)| *known == name || text.parse() == Ok(signal.as_raw()));
    signal.map(|(_, signal)| signal.as_raw()).ok_or_else(|| {
        let names = NAMED.map(|(name, _)| name).join(", ");
        format!("give one of {names}, or its number")
    })
}
