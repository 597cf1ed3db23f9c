//! What `with task.watch(...)` and `with task.idle()` return.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use varta::SpanId;

use crate::guard::methods;
use crate::task::Task;

/// A block that must end in time. It ends when it is left, closed or no longer referenced.
///
/// Blocks may be nested, and those of several coroutines may overlap.
// Blocks come and go quickly, so their memory is kept for the next ones.
#[pyclass(module = "varta", frozen)]
pub(crate) struct Span {
    task: Py<Task>,
    /// 0 once it is closed.
    id: AtomicU64,
    /// The process that opened it.
    process: Option<u64>,
}

impl Span {
    pub(crate) fn new(task: Py<Task>, id: SpanId) -> Self {
        let process = task.get().process();
        Self { task, id: AtomicU64::new(id.to_raw()), process }
    }

    fn end(&self, py: Python<'_>) -> bool {
        // No other thread can be here: all hold the interpreter's lock.
        let id = self.id.load(Ordering::Relaxed);
        if id == 0 {
            return false;
        }
        self.id.store(0, Ordering::Relaxed);
        self.task.get().end_span(py, SpanId::from_raw(id), self.process)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Almost every block was left before.
        if *self.id.get_mut() != 0 {
            Python::attach(|py| self.end(py));
        }
    }
}

methods! {
impl Span {
    /// Ends the block. Returns whether it was open and watched.
    fn close(&self, py: Python<'_>) -> bool {
        Ok(self.end(py))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    // PyO3 does not look at the arguments of this signature, which saves 12 ns.
    #[pyo3(signature = (*_exception, **_no_keywords), text_signature = "($self, *_exception)")]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exception: &Bound<'_, PyTuple>,
        _no_keywords: Option<&Bound<'_, PyDict>>,
    ) -> () {
        self.end(py);
        Ok(())
    }
}
}

/// The time in which a task is idle. Leaving the block is a sign of life, and ends it.
#[pyclass(module = "varta", frozen)]
pub(crate) struct Idle {
    task: Py<Task>,
    /// The process in which it began.
    process: Option<u64>,
}

impl Idle {
    pub(crate) fn new(task: Py<Task>) -> Self {
        let process = task.get().process();
        Self { task, process }
    }
}

methods! {
impl Idle {
    fn __enter__(slf: PyRef<'_, Self>) -> Py<Self> {
        Ok(slf.into())
    }

    // PyO3 does not look at the arguments of this signature, which saves 12 ns.
    #[pyo3(signature = (*_exception, **_no_keywords), text_signature = "($self, *_exception)")]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exception: &Bound<'_, PyTuple>,
        _no_keywords: Option<&Bound<'_, PyDict>>,
    ) -> () {
        // Closes nothing, and so is only a sign of life.
        self.task.get().end_span(py, SpanId::UNWATCHED, self.process);
        Ok(())
    }
}
}
