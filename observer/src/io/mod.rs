//! The observer: sockets, timers and processes around the [`Judge`].

pub(crate) mod bind;
pub(crate) mod causes;
mod clock;
pub(crate) mod identity;
pub(crate) mod lane;
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
use self::lane::Lanes;
use self::listener::Listener;
use self::pause::PauseDetector;
use self::processes::Processes;
use self::sockets::Sockets;
use crate::cause::CauseInfo;
use crate::counters::Counters;
use crate::event::{Event, Lateness};
use crate::judge::tracker::AgentInfo;
use crate::judge::{Flood, Judge, NotifyCounters, ServiceInfo, ServiceNote, Slot, UidCounts};
use crate::names::{Label, Names};
use crate::sys::{Interest, Owner, Ready, Timer};

/// How long [`Observer::poll`] waits.
const POLL: Duration = Duration::from_millis(100);

/// The timer's token; sockets have small ones, pidfds large ones.
const TIMER: u64 = u32::MAX as u64;

/// The token of the descriptors that the host added with [`Observer::wake_by`].
const WAKER: u64 = TIMER - 1;

/// Receives the beats of agents and reports what happens to each: a stall, a recovery, an
/// exit.
///
/// - **Input.** The observer reads the sockets that its [`Builder`](crate::Builder) bound or
///   [`listen`](Self::listen) added, and watches the processes of local agents. It does so
///   only inside the poll methods. Nothing runs in the background, except threads that close
///   the descriptors that senders attach to datagrams (before Linux 6.16), and at most four that
///   read silent processes, if [causes](crate::Builder::causes) are looked up.
/// - **Time.** Times are in nanoseconds since the observer started, on a clock that includes
///   suspend ([`now_ns`](Self::now_ns)). The observer expects to be polled again when it asked
///   for it: at [`next_deadline`](Self::next_deadline), when its descriptor is readable, or at
///   once after an event. If the host is late, it reports a [pause](crate::What::Paused) and
///   extends the deadlines of all agents.
/// - **Output.** [`poll`](Self::poll), [`poll_timeout`](Self::poll_timeout),
///   [`poll_interruptible`](Self::poll_interruptible) and [`poll_many`](Self::poll_many)
///   return events in the order of time. All other methods return at once and read no socket.
///
/// After `bind`, poll until there is no event, wait, and poll again. There are three ways to
/// wait: block in [`poll`](Self::poll); wait until [`as_fd`](Self#impl-AsFd-for-Observer) is
/// readable, which includes deadlines; or wait for the [sockets](Self::sockets) and for
/// [`next_deadline`](Self::next_deadline). Queries and changes of settings are allowed between
/// any two polls.
///
/// An observer may move between threads, but only one thread uses it at a time. In a forked
/// child, every method that can fail returns an error (ECHILD), and dropping the observer
/// there leaves the parent's sockets alone.
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
/// drop(agent); // from now on the agent is silent
///
/// let mut events = Vec::new();
/// while events.last() != Some(&"stall") {
///     if let Some(event) = observer.poll()? {
///         println!("{event}");
///         events.push(event.what.name());
///     }
/// }
/// assert_eq!(events, ["beat", "stall"]);
/// # drop(observer);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Observer {
    judge: Judge,
    sockets: Sockets,
    processes: Processes,
    clock: Clock,
    pause_detector: PauseDetector,
    socket_options: SocketOptions,
    capacity: usize,
    ready: Ready,
    /// When all descriptors were last checked, including the last one.
    checked_at: u64,
    /// How many pages may be looked at until the clock is read again.
    looks_left: u32,
    /// Whether the kernel sends a pidfd with each datagram.
    passing_pidfds: bool,
    /// The time of the last read of the sockets.
    now: u64,
    /// Makes the observer's descriptor readable when a deadline passes.
    timer: Timer,
    timer_at: Cell<Option<u64>>,
    /// Whether the host waits for the observer's descriptor.
    embedded: Cell<bool>,
    /// The deadline that the host has asked for since its last poll.
    requested_deadline: Cell<Option<Option<u64>>>,
    /// Whether a descriptor of the host was ready.
    woken: bool,
    /// Whether a poll also ends for notes.
    ends_for_notes: bool,
    /// Whether the next read is the first after a wait that began with empty queues.
    waited: bool,
    /// Whether the datagrams were read by such a read: each was sent after the last look at its
    /// sender.
    fresh: bool,
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
            checked_at: 0,
            looks_left: 0,
            passing_pidfds: false,
            now: 0,
            timer,
            timer_at: Cell::new(None),
            embedded: Cell::new(false),
            requested_deadline: Cell::new(None),
            woken: false,
            ends_for_notes: false,
            waited: false,
            fresh: false,
            owner: Owner::here(),
        })
    }

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
        let (mut filled, mut until) = (1, Some(self.now));
        for place in rest {
            // What fails now fails again in the next poll, where no events are lost by the
            // error.
            let Ok(true) = self.event_without_waiting(place, Duration::ZERO, &mut until) else {
                break;
            };
            filled += 1;
        }
        self.end_poll(true, timeout)?;
        Ok(filled)
    }

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

    /// All tracked agents.
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
    /// If this is a forked child (ECHILD).
    pub fn snapshot(&self) -> io::Result<Vec<AgentInfo>> {
        self.owner.check()?;
        Ok(self.agents().collect())
    }

    /// As [`snapshot`](Self::snapshot), but without allocating: fills a slice as far as it
    /// goes, and returns how many agents there are in total.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn snapshot_into(&self, agents: &mut [AgentInfo]) -> io::Result<usize> {
        self.owner.check()?;
        for (place, agent) in agents.iter_mut().zip(self.agents()) {
            *place = agent;
        }
        Ok(self.judge.followed())
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

    /// Nanoseconds since the observer started, on the clock of its events.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.clock.now()
    }

    /// A tracked agent by its number, if there is one.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn agent(&self, agent: u64) -> io::Result<Option<AgentInfo>> {
        self.owner.check()?;
        let Some(slot) = self.judge.find(agent) else { return Ok(None) };
        let info = self.judge.agent_with(slot, self.clock.now(), &self.processes);
        Ok(info.map(|info| self.named(slot, info)))
    }

    /// Takes the first time, of those not taken yet, when the observer ran late by more than
    /// 50 ms or after a suspend, whether or not that was reported as a
    /// [pause](crate::What::Paused). The latest 64 are kept.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// while let Some(lateness) = observer.take_lateness() {
    ///     eprintln!("late by {} ms", lateness.late_ns / 1_000_000);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_lateness(&mut self) -> Option<Lateness> {
        self.pause_detector.take_lateness()
    }

    /// All names of an agent that are known; `None` if it is not tracked.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn names(&self, agent: u64) -> io::Result<Option<Names>> {
        self.owner.check()?;
        let slot = self.judge.find(agent);
        Ok(slot.map(|slot| self.processes.names(slot).unwrap_or_default()))
    }

    /// Sets the name that whoever launched the process of an agent gave it. Returns false if
    /// there is no such local agent.
    pub fn set_launcher_name(&mut self, agent: u64, name: Label) -> bool {
        self.change_names(agent, |names| names.launcher = name)
    }

    /// Sets the name of the script that the process of an agent runs, which the observer does
    /// not look for. Returns false if there is no such local agent.
    pub fn set_script(&mut self, agent: u64, name: Label) -> bool {
        self.change_names(agent, |names| names.script = name)
    }

    fn change_names(&mut self, agent: u64, change: impl FnOnce(&mut Names)) -> bool {
        let slot = self.judge.find(agent);
        slot.is_some_and(|slot| self.processes.rename(slot, agent, change))
    }

    /// The number of an agent whose [`names`](Self::names) have changed since it was first heard,
    /// or since the last call that returned it. A program that keeps labels of its own calls it
    /// after each poll, until it returns `None`.
    pub fn take_renamed(&mut self) -> Option<u64> {
        self.processes.take_renamed()
    }

    /// Why an agent is silent, or one of its tasks; `task` is 0 for the process. `None` if no
    /// Stall was reported, or it has recovered since, or
    /// [causes](crate::Builder::causes) are not looked up. No Stall is reported of a process that
    /// executes another program, until that gives a sign of life; its cause is
    /// [`Exec`](crate::Cause::Exec).
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn cause(&self, agent: u64, task: u32) -> io::Result<Option<CauseInfo>> {
        self.owner.check()?;
        Ok(self.judge.cause(agent, task))
    }

    /// Returns a pidfd of an agent's process, which the caller owns. A signal sent through it
    /// reaches this process or none. It refers to the process that the observer tracks; for an
    /// agent that is [unconfirmed](AgentInfo::unconfirmed), that may be the wrong one.
    ///
    /// `None` if the agent is not tracked, beats over a network or has exited, or if exits are
    /// not detected.
    ///
    /// # Errors
    ///
    /// If there is no free descriptor, or if this is a forked child (ECHILD).
    pub fn pidfd(&self, agent: u64) -> io::Result<Option<OwnedFd>> {
        self.owner.check()?;
        let Some(slot) = self.judge.find(agent) else { return Ok(None) };
        let Some(info) = self.judge.agent(slot, 0) else { return Ok(None) };
        self.processes.pidfd(slot, info.pid)
    }

    fn agents(&self) -> impl Iterator<Item = AgentInfo> + '_ {
        let agents = self.judge.agents_with(self.clock.now(), &self.processes);
        agents.map(|(slot, info)| self.named(slot, info))
    }

    fn named(&self, slot: Slot, info: AgentInfo) -> AgentInfo {
        let name = self.processes.name(slot).unwrap_or_default();
        let label = self.processes.names(slot).unwrap_or_default().label(name.as_bytes());
        AgentInfo { name, label, ..info }
    }

    /// All counters since the observer started.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn stats(&self) -> io::Result<Counters> {
        self.owner.check()?;
        let cause_stuck = self.processes.lost_readers();
        Ok(Counters { cause_stuck, ..*self.judge.counters() })
    }

    /// How many agents were evicted since the last call.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_evictions(&mut self) -> io::Result<u64> {
        self.owner.check()?;
        Ok(self.judge.drain_evictions())
    }

    /// How many beats of new agents were refused since the last call because there was no
    /// room.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_capacity_exceeded(&mut self) -> io::Result<u64> {
        self.owner.check()?;
        Ok(self.judge.drain_capacity_exceeded())
    }

    /// What has filled the queues of the Unix sockets since the last call, and which users
    /// sent it. While a queue is full the kernel refuses beats, and the observer [puts Stalls
    /// off](crate::judge::Judge::looked).
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
    /// If this is a forked child (ECHILD).
    pub fn drain_flood(&mut self) -> io::Result<Flood> {
        self.owner.check()?;
        Ok(self.judge.drain_flood())
    }

    /// The users whose new agents were refused since the last call because there was no room,
    /// with the number of their datagrams.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_refused(&mut self) -> io::Result<UidCounts> {
        self.owner.check()?;
        Ok(self.judge.drain_refused())
    }

    /// The programs that speak the protocol of sd_notify, in no particular order.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn services(&self) -> io::Result<Vec<ServiceInfo>> {
        self.owner.check()?;
        Ok(self.judge.services().collect())
    }

    /// The service of an agent, if it is one.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn service(&self, agent: u64) -> io::Result<Option<ServiceInfo>> {
        self.owner.check()?;
        Ok(self.judge.service(agent))
    }

    /// Lets a poll end, without an event, as soon as there is something for
    /// [`next_note`](Self::next_note). A host that asks for this must fetch all notes after each
    /// poll: until then polls do not wait.
    pub fn end_polls_for_notes(&mut self) {
        self.ends_for_notes = true;
    }

    /// The next thing that a service has said and that was not fetched yet, for a log. There is
    /// room for a thousand.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn next_note(&mut self) -> io::Result<Option<ServiceNote>> {
        self.owner.check()?;
        Ok(self.judge.next_note())
    }

    /// Whether the exit of this agent, which was one of the last thousand, was announced by
    /// STOPPING=1.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn exit_was_expected(&self, agent: u64) -> io::Result<bool> {
        self.owner.check()?;
        Ok(self.judge.exit_was_expected(agent))
    }

    /// The counters of notifications.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn notify_stats(&self) -> io::Result<NotifyCounters> {
        self.owner.check()?;
        Ok(self.judge.notify_counters())
    }

    /// How many datagrams the kernel queues at the Unix socket with the shortest queue, as far
    /// as is known: an inherited socket may have been created with another length. `None`
    /// without a Unix socket.
    #[must_use]
    pub fn queue_length(&self) -> Option<usize> {
        let local = self.sockets.listeners().filter(|listener| listener.is_local());
        local.map(Listener::queue_bound).min()
    }

    /// The UDP addresses that the observer listens at.
    pub fn udp_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.listeners().filter_map(Listener::udp_address)
    }

    /// The sockets that the observer reads, in the order in which they were added, for example
    /// to query their buffer sizes. Do not read from them: that takes beats away from the
    /// observer.
    ///
    /// With [`lane`](crate::Builder::lane), the sockets that hand out shared memory come last.
    /// What agents send over a connection is read at the [deadline](Self::next_deadline) at the
    /// latest.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let lanes = self.processes.lanes().into_iter().flat_map(Lanes::listeners);
        self.sockets.listeners().map(AsFd::as_fd).chain(lanes)
    }

    /// A warning for the operator: the kernel's queue is too short for the capacity, or there is
    /// no shared memory for agents although [`lane`](crate::Builder::lane) asked for it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let lane = self.processes.lanes().and_then(Lanes::advice).map(str::to_owned);
        let advice = [self.queue_advice(), lane].into_iter().flatten();
        advice.reduce(|first, second| format!("{first}; {second}"))
    }

    fn queue_advice(&self) -> Option<String> {
        let capacity = self.capacity;
        let queue = self.queue_length()?;
        (queue < capacity).then(|| {
            format!(
                "the kernel queues only {queue} beats at a time for up to {capacity} agents; set a \
                 larger sysctl net.unix.max_dgram_qlen before the observer starts to avoid drops"
            )
        })
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

impl Drop for Observer {
    fn drop(&mut self) {
        // In a forked child the state file belongs to the parent.
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
