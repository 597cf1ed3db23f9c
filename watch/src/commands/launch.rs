//! `run --notify`: registers at the notify socket, and becomes the command.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Failure;
use super::run::cannot_run;

/// Where the shipped units put the notify socket.
pub(super) const NOTIFY_SOCKET: &str = "/run/varta/notify.sock";

/// The longest name, in bytes.
const LONGEST_NAME: usize = 63;

/// How long to wait for a daemon whose queue is full.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

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

    fn register(&self, path: &Path) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        let message = self.message();
        loop {
            match socket.send(message.as_bytes()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut writable = [PollFd::new(&socket, PollFlags::OUT)];
                    if poll(&mut writable, Some(&PATIENCE))? == 0 {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
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

/// Reports on stderr that nothing watches the command.
fn warn_unregistered(socket: &Path, error: &io::Error) {
    // If stderr is closed, the command still has to run.
    let _ = writeln!(
        io::stderr(),
        "varta-watch: the command is not watched until it reports by itself: cannot register at \
         {}: {error}",
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
