//! `run`: beats on behalf of a command that does not beat itself.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, setrlimit,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::Cause;
use varta::{Endpoint, LastWords, Options, Status, Varta};

use super::Failure;
use super::launch::{Launch, NOTIFY_SOCKET, name};

const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// The longest interval. Beats that are further apart would be useless.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Exit codes that shells use too.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Run a command and beat while it is alive
///
/// For shell scripts and cron: `varta-watch run --every 1s -- backup.sh /srv`. It exits as
/// the command does, with the same exit code or signal; after a failure the last beat is
/// critical. Signals are forwarded to the command. The beats only show that the command is
/// alive: a program that can hang should beat itself.
///
/// With --notify it registers at the daemon's notify socket instead and becomes the command, which
/// reports by itself, as a service of systemd does: `varta-watch run --notify --watchdog 2s -- tor`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Time between two beats, like 500ms, 1s or 2m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    every: Duration,
    /// Endpoint to beat to [default: $VARTA_ENDPOINT, else /run/varta/varta.sock]
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<OsString>,
    /// Let the command report by itself, with the protocol of sd_notify; nothing beats for it
    #[arg(long, conflicts_with_all = ["every", "endpoint"])]
    notify: bool,
    /// The daemon's notify socket
    #[arg(long, value_name = "PATH", default_value = NOTIFY_SOCKET, requires = "notify")]
    notify_socket: PathBuf,
    /// How long the command may be silent once it is ready; it learns this from WATCHDOG_USEC.
    /// Without it, the command is judged only if it sends WATCHDOG=1 by itself
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "notify")]
    watchdog: Option<Duration>,
    /// The name to show for the command, up to 63 bytes
    #[arg(long, value_name = "NAME", value_parser = name, requires = "notify")]
    name: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.notify {
        let launch = Launch {
            socket: &arguments.notify_socket,
            watchdog: arguments.watchdog,
            name: arguments.name.as_deref(),
        };
        return Err(launch.run(&arguments.command));
    }
    let endpoint = match &arguments.endpoint {
        Some(text) => Endpoint::from_os_str(text),
        None => Endpoint::from_env(),
    };
    let endpoint = endpoint.map_err(Failure::bad_arguments)?;
    let mut agent =
        Varta::open_with(&endpoint, Options::default()).map_err(Failure::bad_arguments)?;
    let mut signals = signals().map_err(Failure::new)?;
    let mut child = spawn(&arguments.command)?;
    let status = beat_until_exit(&mut child, arguments.every, &mut signals, &mut agent)
        .map_err(Failure::new)?;
    if !status.success() {
        // A missing observer must not change the exit code of the command.
        if let Ok(last_words) = LastWords::open(endpoint.to_string()) {
            let _ = last_words.say(exit_code(status));
        }
    }
    Ok(exit_like(status))
}

type Signals = SignalDelivery<UnixStream, WithOrigin>;

fn signals() -> io::Result<Signals> {
    let (read, write) = UnixStream::pair()?;
    SignalDelivery::with_pipe(read, write, WithOrigin::default(), FORWARDED)
}

fn spawn(words: &[OsString]) -> Result<Child, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::bad_arguments("no command was given"));
    };
    Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|error| cannot_run(Path::new(program), &error))
}

/// The failure of a command that cannot be executed, with the exit code of a shell.
pub(super) fn cannot_run(program: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    Failure::with_code(format_args!("{}: {error}", program.display()), code)
}

/// Beats and forwards signals until the command has exited.
fn beat_until_exit(
    child: &mut Child,
    every: Duration,
    signals: &mut Signals,
    agent: &mut Varta<varta::AnyTransport>,
) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.ok_or(io::ErrorKind::InvalidData)?, PidfdFlags::empty())?;
    let mut beats = 0;
    let mut next = Instant::now();
    loop {
        if next <= Instant::now() {
            // A missing observer must not disturb the command.
            let _ = agent.beat(Status::Ok, beats);
            beats = beats.wrapping_add(1);
            next += every;
            // Do not catch up on beats that were missed during a pause.
            next = next.max(Instant::now());
        }
        let left = Timespec::try_from(next.saturating_duration_since(Instant::now())).ok();
        let mut ready = [
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.get_read().as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for origin in signals.pending() {
            // The terminal has sent its signal to the command already.
            if origin.cause == Cause::Kernel {
                continue;
            }
            if let Some(signal) = Signal::from_named_raw(origin.signal) {
                // The command may have exited by now.
                let _ = pidfd_send_signal(&pidfd, signal);
            }
        }
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
    }
}

/// The exit code that a shell would report.
fn exit_code(status: ExitStatus) -> u32 {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    number.map_or(1, i32::unsigned_abs)
}

/// Exits as the command did. If a signal killed it, this process dies by the same signal.
fn exit_like(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal() {
        // The command has dumped its core already; a second one is useless.
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        let _ = setrlimit(Resource::Core, nothing);
        // This works for KILL too. If it fails, the exit code below reports the signal.
        let _ = emulate_default_handler(signal);
    }
    u8::try_from(exit_code(status)).map_or(ExitCode::FAILURE, ExitCode::from)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let number: Option<u64> = digits.parse().ok();
    let duration = match (number, unit) {
        (Some(number), "ms") => Duration::from_millis(number),
        (Some(number), "s") => Duration::from_secs(number),
        (Some(number), "m") => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err("give a number with ms, s or m, like 500ms".to_owned()),
    };
    match duration {
        Duration::ZERO => Err("give more than 0".to_owned()),
        _ if duration > A_YEAR => Err("give at most a year".to_owned()),
        _ => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit_and_is_bounded() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("525600m"), Ok(A_YEAR));
        for invalid in ["", "1", "s", "-1s", "1h", "0s", "525601m", "18446744073709551615s"] {
            assert!(duration(invalid).is_err(), "{invalid}");
        }
    }
}
