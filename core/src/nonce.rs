//! Allocates the nonces of beats: one counter per process and endpoint.

use std::ffi::OsStr;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fork::ForkGuard;
use crate::frame::NONCE_TERMINAL;

/// The last nonce that was used.
#[derive(Debug)]
pub(crate) enum Nonces {
    /// Shared by all agents of this process with the same endpoint. It is 0 in a child.
    Shared(&'static AtomicU64),
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
        loop {
            let taken = self.last().fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if taken != NONCE_TERMINAL {
                return taken;
            }
        }
    }

    /// The next nonce of version 1, which stays at the one before the terminal nonce.
    pub(crate) fn take_stopping(&self) -> u64 {
        let next = |last: u64| last.saturating_add(1).min(NONCE_TERMINAL - 1);
        let mut last = self.last().load(Ordering::Relaxed);
        while let Err(changed) = self.last().compare_exchange_weak(
            last,
            next(last),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            last = changed;
        }
        next(last)
    }

    /// Resets the nonces in a child. A shared counter has been wiped already.
    pub(crate) fn reset_in_child(&self) {
        if let Self::Own(last) = self {
            last.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn last(&self) -> &AtomicU64 {
        match self {
            Self::Shared(last) => last,
            Self::Own(last) => last,
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
        let own = Nonces::of(None).unwrap();
        assert_eq!(own.take_wrapping(), 1);
    }
}
