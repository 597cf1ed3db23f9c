//! The client of the control socket, for the subcommands.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use varta::{Endpoint, UnixSocket};

use super::protocol::{Refused, Report, Request};
use super::rules::Explanation;
use crate::flags::control_socket_of;

/// The timeout for a reply.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Selects the daemon to connect to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Socket that agents beat to [default: $VARTA_ENDPOINT, else /run/varta/varta.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Control socket of the daemon [default: the path of --socket plus ".control"]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,
}

impl Target {
    fn path(&self) -> io::Result<PathBuf> {
        if let Some(path) = &self.control_socket {
            return Ok(path.clone());
        }
        if let Some(path) = &self.socket {
            return Ok(control_socket_of(path));
        }
        match Endpoint::from_env() {
            Ok(Endpoint::Path(path) | Endpoint::DatagramsOnly(UnixSocket::Path(path))) => {
                Ok(control_socket_of(&path))
            }
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "$VARTA_ENDPOINT is not a path; use --socket or --control-socket",
            )),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error.to_string())),
        }
    }

    /// Whether an argument selects it.
    pub(crate) const fn is_named(&self) -> bool {
        self.socket.is_some() || self.control_socket.is_some()
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let path = self.path()?;
        let stream = UnixStream::connect(&path).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "no daemon is listening on this socket".to_owned()
                }
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("{}: {why}", path.display()))
        })?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Connection { lines: BufReader::new(stream) })
    }
}

/// A connection to a daemon.
#[derive(Debug)]
pub(crate) struct Connection {
    lines: BufReader<UnixStream>,
}

impl Connection {
    /// Requests the agents and their state.
    pub(crate) fn report(&mut self) -> io::Result<Report> {
        self.ask(Request::Agents)
    }

    /// Asks which rule applies to the agent with this pid.
    pub(crate) fn explanation(&mut self, pid: u32) -> io::Result<Explanation> {
        self.ask(Request::Rules { pid })
    }

    fn ask<T: DeserializeOwned>(&mut self, request: Request) -> io::Result<T> {
        self.lines.get_ref().set_read_timeout(Some(TIMEOUT))?;
        self.send(request)?;
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

    /// Subscribes to all events from now on, one line each.
    pub(crate) fn events(
        mut self,
        json: bool,
    ) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        self.lines.get_ref().set_read_timeout(None)?;
        self.send(Request::Events { json })?;
        Ok(self.lines.lines())
    }

    fn send(&mut self, request: Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.lines.get_mut().write_all(&line)
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon closed the connection")
}
