//! No panic crosses into Python as anything but a RuntimeError.
//!
//! Left to itself a panic would become PyO3's `PanicException`, which `except Exception`
//! does not catch. So every method and function that Python may call is written inside
//! `methods!` or `function!`, which contain what is in its body; a test finds any that is
//! not.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Runs a body, and makes an error of its panic. What the panic left behind is whole as far
/// as memory goes; what it means, the error says.
#[inline]
pub(crate) fn contain<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => Err(contained(&*panic)),
    }
}

#[cold]
fn contained(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    PyRuntimeError::new_err(format!("varta has panicked, which is a bug in it: {text}"))
}

/// The methods of a class.
macro_rules! methods {
    (impl $class:ident { $(
        $(#[$meta:meta])*
        fn $name:ident $(<$life:lifetime>)? ( $($args:tt)* ) -> $answer:ty $body:block
    )* }) => {
        #[pyo3::pymethods]
        impl $class { $(
            $(#[$meta])*
            fn $name $(<$life>)? ( $($args)* ) -> pyo3::PyResult<$answer> {
                $crate::guard::contain(move || $body)
            }
        )* }
    };
}

/// A function of the module.
macro_rules! function {
    (
        $(#[$meta:meta])*
        fn $name:ident $(<$life:lifetime>)? ( $($args:tt)* ) -> $answer:ty $body:block
    ) => {
        #[pyo3::pyfunction]
        $(#[$meta])*
        pub(crate) fn $name $(<$life>)? ( $($args)* ) -> pyo3::PyResult<$answer> {
            $crate::guard::contain(move || $body)
        }
    };
}

pub(crate) use {function, methods};

function! {
    /// Panics, so that tests can see what becomes of it.
    #[pyo3(name = "_panic")]
    #[allow(clippy::panic, reason = "it is what this is for")]
    fn provoke_panic(message: String) -> () {
        panic!("{message}")
    }
}
