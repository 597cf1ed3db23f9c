//! A value that the interpreter's lock protects.
#![allow(unsafe_code, reason = "the compiler does not know the interpreter's lock")]

use std::cell::{RefCell, RefMut};

use pyo3::prelude::*;

/// A value for the thread that holds the interpreter's lock. Borrowing it never waits and needs no
/// locked instruction, which would take longer than the rest of a beat. No fork finds it borrowed.
#[derive(Debug)]
pub(crate) struct Held<T>(RefCell<T>);

// SAFETY: the cell is only reached by `borrow` and by dropping it, and then this thread holds the
// interpreter's lock: a token proves that in every interpreter that `require_lock` accepts. So no
// two threads use the cell at once. The value may be used by one thread after another.
unsafe impl<T: Send> Sync for Held<T> {}

impl<T> Held<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Borrows the value. It panics if the value is borrowed already, so a borrow must end before
    /// anything that runs Python code.
    #[inline]
    pub(crate) fn borrow<'a>(&'a self, _attached: Python<'a>) -> RefMut<'a, T> {
        self.0.borrow_mut()
    }
}
