//! Waiting for an observer in an event loop of the host: its descriptor, and its next deadline.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::{Observer, WAKER};
use crate::sys::Interest;

impl Observer {
    /// How long until the next poll has something to report even if nothing arrives; zero if
    /// it already has. The caller must poll by then: coming later counts as a pause.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// // A loop that also has work of its own to do at a certain time:
    /// let work_at = Instant::now() + Duration::from_millis(20);
    /// while Instant::now() < work_at {
    ///     let until_work = work_at.saturating_duration_since(Instant::now());
    ///     let wait = observer.next_deadline()?.unwrap_or(until_work).min(until_work);
    ///     if let Some(event) = observer.poll_timeout(wait)? {
    ///         println!("{event}");
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn next_deadline(&self) -> io::Result<Option<Duration>> {
        self.owner.check()?;
        let due = self.due();
        self.requested_deadline.set(Some(due));
        Ok(due.map(|due| Duration::from_nanos(due.saturating_sub(self.clock.now()))))
    }

    /// Makes a poll's wait end when this descriptor becomes readable too: for example an
    /// eventfd, a pipe or a socket of the host. The host must read from it itself. Several
    /// descriptors may be added; one that is closed no longer counts.
    ///
    /// ```
    /// use std::io::Write;
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let (reader, mut writer) = std::io::pipe()?;
    /// observer.wake_by(&reader)?;
    /// writer.write_all(b"!")?;
    /// assert_eq!(observer.poll_timeout(Duration::MAX)?, None); // it does not wait forever
    /// assert!(observer.take_woken());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the kernel cannot wait for it, or if this is a forked child (ECHILD).
    pub fn wake_by(&mut self, descriptor: impl AsFd) -> io::Result<()> {
        self.owner.check()?;
        self.processes.epoll().add(descriptor.as_fd(), WAKER, Interest::Readable)
    }

    /// Whether a descriptor added by [`wake_by`](Self::wake_by) has been ready since the last
    /// call. The descriptors are checked a thousand times a second even while there are always
    /// more events.
    pub fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Sets the timer so that the descriptor becomes readable when there is something to
    /// report.
    pub(super) fn arm(&self) -> io::Result<()> {
        let now = self.clock.now();
        let retry_at = self.sockets.next_retry();
        let due = [self.due(), retry_at, self.tick(now)].into_iter().flatten().min();
        let armed = self.timer_at.get();
        // A timer that wakes the host too early costs less than setting it for each beat.
        let good_enough = armed.is_some_and(|at| at > now && due.is_some_and(|due| at <= due));
        if good_enough || armed == due {
            return Ok(());
        }
        match due {
            // A timer set to 0 would be off.
            Some(due) => self.timer.arm(self.clock.since_boot(due).max(1))?,
            None => self.timer.disarm()?,
        }
        self.timer_at.set(due);
        Ok(())
    }
}

/// The descriptor is readable whenever a poll has something to report, including a Stall. It
/// is level-triggered.
///
/// ```
/// use std::os::fd::AsRawFd;
/// use std::time::Duration;
/// use mio::{Events, Interest, Poll, Token, unix::SourceFd};
/// # use std::net::UdpSocket;
///
/// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
/// # let address = observer.udp_addresses().next().unwrap();
/// # UdpSocket::bind("127.0.0.1:0")?.send_to(b"not a frame, but 32 bytes of text", address)?;
/// # UdpSocket::bind("127.0.0.1:0")?.send_to(&[0; 32], address)?;
/// let mut poll = Poll::new()?;
/// let mut observer_fd = SourceFd(&observer.as_raw_fd());
/// poll.registry().register(&mut observer_fd, Token(0), Interest::READABLE)?;
/// let mut ready = Events::with_capacity(8);
/// poll.poll(&mut ready, None)?;
/// while let Some(event) = observer.poll_timeout(Duration::ZERO)? {
///     println!("{event}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
impl AsFd for Observer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // A forked child must not set the timer, which it shares with its parent.
        if self.owner.is_here() {
            self.embedded.set(true);
            // If the timer cannot be set now, the next poll tries again and returns the error.
            let _ = self.arm();
        }
        self.processes.epoll().as_fd()
    }
}

/// As [`AsFd`], for callers that need the raw number.
impl AsRawFd for Observer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
