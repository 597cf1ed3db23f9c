//! Waiting for an observer to have something to say, with the interpreter let go.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A signal that comes just before a wait does not end it. So no wait is longer than this,
/// and Ctrl-C, or a close by another thread, is noticed in a moment whatever happens.
const LONGEST: Duration = Duration::from_millis(100);

/// When a wait ends that nothing else has ended.
#[derive(Clone, Copy)]
pub(crate) struct Until(Option<Instant>);

impl Until {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        // An end that no clock can tell is none.
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left of it, as far as one wait goes; None when it is over.
    pub(crate) fn rest(self) -> Option<Duration> {
        let Some(end) = self.0 else { return Some(LONGEST) };
        let rest = end.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then(|| rest.min(LONGEST))
    }
}

/// Waits until the descriptor is readable, a signal comes, or as long as told; then has
/// Python run its signal handlers, of which one may raise.
pub(crate) fn readable(py: Python<'_>, descriptor: &OwnedFd, wait: Duration) -> PyResult<()> {
    let waited = py.detach(|| {
        let limit = Timespec::try_from(wait).ok();
        poll(&mut [PollFd::new(descriptor, PollFlags::IN)], limit.as_ref())
    });
    match waited {
        Ok(_) | Err(Errno::INTR) => py.check_signals(),
        Err(errno) => {
            Err(PyOSError::new_err((errno.raw_os_error(), "the observer cannot wait")))
        }
    }
}
