//! The observer: sockets and processes around the part that decides.

pub(crate) mod bind;
mod clock;
pub(crate) mod identity;
mod listener;
pub(crate) mod pause;
mod poll;
pub(crate) mod processes;
mod reconfigure;
pub(crate) mod secure_state;
pub(crate) mod sockets;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use self::bind::SocketOptions;
use self::clock::Clock;
use self::listener::Listener;
use self::pause::PauseDetector;
use self::processes::Processes;
use self::sockets::Sockets;
use crate::counters::Counters;
use crate::event::Event;
use crate::judge::tracker::AgentInfo;
use crate::judge::{Flood, Judge, Slot, UidCounts};
use crate::sys::{Interest, Owner, Ready, Timer};

/// How long [`Observer::poll`] waits.
const POLL: Duration = Duration::from_millis(100);

/// The timer's token; sockets have small ones, pidfds large ones.
const TIMER: u64 = u32::MAX as u64;

/// The token of whatever the host wants to be woken by.
const WAKER: u64 = TIMER - 1;

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
/// In a forked child every call on it that can fail does (ECHILD), and dropping it there
/// leaves the parent's socket alone.
pub struct Observer {
    judge: Judge,
    sockets: Sockets,
    processes: Processes,
    clock: Clock,
    pause_detector: PauseDetector,
    socket_options: SocketOptions,
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
    /// A descriptor of the host's own was ready.
    woken: bool,
    owner: Owner,
}

impl Observer {
    pub(crate) fn new(
        judge: Judge,
        processes: Processes,
        sockets: Sockets,
        socket_options: SocketOptions,
        pause_after: Option<Duration>,
        capacity: usize,
    ) -> io::Result<Self> {
        let timer = Timer::new()?;
        processes.epoll().add(timer.as_fd(), TIMER, Interest::Readable)?;
        let clock = processes.clock();
        let pause_after = pause_after.map(nanoseconds);
        let pause_detector =
            PauseDetector::new(pause_after, judge.shortest_threshold(), Clock::asleep());
        Ok(Self {
            judge,
            sockets,
            processes,
            clock,
            pause_detector,
            socket_options,
            capacity,
            ready: Ready::new(),
            waited: 0,
            passing_pidfds: false,
            now: 0,
            timer,
            armed: Cell::new(None),
            embedded: Cell::new(false),
            asked: Cell::new(None),
            woken: false,
            owner: Owner::here(),
        })
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
        let mut event = Event::NOTHING;
        Ok(self.poll_into(&mut event, timeout)?.then_some(event))
    }

    /// As [`poll_timeout`](Self::poll_timeout), for a host that has to look after a signal:
    /// one that ends the wait is an error of the kind [`Interrupted`](io::ErrorKind::Interrupted).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.poll_interruptible(Duration::from_millis(1))?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`poll_timeout`](Self::poll_timeout), and a signal.
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
        let polled = self.next_event(place, timeout);
        self.leave(matches!(polled, Ok(true)), timeout)?;
        polled
    }

    /// A signal is none of this host's business.
    fn poll_into(&mut self, place: &mut Event, timeout: Duration) -> io::Result<bool> {
        match self.poll_interruptible_into(place, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            polled => polled,
        }
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
        self.owner.check()?;
        let Some((first, rest)) = events.split_first_mut() else { return Ok(0) };
        if !self.poll_into(first, timeout)? {
            return Ok(0);
        }
        let (mut filled, mut until) = (1, Some(self.now));
        for place in rest {
            // What fails now fails again in the next poll, which has no events to lose.
            let Ok(true) = self.at_hand(place, Duration::ZERO, &mut until) else { break };
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
    /// use std::time::{Duration, Instant};
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.next_deadline()?, None); // nobody is followed
    ///
    /// // A loop with something to do of its own, now and then:
    /// let own_turn = Instant::now() + Duration::from_millis(20);
    /// while Instant::now() < own_turn {
    ///     let own = own_turn.saturating_duration_since(Instant::now());
    ///     let wait = observer.next_deadline()?.unwrap_or(own).min(own);
    ///     if let Some(event) = observer.poll_timeout(wait)? {
    ///         println!("{event}");
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn next_deadline(&self) -> io::Result<Option<Duration>> {
        self.owner.check()?;
        let due = self.due();
        self.asked.set(Some(due));
        Ok(due.map(|due| Duration::from_nanos(due.saturating_sub(self.clock.now()))))
    }

    /// The agents that are followed.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// for agent in observer.snapshot()? {
    ///     println!("{} ({}): {}", agent.pid, agent.name, agent.status);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn snapshot(&self) -> io::Result<Vec<AgentInfo>> {
        self.owner.check()?;
        Ok(self.agents().collect())
    }

    /// As [`snapshot`](Self::snapshot), without allocating: fills a slice as far as it
    /// goes, and says how many agents there are.
    ///
    /// ```
    /// use varta_observer::AgentInfo;
    ///
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let mut agents = [AgentInfo::NOBODY; 100];
    /// assert_eq!(observer.snapshot_into(&mut agents)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn snapshot_into(&self, agents: &mut [AgentInfo]) -> io::Result<usize> {
        self.owner.check()?;
        for (place, agent) in agents.iter_mut().zip(self.agents()) {
            *place = agent;
        }
        Ok(self.judge.followed())
    }

    /// Ends a poll's wait whenever this descriptor is readable too: an eventfd, a pipe, a
    /// socket of the host's own. The host reads it empty itself. Several may be added; one
    /// that is closed counts no more.
    ///
    /// ```
    /// use std::io::Write;
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let (bell, mut rope) = std::io::pipe()?;
    /// observer.wake_by(&bell)?;
    /// rope.write_all(b"!")?;
    /// assert_eq!(observer.poll_timeout(Duration::MAX)?, None); // it does not wait for ever
    /// assert!(observer.take_woken());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That it cannot be waited for, and that this is a forked child (ECHILD).
    pub fn wake_by(&mut self, descriptor: impl AsFd) -> io::Result<()> {
        self.owner.check()?;
        self.processes.epoll().add(descriptor.as_fd(), WAKER, Interest::Readable)
    }

    /// Whether such a descriptor has been ready since this was last asked. Also while there
    /// is no end of events, it is looked at a thousand times a second.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert!(!observer.take_woken());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Nanoseconds since the observer started, on the clock of its events.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let before = observer.now_ns();
    /// assert!(observer.now_ns() >= before);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.clock.now()
    }

    /// One of the agents that are followed.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.agent(1)?, None); // nobody is followed
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn agent(&self, agent: u64) -> io::Result<Option<AgentInfo>> {
        self.owner.check()?;
        let Some(slot) = self.judge.find(agent) else { return Ok(None) };
        let info = self.judge.agent(slot, self.clock.now());
        Ok(info.map(|info| self.named(slot, info)))
    }

    /// A pidfd of an agent's process, for the caller to keep: a signal that is sent by it
    /// hits this process or none. It is the one that the observer follows; of an agent that
    /// is [unconfirmed](AgentInfo::unconfirmed) it may be another process's.
    ///
    /// None where there is none to have: of an agent over a network, of one that has
    /// exited, and where exits are not detected.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert!(observer.pidfd(1)?.is_none()); // nobody is followed
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That there is no descriptor left, and that this is a forked child (ECHILD).
    pub fn pidfd(&self, agent: u64) -> io::Result<Option<OwnedFd>> {
        self.owner.check()?;
        let Some(slot) = self.judge.find(agent) else { return Ok(None) };
        let Some(info) = self.judge.agent(slot, 0) else { return Ok(None) };
        self.processes.pidfd(slot, info.pid)
    }

    fn agents(&self) -> impl Iterator<Item = AgentInfo> + '_ {
        let agents = self.judge.agents(self.clock.now());
        agents.map(|(slot, info)| self.named(slot, info))
    }

    fn named(&self, slot: Slot, info: AgentInfo) -> AgentInfo {
        AgentInfo { name: self.processes.name(slot).unwrap_or_default(), ..info }
    }

    /// What has been counted since the observer started.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.stats()?.beats, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn stats(&self) -> io::Result<Counters> {
        self.owner.check()?;
        Ok(*self.judge.counters())
    }

    /// How many agents have made room since this was last asked.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.drain_evictions()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn drain_evictions(&mut self) -> io::Result<u64> {
        self.owner.check()?;
        Ok(self.judge.drain_evictions())
    }

    /// How many beats of newcomers have found no room since this was last asked.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.drain_capacity_exceeded()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn drain_capacity_exceeded(&mut self) -> io::Result<u64> {
        self.owner.check()?;
        Ok(self.judge.drain_capacity_exceeded())
    }

    /// What has filled the queues of its Unix sockets since this was last asked, and which
    /// users sent it. While a queue is full the kernel refuses beats, and the observer
    /// [puts Stalls off](crate::judge::Judge::looked).
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let flood = observer.drain_flood()?;
    /// for (uid, datagrams) in flood.senders.iter() {
    ///     println!("uid {uid} sent {datagrams} datagrams");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn drain_flood(&mut self) -> io::Result<Flood> {
        self.owner.check()?;
        Ok(self.judge.drain_flood())
    }

    /// The users whose newcomers have found no room since this was last asked, with the
    /// number of their datagrams.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert!(observer.drain_refused()?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn drain_refused(&mut self) -> io::Result<UidCounts> {
        self.owner.check()?;
        Ok(self.judge.drain_refused())
    }

    /// How many datagrams the kernel queues at the Unix socket with the shortest queue, as
    /// far as is known: an inherited socket may have been made with another length.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.queue_length(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn queue_length(&self) -> Option<usize> {
        let local = self.sockets.listeners().filter(|listener| listener.is_local());
        local.map(Listener::queue_bound).min()
    }

    /// The UDP addresses it listens at.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_ne!(observer.udp_addresses().next().unwrap().port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn udp_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.listeners().filter_map(Listener::udp_address)
    }

    /// The sockets it reads, in the order in which they were given: to be asked what the
    /// kernel knows of them, such as their buffers. Whoever reads from one takes its beats.
    ///
    /// ```
    /// use varta_observer::Builder;
    ///
    /// let here = ([127, 0, 0, 1], 0).into();
    /// let observer = Builder::new().udp(here).udp(here).bind()?;
    /// assert_eq!(observer.sockets().count(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.listeners().map(AsFd::as_fd)
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
        let queue = self.queue_length()?;
        (queue < capacity).then(|| {
            format!(
                "the kernel queues {queue} beats at a time for up to {capacity} agents; a larger \
                 sysctl net.unix.max_dgram_qlen, set before the observer starts, spares them drops"
            )
        })
    }
}

/// Readable whenever a poll has something to say, a Stall included. It is level-triggered.
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
        // A child must not set the timer, which is its parent's too.
        if self.owner.is_here() {
            self.embedded.set(true);
            // If the timer cannot be set now, the next poll tries again and says so.
            let _ = self.arm();
        }
        self.processes.epoll().as_fd()
    }
}

/// As [`AsFd`], for those who ask for the number.
impl AsRawFd for Observer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // In a forked child the file is its parent's.
        if self.owner.is_here() {
            self.processes.close(self.judge.sessions_ahead());
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("listeners", &self.sockets.len())
            .field("followed", &self.judge.followed())
            .finish_non_exhaustive()
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
