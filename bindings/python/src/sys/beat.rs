//! `beat`, as a method that Python calls directly. A method of PyO3, which is compiled for Python 3.9
//! and newer, gets its arguments in a tuple and a dict. Taking them out takes as long as the beat.
#![allow(unsafe_code, reason = "calls from and into CPython")]

use std::ffi::{CString, c_int};
use std::{iter, mem, ptr, slice};

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyTuple, PyType};
use pyo3::{Borrowed, PyClass, intern};
use varta::{BeatOutcome, Status};

use crate::guard;
use crate::values::Values;

/// A class with the method `beat`, as PyO3 defines it.
pub(crate) trait Beats: PyClass<Frozen = True> + Sync {
    /// Where that method is kept. It understands all arguments.
    fn kept() -> &'static PyOnceLock<Py<PyAny>>;

    fn values(&self) -> &'static Values;

    /// Makes a beat, unless the object is closed.
    fn make_beat(&self, py: Python<'_>, status: Status, payload: u32) -> Option<BeatOutcome>;
}

/// Replaces the method `beat` of a class by a faster one, which leaves unusual arguments to it.
pub(crate) fn quicken<C: Beats>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<C>();
    let quick = quick::<C>(&class, defined::<C>(py)?.bind(py))?;
    class.setattr("beat", quick)
}

/// The method that PyO3 defines.
fn defined<C: Beats>(py: Python<'_>) -> PyResult<&'static Py<PyAny>> {
    C::kept().get_or_try_init(py, || py.get_type::<C>().getattr("beat").map(Bound::unbind))
}

// Python 3.9 has them with the same values, but they are part of the stable ABI since 3.10.
const METH_FASTCALL: c_int = 0x80;
type FastWithKeywords = unsafe extern "C" fn(
    *mut PyObject,
    *const *mut PyObject,
    ffi::Py_ssize_t,
    *mut PyObject,
) -> *mut PyObject;

/// Creates the faster method, with the signature and the documentation of the other one.
fn quick<'py, C: Beats>(
    class: &Bound<'py, PyType>,
    defined: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let signature: String = defined.getattr("__text_signature__")?.extract()?;
    let text: String = defined.getattr("__doc__")?.extract()?;
    // SAFETY: both are pointers to functions, and the flags below tell Python the real type.
    let function =
        unsafe { mem::transmute::<FastWithKeywords, ffi::PyCFunctionWithKeywords>(enter::<C>) };
    // A class and its methods exist as long as the process.
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"beat".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: function },
        ml_flags: METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: CString::new(format!("beat{signature}\n--\n\n{text}"))?.into_raw(),
    }));
    // SAFETY: `class` is a type, and the definition, its name and its text are never freed.
    let method = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), method) };
    // SAFETY: it is a new object that nothing else owns, or null if there is an error.
    unsafe { Bound::from_owned_ptr_or_err(class.py(), method) }
}

/// Called by Python. A panic is raised, as in every other method.
unsafe extern "C" fn enter<C: Beats>(
    this: *mut PyObject,
    values: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: Python calls its methods in threads that are attached to it.
    let py = unsafe { Python::assume_attached() };
    let result = guard::contain(|| {
        // SAFETY: Python passes an object, which exists in this call.
        let this = unsafe { Borrowed::from_ptr(py, this) };
        // SAFETY: Python checks that the object is an instance of the class that has the method.
        let this = unsafe { this.cast_unchecked::<C>() };
        // SAFETY: these are the arguments of this call.
        let arguments = unsafe { Arguments::new(py, values, count, names) };
        let values = this.get().values();
        Ok(match arguments.read(values) {
            Some((status, payload)) => {
                pointer(py, values.outcome(py, this.get().make_beat(py, status, payload)))
            }
            None => pointer(py, arguments.pass_on(this.as_any(), defined::<C>(py)?)),
        })
    });
    result.unwrap_or_else(|error| raise(py, error))
}

/// A result as Python wants it: null if an error is raised.
#[inline]
fn pointer(py: Python<'_>, result: PyResult<Py<PyAny>>) -> *mut PyObject {
    match result {
        Ok(object) => object.into_ptr(),
        Err(error) => raise(py, error),
    }
}

#[cold]
fn raise(py: Python<'_>, error: PyErr) -> *mut PyObject {
    error.restore(py);
    ptr::null_mut()
}

/// The arguments of a call: the positional ones, and after them those with a name.
struct Arguments<'a, 'py> {
    positional: &'a [Borrowed<'a, 'py, PyAny>],
    named: &'a [Borrowed<'a, 'py, PyAny>],
    names: Option<Borrowed<'a, 'py, PyTuple>>,
    py: Python<'py>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// # Safety
    ///
    /// They must be what Python passes to a method, and exist as long as the result.
    unsafe fn new(
        py: Python<'py>,
        values: *const *mut PyObject,
        count: ffi::Py_ssize_t,
        names: *mut PyObject,
    ) -> Self {
        // SAFETY: the names are an object, or null if there are none.
        let names = unsafe { Borrowed::from_ptr_or_opt(py, names) };
        // SAFETY: the object is a tuple.
        let names = names.map(|names| unsafe { names.cast_unchecked::<PyTuple>() });
        let count = count.unsigned_abs();
        let all = count + names.map_or(0, |names| names.len());
        let values = match all {
            0 => &[],
            // SAFETY: Python passes an array of this many objects, and a borrowed one is a pointer.
            _ => unsafe {
                slice::from_raw_parts(values.cast::<Borrowed<'_, '_, PyAny>>(), all)
            },
        };
        let (positional, named) = values.split_at(count);
        Self { positional, named, names, py }
    }

    /// The status and the payload, if they are what almost every call passes.
    #[inline(always)]
    fn read(&self, values: &Values) -> Option<(Status, u32)> {
        match *self.positional {
            _ if self.names.is_some() => self.read_named(values),
            [] => Some((Status::Ok, 0)),
            [status] => Some((read_status(status, values)?, 0)),
            [status, payload] => Some((read_status(status, values)?, whole(payload)?)),
            _ => None,
        }
    }

    /// The same if some arguments have a name.
    #[inline(never)]
    fn read_named(&self, values: &Values) -> Option<(Status, u32)> {
        let (mut status, mut payload) = match *self.positional {
            [] => (None, None),
            [status] => (Some(status), None),
            _ => return None,
        };
        for (name, value) in self.by_name() {
            let argument = match () {
                () if name.is(intern!(self.py, "payload")) => &mut payload,
                () if name.is(intern!(self.py, "status")) => &mut status,
                () => return None,
            };
            if argument.replace(*value).is_some() {
                return None;
            }
        }
        let status = status.map_or(Some(Status::Ok), |status| read_status(status, values))?;
        Some((status, payload.map_or(Some(0), whole)?))
    }

    /// Calls a method of an object with these arguments.
    #[cold]
    fn pass_on(&self, this: &Bound<'py, PyAny>, method: &Py<PyAny>) -> PyResult<Py<PyAny>> {
        let positional = iter::once(this).chain(self.positional.iter().map(|value| &**value));
        let positional = PyTuple::new(self.py, positional.collect::<Vec<_>>())?;
        let named = PyDict::new(self.py);
        for (name, value) in self.by_name() {
            named.set_item(name, value)?;
        }
        method.call(self.py, positional, Some(&named))
    }

    fn by_name(&self) -> impl Iterator<Item = (Bound<'py, PyAny>, &Borrowed<'a, 'py, PyAny>)> {
        self.names.iter().flat_map(|names| names.iter()).zip(self.named)
    }
}

#[inline]
fn read_status(value: Borrowed<'_, '_, PyAny>, values: &Values) -> Option<Status> {
    values.known_status(&value).or_else(|| Status::from_wire(whole(value)?))
}

/// An int itself, not an object that is like one.
fn whole<'a, 'py, T: FromPyObject<'a, 'py>>(value: Borrowed<'a, 'py, PyAny>) -> Option<T> {
    value.cast_exact::<PyInt>().is_ok().then(|| value.extract().ok())?
}
