//! What an observer says, a frozen class for each kind.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use varta_observer::{About, ExitCause, What};

use crate::guard::methods;
use crate::values::{self, Values};

/// One thing an observer has to say.
#[pyclass(module = "varta", frozen, subclass, eq, hash)]
#[derive(PartialEq, Eq)]
pub(crate) struct Event {
    inner: varta_observer::Event,
}

impl std::hash::Hash for Event {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.observer_ns.hash(state);
        self.inner.about.hash(state);
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

    /// "beat", "stall", "recovered", "exit", "decode", "auth-failure", "io" or "paused".
    #[getter]
    fn kind(&self) -> &'static str {
        Ok(self.inner.what.name())
    }

    fn __str__(&self) -> String {
        Ok(self.inner.to_string())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let class = slf.get_type();
        let names = class.getattr("__match_args__")?;
        let mut text = format!("{}(", class.name()?);
        for name in names.cast::<PyTuple>()? {
            let value = slf.getattr(name.cast::<pyo3::types::PyString>()?)?;
            text += &format!("{name}={}, ", value.repr()?);
        }
        text += &format!("observer_ns={})", slf.get().inner.observer_ns);
        Ok(text)
    }
}
}

/// An event about an agent that is followed.
#[pyclass(module = "varta", frozen, subclass, extends = Event)]
pub(crate) struct AgentEvent {
    about: About,
}

methods! {
impl AgentEvent {
    /// The agent's number, never given twice by one observer.
    #[getter]
    fn agent(&self) -> u64 {
        Ok(self.about.agent)
    }

    /// Its process id here; 0 where it has none.
    #[getter]
    fn pid(&self) -> u32 {
        Ok(self.about.pid)
    }

    /// The process id that its frames name.
    #[getter]
    fn claimed_pid(&self) -> u32 {
        Ok(self.about.claimed_pid)
    }

    /// How it is known who it is.
    #[getter]
    fn origin(slf: &Bound<'_, Self>) -> Py<PyAny> {
        values::origin(slf.py(), slf.get().about.origin)
    }
}
}

/// A class for one kind of event: its fields, and the order in which `match` takes them.
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
    /// A beat was accepted.
    Beat of AgentEvent, matched as ["agent", "status", "payload", "nonce", "missed"] {
        /// What the agent says of itself.
        status: Py<PyAny>,
        /// The application's.
        payload: u64,
        /// The frame's.
        nonce: u64,
        /// How many beats between the last one and this one never came.
        missed: u64,
    }
}

kind! {
    /// The agent has been silent for its threshold. Said once per silence.
    Stall of AgentEvent, matched as ["agent", "last_nonce", "last_ns"] {
        /// The last nonce that was not terminal; 0 if there was none.
        last_nonce: u64,
        /// When it was last heard.
        last_ns: u64,
        /// Whether the observer may have missed its beats, because its queue was full each
        /// time that it looked. Such a Stall is not fit to act on.
        deaf: bool,
    }
}

kind! {
    /// A stalled agent is back; its beat is the next event.
    Recovered of AgentEvent, matched as ["agent", "silent_ns"] {
        /// How long nothing was heard.
        silent_ns: u64,
    }
}

kind! {
    /// The process is gone, and no longer followed.
    Exit of AgentEvent, matched as ["agent", "code", "signal", "last_status"] {
        /// Its exit code, if it ended with one and somebody could tell.
        code: Option<i32>,
        /// The signal that ended it, if one did and somebody could tell.
        signal: Option<i32>,
        /// What it said of itself last.
        last_status: Py<PyAny>,
    }
}

kind! {
    /// 32 bytes came that are no frame.
    Decode of Event, matched as ["error"] {
        /// A DecodeError.
        error: Py<PyAny>,
    }
}

kind! {
    /// A frame named another process than the one that sent it.
    AuthFailure of Event, matched as ["claimed_pid", "true_pid"] {
        /// The pid in the frame.
        claimed_pid: u32,
        /// The pid the kernel names.
        true_pid: u32,
    }
}

kind! {
    /// A socket failed.
    Io of Event, matched as ["errno"] {
        /// The operating system's error number.
        errno: i32,
    }
}

kind! {
    /// The observer itself came late: it was stopped, suspended or starved.
    Paused of Event, matched as ["ns"] {
        /// For how long.
        ns: u64,
    }
}

/// The event as an object of its class.
pub(crate) fn to_python(py: Python<'_>, event: varta_observer::Event) -> PyResult<Py<PyAny>> {
    let values = Values::get(py)?;
    let said = PyClassInitializer::from(Event { inner: event });
    match (event.what, event.about) {
        (What::Decode(error), _) => {
            finish(py, said.add_subclass(Decode { error: values.decode_error(py, error)? }))
        }
        (What::AuthFailure { claimed_pid, true_pid }, _) => {
            finish(py, said.add_subclass(AuthFailure { claimed_pid, true_pid }))
        }
        (What::Io { errno }, _) => finish(py, said.add_subclass(Io { errno })),
        (What::Paused { ns }, _) => finish(py, said.add_subclass(Paused { ns })),
        (what, Some(about)) => {
            of_agent(py, values, said.add_subclass(AgentEvent { about }), what)
        }
        // A kind that is newer than this module keeps its word, its time and its text.
        (_, None) => finish(py, said),
    }
}

fn of_agent(
    py: Python<'_>,
    values: &Values,
    said: PyClassInitializer<AgentEvent>,
    what: What,
) -> PyResult<Py<PyAny>> {
    match what {
        What::Beat { status, payload, nonce, missed } => {
            let status = values.status(py, status);
            finish(py, said.add_subclass(Beat { status, payload, nonce, missed }))
        }
        What::Stall { last_nonce, last_ns, deaf } => {
            finish(py, said.add_subclass(Stall { last_nonce, last_ns, deaf }))
        }
        What::Recovered { silent_ns } => finish(py, said.add_subclass(Recovered { silent_ns })),
        What::Exit { cause, last_status } => {
            let (code, signal) = match cause {
                ExitCause::Unknown => (None, None),
                ExitCause::Code(code) => (Some(code), None),
                ExitCause::Signal(signal) => (None, Some(signal)),
            };
            let last_status = values.status(py, last_status);
            finish(py, said.add_subclass(Exit { code, signal, last_status }))
        }
        _ => finish(py, said),
    }
}

fn finish<C: PyClass>(py: Python<'_>, made: PyClassInitializer<C>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, made)?.into_any())
}
