//! What a snapshot contains about an agent.

use std::net::IpAddr;

use varta::Status;

use super::record::{Flags, Kind};
use super::{Slot, Tracker};
use crate::event::Origin;
use crate::names::Label;
use crate::program_name::ProgramName;

/// A tracked agent at one point in time.
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
    /// The agent's number, from 1. An observer never reuses a number.
    pub agent: u64,
    /// The name of its program; empty if it cannot be known.
    pub name: ProgramName,
    /// Its process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// The process id in its frames.
    pub claimed_pid: u32,
    /// How its identity is known.
    pub origin: Origin,
    /// The user of its process, if the kernel reports it.
    pub uid: Option<u32>,
    /// The source address of its beats, over a network.
    pub address: Option<IpAddr>,
    /// The status in its last beat.
    pub status: Status,
    /// When its last beat was received.
    pub last_ns: u64,
    /// How long ago that was.
    pub age_ns: u64,
    /// Beats received, including those that a rate limit kept from becoming events.
    pub beats: u64,
    /// Beats that never arrived, by its nonces. Stops at 2^32 - 1.
    pub missed: u64,
    /// How long it may be silent before it is stalled.
    pub threshold_ns: u64,
    /// Whether a Stall was reported and no beat has arrived since.
    pub stalled: bool,
    /// Whether it may be a different process than the one it seems to be: locally, one that
    /// reused the pid; over sealed UDP, a recording of a session from before the observer
    /// started.
    pub unconfirmed: bool,
    /// Whether it beats through shared memory.
    pub lane: bool,
    /// How many of its tasks are followed.
    pub tasks: u32,
    /// How many of them have broken a promise and have not kept it since.
    pub tasks_late: u32,
    /// The name to show for it: the best of its [names](crate::Names), or that of its program.
    /// Empty if none is known, as over a network.
    pub label: Label,
}

impl AgentInfo {
    /// A placeholder to initialize a buffer for a snapshot.
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
        lane: false,
        tasks: 0,
        tasks_late: 0,
        label: Label::EMPTY,
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
            lane: hot.flags.has(Flags::PAGED),
            tasks: 0,
            tasks_late: 0,
            label: Label::EMPTY,
        })
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..u32::try_from(self.hot.len()).unwrap_or(u32::MAX)).map(Slot)
    }
}
