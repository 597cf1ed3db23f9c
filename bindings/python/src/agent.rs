//! The agent.

use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyType;
use rustix::io::Errno;
use varta::secure::Key;
use varta::{BeatOutcome, BeatTransport, Endpoint, Options, Status, Varta};

use crate::convert::{self, Any, PayloadArgument, StatusArgument};
use crate::errors::{self, Raise};
use crate::guard::methods;
use crate::values::Values;

/// An agent over any transport.
trait Beats: Debug + Send {
    fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome;
    fn reconnect(&mut self) -> io::Result<()>;
    fn set_reconnect_after(&mut self, drops: u32);
    fn clock_regressions(&self) -> u64;
    fn fork_recoveries(&self) -> u64;
}

impl<T: BeatTransport> Beats for Varta<T> {
    fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome {
        self.beat(status, payload)
    }

    fn reconnect(&mut self) -> io::Result<()> {
        self.reconnect()
    }

    fn set_reconnect_after(&mut self, drops: u32) {
        self.set_reconnect_after(drops);
    }

    fn clock_regressions(&self) -> u64 {
        self.clock_regressions()
    }

    fn fork_recoveries(&self) -> u64 {
        self.fork_recoveries()
    }
}

/// An agent: one connection of this process to one observer.
///
/// Made by `open`, or by one of the `connect` methods. A beat never blocks and never raises
/// for an absent observer. Beat from the loop that does the work.
#[pyclass(name = "Varta", module = "varta", frozen)]
pub(crate) struct Agent {
    /// Locked only while the interpreter is, and never while that is let go: so no thread
    /// ever waits for it, and no fork finds it locked.
    beats: Mutex<Option<Box<dyn Beats>>>,
    values: &'static Values,
}

impl Agent {
    fn make<T: BeatTransport>(py: Python<'_>, made: io::Result<Varta<T>>) -> PyResult<Self> {
        let beats: Box<dyn Beats> = Box::new(made.raise()?);
        Ok(Self { beats: Mutex::new(Some(beats)), values: Values::get(py)? })
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Beats>>> {
        // A panic in a beat has been told of; the agent is whole.
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, of: fn(&dyn Beats) -> u64) -> u64 {
        self.lock().as_deref().map_or(0, of)
    }
}

fn closed() -> PyErr {
    PyOSError::new_err((Errno::BADF.raw_os_error(), "the agent is closed"))
}

methods! {
impl Agent {
    /// An agent that takes care of itself: it may start before its observer and outlive it.
    ///
    /// The endpoint is a path, "@name", "udp://host:port" or
    /// "udp+secure://host:port?key-file=PATH"; by default it is $VARTA_ENDPOINT, or else
    /// /run/varta/varta.sock.
    #[classmethod]
    #[pyo3(signature = (endpoint=None, *, follow=None, reconnect_after=None),
           text_signature = "($cls, endpoint=None, *, follow=True, reconnect_after=0)")]
    fn open(
        cls: &Bound<'_, PyType>,
        endpoint: Option<Any<'_, '_>>,
        follow: Option<Any<'_, '_>>,
        reconnect_after: Option<Any<'_, '_>>,
    ) -> Self {
        let mut options = Options::default();
        if let Some(follow) = follow {
            options = options.follow(convert::flag(follow, "follow")?);
        }
        if let Some(drops) = reconnect_after {
            options = options.reconnect_after(convert::number(drops, "reconnect_after")?);
        }
        let endpoint = match endpoint {
            Some(text) => Endpoint::from_os_str(convert::path(text, "endpoint")?.as_os_str()),
            None => Endpoint::from_env(),
        };
        let endpoint = endpoint.map_err(|error| errors::from_io(&error.into()))?;
        Agent::make(cls.py(), Varta::open_with(&endpoint, options))
    }

    /// Connects to the observer bound at a path. It is not followed when it is replaced.
    #[classmethod]
    fn connect(cls: &Bound<'_, PyType>, path: Any<'_, '_>) -> Self {
        Agent::make(cls.py(), Varta::connect(convert::path(path, "path")?))
    }

    /// Beats to a UDP address, a pair of host and port.
    #[classmethod]
    fn connect_udp(cls: &Bound<'_, PyType>, addr: Any<'_, '_>) -> Self {
        Agent::make(cls.py(), Varta::connect_udp(convert::address(addr, "addr")?))
    }

    /// Beats to a UDP address, sealed with a key of 32 bytes that all agents share.
    #[classmethod]
    fn connect_secure_udp(cls: &Bound<'_, PyType>, addr: Any<'_, '_>, key: Any<'_, '_>) -> Self {
        let key = convert::key(key, "key")?;
        Agent::make(cls.py(), Varta::connect_secure_udp(convert::address(addr, "addr")?, key))
    }

    /// Beats to a UDP address, sealed with this process's own key, which is derived from a
    /// master key of 32 bytes.
    #[classmethod]
    fn connect_secure_udp_with_master(
        cls: &Bound<'_, PyType>,
        addr: Any<'_, '_>,
        master_key: Any<'_, '_>,
    ) -> Self {
        let key: Key = convert::key(master_key, "master_key")?;
        let address = convert::address(addr, "addr")?;
        Agent::make(cls.py(), Varta::connect_secure_udp_with_master(address, key))
    }

    /// Says that this process lives, with a status and a number of the application's own.
    #[pyo3(signature = (status=StatusArgument(Status::Ok), payload=PayloadArgument(0)),
           text_signature = "($self, status=0, payload=0)")]
    fn beat(
        &self,
        py: Python<'_>,
        status: StatusArgument,
        payload: PayloadArgument,
    ) -> Py<PyAny> {
        let outcome = match self.lock().as_deref_mut() {
            Some(beats) => beats.beat(status.0, payload.0),
            None => return self.values.closed(py),
        };
        self.values.outcome(py, outcome)
    }

    /// Makes a new session to the same place; raises OSError if there is none to be had.
    fn reconnect(&self) -> () {
        let answer = self.lock().as_deref_mut().map(|beats| beats.reconnect());
        match answer {
            Some(answer) => answer.raise(),
            None => Err(closed()),
        }
    }

    /// After n dropped beats in a row a beat reconnects by itself. 0 or None turns it off.
    fn set_reconnect_after(&self, n: Option<Any<'_, '_>>) -> () {
        let drops = n.map_or(Ok(0), |n| convert::number(n, "n"))?;
        if let Some(beats) = self.lock().as_deref_mut() {
            beats.set_reconnect_after(drops);
        }
        Ok(())
    }

    /// How often the clock went back.
    fn clock_regressions(&self) -> u64 {
        Ok(self.count(|beats| beats.clock_regressions()))
    }

    /// How many forks lie between the process that made this agent and this one.
    fn fork_recoveries(&self) -> u64 {
        Ok(self.count(|beats| beats.fork_recoveries()))
    }

    /// Lets go of the socket. Every later beat fails with "Closed".
    fn close(&self) -> () {
        drop(self.lock().take());
        Ok(())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: Any<'_, '_>) -> () {
        drop(self.lock().take());
        Ok(())
    }

    fn __repr__(&self) -> String {
        Ok(self.lock().as_deref().map_or_else(|| "Varta(closed)".into(), |b| format!("{b:?}")))
    }
}
}
