//! The methods with which a host polls.

use std::io;
use std::time::Duration;

use crate::event::Event;
use crate::io::Observer;

/// How long [`Observer::poll`] waits.
const POLL: Duration = Duration::from_millis(100);

impl Observer {
    /// Returns the next event, waiting up to 100 ms for it.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// while let Some(event) = observer.poll()? {
    ///     println!("{event}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`poll_timeout`](Self::poll_timeout).
    pub fn poll(&mut self) -> io::Result<Option<Event>> {
        self.poll_timeout(POLL)
    }

    /// Returns the next event, waiting up to `timeout` for it. [`Duration::ZERO`] does not
    /// wait, [`Duration::MAX`] waits forever. A signal may end the wait early, without an
    /// event.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD), or if the kernel cannot wait. Everything else that
    /// fails is reported as an event.
    pub fn poll_timeout(&mut self, timeout: Duration) -> io::Result<Option<Event>> {
        let mut event = Event::NOTHING;
        Ok(self.poll_into(&mut event, timeout)?.then_some(event))
    }

    /// As [`poll_timeout`](Self::poll_timeout), but a signal that ends the wait is an error of
    /// the kind [`Interrupted`](io::ErrorKind::Interrupted), for hosts that handle signals
    /// after the wait.
    ///
    /// # Errors
    ///
    /// See [`poll_timeout`](Self::poll_timeout); and if a signal ended the wait.
    pub fn poll_interruptible(&mut self, timeout: Duration) -> io::Result<Option<Event>> {
        let mut event = Event::NOTHING;
        Ok(self.poll_interruptible_into(&mut event, timeout)?.then_some(event))
    }

    fn poll_interruptible_into(
        &mut self,
        place: &mut Event,
        timeout: Duration,
    ) -> io::Result<bool> {
        self.owner.check()?;
        self.processes.begin_batch();
        let polled = self.next_event(place, timeout);
        self.end_poll(matches!(polled, Ok(true)), timeout)?;
        polled
    }

    /// Treats a signal that ends the wait as a timeout.
    fn poll_into(&mut self, place: &mut Event, timeout: Duration) -> io::Result<bool> {
        match self.poll_interruptible_into(place, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            polled => polled,
        }
    }

    /// Fills a slice with events and returns how many there are. Waits up to `timeout` for the
    /// first event, and not at all for the others.
    ///
    /// # Errors
    ///
    /// See [`poll_timeout`](Self::poll_timeout).
    pub fn poll_many(&mut self, events: &mut [Event], timeout: Duration) -> io::Result<usize> {
        self.owner.check()?;
        let Some((first, rest)) = events.split_first_mut() else { return Ok(0) };
        if !self.poll_into(first, timeout)? {
            return Ok(0);
        }
        Ok(1 + self.poll_more(rest)?)
    }

    /// Fills a slice with events that follow those of the last poll, without waiting, and
    /// returns how many there are. They belong to that poll: the [`label`](Self::label) of each
    /// agent in it stays known.
    ///
    /// # Errors
    ///
    /// See [`poll_timeout`](Self::poll_timeout).
    #[doc(hidden)]
    pub fn poll_more(&mut self, events: &mut [Event]) -> io::Result<usize> {
        self.owner.check()?;
        let (mut filled, mut until) = (0, Some(self.now));
        for place in events {
            if self.processes.batch_is_full() {
                break;
            }
            // What fails now fails again in the next poll, where no events are lost by the
            // error.
            let Ok(true) = self.event_without_waiting(place, Duration::ZERO, &mut until) else {
                break;
            };
            filled += 1;
        }
        self.end_poll(true, Duration::ZERO)?;
        Ok(filled)
    }

    /// Ends a poll: records when the host is expected back. `found` is whether the poll
    /// returned an event.
    pub(super) fn end_poll(&mut self, found: bool, timeout: Duration) -> io::Result<()> {
        self.requested_deadline.set(None);
        if self.embedded.get() {
            self.arm()?;
            self.pause_detector.expect(self.timer_at.get());
        } else {
            // A host that got an event is expected back at once. One that got none and did not
            // wait comes back when it likes.
            let at_once = found || !timeout.is_zero();
            self.pause_detector.expect(at_once.then_some(self.now));
        }
        Ok(())
    }
}
