//! `why`: what a process does, in words.

mod advice;
mod daemon;
mod processes;
mod words;

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use varta_observer::ProcessReader;
use varta_observer::judge::Sample;

use self::daemon::Request;
use self::words::Report;
use super::{Failure, print};
use crate::platform::process::has_ended;
use crate::server::control::client::Target;
use crate::server::control::protocol::Row;

/// At most this many processes with a name are described.
const MOST: usize = 16;

/// Report what a process is doing, and why it may be silent
///
/// Works for any process, not only for agents, and needs no daemon. It reads twice what the
/// kernel reports about the process, and does not stop or disturb it. To see everything, run it
/// as root or as the user of the process. If a daemon runs and this user may ask it, the report
/// includes whether the process executes another program since its last beat, so that its
/// silence is not judged.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The process
    #[arg(value_name = "PID", required_unless_present = "name")]
    pid: Option<u32>,
    /// All processes with this name
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    name: Option<String>,
    /// Time between the two readings
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = over)]
    over: Duration,
    #[command(flatten)]
    target: Target,
}

fn over(text: &str) -> Result<Duration, String> {
    let time = super::run::duration(text)?;
    // In less time, it cannot be told from one that has just run.
    let allowed = Duration::from_millis(20)..=Duration::from_secs(60);
    allowed.contains(&time).then_some(time).ok_or("give 20ms to 60s".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let pids = match (&arguments.name, arguments.pid) {
        (Some(name), _) => processes::named(name).map_err(Failure::new)?,
        (None, pid) => Vec::from_iter(pid),
    };
    if pids.is_empty() {
        let name = arguments.name.as_deref().unwrap_or_default();
        return Err(Failure::new(format!("no process has the name {name:?}")));
    }
    let request = Request::send(&arguments.target).map_err(Failure::new)?;
    let found = pids.len();
    let mut subjects = Vec::new();
    let mut reader =
        ProcessReader::try_new().map_err(|error| Failure::new(error.to_string()))?;
    for pid in pids.into_iter().take(MOST) {
        match Subject::first_reading(pid, &mut reader) {
            Ok(subject) => subjects.push(subject),
            // One of several may have ended by now.
            Err(_) if found > 1 => {}
            Err(error) => return Err(Failure::new(describe(pid, &error))),
        }
    }
    thread::sleep(arguments.over);
    let changed = request.changed();
    let agents = changed.as_deref().unwrap_or_default();
    for (index, subject) in subjects.iter().enumerate() {
        if index > 0 {
            print("");
        }
        let agent = agents.iter().find(|row| row.pid == subject.pid);
        match subject.report(&mut reader, agent) {
            Ok(report) => print(report),
            Err(error) => print(describe(subject.pid, &error)),
        };
    }
    if found > MOST {
        print(format!("\n{} more processes have this name; give the pid of one", found - MOST));
    }
    changed.map_err(|error| {
        let unknown =
            "it is not known whether a process executes another program since its last beat";
        Failure::new(format!("{unknown}: {error}"))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A process between its two readings.
struct Subject {
    pid: u32,
    /// Refers to this process even if its pid is reused.
    pidfd: OwnedFd,
    before: Sample,
}

impl Subject {
    fn first_reading(pid: u32, reader: &mut ProcessReader) -> io::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty())?;
        let mut before = Sample::try_new()?;
        reader.read(pid, &mut before)?;
        Ok(Self { pid, pidfd, before })
    }

    /// `changed` is its agent if it executes another program since its last beat.
    fn report(&self, reader: &mut ProcessReader, changed: Option<&Row>) -> io::Result<String> {
        let mut now = Sample::try_new()?;
        let read = reader.read(self.pid, &mut now);
        if has_ended(&self.pidfd) {
            return Err(io::ErrorKind::NotFound.into());
        }
        read?;
        let mut report = Report::new(self.pid, &self.before, &now, reader);
        report.unjudged_ms = changed.map(|row| row.age_ms);
        Ok(report.to_string())
    }
}

fn describe(pid: u32, error: &io::Error) -> String {
    match error.raw_os_error() {
        _ if error.kind() == io::ErrorKind::NotFound => {
            format!("pid {pid}: no such process, or it is not visible to this user")
        }
        _ if error.kind() == io::ErrorKind::TimedOut => {
            let name = processes::name_of(pid).unwrap_or_default();
            format!(
                "{name} (pid {pid}) cannot be read: the kernel does not answer. This happens while \
                 a process executes a program, and a file system such as FUSE or NFS does not \
                 answer when the kernel closes a file for it. Look at the servers of its file \
                 systems, not at the process: `ps` and whatever else reads it waits too."
            )
        }
        Some(libc::ESRCH) => format!("pid {pid}: no such process"),
        Some(libc::EINVAL | libc::ENOENT) => format!("pid {pid}: not a process"),
        _ => format!("pid {pid}: cannot read it: {error}"),
    }
}
