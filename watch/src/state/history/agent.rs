//! What the collector remembers of an agent.

use std::collections::VecDeque;

use varta_history::{Agent as AgentRecord, CauseMembers, Text};
use varta_observer::{Label, Origin};

use super::floor::Floor;
use super::last_beats::{Heard, Trail};
use super::minutes::ProgramNumber;

/// What identifies an agent, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) agent: u64,
    pub(crate) pid: u32,
    pub(crate) claimed_pid: u32,
    pub(crate) uid: Option<u32>,
    pub(crate) origin: Origin,
    pub(crate) program: Label,
    pub(crate) unit: Label,
    pub(crate) user_unit: Label,
    pub(crate) container: Label,
    /// Whether it beats through shared memory.
    pub(crate) lane: bool,
}

/// An agent. A beat in time needs only what is in here.
#[derive(Debug)]
pub(super) struct Agent {
    /// When its last beat was received.
    pub(super) last_ns: Option<u64>,
    pub(super) trail: Trail,
    pub(super) program: ProgramNumber,
    pub(super) rest: Box<Rest>,
}

/// What beats in time do not need.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) identity: Identity,
    pub(super) floor: Floor,
    pub(super) first_ns: Option<u64>,
    /// When it recovered, or its silence was recorded otherwise. The beat of the same time does
    /// not end another silence.
    pub(super) recorded_ns: Option<u64>,
    pub(super) stalled: bool,
    /// The cause of its last silence.
    pub(super) why: Option<CauseMembers>,
    /// Those of its last beats that are not in the list of all any more.
    pub(super) kept: VecDeque<Heard>,
}

impl Agent {
    pub(super) fn new(identity: Identity, floor: Floor, program: ProgramNumber) -> Self {
        let rest = Rest {
            identity,
            floor,
            first_ns: None,
            recorded_ns: None,
            stalled: false,
            why: None,
            kept: VecDeque::new(),
        };
        let trail = Trail::default();
        Self { last_ns: None, trail, program, rest: Box::new(rest) }
    }

    /// What is known about it now.
    pub(super) fn record(&self) -> AgentRecord {
        let Rest { identity, floor, first_ns, stalled, .. } = self.rest.as_ref();
        let text = |label: &Label| Text::from(label.to_string());
        AgentRecord {
            agent: identity.agent,
            pid: identity.pid,
            claimed_pid: identity.claimed_pid,
            uid: identity.uid,
            program: text(&identity.program),
            unit: text(&identity.unit),
            user_unit: text(&identity.user_unit),
            container: text(&identity.container),
            origin: identity.origin.name().into(),
            threshold_ns: floor.threshold_ns(),
            floor_ns: floor.ns(),
            first_ns: *first_ns,
            last_ns: self.last_ns,
            stalled: *stalled,
            lane: identity.lane,
            exits: None,
        }
    }
}
