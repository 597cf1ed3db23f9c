//! Signals. The handlers only set a flag and wake the event loop.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level::pipe};

/// The requests made by signal.
#[derive(Debug)]
pub(crate) struct Signals {
    woken: UnixStream,
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    dump: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn register() -> io::Result<Self> {
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let signals =
            Self { woken, end: Arc::default(), reload: Arc::default(), dump: Arc::default() };
        for (signal, requested) in [
            (SIGTERM, &signals.end),
            (SIGINT, &signals.end),
            (SIGHUP, &signals.reload),
            (SIGUSR1, &signals.dump),
        ] {
            flag::register(signal, Arc::clone(requested))?;
            pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Becomes readable when a signal arrives.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// Empties the pipe. The flags of earlier signals stay set.
    pub(crate) fn clear(&self) {
        // Ends with an error when nothing is left.
        while matches!((&self.woken).read(&mut [0; 64]), Ok(1..)) {}
    }

    /// Whether the daemon has to end.
    pub(crate) fn end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Whether to reload. Resets the request.
    pub(crate) fn reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    /// Whether to write the state to the log. Resets the request.
    pub(crate) fn dump(&self) -> bool {
        self.dump.swap(false, Ordering::Relaxed)
    }
}
