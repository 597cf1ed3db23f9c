//! What the daemon knows about the processes, if one runs.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::server::control::client::Target;
use crate::server::control::protocol::{Report, Row, State};

/// A daemon that runs answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request to the daemon for its agents.
pub(super) struct Request {
    reply: Receiver<io::Result<Report>>,
    /// Without a daemon the processes are described all the same, unless it was named.
    is_named: bool,
}

impl Request {
    /// Asks the daemon in another thread, because a daemon that is stopped does not answer.
    pub(super) fn send(target: &Target) -> io::Result<Self> {
        let (sender, reply) = mpsc::channel();
        let (target, is_named) = (target.clone(), target.is_named());
        thread::Builder::new().spawn(move || {
            let report = target.connect().and_then(|mut connection| connection.report());
            // Nobody waits for a reply that comes too late.
            let _ = sender.send(report);
        })?;
        Ok(Self { reply, is_named })
    }

    /// Returns the agents whose processes execute another program since their last beat.
    pub(super) fn changed(self) -> io::Result<Vec<Row>> {
        let report = self.reply.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => {
                let message = format!("the daemon has not answered within {PATIENCE:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
            RecvTimeoutError::Disconnected => Err(io::ErrorKind::BrokenPipe.into()),
        });
        match report {
            Ok(report) => {
                let mut agents = report.agents;
                agents.retain(|row| row.state == State::Changed);
                Ok(agents)
            }
            Err(error) if !self.is_named && is_absence(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Whether there is no daemon on this host, or none that this user may ask.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
    )
}
