//! The agent: a connection from this process to an observer.

mod engine;
mod open;
pub(crate) mod v1;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

#[cfg(feature = "udp")]
use std::net::SocketAddr;

use engine::{Engine, V2};
pub use open::Options;

use crate::endpoint::Endpoint;
use crate::outcome::BeatOutcome;
#[cfg(feature = "secure-udp")]
use crate::secure::Key;
use crate::status::Status;
use crate::task::{Task, TaskOptions, TaskReport};
#[cfg(feature = "secure-udp")]
use crate::transport::SecureUdpTransport;
#[cfg(feature = "udp")]
use crate::transport::UdpTransport;
use crate::transport::{AnyTransport, BeatTransport, UdsTransport};

/// An agent: sends the beats of this process to an observer. Creating one may allocate and
/// may fail. After that, a beat never blocks, allocates, locks, logs or panics. It makes
/// one system call, or none if it goes through memory that is shared with the observer.
///
/// Beat from the loop that does the work, not from a helper thread that keeps running when
/// the work has stopped.
///
/// ```
/// use varta::{BeatOutcome, Status, Varta};
///
/// # let folder = std::env::temp_dir().join(format!("varta-doc-agent-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("varta.sock");
/// # let observer = std::os::unix::net::UnixDatagram::bind(&path)?;
/// let mut agent = Varta::connect(&path)?;
/// for queue_length in [3, 2, 5] {
///     // ... the work, and then:
///     assert_eq!(agent.beat(Status::Ok, queue_length), BeatOutcome::Sent);
/// }
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// An agent can be moved to another thread but not shared: each thread that beats needs its
/// own. All agents of a process with the same endpoint share one nonce counter.
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<varta::Varta>();
/// ```
pub struct Varta<T: BeatTransport = UdsTransport>(Engine<T>);

impl Varta<UdsTransport> {
    /// Connects to the observer bound at a path. The agent does not reconnect to an observer
    /// that was replaced, unless [`set_reconnect_after`](Self::set_reconnect_after) is set;
    /// an agent made by [`open`](Varta::open) does.
    ///
    /// ```
    /// let error = varta::Varta::connect("/nonexistent/varta.sock").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Errors
    ///
    /// No observer is bound there, the path is too long for a socket, or permission is denied.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_transport(UdsTransport::connect(path)?)
    }
}

#[cfg(feature = "udp")]
impl Varta<UdpTransport> {
    /// Connects to a UDP address.
    ///
    /// ```
    /// use varta::{BeatOutcome, Status, Varta};
    ///
    /// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut agent = Varta::connect_udp(observer.local_addr()?)?;
    /// assert_eq!(agent.beat(Status::Ok, 0), BeatOutcome::Sent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The address is unreachable, or the process is out of descriptors.
    pub fn connect_udp(address: SocketAddr) -> io::Result<Self> {
        Self::with_transport(UdpTransport::connect(address)?)
    }
}

#[cfg(feature = "secure-udp")]
impl Varta<SecureUdpTransport> {
    /// Connects to a UDP address; beats are sealed with a key that agents and observer share.
    ///
    /// ```
    /// use varta::{BeatOutcome, Status, Varta, secure::Key};
    ///
    /// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut agent = Varta::connect_secure_udp(observer.local_addr()?, Key::from_bytes([7; 32]))?;
    /// assert_eq!(agent.beat(Status::Ok, 0), BeatOutcome::Sent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The address is unreachable, the process is out of descriptors, or there is no entropy.
    pub fn connect_secure_udp(address: SocketAddr, key: Key) -> io::Result<Self> {
        Self::with_transport(SecureUdpTransport::connect(address, key)?)
    }

    /// Connects to a UDP address; beats are sealed with this process's own key, which is
    /// derived from a master key. A forked child derives its own.
    ///
    /// ```
    /// use varta::{BeatOutcome, Status, Varta, secure::Key};
    ///
    /// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let master = Key::from_bytes([7; 32]);
    /// let mut agent = Varta::connect_secure_udp_with_master(observer.local_addr()?, master)?;
    /// assert_eq!(agent.beat(Status::Ok, 0), BeatOutcome::Sent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The address is unreachable, the process is out of descriptors, or there is no entropy.
    pub fn connect_secure_udp_with_master(
        address: SocketAddr,
        master: Key,
    ) -> io::Result<Self> {
        Self::with_transport(SecureUdpTransport::connect_with_master(address, master)?)
    }
}

impl Varta<AnyTransport> {
    /// Opens an agent for an [`Endpoint`](crate::Endpoint) given as a string. The agent may
    /// start before its observer and outlive it. On a Unix socket, after a beat was dropped
    /// because no observer was there, the next beat first reconnects, at most ten times a
    /// second; over UDP the session is kept.
    ///
    /// On a Unix socket, an observer may offer a page of shared memory. Opening waits for it for at
    /// most 20 ms. Beats then go into this page, without a system call; whenever there is no
    /// page, they go as datagrams. An endpoint with `?lane=off` uses datagrams only.
    ///
    /// ```
    /// use varta::{BeatOutcome, DropReason, Status, Varta};
    ///
    /// # let folder = std::env::temp_dir().join(format!("varta-doc-open-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("varta.sock");
    /// # let path = path.to_str().unwrap();
    /// let mut agent = Varta::open(path)?;
    /// let no_observer = BeatOutcome::Dropped(DropReason::NoObserver);
    /// assert_eq!(agent.beat(Status::Ok, 0), no_observer);
    ///
    /// let observer = std::os::unix::net::UnixDatagram::bind(path)?;
    /// while agent.beat(Status::Ok, 0) == no_observer {
    ///     std::thread::yield_now(); // the work
    /// }
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The endpoint or its key file is invalid, or permission is denied. An absent observer
    /// is not an error.
    pub fn open(endpoint: impl AsRef<OsStr>) -> io::Result<Self> {
        Self::open_with(&Endpoint::from_os_str(endpoint.as_ref())?, Options::default())
    }

    /// As [`open`](Self::open), to the endpoint in `$VARTA_ENDPOINT`, or else to
    /// `/run/varta/varta.sock`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_default() -> io::Result<Self> {
        Self::open_with(&Endpoint::from_env()?, Options::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// ```
    /// use varta::{Options, Varta};
    ///
    /// let endpoint = "/nonexistent/varta.sock".parse().unwrap();
    /// let error = Varta::open_with(&endpoint, Options::default().follow(false)).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). If [`Options::follow`] is false, an absent observer is an
    /// error too.
    pub fn open_with(endpoint: &Endpoint, options: Options) -> io::Result<Self> {
        open::engine(endpoint, options).map(Self)
    }
}

impl<T: BeatTransport> Varta<T> {
    /// Makes an agent that sends over the given transport, which may be a custom one:
    /// see [`BeatTransport`].
    ///
    /// # Errors
    ///
    /// There is no memory for detecting forks.
    pub fn with_transport(transport: T) -> io::Result<Self> {
        Engine::new(transport).map(Self)
    }

    /// Sends a beat, with a status and a number chosen by the application.
    ///
    /// ```
    /// use varta::{BeatOutcome, Status, Varta};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let mut agent = Varta::connect_udp(observer.local_addr()?)?;
    /// match agent.beat(Status::Degraded, 42) {
    ///     BeatOutcome::Sent => {}
    ///     BeatOutcome::Dropped(reason) => eprintln!("beat dropped: {reason}"),
    ///     BeatOutcome::Failed(error) => eprintln!("beat failed: {error}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// [`Status::Stall`] is reserved for observers; a beat with it fails with `InvalidInput`.
    #[inline]
    pub fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome {
        self.0.beat::<V2>(status, payload)
    }

    /// Declares a task: a named part of this process that is watched on its own. It makes a call
    /// at least once per threshold, unless it is idle. Declaring it is its first sign of life.
    ///
    /// A name has 1 to 23 bytes of UTF-8 without control characters and need not be unique. The
    /// threshold is 1 ms to 30 days, or [`NEVER`](crate::NEVER). A process can have 31 tasks at
    /// a time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta::{Status, Varta};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let endpoint = format!("udp://{}", observer.local_addr()?);
    /// let mut agent = Varta::open(endpoint)?;
    /// let mut task = agent.task("ingest", Duration::from_secs(2))?;
    /// for number in 0..3 {
    ///     let _ = task.beat(Status::Ok, number); // the work
    ///     let _ = agent.beat(Status::Ok, 0);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// Keep one [`beat`](Self::beat) of the agent in the main loop: to an observer that does not
    /// read the tasks it reports a late one as [`Status::Critical`], and a violation as
    /// [`Status::Degraded`].
    ///
    /// # Errors
    ///
    /// The name or the threshold is invalid (`EINVAL`), the process has 31 tasks (`ENOSPC`), or
    /// there is not enough memory (`ENOMEM`).
    pub fn task(&self, name: &str, threshold: Duration) -> io::Result<Task> {
        self.task_with(name, TaskOptions::new(threshold))
    }

    /// As [`task`](Self::task), with options.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    #[allow(clippy::needless_pass_by_value, reason = "the caller has no use for them")]
    pub fn task_with(&self, name: &str, options: TaskOptions) -> io::Result<Task> {
        Task::declare(self.0.pairs_for_tasks()?, name, &options)
    }

    /// The tasks of this process, with what is late. They are those of all its agents with the
    /// same endpoint.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let task = agent.task("ingest", Duration::from_secs(3600))?;
    /// let healthy = agent.tasks().all(|task| !task.is_late());
    /// assert!(healthy);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn tasks(&self) -> impl Iterator<Item = TaskReport> + use<T> {
        self.0.pairs().into_iter().flat_map(TaskReport::all)
    }

    /// Sends the last words of this process: a beat with status Critical and the terminal nonce.
    /// They always go over the transport, on a new session if the observer was replaced.
    /// `LastWords` can do the same without an agent, in a process that crashes.
    ///
    /// ```
    /// use varta::{BeatOutcome, Frame, NONCE_TERMINAL, Varta};
    ///
    /// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut agent = Varta::connect_udp(observer.local_addr()?)?;
    /// assert_eq!(agent.last_words(9), BeatOutcome::Sent);
    ///
    /// let mut wire = [0; 32];
    /// observer.recv(&mut wire)?;
    /// let frame = Frame::decode(&wire).unwrap();
    /// assert_eq!((frame.nonce, frame.payload), (NONCE_TERMINAL, 9));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn last_words(&mut self, payload: u32) -> BeatOutcome {
        self.0.last_words(payload)
    }

    /// Tells the service manager that this process has started and works, which a unit of
    /// `Type=notify` waits for. Call it once, when the start-up is done.
    ///
    /// Nothing is sent and the outcome is `Dropped(NotConfigured)` unless notifications are turned
    /// on, by [`Options::notify`] or `$VARTA_NOTIFY=1`, and `$NOTIFY_SOCKET` names a service
    /// manager. This never blocks: if the service manager's queue is full, the outcome is
    /// `Dropped(KernelQueueFull)`, and if its socket is not there, it is `Dropped(NoObserver)`.
    ///
    /// ```
    /// use varta::{BeatOutcome, DropReason, Varta};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let agent = Varta::connect_udp(observer.local_addr()?)?;
    /// # if std::env::var_os("VARTA_NOTIFY").is_none() {
    /// assert_eq!(agent.ready(), BeatOutcome::Dropped(DropReason::NotConfigured));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ready(&self) -> BeatOutcome {
        self.0.notify().ready()
    }

    /// Tells the service manager that this process is shutting down, so that its exit is
    /// expected. After that, beats send no more keep-alives. The outcome is as for
    /// [`ready`](Self::ready).
    pub fn stopping(&self) -> BeatOutcome {
        self.0.notify().stopping()
    }

    /// Gives the service manager a text about what this process is doing, for example for
    /// `systemctl status`. The text is cut to 256 bytes, and each control character in it becomes a
    /// space. An empty text clears it. The outcome is as for [`ready`](Self::ready).
    pub fn status(&self, text: &str) -> BeatOutcome {
        self.0.notify().status(text)
    }

    /// Makes a new session to the same endpoint. The nonce and the clock continue; in a
    /// forked child they start again.
    ///
    /// # Errors
    ///
    /// No new session could be made; the old one is unchanged.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.0.reconnect()
    }

    /// After this many dropped beats in a row, the beat reconnects and sends the same frame
    /// once more. As long as that fails, every later beat tries again. 0, the default, turns
    /// this off. Setting it resets the count of drops.
    pub fn set_reconnect_after(&mut self, drops: u32) {
        self.0.set_reconnect_after(drops);
    }

    /// How long ago the observer looked at the beats of this process, if they go through
    /// memory that is shared with it. None if they go as datagrams.
    ///
    /// ```
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// assert_eq!(agent.watched(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn watched(&self) -> Option<Duration> {
        self.0.watched()
    }

    /// How many times the clock went back, for `varta_client_clock_regression_total`.
    #[must_use]
    pub fn clock_regressions(&self) -> u64 {
        self.0.clock_regressions()
    }

    /// How many forks lie between the process that made this agent and the one that uses
    /// it, as detected by its beats, for `varta_client_fork_recoveries_total`.
    #[must_use]
    pub fn fork_recoveries(&self) -> u64 {
        self.0.fork_recoveries()
    }
}

/// Shows the endpoint, the counters, how forks are detected (`wipe-on-fork`, `at-fork hook` or
/// `getpid`), and which way beats go at the moment: by the `lane`, which is memory that is
/// shared with the observer, or as a `datagram`.
impl<T: BeatTransport> fmt::Debug for Varta<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe("Varta", f)
    }
}
