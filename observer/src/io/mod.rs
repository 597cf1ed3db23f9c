//! The observer: sockets, timers and processes around the [`Judge`].

mod agents;
pub(crate) mod bind;
pub(crate) mod causes;
mod clock;
mod descriptor;
mod endpoints;
pub(crate) mod identity;
pub(crate) mod lane;
mod listener;
mod names;
pub(crate) mod pause;
mod poll;
pub(crate) mod processes;
mod reconfigure;
pub(crate) mod secure_state;
mod services;
pub(crate) mod sockets;
mod statistics;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use self::bind::SocketOptions;
use self::clock::Clock;
use self::pause::PauseDetector;
use self::processes::Processes;
use self::sockets::Sockets;
use crate::judge::Judge;
use crate::sys::{Interest, Owner, Ready, Timer};
use crate::time::nanoseconds;

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
        let mut observer = Self {
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
        };
        observer.prepare_page();
        Ok(observer)
    }

    /// Nanoseconds since the observer started, on the clock of its events.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.clock.now()
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

#[cfg(test)]
mod tests;
