//! Statistics of each agent, collected from its events.

use std::collections::VecDeque;

use varta::Status;
use varta_observer::{About, AgentInfo, Event, ExitCause, Label, ProgramName, What};

use crate::rules::Facts;
use crate::state::applied::AppliedRules;
use crate::state::by_number::ByNumber;
use crate::state::causes::StallCauses;
use crate::state::exits::ExitCounts;
use crate::state::histogram::{INTERVALS, Intervals, LATENCIES, Latencies};
use crate::state::programs::{ProgramNumber, Programs};
use crate::state::tasks::TaskCounts;

/// The pid to display for an agent: in the daemon's namespace, else the one it claims.
pub(crate) const fn shown_pid(pid: u32, claimed_pid: u32) -> u32 {
    if pid == 0 { claimed_pid } else { pid }
}

/// The statistics of one agent, or the sum of those of several agents that are gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentStats {
    /// The name to show for it, and the program that it is counted for. None until it is named.
    pub(crate) name: Label,
    pub(crate) program: Option<ProgramNumber>,
    /// What the kernel calls its program.
    pub(crate) comm: ProgramName,
    pub(crate) unit: Label,
    pub(crate) user_unit: Label,
    pub(crate) container: Label,
    /// When its script was asked for.
    pub(crate) script_asked_ns: Option<u64>,
    /// Whether it may still get the name of its script. Until then no rule applies to it.
    pub(crate) awaits_script: bool,
    pub(crate) pid: u32,
    pub(crate) claimed_pid: u32,
    /// The user of the process, if the kernel attests it.
    pub(crate) uid: Option<u32>,
    pub(crate) unconfirmed: bool,
    pub(crate) status: Status,
    pub(crate) payload: u64,
    pub(crate) nonce: u64,
    /// A stall was reported, and no beat has arrived since.
    pub(crate) stalled: bool,
    /// When the stall was reported, the observer may have missed beats.
    pub(crate) deaf: bool,
    /// How long it may be silent.
    pub(crate) threshold_ns: u64,
    /// When the last beat arrived, in the observer's time.
    pub(crate) last_ns: u64,
    pub(crate) beats: u64,
    /// Saturates, because it is derived from nonces that agents choose.
    pub(crate) missed: u64,
    /// Stalls and, as in varta-watch 0.2, exits without a preceding stall.
    pub(crate) stalls: u64,
    pub(crate) recoveries: u64,
    pub(crate) intervals: Intervals,
}

impl AgentStats {
    pub(crate) const EMPTY: Self = Self {
        name: Label::EMPTY,
        program: None,
        comm: AgentInfo::NOBODY.name,
        unit: Label::EMPTY,
        user_unit: Label::EMPTY,
        container: Label::EMPTY,
        script_asked_ns: None,
        awaits_script: false,
        pid: 0,
        claimed_pid: 0,
        uid: None,
        unconfirmed: true,
        status: Status::Ok,
        payload: 0,
        nonce: 0,
        stalled: false,
        deaf: false,
        threshold_ns: 0,
        last_ns: 0,
        beats: 0,
        missed: 0,
        stalls: 0,
        recoveries: 0,
        intervals: Intervals::EMPTY,
    };

    /// What rules can match. `program` is its name.
    pub(crate) fn facts<'a>(&'a self, program: &'a str) -> Facts<'a> {
        let known = |label: &'a Label| Some(label.as_str()).filter(|name| !name.is_empty());
        let (unit, container) = (known(&self.unit), known(&self.container));
        Facts { program, unit, uid: self.uid, container }
    }

    pub(crate) fn absorb(&mut self, gone: &Self) {
        self.beats += gone.beats;
        self.missed = self.missed.saturating_add(gone.missed);
        self.stalls += gone.stalls;
        self.recoveries += gone.recoveries;
        self.intervals.add(&gone.intervals);
    }
}

/// An agent whose process has exited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departed {
    pub(crate) agent: u64,
    pub(crate) at_ns: u64,
    pub(crate) cause: ExitCause,
    /// Its service had announced it.
    pub(crate) expected: bool,
    pub(crate) stats: AgentStats,
}

/// Exited agents stay listed for this long, so that a scrape sees their last counts, up to
/// this number of agents.
const LISTED_NS: u64 = 600_000_000_000;
const MOST_LISTED: usize = 1_024;

/// The statistics of all agents.
///
/// - Input: every event, in the order in which the observer returns them, by
///   [`note`](Self::note). An agent is added with its first event, and removed with its `Exit`
///   or by [`remove_evicted`](Self::remove_evicted), because an eviction has no event.
/// - Time: the observer's, taken from the events. [`expire_departed`](Self::expire_departed)
///   has to be called before the list of exited agents is read, because no event may come.
/// - Output: the statistics by agent; the agents that exited recently; and the sum of all that
///   are in neither list, so that totals never decrease.
/// - Order of calls: `note` first; then [`set_name`](Self::set_name) and
///   [`get_mut`](Self::get_mut) to add the name and uid, which only the observer knows.
#[derive(Debug)]
pub(crate) struct StatsTable {
    agents: ByNumber<AgentStats>,
    /// If the last event was a beat, and not the first one of its agent: the time since the one
    /// before it.
    pub(crate) since_ns: Option<u64>,
    pub(crate) applied: AppliedRules,
    /// Agents that exited recently, in order of time.
    pub(crate) departed: VecDeque<Departed>,
    /// The sum of the statistics of agents that are in neither list.
    pub(crate) gone: AgentStats,
    pub(crate) exits: ExitCounts,
    pub(crate) programs: Programs,
    pub(crate) tasks: TaskCounts,
    /// The causes of stalls, if they are looked up.
    pub(crate) causes: Option<StallCauses>,
    /// Time from the deadline of an agent or a task until its stall was reported.
    pub(crate) detection: Latencies,
    /// Failures of a socket.
    pub(crate) io_errors: u64,
    threshold_ns: u64,
}

impl StatsTable {
    pub(crate) fn new(threshold_ns: u64) -> Self {
        Self {
            agents: ByNumber::default(),
            since_ns: None,
            applied: AppliedRules::default(),
            departed: VecDeque::new(),
            gone: AgentStats::EMPTY,
            exits: ExitCounts::default(),
            programs: Programs::default(),
            tasks: TaskCounts::default(),
            causes: None,
            detection: Latencies::EMPTY,
            io_errors: 0,
            threshold_ns,
        }
    }

    pub(crate) fn set_threshold(&mut self, threshold_ns: u64) {
        self.threshold_ns = threshold_ns;
    }

    pub(crate) fn get(&self, agent: u64) -> Option<&AgentStats> {
        self.agents.get(&agent)
    }

    pub(crate) fn get_mut(&mut self, agent: u64) -> Option<&mut AgentStats> {
        self.agents.get_mut(&agent)
    }

    /// The statistics of all agents, in no order.
    pub(crate) fn all(&self) -> Vec<(u64, AgentStats)> {
        self.agents.iter().map(|(agent, stats)| (*agent, *stats)).collect()
    }

    /// Sets the name of an agent, and the program that it is counted for.
    pub(crate) fn set_name(&mut self, agent: u64, name: Label) {
        let Some(stats) = self.agents.get_mut(&agent) else { return };
        if stats.name == name && stats.program.is_some() {
            return;
        }
        let program = self.programs.number(name);
        if stats.program.is_some() {
            self.programs.rename(stats, program);
        }
        (stats.name, stats.program) = (name, Some(program));
    }

    /// Adds an agent that is known without an event.
    pub(crate) fn add(&mut self, about: &About) {
        let (pid, claimed_pid) = (about.pid, about.claimed_pid);
        let new = AgentStats { pid, claimed_pid, ..AgentStats::EMPTY };
        self.agents.entry(about.agent).or_insert(new);
    }

    /// Adds an event. If it is an exit, returns the final statistics of its agent.
    pub(crate) fn note(&mut self, event: &Event) -> Option<AgentStats> {
        self.io_errors += u64::from(matches!(event.what, What::Io { .. }));
        self.since_ns = None;
        if let Some(causes) = &mut self.causes {
            causes.note(event);
        }
        let about = event.about.as_ref()?;
        let stats = self.agents.entry(about.agent).or_insert(AgentStats::EMPTY);
        if stats.beats == 0 {
            (stats.pid, stats.claimed_pid) = (about.pid, about.claimed_pid);
        }
        if event.task.is_some() {
            self.tasks.note(event);
            if let What::Stall { late: Some(late), .. } = event.what {
                let latency = event.observer_ns.saturating_sub(late.due_ns);
                self.detection.note(&LATENCIES, latency);
            }
            return None;
        }
        match event.what {
            What::Beat { status, payload, missed, nonce, count } => {
                let count = u64::from(count);
                if stats.beats > 0 {
                    let time = event.observer_ns.saturating_sub(stats.last_ns);
                    stats.intervals.note_many(&INTERVALS, time, count);
                    self.since_ns = Some(time);
                }
                stats.status = status;
                stats.payload = payload;
                stats.nonce = nonce;
                stats.last_ns = event.observer_ns;
                stats.beats += count;
                stats.missed = stats.missed.saturating_add(missed);
            }
            What::Stall { last_ns, deaf, why, .. } => {
                stats.stalls += 1;
                self.programs.note_stall(about.agent, stats, why.map(|why| why.cause));
                (stats.stalled, stats.deaf) = (true, deaf);
                let applied = self.applied.of(about.agent);
                let threshold_ns = applied.threshold_ns.unwrap_or(self.threshold_ns);
                let due = last_ns.saturating_add(threshold_ns).max(applied.since_ns);
                self.detection.note(&LATENCIES, event.observer_ns.saturating_sub(due));
            }
            What::Recovered { .. } => {
                stats.recoveries += 1;
                stats.stalled = false;
            }
            What::Exit { cause, .. } => {
                stats.stalls += u64::from(!stats.stalled);
                let stats = self.agents.remove(&about.agent)?;
                self.tasks.forget(about.agent);
                self.applied.forget(about.agent);
                self.exits.note(&stats.name.to_string(), cause);
                self.programs.note_exit(about.agent, &stats, cause);
                let (agent, at_ns) = (about.agent, event.observer_ns);
                let expected = false;
                self.departed.push_back(Departed { agent, at_ns, cause, expected, stats });
                self.expire_departed(at_ns);
                return Some(stats);
            }
            _ => {}
        }
        None
    }

    /// Records that the exit that was added last was announced, and its actual cause: it was
    /// added as one with code 0.
    pub(crate) fn expect_last_exit(&mut self, actual: &Event) {
        if let (Some(last), What::Exit { cause, .. }) = (self.departed.back_mut(), actual.what)
        {
            (last.expected, last.cause) = (true, cause);
        }
    }

    /// Removes exited agents that have been listed for long enough.
    pub(crate) fn expire_departed(&mut self, now_ns: u64) {
        let over = |first: &Departed| first.at_ns.saturating_add(LISTED_NS) <= now_ns;
        while self.departed.len() > MOST_LISTED || self.departed.front().is_some_and(over) {
            if let Some(departed) = self.departed.pop_front() {
                self.gone.absorb(&departed.stats);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// The programs of all agents, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = Label> + '_ {
        self.agents.values().map(|stats| stats.name)
    }

    /// The numbers of all agents.
    pub(crate) fn agent_numbers(&self) -> Vec<u64> {
        self.agents.keys().copied().collect()
    }

    /// Removes an agent that the observer evicted, and returns its statistics.
    pub(crate) fn remove_evicted(&mut self, agent: u64) -> Option<AgentStats> {
        let stats = self.agents.remove(&agent)?;
        self.tasks.forget(agent);
        self.applied.forget(agent);
        self.gone.absorb(&stats);
        self.programs.note_eviction(&stats);
        Some(stats)
    }
}
