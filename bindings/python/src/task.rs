//! The `Task` class: a named part of this process that is watched on its own.

use std::io;

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};
use varta::internal::ProcessToken;
use varta::{BeatOutcome, NEVER, SpanId, SpanLimits, Status, TaskCounts, TaskReport};

use crate::convert::{self, Any, PayloadArgument, StatusArgument};
use crate::errors::{self, Raise};
use crate::guard::methods;
use crate::observer::{broken_promises, nanoseconds};
use crate::span::{Idle, Span};
use crate::sys::{Beats, Held};
use crate::values::Values;

/// A named part of this process that is watched on its own, from `Varta.task`.
///
/// Each call is a sign of life. No call blocks, or raises because nobody watches. After it is
/// closed, `beat` fails with "Closed" and the other calls do nothing.
#[pyclass(module = "varta", frozen)]
pub(crate) struct Task {
    inner: Held<State>,
    name: String,
    process: ProcessToken,
    values: &'static Values,
}

#[allow(clippy::large_enum_variant, reason = "almost every task is open")]
enum State {
    Open(varta::Task),
    Closed { number: u32, counts: TaskCounts },
}

impl Task {
    pub(crate) fn new(
        values: &'static Values,
        task: io::Result<varta::Task>,
    ) -> PyResult<Self> {
        let task = task.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()),
            _ => errors::from_io(&error),
        })?;
        Ok(Self {
            name: task.name().as_str().to_owned(),
            inner: Held::new(State::Open(task)),
            process: ProcessToken::find().raise()?,
            values,
        })
    }

    /// Makes a call, unless the task is closed.
    #[inline]
    fn call<T>(&self, py: Python<'_>, make: impl FnOnce(&mut varta::Task) -> T) -> Option<T> {
        match &mut *self.inner.borrow(py) {
            State::Open(task) => Some(make(task)),
            State::Closed { .. } => None,
        }
    }

    /// A number that no parent or child of this process has.
    #[inline]
    pub(crate) fn process(&self) -> Option<u64> {
        self.process.number()
    }

    /// Ends a block that began in this process. In a forked child, leaving a block of its parent
    /// is no call, so that it does not declare the task there.
    #[inline]
    pub(crate) fn end_span(&self, py: Python<'_>, id: SpanId, began_in: Option<u64>) -> bool {
        self.process() == began_in && self.call(py, |task| task.close_span(id)) == Some(true)
    }

    fn end(&self, py: Python<'_>, end: fn(varta::Task)) {
        let mut state = self.inner.borrow(py);
        let State::Open(task) = &*state else { return };
        let closed = State::Closed { number: task.number(), counts: task.counts() };
        if let State::Open(task) = std::mem::replace(&mut *state, closed) {
            end(task);
        }
    }

    fn number_and_counts(&self, py: Python<'_>) -> (u32, TaskCounts) {
        match &*self.inner.borrow(py) {
            State::Open(task) => (task.number(), task.counts()),
            State::Closed { number, counts } => (*number, *counts),
        }
    }
}

impl Beats for Task {
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
        self.call(py, |task| task.beat(status, payload))
    }
}

methods! {
impl Task {
    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        Ok(self.name.as_str())
    }

    /// Its number, which no other task of this process has had.
    #[getter]
    fn number(&self, py: Python<'_>) -> u32 {
        Ok(self.number_and_counts(py).0)
    }

    /// The task is here, with a status and an application-defined number. Returns the outcome.
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

    /// Nothing is due until the next call, or for `at_most` seconds. As a context manager, it
    /// ends with the block.
    #[pyo3(signature = (at_most=None), text_signature = "($self, at_most=float('inf'))")]
    fn idle(slf: &Bound<'_, Self>, at_most: Option<Any<'_, '_>>) -> Py<Idle> {
        let at_most = at_most.map_or(Ok(NEVER), |time| convert::limit(time, "at_most"))?;
        slf.get().call(slf.py(), |task| task.idle_at_most(at_most));
        Py::new(slf.py(), Idle::new(slf.clone().unbind()))
    }

    /// A block that ends within `max` seconds: `with task.watch(max)`. With two numbers it takes
    /// at least `min` seconds: `with task.watch(min, max)`. Reports about it contain the label.
    #[pyo3(signature = (limit, max=None, /, *, label=None),
           text_signature = "($self, limit, max=None, /, *, label=0)")]
    fn watch(
        slf: &Bound<'_, Self>,
        limit: Any<'_, '_>,
        max: Option<Any<'_, '_>>,
        label: Option<Any<'_, '_>>,
    ) -> Py<Span> {
        let mut limits = match max {
            None => SpanLimits::new(convert::limit(limit, "max")?),
            Some(max) => range(limit, max)?,
        };
        if let Some(label) = label {
            limits = limits.label(convert::number(label, "label")?);
        }
        let id = slf.get().call(slf.py(), |task| task.open_span(limits)).unwrap_or(SpanId::UNWATCHED);
        Py::new(slf.py(), Span::new(slf.clone().unbind(), id))
    }

    /// The task is at this checkpoint, a number from 1 to 65,535; 0 is outside of all.
    fn reach(&self, py: Python<'_>, checkpoint: Any<'_, '_>) -> () {
        let checkpoint = convert::number(checkpoint, "checkpoint")?;
        self.call(py, |task| task.reach(checkpoint));
        Ok(())
    }

    /// This much is done, and this much is left.
    fn progress(&self, py: Python<'_>, done: Any<'_, '_>, left: Any<'_, '_>) -> () {
        let (done, left) = (convert::number(done, "done")?, convert::number(left, "left")?);
        self.call(py, |task| task.progress(done, left));
        Ok(())
    }

    /// Returns what was wrong so far, as a dict of counts.
    fn counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        let (_, counts) = self.number_and_counts(py);
        let dict = PyDict::new(py);
        dict.set_item("too_early", counts.too_early)?;
        dict.set_item("too_late", counts.too_late)?;
        dict.set_item("wrong_order", counts.wrong_order)?;
        dict.set_item("too_few", counts.too_few)?;
        dict.set_item("too_many", counts.too_many)?;
        dict.set_item("unwatched", counts.unwatched)?;
        dict.set_item("undeclared", counts.undeclared)?;
        Ok(dict)
    }

    /// The task is over, as planned.
    fn close(&self, py: Python<'_>) -> () {
        self.end(py, varta::Task::close);
        Ok(())
    }

    /// The task has failed and is over.
    fn fail(&self, py: Python<'_>) -> () {
        self.end(py, varta::Task::fail);
        Ok(())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    /// Ends the task: it has failed if an `Exception` leaves the block. Exceptions that are not
    /// errors, as of a cancelled coroutine, close it.
    #[pyo3(signature = (kind=None, _value=None, _traceback=None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<Any<'_, '_>>,
        _value: Option<Any<'_, '_>>,
        _traceback: Option<Any<'_, '_>>,
    ) -> () {
        let error = py.get_type::<PyException>();
        let failed = match kind.map(|kind| kind.cast::<PyType>()) {
            Some(Ok(kind)) => kind.is_subclass(&error)?,
            _ => false,
        };
        self.end(py, if failed { varta::Task::fail } else { varta::Task::close });
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        Ok(match &*self.inner.borrow(py) {
            State::Open(task) => format!("Task({:?}, number={})", self.name, task.number()),
            State::Closed { .. } => format!("Task({:?}, closed)", self.name),
        })
    }
}
}

#[cold]
fn range(min: Any<'_, '_>, max: Any<'_, '_>) -> PyResult<SpanLimits> {
    let (shortest, longest) = (convert::seconds(min, "min")?, convert::limit(max, "max")?);
    if shortest >= longest {
        return Err(PyValueError::new_err(format!("min: {min} is not less than max: {max}")));
    }
    Ok(SpanLimits::new(longest).min(shortest))
}

/// The reports about the tasks of this process, each as a dict.
pub(crate) fn reports<'py>(
    py: Python<'py>,
    values: &Values,
    tasks: impl Iterator<Item = TaskReport>,
) -> PyResult<Bound<'py, PyList>> {
    let dict = |task: TaskReport| {
        let dict = PyDict::new(py);
        dict.set_item("number", task.number)?;
        dict.set_item("name", task.name.as_str())?;
        dict.set_item("threshold_ns", nanoseconds(task.threshold))?;
        dict.set_item("age_ns", nanoseconds(task.age))?;
        dict.set_item("status", values.status(py, task.status))?;
        dict.set_item("payload", task.payload)?;
        dict.set_item("idle", task.idle)?;
        dict.set_item("vital", task.vital)?;
        dict.set_item("done", task.done)?;
        dict.set_item("left", task.left)?;
        dict.set_item("violations", task.violations)?;
        dict.set_item("broken", broken_promises(py, |promise| task.is_broken(promise))?)?;
        Ok(dict)
    };
    PyList::new(py, tasks.map(dict).collect::<PyResult<Vec<_>>>()?)
}
