//! An observer without sockets, for tests.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use varta::internal::lane::layout::Words;
use varta_observer::judge::{Attaching, Datagram, Namespace, Sender};
use varta_observer::{Builder, ExitCause, Label, Uids};

use crate::causes;
use crate::convert::{self, Any};
use crate::errors::Raise;
use crate::guard::methods;
use crate::observer::{agent_dict, counters_dict, tasks_list};
use crate::reading;
use crate::simulated_page::SimulatedPage;
use crate::values::Values;
use crate::{event, settings};

/// An Observer without sockets: the caller passes datagrams and process exits to it, and sets
/// its clock, in nanoseconds.
#[pyclass(module = "varta._varta", frozen)]
pub(crate) struct Simulated {
    inner: Mutex<varta_observer::Simulated>,
}

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, varta_observer::Simulated> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut observer = self.lock();
        let Some(event) = observer.poll() else { return Ok(None) };
        let label = event.about.map(|about| observer.label(about.agent));
        // What follows may run Python code, which may use it.
        drop(observer);
        let label = label.map(|label| PyString::new(py, label.as_str()).unbind());
        event::to_python(py, event, label).map(Some)
    }
}

methods! {
impl Simulated {
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(settings: Option<&Bound<'_, PyDict>>) -> Self {
        let mut builder = Builder::new().uids(Uids::Only(0));
        if let Some(settings) = settings {
            builder = settings::apply(builder, settings)?;
        }
        Ok(Self { inner: Mutex::new(builder.simulate().raise()?) })
    }

    /// Passes in a datagram, either from a process (pid, uid) over a Unix socket, or from an
    /// address over a network, sealed or not.
    /// A fresh datagram woke the observer, so that it learns which threads make the beats.
    #[pyo3(signature = (at_ns, data, *, pid=None, uid=None, process=None, address=None,
           sealed=false, listener=0, truncated=false, control_truncated=false, fresh=false))]
    #[allow(clippy::too_many_arguments, reason = "they are keyword arguments in Python")]
    fn feed(
        &self,
        at_ns: u64,
        data: Any<'_, '_>,
        pid: Option<u32>,
        uid: Option<u32>,
        process: Option<u64>,
        address: Option<String>,
        sealed: bool,
        listener: u16,
        truncated: bool,
        control_truncated: bool,
        fresh: bool,
    ) -> () {
        let sender = match (pid, address) {
            (Some(pid), None) => Sender::Kernel { pid, uid: uid.unwrap_or(0), process },
            (None, Some(text)) => {
                let address: IpAddr = text.parse().map_err(|_| {
                    PyValueError::new_err(format!("address: {text:?} is not a numeric IP address"))
                })?;
                Sender::Network { address, sealed }
            }
            _ => return Err(PyTypeError::new_err("feed: expected either pid or address")),
        };
        let data = convert::any_bytes(data, "data")?;
        let datagram = Datagram {
            truncated,
            control_truncated,
            ..Datagram::new(listener, sender, &data)
        };
        let mut observer = self.lock();
        observer.set_fresh(fresh);
        observer.feed(at_ns, &datagram);
        Ok(())
    }

    /// Advances the clock and checks deadlines. Everything that arrived by then must have been
    /// fed. With `full` the queue was full, so that beats may have been lost.
    #[pyo3(signature = (at_ns, *, full=false))]
    fn advance(&self, at_ns: u64, full: bool) -> () {
        match full {
            false => self.lock().advance(at_ns),
            true => self.lock().advance_full(at_ns),
        }
        Ok(())
    }

    /// Reports the exit of a process: with a code, by a signal, or for an unknown cause. Returns
    /// False if no agent has that pid.
    #[pyo3(signature = (at_ns, pid, code=None, signal=None))]
    fn exit(&self, at_ns: u64, pid: u32, code: Option<i32>, signal: Option<i32>) -> bool {
        let cause = match (code, signal) {
            (None, None) => ExitCause::Unknown,
            (Some(code), None) => ExitCause::Code(code),
            (None, Some(signal)) => ExitCause::Signal(signal),
            _ => return Err(PyTypeError::new_err("exit: expected code or signal, not both")),
        };
        Ok(self.lock().exit(at_ns, pid, cause))
    }

    /// The observer polls only now, though it was due at due_ns.
    fn late(&self, at_ns: u64, due_ns: u64) -> () {
        self.lock().late(at_ns, due_ns);
        Ok(())
    }

    /// The system was just suspended for this long.
    fn suspended(&self, at_ns: u64, ns: u64) -> () {
        self.lock().suspended(at_ns, ns);
        Ok(())
    }

    /// Sets the threshold of one agent. Returns False if there is no such agent.
    fn set_threshold(&self, agent: u64, threshold_ns: u64) -> bool {
        Ok(self.lock().set_threshold(agent, threshold_ns))
    }

    /// Sets how late tasks may be before that is reported: by the name of the task, and by the name
    /// of the program. Replaces all that was set before.
    #[pyo3(signature = (*, task_slack_ns=None, program_slack_ns=None))]
    fn set_slack(
        &self,
        task_slack_ns: Option<Any<'_, '_>>,
        program_slack_ns: Option<Any<'_, '_>>,
    ) -> () {
        let slack = settings::slack_ns(task_slack_ns, program_slack_ns)?;
        self.lock().set_slack(&slack);
        Ok(())
    }

    /// Sets the pid namespace of a process, for all later datagrams: the observer's ("same"),
    /// another ("other") or "unknown". In another namespace it has the pid `innermost_pid`;
    /// without that it has whichever pid its frames name.
    #[pyo3(signature = (pid, namespace, *, innermost_pid=None))]
    fn set_namespace(
        &self,
        pid: u32,
        namespace: Any<'_, '_>,
        innermost_pid: Option<u32>,
    ) -> () {
        let name: String = namespace
            .extract()
            .map_err(|_| convert::wrong_type(namespace, "namespace", "a str"))?;
        let namespace = match name.as_str() {
            "same" => Namespace::Same,
            "other" => Namespace::Other,
            "unknown" => Namespace::Unknown,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "namespace: {name:?} is not valid: expected \"same\", \"other\" or \"unknown\""
                )));
            }
        };
        match (innermost_pid, namespace) {
            (None, _) => self.lock().set_namespace(pid, namespace),
            (Some(innermost @ 1..), Namespace::Other) => {
                self.lock().set_innermost_pid(pid, innermost);
            }
            (Some(innermost), _) => {
                return Err(PyValueError::new_err(format!(
                    "innermost_pid: {innermost} is not valid for the namespace {name:?}"
                )));
            }
        }
        Ok(())
    }

    /// Sets the name of the program that a process runs, before it is heard.
    fn set_program(&self, pid: u32, name: &str) -> () {
        self.lock().set_program(pid, name);
        Ok(())
    }

    /// Sets the name that a process declares: the label of its agent from now on.
    fn set_name(&self, pid: u32, name: &str) -> () {
        self.lock().set_name(pid, Label::new(name.as_bytes()));
        Ok(())
    }

    /// A process asks for a page of shared memory. Raises OSError if it may not have one.
    #[pyo3(signature = (at_ns, pid, uid=0, *, process=None, nonce=0))]
    fn attach(
        &self,
        at_ns: u64,
        pid: u32,
        uid: u32,
        process: Option<u64>,
        nonce: u64,
    ) -> SimulatedPage {
        let attaching =
            Attaching { pid, uid, process, claimed_pid: pid, nonce, clock_offset: 0 };
        match self.lock().attach(at_ns, &attaching) {
            Ok(attached) => Ok(SimulatedPage::new(attached)),
            Err(refusal) => Err(PyOSError::new_err((refusal.errno, refusal.reason))),
        }
    }

    /// A process has mapped its page, which is looked at for the first time.
    fn mapped(&self, at_ns: u64, page: &SimulatedPage) -> () {
        self.lock().mapped(at_ns, page.index);
        Ok(())
    }

    /// A process asks the observer to look at its page.
    fn bell(&self, at_ns: u64, page: &SimulatedPage) -> () {
        self.lock().bell(at_ns, page.index);
        Ok(())
    }

    /// A process gives up its page.
    fn detach(&self, at_ns: u64, page: &SimulatedPage) -> () {
        self.lock().detach(at_ns, page.index);
        Ok(())
    }

    /// Writes a pair of lines into a page, as its process would: the eight words of the cold line,
    /// of the hot line, or of both. Raises ValueError if there is no such pair, or if the process
    /// has given up the page.
    #[pyo3(signature = (page, pair, *, cold=None, hot=None))]
    fn write(
        &self,
        page: &SimulatedPage,
        pair: u32,
        cold: Option<Words>,
        hot: Option<Words>,
    ) -> () {
        page.write(&self.lock(), pair, cold, hot)
    }

    /// A thread of a process has ended.
    fn thread_gone(&self, pid: u32, thread: u32) -> () {
        self.lock().thread_gone(pid, thread);
        Ok(())
    }

    /// Sets what can be read of a process from now on, without its threads, to find out why it is
    /// silent.
    #[pyo3(signature = (pid, **reading), text_signature = "($self, pid, *, spent_ns=0, cpu_ns=0, \
           thread_count=0, lacks=0, device=0, inode=0, name='', dumping=False, killed=False, \
           tracer=0, frozen=False, under_oom=False, group='', quota_periods=0, \
           quota_throttled=0, memory_pressure_ns=0)")]
    fn set_reading(&self, pid: u32, reading: Option<&Bound<'_, PyDict>>) -> () {
        let (sample, spent_ns) = reading::process(reading)?;
        self.lock().set_slow_reading(pid, &sample, spent_ns);
        Ok(())
    }

    /// Adds a thread to what can be read of a process. Raises ValueError if nothing can be read of
    /// it, or if it has 64 threads.
    #[pyo3(signature = (pid, thread, **reading), text_signature = "($self, pid, thread, *, \
           state='S', run_ns=0, wait_ns=0, slices=0, flags=0, major_faults=0, stop_signal=0, \
           wait_channel='', call=None, arguments=(0, 0, 0, 0))")]
    fn add_thread_reading(
        &self,
        pid: u32,
        thread: u32,
        reading: Option<&Bound<'_, PyDict>>,
    ) -> () {
        let read = reading::thread(thread, reading)?;
        match self.lock().reading_mut(pid).map(|reading| reading.push(read)) {
            Some(true) => Ok(()),
            Some(false) => Err(PyValueError::new_err("add_thread_reading: it has 64 threads")),
            None => Err(PyValueError::new_err(format!("pid: {pid} has no reading"))),
        }
    }

    /// Returns the tasks of an agent, each as a dict.
    fn tasks<'py>(&self, py: Python<'py>, agent: u64) -> Bound<'py, PyList> {
        tasks_list(py, &self.lock().tasks(agent))
    }

    /// Returns why an agent is silent, or one of its tasks, as a dict or None.
    #[pyo3(signature = (agent, task=0))]
    fn cause<'py>(
        &self,
        py: Python<'py>,
        agent: u64,
        task: u32,
    ) -> Option<Bound<'py, PyDict>> {
        let info = self.lock().cause(agent, task);
        info.map(|info| causes::cause_dict(py, &info)).transpose()
    }

    /// Returns the next pending event, or None.
    fn poll(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.next(py)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    fn __next__(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.next(py)
    }

    /// Returns the tracked agents, each as a dict.
    fn agents<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        let values = Values::get(py)?;
        let agents = self.lock().snapshot();
        let agents = agents.iter().map(|agent| agent_dict(py, values, agent));
        PyList::new(py, agents.collect::<PyResult<Vec<_>>>()?)
    }

    /// Returns the counters as a dict.
    fn stats<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        counters_dict(py, &self.lock().stats())
    }
}
}
