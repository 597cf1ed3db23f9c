//! The `Varta` class: an agent.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};
use rustix::io::Errno;
use varta::secure::Key;
use varta::{
    BeatOutcome, BeatTransport, Endpoint, Options, Status, TaskOptions, TaskReport, Varta,
};

use crate::convert::{self, Any, PayloadArgument, StatusArgument};
use crate::errors::{self, Raise};
use crate::guard::methods;
use crate::sys::{Beats, Held};
use crate::task::{self, Task};
use crate::task_options;
use crate::values::Values;

/// An agent, whatever its transport.
trait AnyAgent: Debug + Send {
    fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome;
    fn reconnect(&mut self) -> io::Result<()>;
    fn set_reconnect_after(&mut self, drops: u32);
    fn clock_regressions(&self) -> u64;
    fn fork_recoveries(&self) -> u64;
    fn watched(&self) -> Option<Duration>;
    fn ready(&self) -> BeatOutcome;
    fn stopping(&self) -> BeatOutcome;
    fn status(&self, text: &str) -> BeatOutcome;
    fn task(&self, name: &str, options: TaskOptions) -> io::Result<varta::Task>;
    fn tasks(&self) -> Vec<TaskReport>;
}

impl<T: BeatTransport> AnyAgent for Varta<T> {
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

    fn watched(&self) -> Option<Duration> {
        self.watched()
    }

    fn ready(&self) -> BeatOutcome {
        self.ready()
    }

    fn stopping(&self) -> BeatOutcome {
        self.stopping()
    }

    fn status(&self, text: &str) -> BeatOutcome {
        self.status(text)
    }

    fn task(&self, name: &str, options: TaskOptions) -> io::Result<varta::Task> {
        self.task_with(name, options)
    }

    fn tasks(&self) -> Vec<TaskReport> {
        self.tasks().collect()
    }
}

/// An agent: one connection of this process to one observer.
///
/// Create one with `open` or one of the `connect` methods. A beat never blocks, and an absent
/// observer is reported in its outcome, not raised. Beat from the loop that does the work.
#[pyclass(name = "Varta", module = "varta", frozen)]
pub(crate) struct Agent {
    /// None once it is closed.
    inner: Held<Option<Box<dyn AnyAgent>>>,
    values: &'static Values,
}

impl Agent {
    fn wrap<T: BeatTransport>(py: Python<'_>, agent: io::Result<Varta<T>>) -> PyResult<Self> {
        let agent: Box<dyn AnyAgent> = Box::new(agent.raise()?);
        Ok(Self { inner: Held::new(Some(agent)), values: Values::get(py)? })
    }

    fn notify(
        &self,
        py: Python<'_>,
        send: impl FnOnce(&dyn AnyAgent) -> BeatOutcome,
    ) -> PyResult<Py<PyAny>> {
        let outcome = self.inner.borrow(py).as_deref().map(send);
        self.values.outcome(py, outcome)
    }

    fn count(&self, py: Python<'_>, get: fn(&dyn AnyAgent) -> u64) -> u64 {
        self.inner.borrow(py).as_deref().map_or(0, get)
    }
}

impl Beats for Agent {
    fn kept() -> &'static PyOnceLock<Py<PyAny>> {
        static BEAT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        &BEAT
    }

    #[inline]
    fn values(&self) -> &'static Values {
        self.values
    }

    #[inline(always)]
    fn make_beat(&self, py: Python<'_>, status: Status, payload: u32) -> Option<BeatOutcome> {
        let mut agent = self.inner.borrow(py);
        agent.as_deref_mut().map(|agent| agent.beat(status, payload))
    }
}

fn closed() -> PyErr {
    PyOSError::new_err((Errno::BADF.raw_os_error(), "the agent is closed"))
}

methods! {
impl Agent {
    /// Creates an agent for any endpoint. It reconnects by itself: it may start before its
    /// observer and outlive it.
    ///
    /// The endpoint is a path, "@name", "udp://host:port" or
    /// "udp+secure://host:port?key-file=PATH". The default is $VARTA_ENDPOINT if it is set,
    /// otherwise /run/varta/varta.sock.
    ///
    /// On a Unix socket, beats go through memory that is shared with the observer if it offers
    /// that, unless `lane` is False. Such an observer shows `name` instead of the name of the
    /// program; the default is $VARTA_NAME.
    ///
    /// With `notify`, or with $VARTA_NOTIFY=1, the agent also notifies the service manager in
    /// $NOTIFY_SOCKET: its beats send keep-alives if $WATCHDOG_USEC is set.
    #[classmethod]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments")]
    #[pyo3(signature = (endpoint=None, *, follow=None, reconnect_after=None, lane=None, name=None,
                        notify=None),
           text_signature = "($cls, endpoint=None, *, follow=True, reconnect_after=0, lane=True, \
name=None, notify=False)")]
    fn open(
        cls: &Bound<'_, PyType>,
        endpoint: Option<Any<'_, '_>>,
        follow: Option<Any<'_, '_>>,
        reconnect_after: Option<Any<'_, '_>>,
        lane: Option<Any<'_, '_>>,
        name: Option<Any<'_, '_>>,
        notify: Option<Any<'_, '_>>,
    ) -> Self {
        let mut options = Options::default();
        if let Some(follow) = follow {
            options = options.follow(convert::flag(follow, "follow")?);
        }
        if let Some(drops) = reconnect_after {
            options = options.reconnect_after(convert::number(drops, "reconnect_after")?);
        }
        if let Some(lane) = lane {
            options = options.lane(convert::flag(lane, "lane")?);
        }
        if let Some(name) = name {
            let name: String =
                name.extract().map_err(|_| convert::wrong_type(name, "name", "a str"))?;
            options = options.name(&name);
        }
        if let Some(notify) = notify {
            options = options.notify(convert::flag(notify, "notify")?);
        }
        let endpoint = match endpoint {
            Some(text) => Endpoint::from_os_str(convert::path(text, "endpoint")?.as_os_str()),
            None => Endpoint::from_env(),
        };
        let endpoint = endpoint.map_err(|error| errors::from_io(&error.into()))?;
        // It may wait for an observer, which may be in another thread of this process.
        let agent = cls.py().detach(|| Varta::open_with(&endpoint, options));
        Agent::wrap(cls.py(), agent)
    }

    /// Connects to the observer that is bound at a path. A replaced observer is not followed.
    #[classmethod]
    fn connect(cls: &Bound<'_, PyType>, path: Any<'_, '_>) -> Self {
        Agent::wrap(cls.py(), Varta::connect(convert::path(path, "path")?))
    }

    /// Creates an agent that beats to a UDP address, a pair (host, port).
    #[classmethod]
    fn connect_udp(cls: &Bound<'_, PyType>, addr: Any<'_, '_>) -> Self {
        Agent::wrap(cls.py(), Varta::connect_udp(convert::address(addr, "addr")?))
    }

    /// Creates an agent that beats to a UDP address. Its beats are sealed with a 32-byte key
    /// that all agents share.
    #[classmethod]
    fn connect_secure_udp(cls: &Bound<'_, PyType>, addr: Any<'_, '_>, key: Any<'_, '_>) -> Self {
        let key = convert::key(key, "key")?;
        Agent::wrap(cls.py(), Varta::connect_secure_udp(convert::address(addr, "addr")?, key))
    }

    /// Creates an agent that beats to a UDP address. Its beats are sealed with this process's
    /// own key, which is derived from a 32-byte master key.
    #[classmethod]
    fn connect_secure_udp_with_master(
        cls: &Bound<'_, PyType>,
        addr: Any<'_, '_>,
        master_key: Any<'_, '_>,
    ) -> Self {
        let key: Key = convert::key(master_key, "master_key")?;
        let address = convert::address(addr, "addr")?;
        Agent::wrap(cls.py(), Varta::connect_secure_udp_with_master(address, key))
    }

    /// Sends one beat with a status and an application-defined number, and returns its outcome.
    #[pyo3(signature = (status=StatusArgument(Status::Ok), payload=PayloadArgument(0)),
           text_signature = "($self, status=0, payload=0)")]
    fn beat(
        &self,
        py: Python<'_>,
        status: StatusArgument,
        payload: PayloadArgument,
    ) -> Py<PyAny> {
        self.values.outcome(py, self.make_beat(py, status.0, payload.0))
    }

    /// Declares a task: a named part of this process that is watched on its own. It makes a call
    /// at least every `threshold` seconds, unless it is idle.
    ///
    /// `startup` replaces the threshold until the first call. `progress` is the longest time
    /// without progress, while something is left. `edges` are the only legal steps between
    /// checkpoints, as (from, to, min, max). `cycle` is (seconds, least, most): how many beats
    /// there must be in that time. `finest` is the shortest block whose failure to end must be
    /// reported at once. While a `vital` task is late, the process does not beat where tasks are
    /// not watched. A task that `roams` moves between threads. `spans` is how many blocks can be
    /// open at once.
    #[pyo3(signature = (name, threshold, **options),
           text_signature = "($self, name, threshold, *, startup=None, progress=None, edges=None, \
cycle=None, finest=None, vital=False, roams=False, spans=8)")]
    fn task(
        &self,
        py: Python<'_>,
        name: Any<'_, '_>,
        threshold: Any<'_, '_>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Task {
        let name: String =
            name.extract().map_err(|_| convert::wrong_type(name, "name", "a str"))?;
        let options = task_options::read(threshold, options)?;
        let task = match self.inner.borrow(py).as_deref() {
            Some(agent) => agent.task(&name, options),
            None => return Err(closed()),
        };
        Task::new(self.values, task)
    }

    /// Returns the tasks of this process and what is late, each as a dict.
    fn tasks<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        let tasks = self.inner.borrow(py).as_deref().map_or_else(Vec::new, |agent| agent.tasks());
        task::reports(py, self.values, tasks.into_iter())
    }

    /// Tells the service manager that the process has started and works.
    fn ready(&self, py: Python<'_>) -> Py<PyAny> {
        self.notify(py, |agent| agent.ready())
    }

    /// Tells the service manager that the process is shutting down. Beats send no more keep-alives.
    fn stopping(&self, py: Python<'_>) -> Py<PyAny> {
        self.notify(py, |agent| agent.stopping())
    }

    /// Tells the service manager in words what the process does. The text is cut to 256 bytes, and
    /// each control character in it becomes a space.
    fn status(&self, py: Python<'_>, text: Any<'_, '_>) -> Py<PyAny> {
        let text: String =
            text.extract().map_err(|_| convert::wrong_type(text, "text", "a str"))?;
        self.notify(py, |agent| agent.status(&text))
    }

    /// How many seconds ago the observer looked at the beats of this process, if they go through
    /// memory that is shared with it. None if they go as datagrams.
    #[getter]
    fn watched(&self, py: Python<'_>) -> Option<f64> {
        let watched = self.inner.borrow(py).as_deref().and_then(|agent| agent.watched());
        Ok(watched.map(|ago| ago.as_secs_f64()))
    }

    /// Starts a new session to the same endpoint. Raises OSError if it cannot connect.
    fn reconnect(&self, py: Python<'_>) -> () {
        let result = self.inner.borrow(py).as_deref_mut().map(|agent| agent.reconnect());
        match result {
            Some(result) => result.raise(),
            None => Err(closed()),
        }
    }

    /// Reconnects automatically after n dropped beats in a row. 0 or None turns this off.
    fn set_reconnect_after(&self, py: Python<'_>, n: Option<Any<'_, '_>>) -> () {
        let drops = n.map_or(Ok(0), |n| convert::number(n, "n"))?;
        if let Some(agent) = self.inner.borrow(py).as_deref_mut() {
            agent.set_reconnect_after(drops);
        }
        Ok(())
    }

    /// Returns how many times the clock went backwards.
    fn clock_regressions(&self, py: Python<'_>) -> u64 {
        Ok(self.count(py, |agent| agent.clock_regressions()))
    }

    /// Returns the number of forks between the process that created this agent and this one.
    fn fork_recoveries(&self, py: Python<'_>) -> u64 {
        Ok(self.count(py, |agent| agent.fork_recoveries()))
    }

    /// Closes the socket. Every later beat fails with "Closed".
    fn close(&self, py: Python<'_>) -> () {
        drop(self.inner.borrow(py).take());
        Ok(())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: Any<'_, '_>) -> () {
        drop(self.inner.borrow(py).take());
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        Ok(self.inner.borrow(py).as_deref().map_or_else(|| "Varta(closed)".into(), |b| format!("{b:?}")))
    }
}
}
