//! The observer: sockets and processes around the part that decides.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use varta::Endpoint;

use crate::builder::{Builder, pause_after_ns};
use crate::counters::Counters;
use crate::event::Event;
use crate::following::{Following, Passing};
use crate::judge::{Datagram, Judge, Sender};
use crate::lanes::{Lanes, Read};
use crate::lateness::Lateness;
use crate::sys::{self, Interest, Owner, Ready, Timer};
use crate::tracker::AgentInfo;

/// How long [`Observer::poll`] waits.
const POLL: Duration = Duration::from_millis(100);

/// While agents are followed, the observer looks at least so often whether it came late.
const TICK_NS: u64 = 1_000_000_000;

/// While there is always more to read, exits are looked for so often.
const UNDER_LOAD_NS: u64 = 1_000_000;

/// The timer's token; sockets have small ones, pidfds large ones.
const TIMER: u64 = u32::MAX as u64;

/// Hears agents and says what becomes of them.
///
/// It is used by one thread at a time and may move between threads. Block in
/// [`poll`](Self::poll); or wait until [`as_fd`](Self#impl-AsFd-for-Observer) is readable;
/// or wait for [`next_deadline`](Self::next_deadline) beside the sockets.
///
/// ```
/// use std::time::Duration;
/// use varta::{Status, Varta};
/// use varta_observer::{Observer, What};
///
/// # let folder = std::env::temp_dir().join(format!("varta-doc-observer-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("varta.sock");
/// let mut observer = Observer::bind(&path, Duration::from_millis(100), 0o600)?;
///
/// let mut agent = Varta::connect(&path)?;
/// let _ = agent.beat(Status::Ok, 7);
/// drop(agent); // and nothing more is heard of it
///
/// let mut said = Vec::new();
/// while said.last() != Some(&"stall") {
///     if let Some(event) = observer.poll()? {
///         println!("{event}");
///         said.push(event.what.name());
///     }
/// }
/// assert_eq!(said, ["beat", "stall"]);
/// # drop(observer);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// In a forked child it answers an error to everything, and dropping it there leaves the
/// parent's socket alone.
pub struct Observer {
    judge: Judge,
    lanes: Lanes,
    following: Following,
    clock: Clock,
    lateness: Lateness,
    pause_after: Option<Duration>,
    capacity: usize,
    ready: Ready,
    /// When the descriptors were last looked at, to the last one.
    waited: u64,
    /// Whether the kernel sends a pidfd with each datagram.
    passing_pidfds: bool,
    /// The time of the last look at the sockets, at which what was read then was heard.
    now: u64,
    /// Wakes a host that waits for the descriptor.
    timer: Timer,
    armed: Cell<Option<u64>>,
    /// Whether somebody waits for the descriptor.
    embedded: Cell<bool>,
    /// The deadline that the host has asked for since it polled last.
    asked: Cell<Option<Option<u64>>>,
    owner: Owner,
}

/// The observer's time: nanoseconds since it started, suspend included.
struct Clock {
    start: u64,
}

impl Clock {
    fn now(&self) -> u64 {
        sys::boottime_ns().saturating_sub(self.start)
    }

    /// The time spent suspended since boot.
    fn asleep() -> u64 {
        let before = sys::monotonic_ns();
        sys::boottime_ns().saturating_sub(before)
    }
}

impl Observer {
    /// Listens at a path for agents of the same user, each of which may be silent for
    /// `threshold`. [`builder`](Self::builder) is for all the rest.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta_observer::Observer;
    ///
    /// let error = Observer::bind("/nonexistent/varta.sock", Duration::from_secs(2), 0o600).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Builder::bind`].
    pub fn bind(
        path: impl AsRef<Path>,
        threshold: Duration,
        socket_mode: u32,
    ) -> io::Result<Self> {
        Builder::new()
            .listen(Endpoint::Path(path.as_ref().to_owned()))
            .threshold(threshold)
            .socket_mode(socket_mode)
            .bind()
    }

    /// Begins to say how an observer is to be.
    ///
    /// ```
    /// let builder = varta_observer::Observer::builder().version1(true);
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// An observer without sockets, fed and advanced by hand in invented time, with
    /// everything at its default.
    ///
    /// ```
    /// let simulated = varta_observer::Observer::simulated();
    /// ```
    #[must_use]
    pub fn simulated() -> crate::Simulated {
        crate::Simulated::default()
    }

    pub(crate) fn new(
        judge: Judge,
        following: Following,
        lanes: Lanes,
        pause_after: Option<Duration>,
        capacity: usize,
    ) -> io::Result<Self> {
        let timer = Timer::new()?;
        following.epoll().add(timer.as_fd(), TIMER, Interest::Readable)?;
        let clock = Clock { start: sys::boottime_ns() };
        let mut observer = Self {
            judge,
            lanes,
            following,
            clock,
            lateness: Lateness::new(0, 0, Clock::asleep()),
            pause_after,
            capacity,
            ready: Ready::new(),
            waited: 0,
            passing_pidfds: false,
            now: 0,
            timer,
            armed: Cell::new(None),
            embedded: Cell::new(false),
            asked: Cell::new(None),
            owner: Owner::here(),
        };
        observer.set_pause_after();
        Ok(observer)
    }

    /// The next event, waiting for it at most 100 ms.
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
    /// As [`poll_timeout`](Self::poll_timeout).
    pub fn poll(&mut self) -> io::Result<Option<Event>> {
        self.poll_timeout(POLL)
    }

    /// The next event, waiting for it as long as told; [`Duration::ZERO`] does not wait,
    /// [`Duration::MAX`] waits for ever. A signal may end the wait early, without an event.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.poll_timeout(Duration::ZERO)?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Only what cannot be an event: that this is a forked child (ECHILD), or that the
    /// kernel will not wait.
    pub fn poll_timeout(&mut self, timeout: Duration) -> io::Result<Option<Event>> {
        if !self.owner.is_here() {
            return Err(io::Error::from_raw_os_error(libc::ECHILD));
        }
        let polled = match self.next_event(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            polled => polled,
        };
        self.leave(matches!(polled, Ok(Some(_))), timeout)?;
        polled
    }

    /// Fills a slice with events, waiting only for the first, as long as told. Says how
    /// many there are.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta_observer::Event;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let mut events = [Event::NOTHING; 64];
    /// assert_eq!(observer.poll_many(&mut events, Duration::ZERO)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`poll_timeout`](Self::poll_timeout).
    pub fn poll_many(&mut self, events: &mut [Event], timeout: Duration) -> io::Result<usize> {
        let Some((first, rest)) = events.split_first_mut() else { return Ok(0) };
        let Some(event) = self.poll_timeout(timeout)? else { return Ok(0) };
        *first = event;
        let (mut filled, mut until) = (1, Some(self.now));
        for place in rest {
            // What fails now fails again in the next poll, which has no events to lose.
            let Ok(Some(event)) = self.at_hand(Duration::ZERO, &mut until) else { break };
            *place = event;
            filled += 1;
        }
        self.leave(true, timeout)?;
        Ok(filled)
    }

    /// When a poll has something to say though nothing arrives: from now, and zero if it
    /// has already. Whoever asks is expected to poll by then: coming later counts as a
    /// pause.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.next_deadline(), None); // nobody is followed
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = self.due();
        self.asked.set(Some(due));
        Some(Duration::from_nanos(due?.saturating_sub(self.clock.now())))
    }

    /// Gives an agent a threshold of its own; its silence so far counts. False if there is
    /// no such agent.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert!(!observer.set_threshold(1, Duration::from_secs(30)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_threshold(&mut self, agent: u64, threshold: Duration) -> bool {
        let known = self.judge.set_threshold(agent, nanoseconds(threshold));
        self.set_pause_after();
        known
    }

    /// The agents that are followed.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// for agent in observer.snapshot() {
    ///     println!("{} ({}): {}", agent.pid, agent.name, agent.status);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<AgentInfo> {
        self.agents().collect()
    }

    /// As [`snapshot`](Self::snapshot), without allocating: fills a slice as far as it
    /// goes, and says how many agents there are.
    ///
    /// ```
    /// use varta_observer::AgentInfo;
    ///
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let mut agents = [AgentInfo::NOBODY; 100];
    /// assert_eq!(observer.snapshot_into(&mut agents), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn snapshot_into(&self, agents: &mut [AgentInfo]) -> usize {
        for (place, agent) in agents.iter_mut().zip(self.agents()) {
            *place = agent;
        }
        self.judge.followed()
    }

    fn agents(&self) -> impl Iterator<Item = AgentInfo> + '_ {
        self.judge.agents(self.clock.now()).map(|(slot, info)| AgentInfo {
            name: self.following.name(slot).unwrap_or_default(),
            ..info
        })
    }

    /// What has been counted since the observer started.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.stats().beats, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Counters {
        *self.judge.counters()
    }

    /// How many agents have made room since this was last asked.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.drain_evictions(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn drain_evictions(&mut self) -> u64 {
        self.judge.drain_evictions()
    }

    /// How many beats of newcomers have found no room since this was last asked.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.drain_capacity_exceeded(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn drain_capacity_exceeded(&mut self) -> u64 {
        self.judge.drain_capacity_exceeded()
    }

    /// The UDP addresses it listens at.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_ne!(observer.udp_addresses().next().unwrap().port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn udp_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.lanes.listeners().filter_map(crate::listener::Listener::udp_address)
    }

    /// What the operator should know: that the kernel's queue is short for so many agents.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.advice(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let capacity = self.capacity;
        let queue = self
            .lanes
            .listeners()
            .filter(|listener| listener.is_local())
            .map(crate::listener::Listener::queue_bound)
            .min()?;
        (queue < capacity).then(|| {
            format!(
                "the kernel queues {queue} beats at a time for up to {capacity} agents; a larger \
                 sysctl net.unix.max_dgram_qlen, set before the observer starts, spares them drops"
            )
        })
    }

    fn set_pause_after(&mut self) {
        let pause_after = pause_after_ns(self.pause_after, &self.judge);
        self.lateness.set_pause_after(pause_after);
    }

    /// Notes when the host is expected back, which has found something or not.
    fn leave(&mut self, found: bool, timeout: Duration) -> io::Result<()> {
        self.asked.set(None);
        if self.embedded.get() {
            self.arm()?;
            self.lateness.expect(self.armed.get());
        } else {
            // A host in the middle of its loop is expected back at once. One that has found
            // nothing without waiting comes when it likes.
            let at_once = found || !timeout.is_zero();
            self.lateness.expect(at_once.then_some(self.now));
        }
        Ok(())
    }

    /// The next event that there is without waiting. Whatever is read that leads to none,
    /// it ends with what has arrived by `until`, which is set if it was not yet.
    fn at_hand(
        &mut self,
        timeout: Duration,
        until: &mut Option<u64>,
    ) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.judge.next_event() {
                return Ok(Some(event));
            }
            if self.hear() || self.settle_passed() || self.settle_silent() {
                continue;
            }
            if !self.lanes.is_ready() {
                return Ok(None);
            }
            let now = self.clock.now();
            let until = *until.get_or_insert_with(|| now.saturating_add(nanoseconds(timeout)));
            if self.is_settled(until) {
                return Ok(None);
            }
            self.read(now)?;
        }
    }

    fn next_event(&mut self, timeout: Duration) -> io::Result<Option<Event>> {
        let mut until = None;
        loop {
            if let Some(event) = self.at_hand(timeout, &mut until)? {
                return Ok(Some(event));
            }
            let now = self.clock.now();
            // The host may have been stopped between two polls.
            self.note_look(now);
            if self.judge.has_events() {
                continue;
            }
            let until = *until.get_or_insert_with(|| now.saturating_add(nanoseconds(timeout)));
            if self.is_settled(until) {
                return Ok(None);
            }
            self.wait(now, until)?;
            if self.now >= until && self.is_idle() {
                return Ok(None);
            }
        }
    }

    /// Whether all that came by then, beats and ends, has been taken in, though there may
    /// be no end of what comes after it.
    fn is_settled(&self, until: u64) -> bool {
        self.following.alive_until(self.waited) >= until
            && self.lanes.read_until().is_some_and(|read| read >= until)
    }

    /// Hears the next datagram of those that were read.
    fn hear(&mut self) -> bool {
        let Some((listener, sealed, mut message)) = self.lanes.take() else { return false };
        let sender = match (message.credentials, message.source) {
            (None, Some(source)) => Sender::Network { address: source.ip(), sealed },
            (Some(who), _) => {
                let pidfd = message.pidfd.take().and_then(Result::ok);
                let process = self.following.sent_by(self.now, who.pid, pidfd);
                Sender::Kernel { pid: who.pid, uid: who.uid, process }
            }
            // Queued at an inherited socket before the kernel was asked for names.
            (None, None) => Sender::Kernel { pid: 0, uid: u32::MAX, process: None },
        };
        let datagram = Datagram {
            listener,
            sender,
            bytes: message.bytes,
            truncated: message.data_truncated,
            control_truncated: message.control_truncated,
        };
        self.judge.hear(self.now, &datagram, &mut self.following);
        self.following.heard();
        if let Some(total) = message.overflow {
            let dropped = self.lanes.overflowed(listener, total);
            self.judge.kernel_dropped(dropped);
        }
        true
    }

    /// Says or notes the next end of a process of which everything has been heard.
    fn settle_passed(&mut self) -> bool {
        if let Some(seen) = self.following.gone_since() {
            self.lanes.look_again(seen);
        }
        let read_until = self.lanes.read_until().unwrap_or(self.now);
        match self.following.next_passing(read_until, self.now) {
            Some(Passing::Over(slot, cause)) => {
                self.judge.exited(self.now, slot, cause, &mut self.following);
                true
            }
            Some(Passing::Unreaped(slot)) => {
                self.judge.exiting(slot);
                true
            }
            None => false,
        }
    }

    /// Says the next silence that is over its threshold, once everything has been read that
    /// could have broken it, and everybody looked at who could have died instead.
    fn settle_silent(&mut self) -> bool {
        let Some(due) = self.judge.next_deadline().filter(|due| *due <= self.now) else {
            return false;
        };
        let read_until = self.lanes.read_until().unwrap_or(self.now);
        let horizon = read_until.min(self.following.alive_until(self.waited));
        if horizon < due {
            self.lanes.look_again(due);
            return false;
        }
        self.judge.judge(horizon, &mut self.following)
    }

    /// Reads a batch, if there is one.
    fn read(&mut self, now: u64) -> io::Result<()> {
        if now.saturating_sub(self.waited) > UNDER_LOAD_NS {
            self.look_at_descriptors(Some(Duration::ZERO))?;
        } else {
            self.note_look(now);
        }
        let (unidentified, followed) = (self.judge.unidentified(), self.judge.followed());
        let wanted = self.following.wants_pidfds(unidentified, followed);
        if wanted != self.passing_pidfds {
            self.passing_pidfds = wanted;
            self.lanes.pass_pidfds(wanted);
        }
        match self.lanes.read(|| self.clock.now(), self.following.epoll()) {
            Read::Some(now) => self.now = now,
            Read::Nothing => {}
            Read::Failed(error) => {
                self.judge.io(self.now, error.raw_os_error().unwrap_or_default());
            }
        }
        Ok(())
    }

    fn wait(&mut self, now: u64, until: u64) -> io::Result<()> {
        let rested = self.lanes.resume(now, self.following.epoll());
        let due = [self.due(), rested, self.tick(now), Some(until)].into_iter().flatten().min();
        self.lateness.expect(due);
        let timeout = due.filter(|due| *due != u64::MAX);
        let timeout = timeout.map(|due| Duration::from_nanos(due.saturating_sub(now)));
        self.look_at_descriptors(timeout)
    }

    /// Waits until a descriptor is ready, and takes note of those that are.
    fn look_at_descriptors(&mut self, mut timeout: Option<Duration>) -> io::Result<()> {
        loop {
            let found = self.following.epoll().wait(&mut self.ready, timeout);
            let now = self.clock.now();
            self.note_look(now);
            let mut news = false;
            for at in 0..found? {
                let Some(ready) = self.ready.get(at) else { break };
                match ready.token {
                    TIMER => {
                        self.timer.drain();
                        self.armed.set(None);
                    }
                    token if Following::is_pidfd(token) => {
                        news |= self.following.ready(token, now, self.waited);
                    }
                    token => self.lanes.set_ready(token, ready.hung_up),
                }
            }
            // When many have died at once, one look does not tell of all.
            if !news {
                self.waited = now;
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
    }

    fn note_look(&mut self, now: u64) {
        self.now = now;
        if let Some(due) = self.asked.take() {
            self.lateness.expect(due);
        }
        if let Some(pause) = self.lateness.look(now, Clock::asleep) {
            self.judge.pause(now, pause);
        }
        // Until it waits again or leaves, it goes on at once.
        self.lateness.expect(Some(now));
    }

    /// When there is something to say though nothing arrives.
    fn due(&self) -> Option<u64> {
        if self.judge.has_events()
            || self.lanes.has_backlog()
            || self.following.gone_since().is_some()
        {
            return Some(self.now);
        }
        [self.judge.next_deadline(), self.following.next_deadline()].into_iter().flatten().min()
    }

    /// When to look whether the observer comes late.
    fn tick(&self, now: u64) -> Option<u64> {
        (self.judge.followed() > 0).then(|| now.saturating_add(TICK_NS))
    }

    fn is_idle(&self) -> bool {
        !self.lanes.is_ready() && self.due().is_none_or(|due| due > self.now)
    }

    /// Has the descriptor become readable when there is something to say.
    fn arm(&self) -> io::Result<()> {
        let now = self.clock.now();
        let rested = self.lanes.rested_at();
        let due = [self.due(), rested, self.tick(now)].into_iter().flatten().min();
        let armed = self.armed.get();
        // One that will wake the host too early costs less than setting it for each beat.
        let serves = armed.is_some_and(|at| at > now && due.is_some_and(|due| at <= due));
        if serves || armed == due {
            return Ok(());
        }
        match due {
            // A timer set for 0 would be off.
            Some(due) => self.timer.arm(self.clock.start.saturating_add(due).max(1))?,
            None => self.timer.disarm()?,
        }
        self.armed.set(due);
        Ok(())
    }
}

/// Readable whenever a poll has something to say, a Stall included. It is level-triggered.
impl AsFd for Observer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // A child must not set the timer, which is its parent's too.
        if self.owner.is_here() {
            self.embedded.set(true);
            // If the timer cannot be set now, the next poll tries again and says so.
            let _ = self.arm();
        }
        self.following.epoll().as_fd()
    }
}

/// As [`AsFd`], for those who ask for the number.
impl AsRawFd for Observer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("listeners", &self.lanes.len())
            .field("followed", &self.judge.followed())
            .finish_non_exhaustive()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
