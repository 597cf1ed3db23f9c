//! Allocates the nonces of beats: one counter per process and endpoint.

use std::ffi::OsStr;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fork::{Counter, ForkGuard};
use crate::frame::NONCE_TERMINAL;

/// The last nonce that was used.
pub(crate) enum Nonces {
    /// Shared by all agents of this process with the same endpoint. It is 0 in a child.
    Shared(&'static Counter),
    /// Used by a single agent, whose transport does not name its endpoint.
    Own(AtomicU64),
}

impl Nonces {
    pub(crate) fn of(endpoint: Option<&OsStr>) -> io::Result<Self> {
        match endpoint {
            Some(endpoint) => ForkGuard::of_process()?.counter(endpoint).map(Self::Shared),
            None => Ok(Self::Own(AtomicU64::new(0))),
        }
    }

    /// The next nonce of version 2, which wraps to 0 and skips the terminal nonce.
    #[inline]
    pub(crate) fn take_wrapping(&self) -> u64 {
        let last = self.last();
        loop {
            let taken = last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if taken != NONCE_TERMINAL {
                return taken;
            }
        }
    }

    /// The next nonce of version 1, which stays at the one before the terminal nonce.
    pub(crate) fn take_stopping(&self) -> u64 {
        let next = |last: u64| last.saturating_add(1).min(NONCE_TERMINAL - 1);
        let counter = self.last();
        let mut last = counter.load(Ordering::Relaxed);
        while let Err(changed) = counter.compare_exchange_weak(
            last,
            next(last),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            last = changed;
        }
        next(last)
    }

    /// Counts a beat that goes into a page, and returns its nonce. Only one thread may do so at
    /// a time, so that it needs no locked instruction; a datagram may take the same nonce at
    /// the same moment, after which the nonces go on above both.
    #[inline]
    pub(crate) fn count_line(&self) -> u64 {
        let Self::Shared(counter) = self else { return self.count_own() };
        let lines = counter.lines.load(Ordering::Relaxed).wrapping_add(1);
        counter.lines.store(lines, Ordering::Relaxed);
        counter.with_lines(lines)
    }

    #[cold]
    fn count_own(&self) -> u64 {
        self.take_wrapping()
    }

    /// The last nonce that was taken, by a datagram or a beat in a page.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        match self {
            Self::Shared(counter) => counter.with_lines(counter.lines.load(Ordering::Relaxed)),
            Self::Own(last) => last.load(Ordering::Relaxed),
        }
    }

    /// Resets the nonces in a child. A shared counter has been wiped already.
    pub(crate) fn reset_in_child(&self) {
        if let Self::Own(last) = self {
            last.store(0, Ordering::Relaxed);
        }
    }

    /// The counter from which datagrams take their nonces.
    #[inline]
    fn last(&self) -> &AtomicU64 {
        match self {
            Self::Shared(counter) => {
                let lines = counter.lines.load(Ordering::Relaxed);
                if lines != counter.counted.load(Ordering::Relaxed) {
                    counter.count(lines);
                }
                counter.last
            }
            Self::Own(last) => last,
        }
    }
}

impl Counter {
    #[inline]
    fn with_lines(&self, lines: u64) -> u64 {
        let last = self.last.load(Ordering::Relaxed);
        last.wrapping_add(lines.wrapping_sub(self.counted.load(Ordering::Relaxed)))
    }

    /// Moves the beats in pages to the counter of datagrams.
    #[cold]
    fn count(&self, lines: u64) {
        let counted = self.counted.load(Ordering::Relaxed);
        let new = lines.wrapping_sub(counted);
        // Another thread may have counted more of them by now.
        let is_new = new != 0 && new <= u64::MAX / 2;
        let count = || {
            self.counted.compare_exchange(counted, lines, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_new && count().is_ok() {
            self.last.fetch_add(new, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(last: u64) -> Nonces {
        Nonces::Own(AtomicU64::new(last))
    }

    #[test]
    fn version_2_wraps_and_skips_the_terminal_nonce() {
        let nonces = after(NONCE_TERMINAL - 3);
        let taken: Vec<_> = (0..4).map(|_| nonces.take_wrapping()).collect();
        assert_eq!(taken, [NONCE_TERMINAL - 2, NONCE_TERMINAL - 1, 0, 1]);
    }

    #[test]
    fn version_1_stops_before_the_terminal_nonce() {
        let nonces = after(NONCE_TERMINAL - 3);
        let taken: Vec<_> = (0..3).map(|_| nonces.take_stopping()).collect();
        assert_eq!(taken, [NONCE_TERMINAL - 2, NONCE_TERMINAL - 1, NONCE_TERMINAL - 1]);
        assert_eq!(after(0).take_stopping(), 1);
        assert_eq!(after(NONCE_TERMINAL).take_stopping(), NONCE_TERMINAL - 1);
    }

    #[test]
    fn an_endpoint_has_one_counter() {
        let name = Some(OsStr::new("nonce.rs: an_endpoint_has_one_counter"));
        let (one, two) = (Nonces::of(name).unwrap(), Nonces::of(name).unwrap());
        assert_eq!((one.take_wrapping(), two.take_wrapping(), one.take_stopping()), (1, 2, 3));
        // A beat in a page counts too, wherever the next datagram is sent from.
        assert_eq!((one.count_line(), two.count_line(), one.latest()), (4, 5, 5));
        assert_eq!((two.take_wrapping(), one.count_line(), one.take_stopping()), (6, 7, 8));
        let own = Nonces::of(None).unwrap();
        assert_eq!(own.take_wrapping(), 1);
    }
}
