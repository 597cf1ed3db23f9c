//! The agent: one connection of one process to one observer.

mod engine;
mod open;
pub(crate) mod v1;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

#[cfg(feature = "udp")]
use std::net::SocketAddr;

use engine::{Engine, V2};
pub use open::Options;

use crate::endpoint::Endpoint;
use crate::outcome::BeatOutcome;
#[cfg(feature = "secure-udp")]
use crate::secure::Key;
use crate::status::Status;
#[cfg(feature = "secure-udp")]
use crate::transport::SecureUdpTransport;
#[cfg(feature = "udp")]
use crate::transport::UdpTransport;
use crate::transport::{AnyTransport, BeatTransport, UdsTransport};

/// An agent. Making one may allocate and may fail; after that a beat never blocks,
/// allocates, locks, logs or panics, and costs one system call.
///
/// Beat from the loop that does the work, not from a helper thread that lives on when
/// the work is dead.
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
/// It may be moved to another thread, and is not to be shared: a thread that beats has
/// its own. However many there are, the beats of a process to an endpoint are counted
/// together.
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<varta::Varta>();
/// ```
pub struct Varta<T: BeatTransport = UdsTransport>(Engine<T>);

impl Varta<UdsTransport> {
    /// Connects to the observer bound at a path. It is not followed when it is replaced,
    /// unless [`set_reconnect_after`](Self::set_reconnect_after) says so;
    /// [`open`](Varta::open) makes an agent that follows.
    ///
    /// ```
    /// let error = varta::Varta::connect("/nonexistent/varta.sock").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Errors
    ///
    /// Nobody is bound there, the path is too long for a socket, or permission is denied.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_transport(UdsTransport::connect(path)?)
    }
}

#[cfg(feature = "udp")]
impl Varta<UdpTransport> {
    /// Beats to a UDP address.
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
    /// There is no way to the address, or no descriptor for the socket.
    pub fn connect_udp(address: SocketAddr) -> io::Result<Self> {
        Self::with_transport(UdpTransport::connect(address)?)
    }
}

#[cfg(feature = "secure-udp")]
impl Varta<SecureUdpTransport> {
    /// Beats to a UDP address, sealed with a key that agents and observer share.
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
    /// There is no way to the address, no descriptor for the socket, or no entropy.
    pub fn connect_secure_udp(address: SocketAddr, key: Key) -> io::Result<Self> {
        Self::with_transport(SecureUdpTransport::connect(address, key)?)
    }

    /// Beats to a UDP address, sealed with this process's own key, which is derived from
    /// a master key. A forked child derives its own.
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
    /// There is no way to the address, no descriptor for the socket, or no entropy.
    pub fn connect_secure_udp_with_master(
        address: SocketAddr,
        master: Key,
    ) -> io::Result<Self> {
        Self::with_transport(SecureUdpTransport::connect_with_master(address, master)?)
    }
}

impl Varta<AnyTransport> {
    /// Beats to an [`Endpoint`](crate::Endpoint) given as a string, and takes care of
    /// itself: it may start before its observer and outlive it. On a Unix socket, the
    /// beat after one that found nobody first tries a new session, at most ten times a
    /// second; over UDP the session is kept.
    ///
    /// ```
    /// use varta::{BeatOutcome, DropReason, Status, Varta};
    ///
    /// # let folder = std::env::temp_dir().join(format!("varta-doc-open-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("varta.sock");
    /// # let path = path.to_str().unwrap();
    /// let mut agent = Varta::open(path)?;
    /// let nobody = BeatOutcome::Dropped(DropReason::NoObserver);
    /// assert_eq!(agent.beat(Status::Ok, 0), nobody);
    ///
    /// let observer = std::os::unix::net::UnixDatagram::bind(path)?;
    /// while agent.beat(Status::Ok, 0) == nobody {
    ///     std::thread::yield_now(); // the work
    /// }
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The endpoint or its key file is no good, or permission is denied. An absent
    /// observer is no error.
    pub fn open(endpoint: impl AsRef<OsStr>) -> io::Result<Self> {
        Self::open_with(&Endpoint::from_os_str(endpoint.as_ref())?, Options::default())
    }

    /// As [`open`](Self::open), to the endpoint in `$VARTA_ENDPOINT`, or else to
    /// `/run/varta/varta.sock`.
    ///
    /// ```
    /// use varta::{Status, Varta};
    ///
    /// let mut agent = Varta::open_default()?;
    /// println!("{}", agent.beat(Status::Ok, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
    /// As [`open`](Self::open); when told not to follow, an absent observer is an error.
    pub fn open_with(endpoint: &Endpoint, options: Options) -> io::Result<Self> {
        open::engine(endpoint, options).map(Self)
    }
}

impl<T: BeatTransport> Varta<T> {
    /// Beats over a transport of the user's own.
    ///
    /// ```
    /// use varta::{UdsTransport, Varta};
    ///
    /// # let folder = std::env::temp_dir().join(format!("varta-doc-with-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("varta.sock");
    /// # let observer = std::os::unix::net::UnixDatagram::bind(&path)?;
    /// let agent = Varta::with_transport(UdsTransport::connect(&path)?)?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no memory for what notices a fork.
    pub fn with_transport(transport: T) -> io::Result<Self> {
        Engine::new(transport).map(Self)
    }

    /// Says that this process lives, with a status and a number of the application's own.
    ///
    /// ```
    /// use varta::{BeatOutcome, Status, Varta};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let mut agent = Varta::connect_udp(observer.local_addr()?)?;
    /// match agent.beat(Status::Degraded, 42) {
    ///     BeatOutcome::Sent => {}
    ///     BeatOutcome::Dropped(reason) => eprintln!("nobody heard it: {reason}"),
    ///     BeatOutcome::Failed(error) => eprintln!("look into this: {error}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// [`Status::Stall`] is what an observer says of the silent; beating it fails with
    /// `InvalidInput`.
    #[inline]
    pub fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome {
        self.0.beat::<V2>(status, payload)
    }

    /// Makes a new session to the same place. Nonce and clock go on; in a forked child
    /// they start anew.
    ///
    /// ```
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// agent.reconnect()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no new session; the old one stays as it was.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.0.reconnect()
    }

    /// After `drops` dropped beats in a row, a beat reconnects by itself and sends the
    /// same frame once more; while that does not help, every later beat tries again.
    /// 0, the default, turns it off. Setting it begins a new count.
    ///
    /// ```
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// agent.set_reconnect_after(3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_reconnect_after(&mut self, drops: u32) {
        self.0.set_reconnect_after(drops);
    }

    /// How often the clock went back, for `varta_client_clock_regression_total`.
    ///
    /// ```
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// assert_eq!(agent.clock_regressions(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn clock_regressions(&self) -> u64 {
        self.0.clock_regressions()
    }

    /// How many forks lie between the process that made this agent and the one that uses
    /// it, as its beats have noticed, for `varta_client_fork_recoveries_total`.
    ///
    /// ```
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// assert_eq!(agent.fork_recoveries(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn fork_recoveries(&self) -> u64 {
        self.0.fork_recoveries()
    }
}

/// Says where it leads, what it has counted, and how a fork is noticed: `wipe-on-fork`,
/// `at-fork hook` or `getpid`.
impl<T: BeatTransport> fmt::Debug for Varta<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe("Varta", f)
    }
}
