//! A lock whose holder cannot take it again past one who waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whoever wants the value first takes the turn: a thread that lets go and comes back at
/// once finds the turn taken. For two threads that is fair.
#[derive(Debug)]
pub(super) struct Fair<T> {
    turn: Mutex<()>,
    value: Mutex<T>,
}

impl<T> Fair<T> {
    pub(super) fn new(value: T) -> Self {
        Self { turn: Mutex::new(()), value: Mutex::new(value) }
    }

    /// A value that a panic left behind is the holder's to judge.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn);
        value
    }
}
