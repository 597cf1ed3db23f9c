//! The events of an observer: one frozen class for each kind.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use varta_observer::{About, ExitCause, Label, Task, What};

use crate::causes;
use crate::guard::methods;
use crate::values::{self, Values, tasks};

/// An event that an observer reports.
#[pyclass(module = "varta", frozen, subclass, eq, hash)]
#[derive(PartialEq, Eq)]
pub(crate) struct Event {
    inner: varta_observer::Event,
}

impl std::hash::Hash for Event {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.observer_ns.hash(state);
        self.inner.about.hash(state);
        self.inner.task.hash(state);
        self.inner.what.code().hash(state);
    }
}

methods! {
impl Event {
    /// Nanoseconds since the observer started, suspend included.
    #[getter]
    fn observer_ns(&self) -> u64 {
        Ok(self.inner.observer_ns)
    }

    /// "beat", "stall", "recovered", "exit", "decode", "auth-failure", "io", "paused", "task",
    /// "ended", "violation" or "cause".
    #[getter]
    fn kind(&self) -> &'static str {
        Ok(self.inner.what.name())
    }

    fn __str__(slf: &Bound<'_, Self>) -> String {
        let label = match slf.cast::<AgentEvent>() {
            Ok(event) => Label::new(event.get().label.to_cow(slf.py())?.as_bytes()),
            Err(_) => Label::EMPTY,
        };
        Ok(slf.get().inner.named(label).to_string())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let class = slf.get_type();
        let names = class.getattr("__match_args__")?;
        let mut text = format!("{}(", class.name()?);
        let names = names.cast::<PyTuple>()?;
        for name in names {
            let value = slf.getattr(name.cast::<PyString>()?)?;
            text += &format!("{name}={}, ", value.repr()?);
        }
        let shown = names.contains("task")?;
        if let Some(task) = slf.get().inner.task.filter(|_| !shown) {
            text += &format!("task={}, task_name={:?}, ", task.number, task.name);
        }
        if let Ok(event) = slf.cast::<AgentEvent>() {
            text += &format!("label={}, ", event.get().label.bind(slf.py()).repr()?);
        }
        text += &format!("observer_ns={})", slf.get().inner.observer_ns);
        Ok(text)
    }
}
}

/// An event about one tracked agent, or about one task of it.
#[pyclass(module = "varta", frozen, subclass, extends = Event)]
pub(crate) struct AgentEvent {
    about: About,
    task: Option<Task>,
    label: Py<PyString>,
}

methods! {
impl AgentEvent {
    /// The agent's number. An observer never reuses one.
    #[getter]
    fn agent(&self) -> u64 {
        Ok(self.about.agent)
    }

    /// Its process id in the observer's pid namespace; 0 if it has none there.
    #[getter]
    fn pid(&self) -> u32 {
        Ok(self.about.pid)
    }

    /// The process id in its frames.
    #[getter]
    fn claimed_pid(&self) -> u32 {
        Ok(self.about.claimed_pid)
    }

    /// How the observer knows the agent's identity.
    #[getter]
    fn origin(slf: &Bound<'_, Self>) -> Py<PyAny> {
        values::origin(slf.py(), slf.get().about.origin)
    }

    /// The name to show for the agent, as in `agents()`; "" if none is known, as over a network.
    #[getter]
    fn label(slf: &Bound<'_, Self>) -> Py<PyString> {
        Ok(slf.get().label.clone_ref(slf.py()))
    }

    /// The number of the task that it is about, which no other task of the agent has had. None
    /// if it is about the process.
    #[getter]
    fn task(&self) -> Option<u32> {
        Ok(self.task.map(|task| task.number))
    }

    /// The name of that task, which several tasks may share.
    #[getter]
    fn task_name(&self) -> Option<String> {
        Ok(self.task.map(|task| task.name.as_str().to_owned()))
    }
}
}

/// Defines the class for one kind of event: its fields, and their order in a `match` pattern.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident of $base:ident, matched as [$($arg:literal),*] {
        $($(#[$about:meta])* $field:ident: $of:ty,)*
    }) => {
        $(#[$doc])*
        #[pyclass(module = "varta", frozen, extends = $base)]
        pub(crate) struct $name {
            $($(#[$about])* #[pyo3(get)] $field: $of,)*
        }

        methods! {
            impl $name {
                #[classattr]
                fn __match_args__(py: Python<'_>) -> Py<PyTuple> {
                    Ok(PyTuple::new(py, [$($arg),*])?.unbind())
                }
            }
        }
    };
}

kind! {
    /// A beat was accepted, or several beats that came through shared memory. About a task: it
    /// made calls.
    Beat of AgentEvent, matched as ["agent", "status", "payload", "nonce", "missed", "count"] {
        /// The status that the agent reported.
        status: Py<PyAny>,
        /// The application-defined number.
        payload: u64,
        /// The nonce in the frame; 0 for a task.
        nonce: u64,
        /// How many beats are missing between the previous one and this one.
        missed: u64,
        /// How many beats or calls it reports: 1 for a datagram.
        count: u32,
    }
}

kind! {
    /// The agent has been silent for its threshold. Reported once per silence. About a task: it
    /// broke a promise.
    Stall of AgentEvent,
    matched as ["agent", "last_nonce", "last_ns", "promise", "due_ns", "checkpoint"] {
        /// The last nonce that was not terminal; 0 if there was none.
        last_nonce: u64,
        /// When its last beat arrived, on the observer's clock.
        last_ns: u64,
        /// Whether the observer may have missed its beats, because its queue was full at
        /// every poll. Do not act on such a Stall.
        deaf: bool,
        /// The promise that a task broke. None for the silence of a process.
        promise: Option<Py<PyAny>>,
        /// When that was due, on the observer's clock.
        due_ns: Option<u64>,
        /// The checkpoint where the task is, or the label of its block.
        checkpoint: Option<u16>,
        /// Why it is silent, as a dict. None if causes are not looked up.
        why: Option<Py<PyAny>>,
    }
}

kind! {
    /// The cause of a silence that was reported has changed, or was found out later.
    Cause of AgentEvent, matched as ["agent", "why"] {
        /// Why it is silent, as a dict.
        why: Py<PyAny>,
    }
}

kind! {
    /// A stalled agent is beating again. Its beat is the next event. About a task: it keeps a
    /// promise again.
    Recovered of AgentEvent, matched as ["agent", "silent_ns", "promise"] {
        /// How long it was silent. About a task: how late it was.
        silent_ns: u64,
        /// The promise, which for a process is to beat.
        promise: Py<PyAny>,
    }
}

kind! {
    /// The process has exited, and the observer no longer tracks it.
    Exit of AgentEvent, matched as ["agent", "code", "signal", "last_status"] {
        /// Its exit code, if it exited normally and the code is known.
        code: Option<i32>,
        /// The signal that killed it, if it was killed and the signal is known.
        signal: Option<i32>,
        /// The last status that it reported.
        last_status: Py<PyAny>,
    }
}

kind! {
    /// A task was declared. Reported again after the observer was restarted.
    Declared of AgentEvent, matched as ["agent", "task", "task_name", "threshold_ns"] {
        /// Its threshold; 2**64 - 1 for none.
        threshold_ns: u64,
    }
}

kind! {
    /// A task is over.
    Ended of AgentEvent, matched as ["agent", "task", "task_name", "how"] {
        /// How it ended, an Ending.
        how: Py<PyAny>,
    }
}

kind! {
    /// Calls of a task broke a rule.
    Violation of AgentEvent,
    matched as ["agent", "task", "task_name", "rule", "count", "from_", "to", "by"] {
        /// The Rule that was broken last.
        rule: Py<PyAny>,
        /// How many violations there were since the last event.
        count: u32,
        /// The last one: the checkpoint before it, or the label of the block.
        from_: u16,
        /// The last one: the checkpoint that was reached.
        to: u16,
        /// The last one: by how much, in nanoseconds, or in beats for a cycle.
        by: u64,
    }
}

kind! {
    /// A datagram of 32 bytes was not a valid frame.
    Decode of Event, matched as ["error"] {
        /// A DecodeError.
        error: Py<PyAny>,
    }
}

kind! {
    /// A frame named a process other than the one that sent it.
    AuthFailure of Event, matched as ["claimed_pid", "true_pid"] {
        /// The pid in the frame.
        claimed_pid: u32,
        /// The pid that the kernel reported for the sender.
        true_pid: u32,
    }
}

kind! {
    /// A socket operation failed.
    Io of Event, matched as ["errno"] {
        /// The operating system's error number.
        errno: i32,
    }
}

kind! {
    /// The observer itself was late, because it was stopped, suspended or starved.
    Paused of Event, matched as ["ns"] {
        /// How long it was paused.
        ns: u64,
    }
}

/// Creates the Python object for an event, and for the name of its agent if it names one.
pub(crate) fn to_python(
    py: Python<'_>,
    event: varta_observer::Event,
    label: Option<Py<PyString>>,
) -> PyResult<Py<PyAny>> {
    let values = Values::get(py)?;
    let base = PyClassInitializer::from(Event { inner: event });
    match (event.what, event.about) {
        (What::Decode(error), _) => {
            finish(py, base.add_subclass(Decode { error: values.decode_error(py, error)? }))
        }
        (What::AuthFailure { claimed_pid, true_pid }, _) => {
            finish(py, base.add_subclass(AuthFailure { claimed_pid, true_pid }))
        }
        (What::Io { errno }, _) => finish(py, base.add_subclass(Io { errno })),
        (What::Paused { ns }, _) => finish(py, base.add_subclass(Paused { ns })),
        (what, Some(about)) => {
            let label = label.unwrap_or_else(|| PyString::new(py, "").unbind());
            let base = base.add_subclass(AgentEvent { about, task: event.task, label });
            of_agent(py, values, base, what)
        }
        // A kind that this module does not know keeps its name, time and text.
        (_, None) => finish(py, base),
    }
}

fn of_agent(
    py: Python<'_>,
    values: &Values,
    base: PyClassInitializer<AgentEvent>,
    what: What,
) -> PyResult<Py<PyAny>> {
    match what {
        What::Beat { status, payload, nonce, missed, count } => {
            let status = values.status(py, status);
            finish(py, base.add_subclass(Beat { status, payload, nonce, missed, count }))
        }
        What::Stall { last_nonce, last_ns, deaf, late, why } => {
            let stall = Stall {
                last_nonce,
                last_ns,
                deaf,
                promise: late.map(|late| tasks::promise(py, late.promise)).transpose()?,
                due_ns: late.map(|late| late.due_ns),
                checkpoint: late.map(|late| late.checkpoint),
                why: why.map(|why| causes::why(py, why)).transpose()?.map(Into::into),
            };
            finish(py, base.add_subclass(stall))
        }
        What::Recovered { silent_ns, promise } => {
            let promise = tasks::promise(py, promise)?;
            finish(py, base.add_subclass(Recovered { silent_ns, promise }))
        }
        What::Cause { why } => {
            finish(py, base.add_subclass(Cause { why: causes::why(py, why)?.into() }))
        }
        What::Task { threshold_ns } => finish(py, base.add_subclass(Declared { threshold_ns })),
        What::Ended { how } => {
            finish(py, base.add_subclass(Ended { how: tasks::ending(py, how)? }))
        }
        What::Violation { rule, count, from, to, by } => {
            let rule = tasks::rule(py, rule)?;
            finish(py, base.add_subclass(Violation { rule, count, from_: from, to, by }))
        }
        What::Exit { cause, last_status } => {
            let (code, signal) = match cause {
                ExitCause::Unknown => (None, None),
                ExitCause::Code(code) => (Some(code), None),
                ExitCause::Signal(signal) => (None, Some(signal)),
            };
            let last_status = values.status(py, last_status);
            finish(py, base.add_subclass(Exit { code, signal, last_status }))
        }
        _ => finish(py, base),
    }
}

fn finish<C: PyClass>(py: Python<'_>, object: PyClassInitializer<C>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, object)?.into_any())
}
