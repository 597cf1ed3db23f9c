//! Making an observer.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use varta::Endpoint;
use varta::secure::Key;

use crate::io::bind::{ListenAt, NamedKey, SocketOptions, invalid, second_master_key};
use crate::io::identity::{self, KernelFeatures};
use crate::io::processes::Processes;
use crate::io::secure_state::SecureState;
use crate::io::sockets::Sockets;
use crate::io::{Observer, nanoseconds};
use crate::judge::tracker::MOST;
use crate::judge::{Exits, Judge, SealedSession, Settings, most_sessions};
use crate::policy::{Policy, Rate, Uids};
use crate::simulated::Simulated;
use crate::sys;

/// The threshold of an observer that is not told another.
pub const DEFAULT_THRESHOLD: Duration = Duration::from_secs(2);

/// How many agents an observer follows that is not told another number.
pub const DEFAULT_CAPACITY: usize = 4096;

/// Says how an observer is to be, then makes it.
///
/// ```
/// use std::time::Duration;
/// use varta_observer::{Builder, Uids};
///
/// # let folder = std::env::temp_dir().join(format!("varta-doc-builder-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("varta.sock");
/// # let endpoint = path.to_str().unwrap().parse().unwrap();
/// let observer = Builder::new()
///     .listen(endpoint)
///     .udp(([127, 0, 0, 1], 0).into())
///     .threshold(Duration::from_millis(500))
///     .capacity(10_000)
///     .uids(Uids::Any)
///     .bind()?;
/// # drop(observer);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing listens until `bind` is called"]
pub struct Builder {
    listen_at: Vec<ListenAt>,
    threshold: Duration,
    pause_after: Option<Duration>,
    capacity: usize,
    socket_mode: u32,
    receive_buffer: Option<usize>,
    policy: Policy,
    shared_keys: Vec<Key>,
    master_key: Option<Key>,
    secure_state_file: Option<PathBuf>,
    detect_exits: bool,
    descriptors: Option<usize>,
    kernel_features: Option<KernelFeatures>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One that listens nowhere yet, with everything at its default.
    ///
    /// ```
    /// let error = varta_observer::Builder::new().bind().unwrap_err();
    /// assert_eq!(error.to_string(), "cannot bind: no endpoint was given");
    /// ```
    pub fn new() -> Self {
        Self {
            listen_at: Vec::new(),
            threshold: DEFAULT_THRESHOLD,
            pause_after: None,
            capacity: DEFAULT_CAPACITY,
            socket_mode: 0o600,
            receive_buffer: None,
            policy: Policy::same_uid(sys::effective_uid()),
            shared_keys: Vec::new(),
            master_key: None,
            secure_state_file: None,
            detect_exits: true,
            descriptors: None,
            kernel_features: None,
        }
    }

    /// Listens at an endpoint too. A `udp+secure` endpoint's key file is read by [`bind`](Self::bind).
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().listen("/run/varta.sock".parse().unwrap());
    /// ```
    pub fn listen(mut self, endpoint: Endpoint) -> Self {
        self.listen_at.push(ListenAt::Endpoint(endpoint));
        self
    }

    /// Listens at a UDP address too; port 0 is one of the kernel's choosing, which
    /// [`Observer::udp_addresses`] names.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into());
    /// ```
    pub fn udp(mut self, address: SocketAddr) -> Self {
        self.listen_at.push(ListenAt::Udp(address));
        self
    }

    /// Listens at a UDP address for sealed beats; the keys are given apart.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new()
    ///     .secure_udp(([127, 0, 0, 1], 0).into())
    ///     .shared_key(varta::secure::Key::from_bytes([7; 32]));
    /// ```
    pub fn secure_udp(mut self, address: SocketAddr) -> Self {
        self.listen_at.push(ListenAt::SecureUdp(address));
        self
    }

    /// Listens at a bound Unix datagram socket that was handed over, as by a service
    /// manager. It is used as it is and its file is never removed.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new()
    ///     .inherit(std::os::unix::net::UnixDatagram::unbound()?.into());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inherit(mut self, socket: OwnedFd) -> Self {
        self.listen_at.push(ListenAt::Inherited(socket));
        self
    }

    /// How long an agent may be silent. The default is 2 s.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().threshold(std::time::Duration::from_millis(500));
    /// ```
    pub fn threshold(mut self, threshold: Duration) -> Self {
        self.threshold = threshold;
        self
    }

    /// How late the observer itself may come before that counts as a pause, which every
    /// agent is given back. The default is half the shortest threshold, at least 50 ms.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().pause_after(std::time::Duration::from_secs(1));
    /// ```
    pub fn pause_after(mut self, lateness: Duration) -> Self {
        self.pause_after = Some(lateness);
        self
    }

    /// How many agents are followed at most: up to 2^28. The default is 4,096.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().capacity(100_000);
    /// ```
    pub fn capacity(mut self, agents: usize) -> Self {
        self.capacity = agents;
        self
    }

    /// The mode of the socket's file. The default is 0600.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().socket_mode(0o660);
    /// ```
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// How large the kernel's receive buffers are asked to be. The default is 1 MiB; what
    /// is not allowed is cut down to what is.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().receive_buffer(1 << 22);
    /// ```
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Whose beats count over a Unix socket. The default is the observer's own uid.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().uids(varta_observer::Uids::Any);
    /// ```
    pub fn uids(mut self, uids: Uids) -> Self {
        self.policy.uids = uids;
        self
    }

    /// Whether senders in another pid namespace are admitted. By default they are not.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().namespaces(true);
    /// ```
    pub fn namespaces(mut self, admitted: bool) -> Self {
        self.policy.namespaces = admitted;
        self
    }

    /// Whether frames of version 1 are taken too. By default they are not.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().version1(true);
    /// ```
    pub fn version1(mut self, taken: bool) -> Self {
        self.policy.version1 = taken;
        self
    }

    /// How many beats of one agent become events. By default all do. A beat over the rate
    /// still shows that its agent lives.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new()
    ///     .rate_per_agent(varta_observer::Rate { per_second: 100, burst: 20 });
    /// ```
    pub fn rate_per_agent(mut self, rate: Rate) -> Self {
        self.policy.per_agent = Some(rate);
        self
    }

    /// How many beats of all agents together become events. By default all do.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().rate(varta_observer::Rate { per_second: 5_000, burst: 10_000 });
    /// ```
    pub fn rate(mut self, rate: Rate) -> Self {
        self.policy.global = Some(rate);
        self
    }

    /// A key that sealed beats may have, beside those of the endpoints: several at once
    /// while keys are being changed.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().shared_key(varta::secure::Key::from_bytes([7; 32]));
    /// ```
    pub fn shared_key(mut self, key: Key) -> Self {
        self.shared_keys.push(key);
        self
    }

    /// The key from which each agent's own is derived.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().master_key(varta::secure::Key::from_bytes([7; 32]));
    /// ```
    pub fn master_key(mut self, key: Key) -> Self {
        self.master_key = Some(key);
        self
    }

    /// A file in which sealed sessions outlive the observer, so that a beat that was
    /// accepted once is refused by the next observer too. It is made with mode 0600 if it is
    /// not there; make it together with the key. Without it, a sealed agent whose session
    /// began before the observer is listed as
    /// [unconfirmed](crate::AgentInfo::unconfirmed).
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("varta-doc-state-{}", std::process::id()));
    /// let observer = varta_observer::Builder::new()
    ///     .secure_udp(([127, 0, 0, 1], 0).into())
    ///     .shared_key(varta::secure::Key::from_bytes([7; 32]))
    ///     .secure_state_file(&path)
    ///     .bind()?;
    /// # drop(observer);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// A process that is killed loses nothing of it. So that not every beat costs a write,
    /// counters are recorded eight at a time: after an observer was killed, the next one
    /// refuses up to seven beats of each agent. The file has room for 262,144 sessions, or
    /// as many as the capacity; each process that connects begins one and none is
    /// forgotten. When it is full, new sessions are refused: then replace the keys and
    /// remove the file.
    pub fn secure_state_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.secure_state_file = Some(path.into());
        self
    }

    /// Whether processes are followed to their end, which is the default. If not, silence
    /// does the work.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().detect_exits(false);
    /// ```
    pub fn detect_exits(mut self, detect: bool) -> Self {
        self.detect_exits = detect;
        self
    }

    /// How many descriptors may be held to follow processes. The default is half the soft
    /// limit. An agent beyond is looked up when its deadline passes.
    ///
    /// ```
    /// let builder = varta_observer::Builder::new().descriptors(1_000);
    /// ```
    pub fn descriptors(mut self, at_most: usize) -> Self {
        self.descriptors = Some(at_most);
        self
    }

    /// Follows processes as on another kernel than this one.
    #[cfg(test)]
    pub(crate) fn kernel_features(mut self, features: KernelFeatures) -> Self {
        self.kernel_features = Some(features);
        self
    }

    /// Makes the observer.
    ///
    /// ```
    /// let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.udp_addresses().count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names the endpoint or the key file and what is wrong with it. `AddrInUse`: an
    /// observer is listening there already, and still is after 100 ms. (A process that a killed
    /// observer was starting holds its sockets for a moment.) `OutOfMemory`: the capacity is too
    /// large.
    pub fn bind(mut self) -> io::Result<Observer> {
        if self.listen_at.is_empty() {
            return Err(invalid("cannot bind: no endpoint was given"));
        }
        let features = match self.kernel_features {
            _ if !self.detect_exits => KernelFeatures::unused(),
            Some(features) => features,
            None => KernelFeatures::detect(),
        };
        let bound = self.descriptors.unwrap_or_else(identity::default_descriptor_bound);
        let capacity = self.capacity.min(MOST as usize);
        let mut processes = Processes::new(features, self.policy.namespaces, capacity, bound)
            .map_err(|error| name_capacity(error, self.capacity))?;
        let socket_options = SocketOptions {
            socket_mode: self.socket_mode,
            receive_buffer: self.receive_buffer,
        };
        let mut sockets = Sockets::new();
        for place in std::mem::take(&mut self.listen_at) {
            let sealed = place.is_sealed();
            match place.key()? {
                None => {}
                Some(NamedKey::Shared(key)) => self.shared_keys.push(key),
                Some(NamedKey::Master(_)) if self.master_key.is_some() => {
                    return Err(second_master_key());
                }
                Some(NamedKey::Master(key)) => self.master_key = Some(key),
            }
            sockets.add(socket_options.open(place)?, sealed, processes.epoll())?;
        }
        let recalled = match self.secure_state_file.take() {
            Some(path) => {
                let (file, sessions) = SecureState::open(&path, most_sessions(self.capacity))?;
                processes.record_sessions_in(file);
                Some(sessions)
            }
            None => None,
        };
        let (pause_after, capacity) = (self.pause_after, self.capacity);
        Observer::new(
            self.judge(recalled)?,
            processes,
            sockets,
            socket_options,
            pause_after,
            capacity,
        )
    }

    /// Makes an observer without sockets, fed and advanced by hand in a time of the
    /// caller's own. Endpoints and files count for nothing.
    ///
    /// ```
    /// let simulated = varta_observer::Builder::new().capacity(3).simulate()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A threshold or a capacity of 0, and a capacity that memory does not hold.
    pub fn simulate(self) -> io::Result<Simulated> {
        let pause_after = self.pause_after;
        let exits = if self.detect_exits { Exits::Reported } else { Exits::Unseen };
        Ok(Simulated::new(self.judge(None)?, pause_after, exits))
    }

    fn judge(self, recalled: Option<Vec<SealedSession>>) -> io::Result<Judge> {
        let threshold_ns = nanoseconds(self.threshold);
        if threshold_ns == 0 {
            return Err(invalid("cannot bind: the threshold is 0"));
        }
        if self.capacity == 0 {
            return Err(invalid("cannot bind: the capacity is 0"));
        }
        let mut settings = Settings::new(self.policy);
        settings.capacity = self.capacity;
        settings.threshold_ns = threshold_ns;
        settings.shared_keys = self.shared_keys;
        settings.master_key = self.master_key;
        settings.recalled = recalled;
        Judge::try_new(settings).map_err(|error| name_capacity(error.into(), self.capacity))
    }
}

/// Names the capacity where there is not enough memory for it.
fn name_capacity(error: io::Error, capacity: usize) -> io::Error {
    if error.kind() != io::ErrorKind::OutOfMemory {
        return error;
    }
    let what = format!(
        "cannot bind: there is not enough memory for {capacity} agents; lower the capacity"
    );
    varta::internal::with_message(&error, what)
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
    pub fn simulated() -> Simulated {
        Simulated::default()
    }
}
