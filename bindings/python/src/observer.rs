//! The native base class of `Observer`.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use varta::Promise;
use varta_observer::{AgentInfo, Builder, Counters, Event, TaskInfo};

use crate::causes;
use crate::convert::{self, Any};
use crate::errors::Raise;
use crate::guard::methods;
use crate::labels::Labels;
use crate::values::{self, Values, tasks};
use crate::wait::{Deadline, Wait, WaitPoint};
use crate::{event, settings};

/// Receives the beats of agents, and reports stalls, recoveries and exits.
///
/// Several threads may use it: while one waits, others may poll, query or close it. Each event
/// is returned to only one of them.
#[pyclass(module = "varta._varta", frozen, subclass)]
pub(crate) struct Observer {
    /// Locked only while this thread holds the interpreter's lock. So no thread ever waits for
    /// it, and no fork finds it locked.
    inner: Mutex<Option<OpenObserver>>,
}

struct OpenObserver {
    observer: varta_observer::Observer,
    /// Created at the first wait.
    wait_point: Option<Arc<WaitPoint>>,
    labels: Labels,
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Option<OpenObserver>> {
        // The panic was already raised; the observer stays usable as far as possible.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&mut OpenObserver) -> std::io::Result<T>,
    ) -> PyResult<T> {
        match self.lock().as_mut() {
            Some(open) => call(open).raise(),
            None => Err(closed()),
        }
    }

    /// Returns the next event without waiting.
    fn poll_now(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let found = self.with(|open| open.next(py))?;
        found.map(|(event, label)| event::to_python(py, event, label)).transpose()
    }

    fn next(&self, py: Python<'_>, deadline: Deadline) -> PyResult<Option<Py<PyAny>>> {
        let mut wait = Wait::new(deadline);
        loop {
            if let Some(event) = self.poll_now(py)? {
                return Ok(Some(event));
            }
            let wait_point = self.with(OpenObserver::wait_point)?;
            if !wait.wait(py, &wait_point)? {
                return Ok(None);
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    fn close_inner(&self) {
        let Some(open) = self.lock().take() else { return };
        if let Some(wait_point) = &open.wait_point {
            wait_point.end();
        }
    }
}

impl OpenObserver {
    /// The next event, if there is one, and the name of its agent.
    fn next(
        &mut self,
        py: Python<'_>,
    ) -> std::io::Result<Option<(Event, Option<Py<PyString>>)>> {
        let Some(event) = self.observer.poll_timeout(Duration::ZERO)? else {
            return Ok(None);
        };
        let label = self.labels.of(py, &event, &mut self.observer)?;
        Ok(Some((event, label)))
    }

    fn wait_point(&mut self) -> std::io::Result<Arc<WaitPoint>> {
        // Called every time, because `as_fd` sets the timer behind the descriptor.
        let descriptor = self.observer.as_fd();
        if let Some(wait_point) = &self.wait_point {
            return Ok(Arc::clone(wait_point));
        }
        let wait_point = Arc::new(WaitPoint::new(descriptor)?);
        self.wait_point = Some(Arc::clone(&wait_point));
        Ok(wait_point)
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
        let mut builder = settings::add_endpoints(Builder::new(), endpoints)?;
        if let Some(settings) = settings {
            builder = settings::apply(builder, settings)?;
        }
        let observer = builder.bind().raise()?;
        let open = OpenObserver { observer, wait_point: None, labels: Labels::default() };
        Ok(Self { inner: Mutex::new(Some(open)) })
    }

    /// Returns the next event, or None if there is none within the timeout in seconds. Without a
    /// timeout it waits indefinitely.
    #[pyo3(signature = (timeout=None), text_signature = "($self, timeout=None)")]
    fn poll(&self, py: Python<'_>, timeout: Option<Any<'_, '_>>) -> Option<Py<PyAny>> {
        let timeout = match timeout {
            None => None,
            Some(timeout) => convert::timeout(timeout, "timeout")?,
        };
        if timeout == Some(Duration::ZERO) {
            return self.poll_now(py);
        }
        self.next(py, Deadline::after(timeout))
    }

    fn __iter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    /// Waits for the next event. The iteration ends when the observer is closed.
    fn __next__(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self.next(py, Deadline::after(None)) {
            Err(_) if self.is_closed() => Ok(None),
            next => next,
        }
    }

    /// Returns the tracked agents, each as a dict.
    fn agents<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        let values = Values::get(py)?;
        let agents = self.with(|open| open.observer.snapshot())?;
        let agents = agents.iter().map(|agent| agent_dict(py, values, agent));
        PyList::new(py, agents.collect::<PyResult<Vec<_>>>()?)
    }

    /// Returns the tasks of an agent, each as a dict: none if there is no such agent, or if tasks
    /// are not watched.
    fn tasks<'py>(&self, py: Python<'py>, agent: Any<'_, '_>) -> Bound<'py, PyList> {
        let agent = convert::number(agent, "agent")?;
        tasks_list(py, &self.with(|open| open.observer.tasks(agent))?)
    }

    /// Returns why an agent is silent, or one of its tasks, as a dict; task 0 is the process. None
    /// if no Stall was reported, or it has recovered since, or causes are not looked up.
    #[pyo3(signature = (agent, task=None))]
    fn cause<'py>(
        &self,
        py: Python<'py>,
        agent: Any<'_, '_>,
        task: Option<Any<'_, '_>>,
    ) -> Option<Bound<'py, PyDict>> {
        let agent = convert::number(agent, "agent")?;
        let task = task.map_or(Ok(0), |task| convert::number(task, "task"))?;
        let info = self.with(|open| open.observer.cause(agent, task))?;
        info.map(|info| causes::cause_dict(py, &info)).transpose()
    }

    /// Sets how late tasks may be before that is reported, in seconds: by the name of the task,
    /// and by the name of the program. Replaces all that was set before.
    #[pyo3(signature = (*, task_slack=None, program_slack=None))]
    fn set_slack(
        &self,
        task_slack: Option<Any<'_, '_>>,
        program_slack: Option<Any<'_, '_>>,
    ) -> () {
        let slack = settings::slack(task_slack, program_slack)?;
        self.with(|open| open.observer.set_slack(&slack))
    }

    /// Returns the counters as a dict.
    fn stats<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        counters_dict(py, &self.with(|open| open.observer.stats())?)
    }

    /// Sets the threshold of one agent, in seconds. Returns False if there is no such agent.
    fn set_threshold(&self, agent: Any<'_, '_>, threshold: Any<'_, '_>) -> bool {
        let agent = convert::number(agent, "agent")?;
        let threshold = convert::seconds(threshold, "threshold")?;
        self.with(|open| open.observer.set_threshold(agent, threshold))
    }

    /// Returns a descriptor that is readable whenever a poll has something to report. The
    /// caller is expected to poll when it is readable.
    fn fileno(&self) -> i32 {
        self.with(|open| {
            // Fails with ECHILD in a forked child, which must not wait for the descriptor.
            open.observer.stats()?;
            Ok(open.observer.as_raw_fd())
        })
    }

    /// Returns the seconds until a poll has something to report even if nothing arrives, or
    /// None. The caller is expected to poll by then.
    fn next_deadline(&self) -> Option<f64> {
        Ok(self.with(|open| open.observer.next_deadline())?.map(|due| due.as_secs_f64()))
    }

    /// Returns the UDP addresses on which it listens.
    fn udp_addresses(&self) -> Vec<(String, u16)> {
        self.with(|open| {
            let addresses = open.observer.udp_addresses();
            Ok(addresses.map(|address| (address.ip().to_string(), address.port())).collect())
        })
    }

    /// Returns advice for the operator about the kernel's queue, if there is any.
    fn advice(&self) -> Option<String> {
        self.with(|open| Ok(open.observer.advice()))
    }

    /// Returns how many agents were evicted since the last call.
    fn drain_evictions(&self) -> u64 {
        self.with(|open| open.observer.drain_evictions())
    }

    /// Returns how many beats of new agents were refused for lack of capacity since the last call.
    fn drain_capacity_exceeded(&self) -> u64 {
        self.with(|open| open.observer.drain_capacity_exceeded())
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        Ok(self.is_closed())
    }

    /// Stops listening and ends every iteration over it.
    fn close(&self) -> () {
        self.close_inner();
        Ok(())
    }

    fn __repr__(&self) -> String {
        Ok(match self.lock().as_ref() {
            Some(open) => format!("{:?}", open.observer),
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
    dict.set_item("lane", agent.lane)?;
    dict.set_item("tasks", agent.tasks)?;
    dict.set_item("tasks_late", agent.tasks_late)?;
    dict.set_item("label", agent.label.as_str())?;
    Ok(dict)
}

pub(crate) fn tasks_list<'py>(
    py: Python<'py>,
    tasks: &[TaskInfo],
) -> PyResult<Bound<'py, PyList>> {
    let values = Values::get(py)?;
    let tasks = tasks.iter().map(|task| task_dict(py, values, task));
    PyList::new(py, tasks.collect::<PyResult<Vec<_>>>()?)
}

fn task_dict<'py>(
    py: Python<'py>,
    values: &Values,
    task: &TaskInfo,
) -> PyResult<Bound<'py, PyDict>> {
    let due = match task.due {
        None => None,
        Some(late) => {
            let due = PyDict::new(py);
            due.set_item("promise", tasks::promise(py, late.promise)?)?;
            due.set_item("due_ns", late.due_ns)?;
            due.set_item("checkpoint", late.checkpoint)?;
            Some(due)
        }
    };
    let dict = PyDict::new(py);
    dict.set_item("number", task.number)?;
    dict.set_item("name", task.name.as_str())?;
    dict.set_item("threshold_ns", task.threshold_ns)?;
    dict.set_item("status", values.status(py, task.status))?;
    dict.set_item("payload", task.payload)?;
    dict.set_item("last_ns", task.last_ns)?;
    dict.set_item("age_ns", task.age_ns)?;
    dict.set_item("due", due)?;
    dict.set_item("idle", task.idle)?;
    dict.set_item("checkpoint", task.checkpoint)?;
    dict.set_item("done", task.done)?;
    dict.set_item("left", task.left)?;
    dict.set_item("beats", task.beats)?;
    dict.set_item("violations", task.violations)?;
    dict.set_item("broken", broken_promises(py, |promise| task.is_broken(promise))?)?;
    Ok(dict)
}

/// The promises that are broken, as a list.
pub(crate) fn broken_promises(
    py: Python<'_>,
    is_broken: impl Fn(Promise) -> bool,
) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for promise in Promise::ALL.into_iter().filter(|promise| is_broken(*promise)) {
        list.append(tasks::promise(py, promise)?)?;
    }
    Ok(list)
}

/// Nanoseconds; 2**64 - 1 for what is longer, such as never.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn counters_dict<'py>(
    py: Python<'py>,
    counters: &Counters,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    macro_rules! fill {
        ([$($datagram:ident)*] [$($other:ident)*]) => {
            $(dict.set_item(stringify!($datagram), counters.$datagram)?;)*
            $(dict.set_item(stringify!($other), counters.$other)?;)*
        };
    }
    varta_observer::for_each_counter!(fill);
    Ok(dict)
}
