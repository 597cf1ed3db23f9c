//! The other end of the control socket: what the commands ask with.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use varta::Endpoint;

use super::protocol::{Question, Refused, Report};
use crate::flags::control_socket_of;

/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which daemon is asked.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// The socket agents beat at [default: $VARTA_ENDPOINT, else /run/varta/varta.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The daemon's control socket [default: the socket's path and ".control"]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,
}

impl Whom {
    fn path(&self) -> io::Result<PathBuf> {
        if let Some(path) = &self.control_socket {
            return Ok(path.clone());
        }
        if let Some(path) = &self.socket {
            return Ok(control_socket_of(path));
        }
        match Endpoint::from_env() {
            Ok(Endpoint::Path(path)) => Ok(control_socket_of(&path)),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "$VARTA_ENDPOINT names no path; say --socket or --control-socket",
            )),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error.to_string())),
        }
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let path = self.path()?;
        let stream = UnixStream::connect(&path).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "no daemon is listening there".to_owned()
                }
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("{}: {why}", path.display()))
        })?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { lines: BufReader::new(stream) })
    }
}

/// A conversation with a daemon.
#[derive(Debug)]
pub(crate) struct Connection {
    lines: BufReader<UnixStream>,
}

impl Connection {
    /// Who is followed, and how they are.
    pub(crate) fn report(&mut self) -> io::Result<Report> {
        self.lines.get_ref().set_read_timeout(Some(PATIENCE))?;
        self.ask(Question::Agents)?;
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(closed());
        }
        serde_json::from_str(&line).map_err(|error| {
            match serde_json::from_str::<Refused>(&line) {
                Ok(refused) => io::Error::other(refused.error),
                Err(_) => error.into(),
            }
        })
    }

    /// All that is said from now on, a line each.
    pub(crate) fn events(
        mut self,
        json: bool,
    ) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        self.lines.get_ref().set_read_timeout(None)?;
        self.ask(Question::Events { json })?;
        Ok(self.lines.lines())
    }

    fn ask(&mut self, question: Question) -> io::Result<()> {
        let mut line = serde_json::to_vec(&question)?;
        line.push(b'\n');
        self.lines.get_mut().write_all(&line)
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon has ended the conversation")
}
