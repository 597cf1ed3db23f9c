//! `run --notify`: registers at the notify socket, and becomes the command.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Failure;
use super::run::cannot_run;

/// Where the shipped units put the notify socket.
pub(super) const NOTIFY_SOCKET: &str = "/run/varta/notify.sock";

/// The longest name, in bytes.
const LONGEST_NAME: usize = 63;

/// How long to wait for a daemon that does not read.
const PATIENCE: Duration = Duration::from_secs(5);

/// A command that reports by itself.
pub(super) struct Launch<'a> {
    pub(super) socket: &'a Path,
    pub(super) watchdog: Option<Duration>,
    pub(super) name: Option<&'a str>,
}

impl Launch<'_> {
    /// Registers this process and executes the command in it, so that its pid is known before it
    /// says anything. Returns only if the command cannot be executed. A daemon that is not there
    /// must not keep it from running.
    pub(super) fn run(&self, command: &[OsString]) -> Failure {
        // Clients take a path only if it is absolute.
        let socket = std::path::absolute(self.socket).unwrap_or_else(|_| self.socket.into());
        if let Err(error) = self.register(&socket) {
            warn_unregistered(&socket, &error);
        }
        let Some((program, arguments)) = command.split_first() else {
            return Failure::bad_arguments("give a command");
        };
        let mut command = Command::new(program);
        command.args(arguments).env("NOTIFY_SOCKET", &socket);
        match self.watchdog {
            Some(watchdog) => {
                command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
                command.env("WATCHDOG_PID", std::process::id().to_string());
            }
            // Those of a service manager are not for the command.
            None => {
                command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
            }
        }
        cannot_run(Path::new(program), &command.exec())
    }

    /// Registers, and waits until the daemon follows this process: the exit of a command that ends
    /// at once would be missed otherwise.
    fn register(&self, path: &Path) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        let message = self.message();
        send(&socket, end, || socket.send(message.as_bytes()).map(drop))?;
        // The daemon closes its copy of the descriptor when it has applied all that was sent before.
        let (applied, held) = pipe_with(PipeFlags::CLOEXEC)?;
        send(&socket, end, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [held.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let text = [IoSlice::new(b"BARRIER=1")];
            sendmsg(&socket, &text, &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        })?;
        drop(held);
        if !wait(&applied, PollFlags::IN, end)? {
            let message = format!("the daemon has not read it within {PATIENCE:?}");
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        Ok(())
    }

    fn message(&self) -> String {
        let mut message = "X_VARTA_RUN=1\n".to_owned();
        if let Some(name) = self.name {
            message += &format!("X_VARTA_NAME={name}\n");
        }
        if let Some(watchdog) = self.watchdog {
            message += &format!("X_VARTA_WATCHDOG_USEC={}\n", watchdog.as_micros());
        }
        message
    }
}

/// Sends, and waits as long as the daemon's queue is full.
fn send(
    socket: &UnixDatagram,
    end: Instant,
    mut send: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        match send() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if !wait(socket, PollFlags::OUT, end)? {
                    return Err(error);
                }
            }
            done => return done,
        }
    }
}

/// Whether one of these conditions, or a hang-up, came before the end.
fn wait(descriptor: impl AsFd, conditions: PollFlags, end: Instant) -> io::Result<bool> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&descriptor, conditions)], Some(&left)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

/// Reports on stderr that nothing watches the command.
fn warn_unregistered(socket: &Path, error: &io::Error) {
    // If stderr is closed, the command still has to run.
    let _ = writeln!(
        io::stderr(),
        "varta-watch: the command may not be watched until it reports by itself: cannot register \
         at {}: {error}",
        socket.display()
    );
}

pub(super) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(format!("give 1 to {LONGEST_NAME} bytes"));
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(format!("it must not contain {character:?}")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(name("indexer"), Ok("indexer".to_owned()));
        for invalid in ["", "a\nREADY=1", &"x".repeat(64)] {
            assert!(name(invalid).is_err(), "{invalid:?}");
        }
    }
}
