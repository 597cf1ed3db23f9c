//! Calls to the parts of the C API for which PyO3 has no safe function.
#![allow(unsafe_code, reason = "calls into CPython")]

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

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
