//! What needs `unsafe`: parts of the C API for which PyO3 has no safe function, and what the interpreter's
//! lock protects.
#![allow(unsafe_code, reason = "calls into CPython")]

mod beat;
mod held;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

pub(crate) use beat::{Beats, quicken};
pub(crate) use held::Held;

/// The main interpreter's number, which is the first that CPython assigns.
const MAIN: i64 = 0;

/// Fails outside of the main interpreter. Classes and shared values are statics, so a second
/// interpreter would receive objects of the first.
pub(crate) fn require_main_interpreter(_attached: Python<'_>) -> PyResult<()> {
    // SAFETY: this thread is attached to an interpreter, as the token proves.
    let interpreter = unsafe { pyo3::ffi::PyInterpreterState_Get() };
    // SAFETY: the interpreter of an attached thread exists.
    let number = unsafe { pyo3::ffi::PyInterpreterState_GetID(interpreter) };
    if number == MAIN {
        return Ok(());
    }
    Err(PyImportError::new_err(format!(
        "varta works only in the main interpreter, and this is subinterpreter {number}; for \
         mod_wsgi set \"WSGIApplicationGroup %{{GLOBAL}}\", for uWSGI \"single-interpreter = true\""
    )))
}

/// Fails in a free-threaded interpreter that was told to run without its lock, even if a module
/// needs it.
pub(crate) fn require_lock(py: Python<'_>) -> PyResult<()> {
    // Python 3.13 and newer have this function.
    let Ok(is_enabled) = py.import("sys")?.getattr("_is_gil_enabled") else { return Ok(()) };
    if is_enabled.call0()?.extract()? {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "varta needs the interpreter's lock (GIL), which is turned off: start Python without \
         PYTHON_GIL=0 and -X gil=0, and importing varta turns it on",
    ))
}
