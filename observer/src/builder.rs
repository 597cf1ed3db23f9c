//! Building an observer.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use varta::Endpoint;
use varta::secure::Key;

use crate::io::Observer;
use crate::io::bind::{ListenAt, NamedKey, SocketOptions, invalid, second_master_key};
use crate::io::identity::{self, KernelFeatures};
use crate::io::lane::{Lanes, Limits, NOT_INHERITED};
use crate::io::processes::Processes;
use crate::io::secure_state::SecureState;
use crate::io::sockets::Sockets;
use crate::judge::Access;
use crate::judge::tracker::MOST;
use crate::judge::{Exits, Judge, SealedSession, Settings, most_sessions};
use crate::policy::{Policy, Rate, Uids};
use crate::simulated::Simulated;
use crate::slack::Slack;
use crate::sys;
use crate::time::nanoseconds;

/// The default threshold: how long an agent may be silent.
pub const DEFAULT_THRESHOLD: Duration = Duration::from_secs(2);

/// The default capacity: how many agents an observer tracks at most.
pub const DEFAULT_CAPACITY: usize = 4096;

/// The shortest time between two regular looks at a process's shared memory by default.
const DEFAULT_LANE_FLOOR: Duration = Duration::from_millis(10);

/// The most processes that a simulated observer gives shared memory.
const SIMULATED_PAGES: usize = 1 << 16;

/// Configures and creates an [`Observer`].
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
    lane: bool,
    tasks: bool,
    lane_floor: Duration,
    slack: Slack,
    causes: bool,
    notify: bool,
    notify_access: Access,
    kernel_features: Option<KernelFeatures>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A builder with default settings and no endpoint.
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
            lane: false,
            tasks: false,
            lane_floor: DEFAULT_LANE_FLOOR,
            slack: Slack::new(),
            causes: false,
            notify: false,
            notify_access: Access::Main,
            kernel_features: None,
        }
    }

    /// Adds an endpoint to listen at. [`bind`](Self::bind) reads the key file of a
    /// `udp+secure` endpoint.
    pub fn listen(mut self, endpoint: Endpoint) -> Self {
        self.listen_at.push(ListenAt::Endpoint(endpoint));
        self
    }

    /// Adds a UDP address to listen at. With port 0 the kernel chooses the port;
    /// [`Observer::udp_addresses`] returns it.
    pub fn udp(mut self, address: SocketAddr) -> Self {
        self.listen_at.push(ListenAt::Udp(address));
        self
    }

    /// Adds a UDP address to listen at for sealed beats. Pass the keys with
    /// [`shared_key`](Self::shared_key) or [`master_key`](Self::master_key).
    pub fn secure_udp(mut self, address: SocketAddr) -> Self {
        self.listen_at.push(ListenAt::SecureUdp(address));
        self
    }

    /// Adds a bound Unix datagram socket from elsewhere, for example from a service manager; or,
    /// with [`lane`](Self::lane), a listening SOCK_SEQPACKET socket. Its file is never removed.
    pub fn inherit(mut self, socket: OwnedFd) -> Self {
        self.listen_at.push(ListenAt::Inherited(socket));
        self
    }

    /// How long an agent may be silent before it is stalled. The default is 2 s.
    pub fn threshold(mut self, threshold: Duration) -> Self {
        self.threshold = threshold;
        self
    }

    /// How late the observer itself may be before that counts as a pause, by which the
    /// deadlines of all agents are extended. The default is half the shortest threshold, but
    /// at least 50 ms.
    pub fn pause_after(mut self, lateness: Duration) -> Self {
        self.pause_after = Some(lateness);
        self
    }

    /// How many agents are tracked at most, up to 2^28. The default is 4,096.
    pub fn capacity(mut self, agents: usize) -> Self {
        self.capacity = agents;
        self
    }

    /// The file mode of Unix sockets. The default is 0600.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// The size of the kernel's receive buffers. The default is 1 MiB. Without the privilege
    /// for more, the system's limit applies.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The users whose beats are accepted over a Unix socket. The default is the observer's
    /// own uid.
    pub fn uids(mut self, uids: Uids) -> Self {
        self.policy.uids = uids;
        self
    }

    /// Whether senders in another pid namespace are admitted. The default is false.
    pub fn namespaces(mut self, admitted: bool) -> Self {
        self.policy.namespaces = admitted;
        self
    }

    /// Whether frames of version 1 are accepted too. The default is false.
    pub fn version1(mut self, accepted: bool) -> Self {
        self.policy.version1 = accepted;
        self
    }

    /// Limits how many beats of one agent become events. The default is no limit. A beat over
    /// the limit still counts as a sign of life.
    pub fn rate_per_agent(mut self, rate: Rate) -> Self {
        self.policy.per_agent = Some(rate);
        self
    }

    /// Limits how many beats of all agents together become events. The default is no limit.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.policy.global = Some(rate);
        self
    }

    /// Adds a key for sealed beats, in addition to those of the endpoints. There may be
    /// several while keys are being rotated.
    pub fn shared_key(mut self, key: Key) -> Self {
        self.shared_keys.push(key);
        self
    }

    /// Sets the key from which each agent's own key is derived.
    pub fn master_key(mut self, key: Key) -> Self {
        self.master_key = Some(key);
        self
    }

    /// A file that keeps sealed sessions across restarts, so that a beat that was accepted
    /// once is also refused by the next observer. It is created with mode 0600 if it does not
    /// exist; create it together with the key. Without it, a sealed agent whose session began
    /// before the observer is listed as [unconfirmed](crate::AgentInfo::unconfirmed).
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
    /// A killed process loses nothing that it wrote. To avoid a write for every beat, counters
    /// are recorded eight at a time: after an observer was killed, the next one refuses up to
    /// seven beats of each agent. The file has room for 262,144 sessions, or as many as the
    /// capacity if that is more; each process that connects begins one, and none is forgotten.
    /// When it is full, new sessions are refused: then replace the keys and remove the file.
    pub fn secure_state_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.secure_state_file = Some(path.into());
        self
    }

    /// Whether the ends of processes are detected. The default is true. If false, an agent
    /// that ends stalls like one that hangs.
    pub fn detect_exits(mut self, detect: bool) -> Self {
        self.detect_exits = detect;
        self
    }

    /// How many descriptors may be held to track processes. The default is half of the soft
    /// limit. Without a descriptor, a process is looked up when its deadline passes.
    pub fn descriptors(mut self, at_most: usize) -> Self {
        self.descriptors = Some(at_most);
        self
    }

    /// Whether processes may beat through memory that they share with the observer. The default
    /// is false. An event can then represent [several beats](crate::What::Beat::count).
    ///
    /// Beside each Unix socket there is then a second one that hands out the memory, at the same
    /// path with `.lane` at its end, or with the same abstract name. Its file has the same mode.
    /// If that path is too long, [`Observer::advice`] reports it, and agents send datagrams, as do
    /// those for which there is no descriptor or mapping left: at most a quarter of the limit of
    /// descriptors, and three quarters of `vm.max_map_count`, are used for shared memory.
    pub fn lane(mut self, offered: bool) -> Self {
        self.lane = offered;
        self
    }

    /// Whether the tasks of processes that beat through shared memory are followed, each of
    /// which takes a place of the capacity. The default is false: a host that acts on every
    /// Stall must not restart a process because of one task.
    pub fn tasks(mut self, followed: bool) -> Self {
        self.tasks = followed;
        self
    }

    /// The shortest time between two regular looks at a process's shared memory, if something
    /// could be due sooner. The default is 10 ms.
    pub fn lane_floor(mut self, floor: Duration) -> Self {
        self.lane_floor = floor;
        self
    }

    /// How late tasks may be before they are reported. The default is no slack.
    pub fn slack(mut self, slack: Slack) -> Self {
        self.slack = slack;
        self
    }

    /// Whether to find out why a process is silent. The default is false. A Stall then has a
    /// [cause](crate::What::Stall::why), and a [Cause](crate::What::Cause) follows when it
    /// changes. No Stall is reported of a process that executes another program, until that gives
    /// a sign of life. To see everything, the observer needs the permission to trace its agents.
    ///
    /// Processes are read in a thread that the observer starts for the first reading. A process
    /// can keep its reader waiting for ever: its cause is then unknown, and another thread reads,
    /// up to four. No poll waits for a reading for longer than 20 ms.
    pub fn causes(mut self, wanted: bool) -> Self {
        self.causes = wanted;
        self
    }

    /// Adds a socket at which programs speak the protocol of sd_notify, in addition to the
    /// endpoints for beats: the path is what they get as `NOTIFY_SOCKET`. A program that sends
    /// READY=1 or WATCHDOG=1 becomes an agent, and WATCHDOG=1 is a beat. Any process to which
    /// `mode` gives access can send, but only the messages of admitted [users](Self::uids) count.
    ///
    /// ```
    /// use std::os::unix::net::UnixDatagram;
    /// use varta_observer::{Builder, ServiceState};
    ///
    /// # let folder = std::env::temp_dir().join(format!("varta-doc-notify-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let endpoint = varta::Endpoint::Path(folder.join("varta.sock"));
    /// let path = folder.join("notify.sock");
    /// let mut observer = Builder::new().listen(endpoint).notify(&path, 0o666).bind()?;
    /// UnixDatagram::unbound()?.send_to(b"READY=1\nSTATUS=at your service", &path)?;
    /// observer.poll()?;
    /// let service = observer.services()?[0];
    /// assert_eq!(service.state, ServiceState::Ready);
    /// assert_eq!(service.status.as_str(), "at your service");
    /// # drop(observer);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notify(mut self, path: impl Into<PathBuf>, mode: u32) -> Self {
        self.listen_at.push(ListenAt::Notify(path.into(), mode));
        self.notify = true;
        self
    }

    /// As [`notify`](Self::notify), with a bound Unix datagram socket from elsewhere.
    pub fn inherit_notify(mut self, socket: OwnedFd) -> Self {
        self.listen_at.push(ListenAt::InheritedNotify(socket));
        self.notify = true;
        self
    }

    /// The processes whose notifications count. The default is main processes only.
    pub fn notify_access(mut self, access: Access) -> Self {
        self.notify_access = access;
        self
    }

    /// Tracks processes as if this were another kernel.
    #[cfg(test)]
    pub(crate) fn kernel_features(mut self, features: KernelFeatures) -> Self {
        self.kernel_features = Some(features);
        self
    }

    /// Creates the observer: reads key files, allocates all memory and binds all sockets.
    ///
    /// ```
    /// let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert_eq!(observer.udp_addresses().count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error names the endpoint or the key file and the cause. `AddrInUse` means that
    /// another observer is listening there and still was after 100 ms. (If an observer is
    /// killed while it starts a process, that process holds its sockets for a moment.)
    /// `OutOfMemory` means that the capacity is too large.
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
            lane: self.lane,
        };
        let limits = self.lane.then(|| Limits::of_this_process(capacity));
        if let Some(limits) = limits {
            // Before any process can connect.
            processes.add_lanes(Lanes::new(limits)?);
        }
        if self.causes {
            processes.add_readers()?;
        }
        let mut sockets = Sockets::new();
        let (mut inherits_datagrams, mut inherits_connections) = (false, false);
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
            let is_inherited = matches!(place, ListenAt::Inherited(_));
            let opened = socket_options.open(place)?;
            inherits_datagrams |= is_inherited && opened.datagrams.is_some();
            inherits_connections |= is_inherited && opened.lane.is_some();
            opened.add_to(&mut sockets, sealed, &mut processes)?;
        }
        if inherits_datagrams && !inherits_connections {
            if let Some(lanes) = processes.lanes_mut() {
                lanes.advise(NOT_INHERITED.to_owned());
            }
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
            self.judge(recalled, limits.map_or(0, |limits| limits.pages))?,
            processes,
            sockets,
            socket_options,
            pause_after,
            capacity,
        )
    }

    /// Creates an observer without sockets, which the caller feeds by hand in simulated time.
    /// Endpoints and files are ignored.
    ///
    /// # Errors
    ///
    /// If the threshold or the capacity is 0, or if there is not enough memory for the
    /// capacity.
    pub fn simulate(self) -> io::Result<Simulated> {
        let pause_after = self.pause_after;
        let exits = if self.detect_exits { Exits::Reported } else { Exits::Unseen };
        let pages = if self.lane { self.capacity.min(SIMULATED_PAGES) } else { 0 };
        Ok(Simulated::new(self.judge(None, pages)?, pause_after, exits))
    }

    /// A judge that gives at most this many pages of shared memory to processes.
    fn judge(self, recalled: Option<Vec<SealedSession>>, pages: usize) -> io::Result<Judge> {
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
        settings.pages = pages;
        settings.tasks = self.tasks;
        settings.floor_ns = nanoseconds(self.lane_floor);
        settings.slack = self.slack;
        settings.causes = self.causes;
        settings.notify = self.notify.then_some(self.notify_access);
        Judge::try_new(settings).map_err(|error| name_capacity(error.into(), self.capacity))
    }
}

/// Adds the capacity to an out-of-memory error.
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
    /// `threshold`. For all other settings use [`builder`](Self::builder).
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
    /// See [`Builder::bind`].
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

    /// A [`Builder`] with default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// An observer without sockets and with default settings, which the caller feeds by hand
    /// in simulated time. See [`Simulated`].
    #[must_use]
    pub fn simulated() -> Simulated {
        Simulated::default()
    }
}
