//! Collects what the history stores.

mod agent;
mod beats;
mod bodies;
mod floor;
mod last_beats;
mod minutes;
mod pauses;
mod silences;
mod unheard;

use varta_history::{
    Clock, ClockPair, Eviction, Floor as FloorRecord, Late, Record, Started, Stopped, Text,
    Threshold,
};
use varta_observer::{Event, Lateness, What};

pub(crate) use self::agent::Identity;
pub(crate) use self::bodies::{More, kind_of};
pub(crate) use self::unheard::Unheard;

use self::agent::Agent;
use self::bodies::record_of;
use self::floor::Floor;
use self::last_beats::{Heard, LastBeats};
use self::minutes::Minutes;
use self::pauses::Pauses;
use super::by_number::ByNumber;

const MINUTE_NS: u64 = 60_000_000_000;

/// A record, when that was, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    /// In the observer's time.
    pub(crate) at_ns: u64,
    pub(crate) record: Record,
}

/// Turns what the observer reports into the records of the history.
///
/// - Input: an agent by [`identify`](Self::identify) before its first event, and whenever
///   something about it becomes known; every event, in order, by [`beat`](Self::beat) or
///   [`event`](Self::event); and what has no event, by the other methods.
/// - Time: the observer's. [`end_minute`](Self::end_minute) is due at [`due_ns`](Self::due_ns).
/// - Output: the records, in the order of their numbers, from [`take`](Self::take). Beats are not
///   stored, but their silences, a histogram for each minute, and the last 64 before a stall or exit.
///
/// It has no clock, file or thread. For a beat that ends no silence it allocates nothing, once it
/// has room for the last beats of all agents.
#[derive(Debug)]
pub(crate) struct Collector {
    records: Vec<Stored>,
    seq: u64,
    agents: ByNumber<Agent>,
    /// Beats in time that are not added to their agents yet. Each agent is in memory that nothing
    /// else uses. It takes the processor no longer to fetch many of them than to fetch one.
    waiting: Vec<(u64, Heard)>,
    /// No agent has a lower floor.
    least_floor_ns: u64,
    last_beats: LastBeats,
    minutes: Minutes,
    minute_end_ns: u64,
    pauses: Pauses,
    /// At the end of the last minute.
    unheard: Unheard,
}

impl Collector {
    /// A collector for a daemon that starts now. The pair shows the wall clock at this time.
    pub(crate) fn new(started: Started, pair: ClockPair) -> Self {
        let now_ns = pair.observer_ns;
        let mut collector = Self {
            records: Vec::new(),
            seq: 0,
            agents: ByNumber::default(),
            waiting: Vec::with_capacity(beats::MOST_WAITING),
            least_floor_ns: u64::MAX,
            last_beats: LastBeats::default(),
            minutes: Minutes::default(),
            minute_end_ns: now_ns.saturating_add(MINUTE_NS),
            pauses: Pauses::default(),
            unheard: Unheard::default(),
        };
        collector.push(now_ns, started);
        collector.clock(pair);
        collector
    }

    /// The number of the last record.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// The records since the last call.
    pub(crate) fn take(&mut self) -> Vec<Stored> {
        std::mem::take(&mut self.records)
    }

    pub(crate) fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Adds a record of something that is decided elsewhere. Returns its number.
    pub(crate) fn push(&mut self, at_ns: u64, record: impl Into<Record>) -> u64 {
        self.seq += 1;
        self.records.push(Stored { seq: self.seq, at_ns, record: record.into() });
        self.seq
    }

    pub(crate) fn knows(&self, agent: u64) -> bool {
        self.agents.contains_key(&agent)
    }

    /// Records what is known about an agent, if that is new. `threshold_ns` only counts for an
    /// agent that was not known before, and so does `is_first_beat`: whether its first beat
    /// follows.
    pub(crate) fn identify(
        &mut self,
        now_ns: u64,
        identity: &Identity,
        threshold_ns: u64,
        is_first_beat: bool,
    ) {
        let number = identity.agent;
        if self.agents.get(&number).is_some_and(|agent| agent.rest.identity == *identity) {
            return;
        }
        self.add_waiting();
        match self.agents.get_mut(&number) {
            Some(agent) => {
                if agent.rest.identity.program != identity.program {
                    self.minutes.leave(agent.program);
                    agent.program = self.minutes.join(identity.program);
                }
                if agent.rest.identity.lane != identity.lane {
                    let threshold_ns = agent.rest.floor.threshold_ns();
                    agent.rest.floor = Floor::new(threshold_ns, identity.lane, now_ns);
                    self.least_floor_ns = self.least_floor_ns.min(agent.rest.floor.ns());
                }
                agent.rest.identity = *identity;
            }
            None => {
                let floor = Floor::new(threshold_ns, identity.lane, now_ns);
                self.least_floor_ns = self.least_floor_ns.min(floor.ns());
                let program = self.minutes.join(identity.program);
                let mut agent = Agent::new(*identity, floor, program);
                agent.rest.first_ns = is_first_beat.then_some(now_ns);
                self.agents.insert(number, agent);
            }
        }
        self.record_agent(now_ns, number);
    }

    fn record_agent(&mut self, now_ns: u64, number: u64) {
        if let Some(record) = self.agents.get(&number).map(|agent| agent.record()) {
            self.push(now_ns, record);
        }
    }

    /// Adds an event that is not a beat of an agent. Returns the number of its record, or of the
    /// record before it if it has none.
    pub(crate) fn event(&mut self, event: &Event, more: More) -> u64 {
        self.add_waiting();
        let at_ns = event.observer_ns;
        let number = event.about.map_or(0, |about| about.agent);
        let is_own = event.task.is_none();
        match event.what {
            What::Recovered { silent_ns, .. } if is_own => {
                self.gap(at_ns, number, silent_ns, None);
                if let Some(agent) = self.agents.get_mut(&number) {
                    (agent.rest.stalled, agent.rest.recorded_ns) = (false, Some(at_ns));
                }
            }
            What::Exit { .. } => self.last_silence(at_ns, number, "exit"),
            What::Paused { ns } => self.pauses.add(at_ns, ns),
            What::Stall { .. } | What::Cause { .. } if is_own => {
                if let Some(agent) = self.agents.get_mut(&number) {
                    agent.rest.stalled |= matches!(event.what, What::Stall { .. });
                    agent.rest.why.clone_from(&more.why);
                }
            }
            _ => {}
        }
        let known = self.agents.get(&number);
        let Some(record) = record_of(event, more, known) else { return self.seq };
        let seq = self.push(at_ns, record);
        match event.what {
            What::Stall { .. } if is_own => self.record_beats(at_ns, number),
            What::Exit { .. } => {
                self.record_beats(at_ns, number);
                self.forget(number);
            }
            _ => {}
        }
        seq
    }

    fn forget(&mut self, number: u64) {
        if let Some(agent) = self.agents.remove(&number) {
            self.minutes.leave(agent.program);
        }
    }

    /// The observer does not track this agent any more, for which there is no event. Returns the
    /// number of the record.
    pub(crate) fn evicted(&mut self, now_ns: u64, number: u64, claimed_pid: u32) -> u64 {
        self.add_waiting();
        self.last_silence(now_ns, number, "eviction");
        let last_ns = self.agents.get(&number).and_then(|agent| agent.last_ns);
        self.forget(number);
        let last_ns = last_ns.unwrap_or_default();
        self.push(now_ns, Eviction { agent: number, claimed_pid, last_ns })
    }

    /// Sets the threshold of an agent, and records it if it has changed.
    pub(crate) fn set_threshold(
        &mut self,
        now_ns: u64,
        number: u64,
        threshold_ns: u64,
        by: &'static str,
    ) {
        let agent = self.agents.get(&number);
        if agent.is_none_or(|agent| agent.rest.floor.threshold_ns() == threshold_ns) {
            return;
        }
        self.add_waiting();
        let Some(agent) = self.agents.get_mut(&number) else { return };
        agent.rest.floor = Floor::new(threshold_ns, agent.rest.identity.lane, now_ns);
        let floor_ns = agent.rest.floor.ns();
        self.least_floor_ns = self.least_floor_ns.min(floor_ns);
        self.push(now_ns, Threshold { agent: number, task: None, threshold_ns, by: by.into() });
        self.push(now_ns, FloorRecord { agent: number, floor_ns });
    }

    /// Records the threshold of agents that have none of their own.
    pub(crate) fn set_default_threshold(&mut self, now_ns: u64, threshold_ns: u64) {
        let by = "flag".into();
        self.push(now_ns, Threshold { agent: 0, task: None, threshold_ns, by });
    }

    /// Records that the observer was late.
    pub(crate) fn late(&mut self, lateness: Lateness) {
        let Lateness { observer_ns, late_ns, away_ns, suspended_ns, forgiven_ns } = lateness;
        self.push(observer_ns, Late { late_ns, away_ns, suspended_ns, forgiven_ns });
    }

    /// Records that the wall clock was set.
    pub(crate) fn clock(&mut self, pair: ClockPair) {
        self.push(pair.observer_ns, Clock { wall_ns: pair.wall_ns, ..Clock::default() });
    }

    /// When to call [`end_minute`](Self::end_minute).
    pub(crate) const fn due_ns(&self) -> u64 {
        self.minute_end_ns
    }

    /// Records the minute that has passed.
    pub(crate) fn end_minute(&mut self, pair: ClockPair, unheard: Unheard) {
        let now_ns = pair.observer_ns;
        self.minute_end_ns = now_ns.saturating_add(MINUTE_NS);
        self.add_waiting();
        self.record_minute(pair, unheard);
        let mut lowered = Vec::new();
        self.least_floor_ns = u64::MAX;
        for (number, agent) in &mut self.agents {
            let floor = &mut agent.rest.floor;
            if floor.pass(now_ns) {
                lowered.push(FloorRecord { agent: *number, floor_ns: floor.ns() });
            }
            self.least_floor_ns = self.least_floor_ns.min(floor.ns());
        }
        for floor in lowered {
            self.push(now_ns, floor);
        }
    }

    /// Records what was heard since the minute began, and what was not.
    fn record_minute(&mut self, pair: ClockPair, unheard: Unheard) {
        let now_ns = pair.observer_ns;
        for minute in self.minutes.end() {
            self.push(now_ns, minute);
        }
        let before = std::mem::replace(&mut self.unheard, unheard);
        self.push(now_ns, unheard.since(&before, pair.wall_ns));
    }

    /// Records that the daemon ends, and why it failed, if it did.
    pub(crate) fn stop(&mut self, now_ns: u64, error: Option<String>) {
        self.push(now_ns, Stopped { error: error.map(Text::from) });
    }
}

#[cfg(test)]
mod tests;
