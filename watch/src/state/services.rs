//! What programs say at the notify socket, for the lines about it.

use std::fmt;

use varta_history::Service;
use varta_observer::{Label, ServiceChange, ServiceInfo, ServiceNote};

/// What a service has said.
#[derive(Debug, Clone)]
pub(crate) struct ServiceReport {
    pub(crate) note: ServiceNote,
    /// The name of its agent.
    pub(crate) program: Label,
    /// Its status text, if it is another one; otherwise empty.
    pub(crate) status: String,
}

impl ServiceReport {
    pub(crate) fn new(
        note: ServiceNote,
        service: Option<&ServiceInfo>,
        program: Label,
    ) -> Self {
        let status = match (note.what, service) {
            (ServiceChange::Status, Some(service)) => service.status.to_string(),
            _ => String::new(),
        };
        Self { note, program, status }
    }

    /// The record about it. A status text has none: it may change as often as a program likes.
    pub(crate) fn record(&self) -> Option<Service> {
        let (about, what) = (&self.note.about, self.note.what);
        let mut record = Service {
            agent: about.agent,
            pid: about.pid,
            claimed_pid: about.claimed_pid,
            program: self.program.to_string().into(),
            change: self.change()?.into(),
            ..Service::default()
        };
        match what {
            ServiceChange::Status => return None,
            ServiceChange::State(state) => record.state = Some(state.name().into()),
            ServiceChange::Errno(errno) => record.errno = Some(errno),
            ServiceChange::MainProcess { before } => record.before = Some(before),
            _ => {}
        }
        Some(record)
    }

    /// The name of the change in JSON. None for one that this version does not know.
    pub(crate) fn change(&self) -> Option<&'static str> {
        Some(match self.note.what {
            ServiceChange::Registered => "registered",
            ServiceChange::State(_) => "state",
            ServiceChange::Status => "status",
            ServiceChange::Errno(_) => "errno",
            ServiceChange::WatchdogOff => "watchdog-off",
            ServiceChange::MainProcess { .. } => "main-process",
            _ => return None,
        })
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = &self.note.about;
        write!(f, "agent {} (pid {}): service: ", about.agent, about.pid)?;
        match self.note.what {
            ServiceChange::Registered => f.write_str("registered by a launcher"),
            ServiceChange::State(state) => f.write_str(state.name()),
            ServiceChange::Status => write!(f, "status: {}", self.status),
            ServiceChange::Errno(errno) => write!(f, "reports error {errno}"),
            ServiceChange::WatchdogOff => f.write_str("does not want to be judged any more"),
            ServiceChange::MainProcess { before } => {
                write!(f, "has another main process than {before}")
            }
            _ => f.write_str("has changed"),
        }?;
        match self.program.is_empty() {
            true => Ok(()),
            false => write!(f, " [{}]", self.program),
        }
    }
}
