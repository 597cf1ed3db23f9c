//! What is known of a program that notifies as systemd's services do.

use super::text::ShortText;
use crate::judge::deadline::{Entry, Linked, Links, WheelSlot};
use crate::program_name::ProgramName;

/// The longest status text that is kept, in bytes.
const LONGEST_STATUS: usize = 256;

/// The longest name that a launcher can give.
const LONGEST_NAME: usize = 63;

/// What a program is doing, as it reports itself.
///
/// ```
/// use varta_observer::ServiceState;
///
/// assert_eq!(ServiceState::Reloading.name(), "reloading");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ServiceState {
    /// It has not reported that it is ready.
    Starting = 1,
    /// It is working.
    Ready = 2,
    /// It is reading its configuration again.
    Reloading = 3,
    /// It is shutting down. This is final.
    Stopping = 4,
}

impl ServiceState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Reloading, Self::Stopping];

    /// Its name, the same in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Reloading => "reloading",
            Self::Stopping => "stopping",
        }
    }
}

/// A program that sends messages of sd_notify, at one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// The number of its agent.
    pub agent: u64,
    /// What it is doing, as it reports itself.
    pub state: ServiceState,
    /// Its last status text.
    pub status: ShortText<LONGEST_STATUS>,
    /// The name that its launcher gave it; empty if none did.
    pub name: ShortText<LONGEST_NAME>,
    /// How long it may go without sending WATCHDOG=1; `None` if its silence is not judged.
    pub watchdog_ns: Option<u64>,
    /// How often it sent WATCHDOG=1.
    pub pings: u64,
    /// The error number that it reported last; 0 if none.
    pub errno: u32,
    /// The exit status that it reported.
    pub exit_status: Option<u8>,
}

/// How the silence of a service is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Not at all: it has not begun to send WATCHDOG=1, or does not want to be judged.
    Off,
    /// By the agent's deadline: the process sends no frames.
    Alone,
    /// By a deadline of its own, because the agent's is that of its frames.
    Beside,
}

/// The service in one slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// The number of its agent; 0 if there is no service.
    pub(super) agent: u64,
    pub(super) program: ProgramName,
    pub(super) state: ServiceState,
    pub(super) watch: Watch,
    /// It has set WATCHDOG_USEC to 0 or infinity.
    pub(super) declined: bool,
    /// The time that it set itself, or else the one that its launcher set.
    pub(super) own_ns: Option<u64>,
    /// The time that the host set, which takes precedence.
    pub(super) host_ns: Option<u64>,
    pub(super) launcher_ns: Option<u64>,
    /// Its silence is not judged before.
    pub(super) extended_until: u64,
    pub(super) last_ping: u64,
    pub(super) pings: u64,
    /// Beside frames: it is late, by this deadline or by its own account, which a frame does
    /// not change.
    pub(super) late: bool,
    pub(super) pardoned: bool,
    /// It is judged because its launcher wants that: it has sent no WATCHDOG itself.
    pub(super) by_launcher: bool,
    pub(super) status: ShortText<LONGEST_STATUS>,
    pub(super) name: ShortText<LONGEST_NAME>,
    pub(super) errno: u32,
    pub(super) exit_status: Option<u8>,
    links: Links,
    place: WheelSlot,
}

impl Service {
    pub(super) const NONE: Self = Self {
        agent: 0,
        program: ProgramName::UNKNOWN,
        state: ServiceState::Starting,
        watch: Watch::Off,
        declined: false,
        own_ns: None,
        host_ns: None,
        launcher_ns: None,
        extended_until: 0,
        last_ping: 0,
        pings: 0,
        late: false,
        pardoned: false,
        by_launcher: false,
        status: ShortText::EMPTY,
        name: ShortText::EMPTY,
        errno: 0,
        exit_status: None,
        links: Links::LOOSE,
        place: WheelSlot::NOWHERE,
    };

    /// A service that has just become known.
    pub(super) const fn new(agent: u64, program: ProgramName, now: u64) -> Self {
        Self { agent, program, last_ping: now, ..Self::NONE }
    }

    /// How long it may be silent; `None` for the observer's default.
    pub(super) fn threshold_ns(&self) -> Option<u64> {
        self.host_ns.or(self.own_ns).or(self.launcher_ns)
    }

    /// When its timer is due, if it has one.
    pub(super) const fn deadline(&self) -> u64 {
        self.links.deadline
    }

    pub(super) fn info(&self, default_ns: u64) -> ServiceInfo {
        let judged = self.watch != Watch::Off;
        ServiceInfo {
            agent: self.agent,
            state: self.state,
            status: self.status,
            name: self.name,
            watchdog_ns: judged
                .then(|| self.threshold_ns().unwrap_or(default_ns))
                .filter(|threshold_ns| *threshold_ns != u64::MAX),
            pings: self.pings,
            errno: self.errno,
            exit_status: self.exit_status,
        }
    }
}

impl Linked for Service {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Entry for Service {
    type Rank = (u64, u64);

    fn place(&self) -> WheelSlot {
        self.place
    }

    fn set_place(&mut self, place: WheelSlot) {
        self.place = place;
    }

    fn rank(&self) -> (u64, u64) {
        (self.last_ping, self.agent)
    }
}
