//! Waiting for an observer to have something to say, with the interpreter let go.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, write};

/// A signal ends a wait, but not one that begins in the instant after it. So no wait is
/// longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// Nor longer than this after a signal, which is when another is likely to come so.
const AFTER_SIGNAL: Duration = Duration::from_millis(10);

/// When a wait ends that nothing else has ended.
#[derive(Clone, Copy)]
pub(crate) struct Until(Option<Instant>);

impl Until {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        // An end that no clock can tell is none.
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left of it; None when it is over.
    fn rest(self) -> Option<Duration> {
        let Some(end) = self.0 else { return Some(Duration::MAX) };
        let rest = end.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(rest)
    }
}

/// Where threads wait for one observer, any number of them at a time. It outlives the
/// observer while one does.
pub(crate) struct Waiting {
    /// A copy of the observer's own.
    observer: OwnedFd,
    /// Readable for ever once the observer is closed.
    closed: OwnedFd,
    /// A forked child has both too, and may close its observer as it likes.
    owner: u32,
}

impl Waiting {
    pub(crate) fn new(observer: BorrowedFd<'_>) -> io::Result<Self> {
        let closed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { observer: observer.try_clone_to_owned()?, closed, owner: process::id() })
    }

    /// Ends every wait, now and later.
    pub(crate) fn end(&self) {
        if self.owner == process::id() {
            // It is written to once in its life, for which there is always room.
            let _ = write(&self.closed, &1_u64.to_ne_bytes());
        }
    }

    fn wait(&self, at_most: Duration) -> Result<(), Errno> {
        let mut descriptors = [&self.observer, &self.closed]
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN));
        poll(&mut descriptors, Timespec::try_from(at_most).ok().as_ref()).map(drop)
    }
}

/// A thread's wait for one event.
pub(crate) struct Wait {
    until: Until,
    longest: Duration,
}

impl Wait {
    pub(crate) fn new(until: Until) -> Self {
        Self { until, longest: LONGEST }
    }

    /// Waits until there may be something to look at; then has Python run its signal
    /// handlers, of which one may raise. False when the time is over.
    pub(crate) fn goes_on(&mut self, py: Python<'_>, waiting: &Waiting) -> PyResult<bool> {
        let Some(rest) = self.until.rest() else { return Ok(false) };
        let at_most = rest.min(self.longest);
        self.longest = match py.detach(|| waiting.wait(at_most)) {
            Ok(()) => LONGEST,
            Err(Errno::INTR) => AFTER_SIGNAL,
            Err(errno) => {
                let failure = (errno.raw_os_error(), "the observer cannot wait");
                return Err(PyOSError::new_err(failure));
            }
        };
        py.check_signals()?;
        Ok(true)
    }
}
