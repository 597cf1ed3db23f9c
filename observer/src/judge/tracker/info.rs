//! What a snapshot says of an agent.

use std::net::IpAddr;

use varta::Status;

use super::record::{Flags, Kind};
use super::{Slot, Tracker};
use crate::event::Origin;
use crate::program_name::ProgramName;

/// An agent that is followed, as it stands.
///
/// ```
/// use varta_observer::AgentInfo;
///
/// fn line(agent: &AgentInfo) -> String {
///     format!("{} pid {} {} {} ns ago", agent.agent, agent.pid, agent.status, agent.age_ns)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentInfo {
    /// The agent's number, from 1, never given twice by one observer.
    pub agent: u64,
    /// The name of its program; empty where that cannot be known.
    pub name: ProgramName,
    /// Its process id in the observer's namespace; 0 where it has none there.
    pub pid: u32,
    /// The process id its frames name.
    pub claimed_pid: u32,
    /// How it is known who it is.
    pub origin: Origin,
    /// Whose process it is, if the kernel says so.
    pub uid: Option<u32>,
    /// Where it beats from, over a network.
    pub address: Option<IpAddr>,
    /// What it said of itself last.
    pub status: Status,
    /// When it was last heard.
    pub last_ns: u64,
    /// How long ago that is.
    pub age_ns: u64,
    /// Beats heard of it, also those that a rate limit kept from becoming events.
    pub beats: u64,
    /// Beats that never came, by its nonces; stays at 2^32 - 1.
    pub missed: u64,
    /// How long it may be silent.
    pub threshold_ns: u64,
    /// Whether a Stall was said and it is not back.
    pub stalled: bool,
    /// Whether it may be another than the process that is meant: a local one that has
    /// taken over its pid, or over sealed UDP a recording of a session from before the
    /// observer started.
    pub unconfirmed: bool,
}

impl AgentInfo {
    /// To fill a buffer with, before a snapshot does.
    ///
    /// ```
    /// let buffer = [varta_observer::AgentInfo::NOBODY; 8];
    /// assert_eq!(buffer[0].agent, 0);
    /// ```
    pub const NOBODY: Self = Self {
        agent: 0,
        name: ProgramName::UNKNOWN,
        pid: 0,
        claimed_pid: 0,
        origin: Origin::Network,
        uid: None,
        address: None,
        status: Status::Ok,
        last_ns: 0,
        age_ns: 0,
        beats: 0,
        missed: 0,
        threshold_ns: 0,
        stalled: false,
        unconfirmed: true,
    };
}

impl Tracker {
    pub(crate) fn info(&self, slot: Slot, now: u64) -> Option<AgentInfo> {
        let (hot, cold) = (self.hot.get(slot.index())?, self.cold.get(slot.index())?);
        if hot.kind == Kind::Free {
            return None;
        }
        let about = hot.about(cold);
        Some(AgentInfo {
            agent: about.agent,
            name: ProgramName::default(),
            pid: about.pid,
            claimed_pid: about.claimed_pid,
            origin: about.origin,
            uid: (!hot.is_network()).then(|| cold.uid()),
            address: hot.is_network().then(|| cold.address()),
            status: hot.status,
            last_ns: hot.last_ns,
            age_ns: now.saturating_sub(hot.last_ns),
            beats: hot.beats,
            missed: hot.missed.into(),
            threshold_ns: self.threshold(slot),
            stalled: hot.flags.has(Flags::STALLED),
            unconfirmed: hot.flags.has(Flags::UNCONFIRMED),
        })
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..u32::try_from(self.hot.len()).unwrap_or(u32::MAX)).map(Slot)
    }
}
