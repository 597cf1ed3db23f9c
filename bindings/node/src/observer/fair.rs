//! A lock that its holder cannot take again before a thread that already waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A thread takes the turn before it waits for the value. So a thread that releases the value and
/// wants it again at once finds the turn taken. This is fair for two threads.
#[derive(Debug)]
pub(super) struct Fair<T> {
    turn: Mutex<()>,
    value: Mutex<T>,
}

impl<T> Fair<T> {
    pub(super) fn new(value: T) -> Self {
        Self { turn: Mutex::new(()), value: Mutex::new(value) }
    }

    /// After a panic, the caller must decide whether the value is still usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn);
        value
    }
}
