//! The recovery command as a process. It is started without a shell, in its own process group.

use std::env;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::config::Plan;
use super::report::{Cause, Exit, Output, Subject};

/// The default PATH of a command.
const PATH: &str = "/usr/bin:/bin";

/// The lowest number of an inherited descriptor, above those that shells use themselves.
const FIRST_DESCRIPTOR: i32 = 10;

/// A running command.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) subject: Subject,
    child: Child,
    /// Becomes readable when the command exits.
    pidfd: OwnedFd,
    started: Instant,
    pub(super) kill_at: Option<Instant>,
    pub(super) timed_out: bool,
    stdout: Option<Captured<ChildStdout>>,
    stderr: Option<Captured<ChildStderr>>,
}

/// The words of the command for this agent. None if a value is unknown that it contains, or could
/// be taken for an option.
pub(super) fn words(plan: &Plan, subject: &Subject) -> Option<Vec<String>> {
    let (program, arguments) = plan.command(subject)?.words.split_at(1);
    let values = [
        ("{pid}", subject.shown_pid().to_string()),
        ("{program}", subject.program.to_string()),
        ("{unit}", subject.unit.to_string()),
        ("{container}", subject.container.to_string()),
        ("{task}", subject.task.map_or(String::new(), |late| late.task.name.to_string())),
    ];
    let filled_in = arguments.iter().map(|word| filled_in(word, &values));
    program.iter().cloned().map(Some).chain(filled_in).collect()
}

/// Replaces each name in a word by its value. A name in a value is not replaced.
fn filled_in(word: &str, values: &[(&str, String)]) -> Option<String> {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        rest = match values.iter().find(|(name, _)| from.starts_with(name)) {
            Some((_, value)) if value.is_empty() || value.starts_with('-') => return None,
            Some((name, value)) => {
                filled.push_str(value);
                from.get(name.len()..)?
            }
            None => {
                filled.push('{');
                from.get(1..)?
            }
        };
    }
    filled.push_str(rest);
    Some(filled)
}

/// Starts the command. It inherits the agent's pidfd, if there is one.
pub(super) fn spawn(
    plan: &Plan,
    words: &[String],
    subject: &Subject,
    pidfd: Option<BorrowedFd<'_>>,
) -> io::Result<Running> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let path = search_path(plan);
    let mut command = Command::new(find(program, &path)?);
    command.arg0(program).args(arguments).stdin(Stdio::null()).process_group(0);
    if !plan.inherit_environment {
        command.env_clear().env("PATH", PATH);
    }
    command.envs(plan.environment.iter().map(|(key, value)| (key, value)));
    set_variables(&mut command, subject);
    if plan.capture.is_some() {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let inherited =
        pidfd.map(|pidfd| fcntl_dupfd_cloexec(pidfd, FIRST_DESCRIPTOR)).transpose()?;
    if let Some(inherited) = &inherited {
        command.env("VARTA_PIDFD", inherited.as_raw_fd().to_string());
        // No other thread starts processes, so no other process inherits it.
        fcntl_setfd(inherited, FdFlags::empty())?;
    }
    let started = Instant::now();
    let spawned = command.spawn();
    drop(inherited);
    Running::new(spawned?, started, *subject, plan)
}

fn set_variables(command: &mut Command, subject: &Subject) {
    command
        .env("VARTA_PID", subject.shown_pid().to_string())
        .env("VARTA_STATUS", subject.status.name())
        .env("VARTA_PAYLOAD", subject.payload.to_string())
        .env("VARTA_CAUSE", subject.cause.to_string())
        .env("VARTA_SILENT_MS", (subject.silent_ns / 1_000_000).to_string());
    set_stall_variables(command, subject);
    match &subject.task {
        Some(late) => command
            .env("VARTA_TASK", late.task.name.as_str())
            .env("VARTA_PROMISE", late.promise.name()),
        // The command decides by these, so they must not come from the daemon's environment.
        None => command.env_remove("VARTA_TASK").env_remove("VARTA_PROMISE"),
    };
}

/// Sets why the agent is silent.
fn set_stall_variables(command: &mut Command, subject: &Subject) {
    for name in ["VARTA_STALL", "VARTA_STALL_CLASS", "VARTA_STALL_DETAIL", "VARTA_TID"] {
        // The command decides by these, so they must not come from the daemon's environment.
        command.env_remove(name);
    }
    let (Cause::Stall, Some(info)) = (subject.cause, subject.why) else { return };
    let cause = info.why.cause;
    command
        .env("VARTA_STALL", cause.name())
        .env("VARTA_STALL_CLASS", cause.class().name())
        .env("VARTA_STALL_DETAIL", subject.phrase().unwrap_or_default());
    if info.why.thread != 0 {
        command.env("VARTA_TID", info.why.thread.to_string());
    }
}

/// The PATH of the command.
fn search_path(plan: &Plan) -> String {
    let given = plan.environment.iter().rev().find(|(key, _)| key == "PATH");
    match given {
        Some((_, path)) => path.clone(),
        None if plan.inherit_environment => {
            env::var("PATH").unwrap_or_else(|_| PATH.to_owned())
        }
        None => PATH.to_owned(),
    }
}

/// Finds a program in PATH. With the full path, the standard library can start it without
/// copying the daemon's page tables, which is faster.
fn find(program: &str, path: &str) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(program.into());
    }
    let candidates = path.split(':').filter(|folder| !folder.is_empty());
    candidates
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("not found in {path}")))
}

impl Running {
    fn new(
        mut child: Child,
        started: Instant,
        subject: Subject,
        plan: &Plan,
    ) -> io::Result<Self> {
        let captured = plan.capture.map_or(Ok((None, None)), |limit| {
            let stdout =
                child.stdout.take().map(|pipe| Captured::new(pipe, limit)).transpose()?;
            let stderr =
                child.stderr.take().map(|pipe| Captured::new(pipe, limit)).transpose()?;
            io::Result::Ok((stdout, stderr))
        });
        let opened = captured.and_then(|captured| {
            let pid = pid_of(&child).ok_or(io::ErrorKind::InvalidData)?;
            Ok((captured, pidfd_open(pid, PidfdFlags::empty())?))
        });
        let ((stdout, stderr), pidfd) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // A command that cannot be monitored must not run.
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let kill_at = plan.timeout.and_then(|timeout| started.checked_add(timeout));
        Ok(Self { subject, child, pidfd, started, kill_at, timed_out: false, stdout, stderr })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn stdout(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.as_ref().map(|captured| captured.pipe.as_fd())
    }

    pub(super) fn stderr(&self) -> Option<BorrowedFd<'_>> {
        self.stderr.as_ref().map(|captured| captured.pipe.as_fd())
    }

    /// Reads output. Returns false at the end of the stream.
    pub(super) fn read_stdout(&mut self) -> bool {
        keep_reading(&mut self.stdout)
    }

    pub(super) fn read_stderr(&mut self) -> bool {
        keep_reading(&mut self.stderr)
    }

    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Kills the whole process group. The pid cannot have been reused, because the command has
    /// not been waited for.
    pub(super) fn kill(&self) -> io::Result<()> {
        let Some(pid) = pid_of(&self.child) else { return Ok(()) };
        Ok(kill_process_group(pid, Signal::KILL)?)
    }

    /// Returns how the command exited, if it has.
    pub(super) fn try_wait(&mut self) -> Option<Exit> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            }),
            Err(_) => Some(Exit::Unknown),
        }
    }

    /// Returns how much was printed, including what is still in the pipes.
    pub(super) fn output(&mut self) -> Output {
        self.read_stdout();
        self.read_stderr();
        let counted = |count: u32, truncated| (count, truncated);
        let (stdout, more_out) =
            self.stdout.as_ref().map_or((0, false), |it| counted(it.counted, it.truncated));
        let (stderr, more_err) =
            self.stderr.as_ref().map_or((0, false), |it| counted(it.counted, it.truncated));
        Output { stdout, stderr, truncated: more_out || more_err }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// An output stream of the command, which is counted up to a limit and discarded.
#[derive(Debug)]
struct Captured<P> {
    pipe: P,
    counted: u32,
    limit: u32,
    truncated: bool,
}

impl<P: Read + AsFd> Captured<P> {
    fn new(pipe: P, limit: u32) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe, counted: 0, limit, truncated: false })
    }
}

fn keep_reading<P: Read + AsFd>(captured: &mut Option<Captured<P>>) -> bool {
    let Some(it) = captured else { return false };
    let mut buffer = [0; 4096];
    // A command that prints without end must not keep this thread busy.
    for _ in 0..16 {
        match it.pipe.read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => {
                let read = u32::try_from(read).unwrap_or(u32::MAX);
                let room = it.limit - it.counted;
                it.truncated |= read > room;
                it.counted += read.min(room);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_in_a_word_is_replaced_by_its_value_once() {
        let values = [("{pid}", "7".to_owned()), ("{program}", "{pid}".to_owned())];
        for (word, expected) in [
            ("", ""),
            ("{pid}", "7"),
            ("a{pid}b{pid}", "a7b7"),
            ("{program}-{pid}", "{pid}-7"),
            ("{{pid}}{other}{", "{7}{other}{"),
        ] {
            assert_eq!(filled_in(word, &values).as_deref(), Some(expected), "{word}");
        }
    }

    #[test]
    fn a_value_that_is_empty_or_looks_like_an_option_is_refused() {
        for value in ["", "-rf"] {
            assert_eq!(filled_in("x{task}", &[("{task}", value.to_owned())]), None);
        }
        assert!(filled_in("{other}", &[("{task}", String::new())]).is_some());
    }
}
