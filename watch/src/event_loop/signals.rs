//! Signals: taken by a handler that sets a mark and wakes the loop, nothing more.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level::pipe};

/// What has been asked for by signal.
#[derive(Debug)]
pub(crate) struct Signals {
    woken: UnixStream,
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    dump: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn take() -> io::Result<Self> {
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let signals =
            Self { woken, end: Arc::default(), reload: Arc::default(), dump: Arc::default() };
        for (signal, mark) in [
            (SIGTERM, &signals.end),
            (SIGINT, &signals.end),
            (SIGHUP, &signals.reload),
            (SIGUSR1, &signals.dump),
        ] {
            flag::register(signal, Arc::clone(mark))?;
            pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Becomes readable when a signal has come.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// Stills it; what came before is marked.
    pub(crate) fn still(&self) {
        // Read until nothing is left, which is an error too.
        while matches!((&self.woken).read(&mut [0; 64]), Ok(1..)) {}
    }

    /// Whether the daemon is to end.
    pub(crate) fn end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Whether to reload, once each time it is asked for.
    pub(crate) fn reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    /// Whether to write the state to the log, once each time it is asked for.
    pub(crate) fn dump(&self) -> bool {
        self.dump.swap(false, Ordering::Relaxed)
    }
}
