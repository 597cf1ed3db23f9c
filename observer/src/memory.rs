//! Memory that is allocated at bind, so that none is needed later.

use std::collections::{TryReserveError, VecDeque};
use std::error::Error;
use std::fmt;
use std::io;

use crate::sys;

/// There is not enough memory for the requested capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not enough memory for this capacity")
    }
}

impl Error for OutOfMemory {}

impl From<OutOfMemory> for io::Error {
    fn from(_: OutOfMemory) -> Self {
        Self::from_raw_os_error(libc::ENOMEM)
    }
}

impl From<TryReserveError> for OutOfMemory {
    fn from(_: TryReserveError) -> Self {
        Self
    }
}

/// An empty vector with room for this many values.
pub(crate) fn vector<T>(capacity: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(capacity)?;
    Ok(vector)
}

/// An empty queue with room for this many values.
pub(crate) fn queue<T>(capacity: usize) -> Result<VecDeque<T>, OutOfMemory> {
    let mut queue = VecDeque::new();
    queue.try_reserve_exact(capacity)?;
    Ok(queue)
}

/// A slice of this many zeros. Pages that are never used are never touched.
pub(crate) fn zeros(count: usize) -> Result<Box<[u64]>, OutOfMemory> {
    sys::zeros(count).ok_or(OutOfMemory)
}
