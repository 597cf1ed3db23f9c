//! Collects what the history stores.

mod agent;
mod bodies;
mod floor;
mod minutes;
mod pauses;
mod ring;

use varta_history::{
    CauseMembers, Clock, ClockPair, Eviction, Floor as FloorRecord, Gap, Late, Record, Started,
    Stopped, Text, Threshold,
};
use varta_observer::{Event, Lateness, What};

pub(crate) use self::agent::Identity;
pub(crate) use self::bodies::kind_of;

use self::agent::Agent;
use self::bodies::record_of;
use self::floor::Floor;
use self::minutes::Minutes;
use self::pauses::Pauses;
use self::ring::Heard;
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

/// What an event does not contain.
#[derive(Debug, Default, Clone)]
pub(crate) struct More {
    /// The cause of a silence.
    pub(crate) why: Option<CauseMembers>,
    /// The threshold of the agent or task.
    pub(crate) threshold_ns: u64,
    /// An exit had been announced.
    pub(crate) expected: bool,
}

/// What was not heard since the observer started.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Unheard {
    pub(crate) full_looks: u64,
    pub(crate) rate_limited: u64,
    pub(crate) refused: u64,
    pub(crate) kernel_drops: u64,
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
/// It has no clock, file or thread, and allocates nothing for a beat that ends no silence.
#[derive(Debug)]
pub(crate) struct Collector {
    records: Vec<Stored>,
    seq: u64,
    agents: ByNumber<Box<Agent>>,
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
        match self.agents.get_mut(&number) {
            Some(agent) if agent.identity == *identity => return,
            Some(agent) => {
                if agent.identity.program != identity.program {
                    self.minutes.leave(agent.program);
                    agent.program = self.minutes.join(identity.program);
                }
                if agent.identity.lane != identity.lane {
                    let threshold_ns = agent.floor.threshold_ns();
                    agent.floor = Floor::new(threshold_ns, identity.lane, now_ns);
                }
                agent.identity = *identity;
            }
            None => {
                let floor = Floor::new(threshold_ns, identity.lane, now_ns);
                let program = self.minutes.join(identity.program);
                let mut agent = Box::new(Agent::new(*identity, floor, program));
                agent.first_ns = is_first_beat.then_some(now_ns);
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

    /// Adds a beat of an agent. `is_lane` is asked only if a silence is over: whether the agent
    /// beats through shared memory, of which the collector learns only by being told.
    /// Returns false if the agent is not known yet.
    #[inline]
    pub(crate) fn beat(&mut self, event: &Event, is_lane: impl FnOnce() -> bool) -> bool {
        let (Some(about), What::Beat { status, payload, nonce, missed, count }) =
            (&event.about, event.what)
        else {
            return true;
        };
        let Some(agent) = self.agents.get_mut(&about.agent) else { return false };
        let at_ns = event.observer_ns;
        let since_ns = agent.last_ns.map(|last_ns| at_ns.saturating_sub(last_ns));
        self.minutes.note(agent.program, since_ns, count, missed);
        let missed = u16::try_from(missed).unwrap_or(u16::MAX);
        agent.ring.add(Heard { observer_ns: at_ns, payload, nonce, count, missed, status });
        agent.last_ns = Some(at_ns);
        match since_ns {
            None => self.first_beat(at_ns, about.agent),
            Some(since_ns) if since_ns > agent.floor.ns() => {
                self.end_silence(at_ns, about.agent, since_ns, is_lane());
            }
            Some(_) => {}
        }
        true
    }

    #[cold]
    fn first_beat(&mut self, at_ns: u64, number: u64) {
        if let Some(agent) = self.agents.get_mut(&number)
            && agent.first_ns.is_none()
        {
            agent.first_ns = Some(at_ns);
            self.record_agent(at_ns, number);
        }
    }

    /// A beat has ended a silence that was longer than the floor.
    #[cold]
    fn end_silence(&mut self, at_ns: u64, number: u64, silent_ns: u64, is_lane: bool) {
        let Some(agent) = self.agents.get_mut(&number) else { return };
        if agent.recorded_ns == Some(at_ns) {
            return;
        }
        if is_lane {
            // It is heard when it is looked at, not when it beats.
            let identity = Identity { lane: true, ..agent.identity };
            return self.identify(at_ns, &identity, 0, false);
        }
        self.gap(at_ns, number, silent_ns, None);
    }

    /// Records a silence.
    fn gap(&mut self, at_ns: u64, number: u64, silent_ns: u64, end: Option<&'static str>) {
        let since_ns = at_ns.saturating_sub(silent_ns);
        let forgiven_ns = self.pauses.forgiven_since(since_ns).min(silent_ns);
        let is_last = end.is_some();
        let end = end.map(Text::from);
        self.push(at_ns, Gap { agent: number, silent_ns, forgiven_ns, end });
        if is_last {
            return;
        }
        if let Some(agent) = self.agents.get_mut(&number)
            && agent.floor.note_gap(at_ns)
        {
            let floor_ns = agent.floor.ns();
            self.push(at_ns, FloorRecord { agent: number, floor_ns });
        }
    }

    /// Adds an event that is not a beat of an agent. Returns the number of its record, or of the
    /// record before it if it has none.
    pub(crate) fn event(&mut self, event: &Event, more: More) -> u64 {
        let at_ns = event.observer_ns;
        let number = event.about.map_or(0, |about| about.agent);
        let is_own = event.task.is_none();
        match event.what {
            What::Recovered { silent_ns, .. } if is_own => {
                self.gap(at_ns, number, silent_ns, None);
                if let Some(agent) = self.agents.get_mut(&number) {
                    (agent.stalled, agent.recorded_ns) = (false, Some(at_ns));
                }
            }
            What::Exit { .. } => self.last_silence(at_ns, number, "exit"),
            What::Paused { ns } => self.pauses.add(at_ns, ns),
            What::Stall { .. } | What::Cause { .. } if is_own => {
                if let Some(agent) = self.agents.get_mut(&number) {
                    agent.stalled |= matches!(event.what, What::Stall { .. });
                    agent.why.clone_from(&more.why);
                }
            }
            _ => {}
        }
        let known = self.agents.get(&number).map(AsRef::as_ref);
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

    fn record_beats(&mut self, at_ns: u64, number: u64) {
        let Some(agent) = self.agents.get_mut(&number) else { return };
        let beats = agent.ring.take();
        if !beats.is_empty() {
            self.push(at_ns, varta_history::Beats { agent: number, beats });
        }
    }

    /// Records the silence of an agent that ends without a beat.
    fn last_silence(&mut self, at_ns: u64, number: u64, end: &'static str) {
        let Some(agent) = self.agents.get(&number) else { return };
        let Some(last_ns) = agent.last_ns else { return };
        let silent_ns = at_ns.saturating_sub(last_ns);
        if agent.stalled || silent_ns > agent.floor.ns() {
            self.gap(at_ns, number, silent_ns, Some(end));
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(agent) = self.agents.remove(&number) {
            self.minutes.leave(agent.program);
        }
    }

    /// The observer does not track this agent any more, for which there is no event. Returns the
    /// number of the record.
    pub(crate) fn evicted(&mut self, now_ns: u64, number: u64, claimed_pid: u32) -> u64 {
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
        let Some(agent) = self.agents.get_mut(&number) else { return };
        if agent.floor.threshold_ns() == threshold_ns {
            return;
        }
        agent.floor = Floor::new(threshold_ns, agent.identity.lane, now_ns);
        let floor_ns = agent.floor.ns();
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
        self.record_minute(now_ns);
        let before = std::mem::replace(&mut self.unheard, unheard);
        let more = |now: u64, before| Some(now.saturating_sub(before)).filter(|more| *more > 0);
        self.push(
            now_ns,
            Clock {
                wall_ns: pair.wall_ns,
                full_looks: more(unheard.full_looks, before.full_looks),
                rate_limited: more(unheard.rate_limited, before.rate_limited),
                refused: more(unheard.refused, before.refused),
                kernel_drops: more(unheard.kernel_drops, before.kernel_drops),
            },
        );
        let agents = self.agents.iter_mut();
        let lowered = agents.filter_map(|(number, agent)| {
            let lowered = agent.floor.pass(now_ns);
            lowered.then(|| FloorRecord { agent: *number, floor_ns: agent.floor.ns() })
        });
        for floor in lowered.collect::<Vec<_>>() {
            self.push(now_ns, floor);
        }
    }

    fn record_minute(&mut self, now_ns: u64) {
        for minute in self.minutes.end() {
            self.push(now_ns, minute);
        }
    }

    /// Records the silences that have not ended when the observer does.
    pub(crate) fn end_silences(&mut self, now_ns: u64) {
        self.record_minute(now_ns);
        let mut numbers: Vec<_> = self.agents.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.last_silence(now_ns, number, "stop");
        }
    }

    /// Records that the daemon ends, and why it failed, if it did.
    pub(crate) fn stop(&mut self, now_ns: u64, error: Option<String>) {
        self.push(now_ns, Stopped { error: error.map(Text::from) });
    }
}

#[cfg(test)]
mod tests;
