//! The values that are defined in Python and returned by this module.

use std::io;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use varta::{BeatError, BeatOutcome, DecodeError, DropReason, Status, classify_send_error};
use varta_observer::Origin;

use crate::guard::function;

/// The shared objects in the results of beats and in events, so that none is created twice.
pub(crate) struct Values {
    sent: Py<PyAny>,
    dropped: [Py<PyAny>; DropReason::ALL.len()],
    failed: Py<PyAny>,
    statuses: [Py<PyAny>; 4],
    /// The members of `Status` that a beat can have, and their names as constants in Python code.
    known_statuses: [(Py<PyAny>, Status); 6],
    decode_error: Py<PyAny>,
    auth_error: Py<PyAny>,
}

impl Values {
    #[inline]
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static VALUES: PyOnceLock<Values> = PyOnceLock::new();
        VALUES.get_or_try_init(py, || Self::new(py))
    }

    fn new(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("varta._values")?;
        let get = |name: &str| module.getattr(name).map(Bound::unbind);
        let items = |name: &str| module.getattr(name);
        let statuses: [Py<PyAny>; 4] = items("STATUSES")?.extract()?;
        let [ok, degraded, critical, _] = &statuses;
        let word = |status: Status| PyString::intern(py, status.name()).into_any().unbind();
        let known_statuses = [
            (ok.clone_ref(py), Status::Ok),
            (degraded.clone_ref(py), Status::Degraded),
            (critical.clone_ref(py), Status::Critical),
            (word(Status::Ok), Status::Ok),
            (word(Status::Degraded), Status::Degraded),
            (word(Status::Critical), Status::Critical),
        ];
        Ok(Self {
            sent: get("SENT")?,
            dropped: items("DROPPED")?.extract()?,
            failed: get("failed")?,
            statuses,
            known_statuses,
            decode_error: get("DecodeError")?,
            auth_error: get("AuthError")?,
        })
    }

    /// The outcome of a beat. There is none if the agent or task is closed.
    #[inline]
    pub(crate) fn outcome(
        &self,
        py: Python<'_>,
        outcome: Option<BeatOutcome>,
    ) -> PyResult<Py<PyAny>> {
        match outcome {
            Some(BeatOutcome::Sent) => Ok(self.sent.clone_ref(py)),
            Some(BeatOutcome::Dropped(reason)) => {
                // The numbers of the reasons begin at 1.
                let shared = self.dropped.get(reason as usize - 1);
                shared.map(|outcome| outcome.clone_ref(py)).ok_or_else(|| {
                    PyRuntimeError::new_err(format!("unknown drop reason: {reason}"))
                })
            }
            Some(BeatOutcome::Failed(error)) => {
                self.failed(py, error.errno, &format!("{:?}", error.kind))
            }
            None => self.failed(py, BeatError::UNKNOWN_ERRNO, "Closed"),
        }
    }

    #[cold]
    fn failed(&self, py: Python<'_>, errno: i32, kind: &str) -> PyResult<Py<PyAny>> {
        self.failed.call1(py, (errno, kind))
    }

    /// The status that almost every call passes: a member of `Status` or its name, which is
    /// recognized by identity.
    #[inline]
    pub(crate) fn known_status(&self, value: &Bound<'_, PyAny>) -> Option<Status> {
        let mut known = self.known_statuses.iter();
        known.find(|(object, _)| value.is(object)).map(|(_, status)| *status)
    }

    pub(crate) fn status(&self, py: Python<'_>, status: Status) -> Py<PyAny> {
        let [ok, degraded, critical, stall] = &self.statuses;
        match status {
            Status::Ok => ok,
            Status::Degraded => degraded,
            Status::Critical => critical,
            Status::Stall => stall,
        }
        .clone_ref(py)
    }

    /// Creates an exception without raising it.
    pub(crate) fn decode_error(
        &self,
        py: Python<'_>,
        error: DecodeError,
    ) -> PyResult<Py<PyAny>> {
        // The exception adds the name in front by itself.
        let text = error.to_string();
        let detail = text.split_once(": ").map_or(text.as_str(), |(_, detail)| detail);
        self.decode_error.call1(py, (error.name(), detail))
    }

    pub(crate) fn auth_error(&self, py: Python<'_>, error: varta::secure::AuthError) -> PyErr {
        match self.auth_error.call1(py, (error.to_string(),)) {
            Ok(exception) => PyErr::from_value(exception.into_bound(py)),
            Err(error) => error,
        }
    }
}

/// The `Origin` of an agent. It is imported late, because agents do not need it.
pub(crate) fn origin(py: Python<'_>, origin: Origin) -> PyResult<Py<PyAny>> {
    static ORIGINS: PyOnceLock<[Py<PyAny>; 3]> = PyOnceLock::new();
    let origins = ORIGINS.get_or_try_init(py, || -> PyResult<_> {
        py.import("varta._observer")?.getattr("ORIGINS")?.extract()
    })?;
    let [kernel, secure, network] = origins;
    let shared = match origin {
        Origin::KernelAttested => kernel,
        Origin::SecureNetwork => secure,
        Origin::Network => network,
    };
    Ok(shared.clone_ref(py))
}

/// The names of what tasks promise, break and come to. They are imported late, because programs
/// that only beat do not need them.
pub(crate) mod tasks {
    use pyo3::prelude::*;
    use pyo3::sync::PyOnceLock;
    use varta::{Promise, Rule};
    use varta_observer::Ending;

    struct Names {
        promises: [Py<PyAny>; Promise::ALL.len()],
        rules: [Py<PyAny>; Rule::ALL.len()],
        endings: [Py<PyAny>; Ending::ALL.len()],
    }

    fn names(py: Python<'_>) -> PyResult<&Names> {
        static NAMES: PyOnceLock<Names> = PyOnceLock::new();
        NAMES.get_or_try_init(py, || {
            let module = py.import("varta._tasks")?;
            Ok(Names {
                promises: module.getattr("PROMISES")?.extract()?,
                rules: module.getattr("RULES")?.extract()?,
                endings: module.getattr("ENDINGS")?.extract()?,
            })
        })
    }

    /// The object with a number from 1.
    fn shared(py: Python<'_>, objects: &[Py<PyAny>], number: u8) -> PyResult<Py<PyAny>> {
        let object = usize::from(number).checked_sub(1).and_then(|at| objects.get(at));
        object.map(|object| object.clone_ref(py)).ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err(format!("unknown number: {number}"))
        })
    }

    pub(crate) fn promise(py: Python<'_>, promise: Promise) -> PyResult<Py<PyAny>> {
        shared(py, &names(py)?.promises, promise as u8)
    }

    pub(crate) fn rule(py: Python<'_>, rule: Rule) -> PyResult<Py<PyAny>> {
        shared(py, &names(py)?.rules, rule as u8)
    }

    pub(crate) fn ending(py: Python<'_>, ending: Ending) -> PyResult<Py<PyAny>> {
        shared(py, &names(py)?.endings, ending as u8)
    }
}

function! {
    /// Returns the beat outcome for a send's errno.
    fn classify_errno(py: Python<'_>, errno: i32) -> Py<PyAny> {
        let error = io::Error::from_raw_os_error(errno);
        Values::get(py)?.outcome(py, Some(classify_send_error(&error)))
    }
}
