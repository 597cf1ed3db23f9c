//! The observer.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use varta_observer::{AgentInfo, Builder, Counters};

use crate::convert::{self, Any};
use crate::errors::Raise;
use crate::guard::methods;
use crate::values::{self, Values};
use crate::wait::{Until, Wait, Waiting};
use crate::{event, settings};

/// Hears agents and says what becomes of them.
///
/// Several threads may use it: while one waits, others poll, ask or close. Each event goes
/// to one of them.
#[pyclass(module = "varta._varta", frozen, subclass)]
pub(crate) struct Observer {
    /// Locked only while the interpreter is, and never while that is let go: so no thread
    /// ever waits for it, and no fork finds it locked.
    bound: Mutex<Option<Listening>>,
}

struct Listening {
    observer: varta_observer::Observer,
    /// Made when first needed.
    waiting: Option<Arc<Waiting>>,
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Option<Listening>> {
        // A panic has been told of; what it left behind answers as well as it can.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Listening) -> std::io::Result<T>) -> PyResult<T> {
        match self.lock().as_mut() {
            Some(bound) => ask(bound).raise(),
            None => Err(closed()),
        }
    }

    /// The next event that is there already.
    fn at_hand(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let event = self.with(|bound| bound.observer.poll_timeout(Duration::ZERO))?;
        event.map(|event| event::to_python(py, event)).transpose()
    }

    fn next(&self, py: Python<'_>, until: Until) -> PyResult<Option<Py<PyAny>>> {
        let mut wait = Wait::new(until);
        loop {
            if let Some(event) = self.at_hand(py)? {
                return Ok(Some(event));
            }
            let waiting = self.with(Listening::waiting)?;
            if !wait.goes_on(py, &waiting)? {
                return Ok(None);
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    fn shut(&self) {
        let Some(bound) = self.lock().take() else { return };
        if let Some(waiting) = &bound.waiting {
            waiting.end();
        }
    }
}

impl Listening {
    fn waiting(&mut self) -> std::io::Result<Arc<Waiting>> {
        // Asked for anew each time: asking is what sets the timer behind it.
        let descriptor = self.observer.as_fd();
        if let Some(waiting) = &self.waiting {
            return Ok(Arc::clone(waiting));
        }
        let waiting = Arc::new(Waiting::new(descriptor)?);
        self.waiting = Some(Arc::clone(&waiting));
        Ok(waiting)
    }
}

#[cold]
fn closed() -> PyErr {
    PyValueError::new_err("the observer is closed")
}

methods! {
impl Observer {
    #[new]
    #[pyo3(signature = (*endpoints, **settings))]
    fn new(endpoints: &Bound<'_, PyTuple>, settings: Option<&Bound<'_, PyDict>>) -> Self {
        let mut builder = settings::listen(Builder::new(), endpoints)?;
        if let Some(settings) = settings {
            builder = settings::apply(builder, settings)?;
        }
        let observer = builder.bind().raise()?;
        Ok(Self { bound: Mutex::new(Some(Listening { observer, waiting: None })) })
    }

    /// The next event, waiting for it as long as told: seconds, or None for ever.
    #[pyo3(signature = (timeout=None), text_signature = "($self, timeout=None)")]
    fn poll(&self, py: Python<'_>, timeout: Option<Any<'_, '_>>) -> Option<Py<PyAny>> {
        let timeout = match timeout {
            None => None,
            Some(timeout) => convert::timeout(timeout, "timeout")?,
        };
        if timeout == Some(Duration::ZERO) {
            return self.at_hand(py);
        }
        self.next(py, Until::after(timeout))
    }

    fn __iter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    /// The next event, waiting for ever; the end when the observer is closed.
    fn __next__(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self.next(py, Until::after(None)) {
            Err(_) if self.is_closed() => Ok(None),
            next => next,
        }
    }

    /// The agents that are followed, each a dict.
    fn agents<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        let values = Values::get(py)?;
        let agents = self.with(|bound| bound.observer.snapshot())?;
        let agents = agents.iter().map(|agent| agent_dict(py, values, agent));
        PyList::new(py, agents.collect::<PyResult<Vec<_>>>()?)
    }

    /// What has been counted, a dict.
    fn stats<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        counters_dict(py, &self.with(|bound| bound.observer.stats())?)
    }

    /// Gives an agent a threshold of its own, in seconds. False if there is no such agent.
    fn set_threshold(&self, agent: Any<'_, '_>, threshold: Any<'_, '_>) -> bool {
        let agent = convert::number(agent, "agent")?;
        let threshold = convert::seconds(threshold, "threshold")?;
        self.with(|bound| bound.observer.set_threshold(agent, threshold))
    }

    /// A descriptor that is readable whenever a poll has something to say. Who asks for it
    /// is expected to poll when it is.
    fn fileno(&self) -> i32 {
        self.with(|bound| {
            // Says ECHILD in a child, where the descriptor is not ours to wait for.
            bound.observer.stats()?;
            Ok(bound.observer.as_raw_fd())
        })
    }

    /// How long until a poll has something to say though nothing arrives: seconds, or None.
    /// Who asks is expected to poll by then.
    fn next_deadline(&self) -> Option<f64> {
        Ok(self.with(|bound| bound.observer.next_deadline())?.map(|due| due.as_secs_f64()))
    }

    /// The UDP addresses it listens at.
    fn udp_addresses(&self) -> Vec<(String, u16)> {
        self.with(|bound| {
            let addresses = bound.observer.udp_addresses();
            Ok(addresses.map(|address| (address.ip().to_string(), address.port())).collect())
        })
    }

    /// What the operator should know about the kernel's queue, if anything.
    fn advice(&self) -> Option<String> {
        self.with(|bound| Ok(bound.observer.advice()))
    }

    /// How many agents have made room since this was last asked.
    fn drain_evictions(&self) -> u64 {
        self.with(|bound| bound.observer.drain_evictions())
    }

    /// How many beats of newcomers have found no room since this was last asked.
    fn drain_capacity_exceeded(&self) -> u64 {
        self.with(|bound| bound.observer.drain_capacity_exceeded())
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        Ok(self.is_closed())
    }

    /// Stops listening, and ends every iteration over it.
    fn close(&self) -> () {
        self.shut();
        Ok(())
    }

    fn __repr__(&self) -> String {
        Ok(match self.lock().as_ref() {
            Some(bound) => format!("{:?}", bound.observer),
            None => "Observer(closed)".to_owned(),
        })
    }
}
}

pub(crate) fn agent_dict<'py>(
    py: Python<'py>,
    values: &Values,
    agent: &AgentInfo,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("agent", agent.agent)?;
    dict.set_item("name", agent.name.to_string())?;
    dict.set_item("pid", agent.pid)?;
    dict.set_item("claimed_pid", agent.claimed_pid)?;
    dict.set_item("origin", values::origin(py, agent.origin)?)?;
    dict.set_item("uid", agent.uid)?;
    dict.set_item("address", agent.address.map(|address| address.to_string()))?;
    dict.set_item("status", values.status(py, agent.status))?;
    dict.set_item("last_ns", agent.last_ns)?;
    dict.set_item("age_ns", agent.age_ns)?;
    dict.set_item("beats", agent.beats)?;
    dict.set_item("missed", agent.missed)?;
    dict.set_item("threshold_ns", agent.threshold_ns)?;
    dict.set_item("stalled", agent.stalled)?;
    dict.set_item("unconfirmed", agent.unconfirmed)?;
    Ok(dict)
}

pub(crate) fn counters_dict<'py>(
    py: Python<'py>,
    counters: &Counters,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    macro_rules! fill {
        ($($name:ident)*) => { $(dict.set_item(stringify!($name), counters.$name)?;)* };
    }
    fill! {
        beats bad_magic bad_version bad_crc bad_status stall_on_wire bad_pid bad_timestamp
        bad_nonce wrong_length auth_failures decrypt_failures replays rate_limited_agent
        rate_limited_global capacity_exceeded sender_memory_full uid_refused
        namespace_refused origin_conflicts control_truncated probes
        received kernel_drops evictions missed not_forward stalls recoveries exits pauses
        stalls_deaf full_looks io_errors open_attempts
    }
    Ok(dict)
}
