//! Turns every panic into a RuntimeError.
//!
//! By default a panic becomes PyO3's `PanicException`, which `except Exception` does not
//! catch. So every method and function that Python may call is defined with `methods!` or
//! `function!`, which catch panics in its body. A test finds any that is not.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Runs a body and converts a panic into an error. The state that a panic leaves behind is
/// memory-safe; the error tells the caller not to rely on it.
#[inline]
pub(crate) fn contain<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => Err(panic_error(&*panic)),
    }
}

#[cold]
fn panic_error(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    PyRuntimeError::new_err(format!("varta panicked, which is a bug in varta: {text}"))
}

/// Defines the methods of a class.
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

/// Defines a function of the module.
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
    /// Panics, for tests of the conversion.
    #[pyo3(name = "_panic")]
    #[allow(clippy::panic, reason = "this is its purpose")]
    fn provoke_panic(message: String) -> () {
        panic!("{message}")
    }
}
