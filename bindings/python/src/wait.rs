//! Waits until an observer has something to report, without holding the interpreter's lock.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, write};

/// A signal interrupts a wait, but not one that starts just after it. So no wait is longer than
/// this.
const LONGEST: Duration = Duration::from_secs(1);

/// The longest wait after a signal, when another such signal is likely.
const AFTER_SIGNAL: Duration = Duration::from_millis(10);

/// When a wait times out.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        // A deadline beyond the range of the clock is no deadline.
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// The remaining time; None when it is over.
    fn remaining(self) -> Option<Duration> {
        let Some(end) = self.0 else { return Some(Duration::MAX) };
        let remaining = end.saturating_duration_since(Instant::now());
        (!remaining.is_zero()).then_some(remaining)
    }
}

/// Lets any number of threads wait for one observer. It outlives the observer while a thread
/// waits.
pub(crate) struct WaitPoint {
    /// A duplicate of the observer's descriptor.
    observer: OwnedFd,
    /// Readable permanently once the observer is closed.
    closed: OwnedFd,
    /// The process that created it. A forked child shares both descriptors, and closing its
    /// observer must not end the waits of its parent.
    owner: u32,
}

impl WaitPoint {
    pub(crate) fn new(observer: BorrowedFd<'_>) -> io::Result<Self> {
        let closed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { observer: observer.try_clone_to_owned()?, closed, owner: process::id() })
    }

    /// Ends all current and later waits.
    pub(crate) fn end(&self) {
        if self.owner == process::id() {
            // This never fails, because it is written to only once.
            let _ = write(&self.closed, &1_u64.to_ne_bytes());
        }
    }

    fn wait(&self, at_most: Duration) -> Result<(), Errno> {
        let mut descriptors = [&self.observer, &self.closed]
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN));
        poll(&mut descriptors, Timespec::try_from(at_most).ok().as_ref()).map(drop)
    }
}

/// One thread's wait for one event.
pub(crate) struct Wait {
    deadline: Deadline,
    longest: Duration,
}

impl Wait {
    pub(crate) fn new(deadline: Deadline) -> Self {
        Self { deadline, longest: LONGEST }
    }

    /// Waits until there may be something to poll, then runs Python's signal handlers, which may
    /// raise. Returns false after the deadline.
    pub(crate) fn wait(&mut self, py: Python<'_>, wait_point: &WaitPoint) -> PyResult<bool> {
        let Some(remaining) = self.deadline.remaining() else { return Ok(false) };
        let at_most = remaining.min(self.longest);
        self.longest = match py.detach(|| wait_point.wait(at_most)) {
            Ok(()) => LONGEST,
            Err(Errno::INTR) => AFTER_SIGNAL,
            Err(errno) => {
                let failure = (errno.raw_os_error(), "cannot wait for the observer");
                return Err(PyOSError::new_err(failure));
            }
        };
        py.check_signals()?;
        Ok(true)
    }
}
