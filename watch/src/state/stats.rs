//! What the events have told of each agent.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use varta::Status;
use varta_observer::{AgentInfo, Event, ExitCause, ProgramName, What};

use crate::state::exits::ExitCounts;
use crate::state::histogram::{INTERVALS, Intervals, LATENCIES, Latencies};

/// The pid by which an agent is called: in the daemon's namespace, else the one it claims.
pub(crate) const fn shown_pid(pid: u32, claimed_pid: u32) -> u32 {
    if pid == 0 { claimed_pid } else { pid }
}

/// What is kept of one agent; of those that are gone, the sum of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentStats {
    pub(crate) name: ProgramName,
    pub(crate) pid: u32,
    pub(crate) claimed_pid: u32,
    /// Whose process it is, if the kernel says so.
    pub(crate) uid: Option<u32>,
    pub(crate) unconfirmed: bool,
    pub(crate) status: Status,
    pub(crate) payload: u64,
    pub(crate) nonce: u64,
    /// It has been called stalled and not been heard since.
    pub(crate) stalled: bool,
    /// The observer may have missed its beats when it called it stalled.
    pub(crate) deaf: bool,
    /// When it was heard last, in the observer's time.
    pub(crate) last_ns: u64,
    pub(crate) beats: u64,
    /// Agents choose the nonces that this is derived from, so it stays at its maximum.
    pub(crate) missed: u64,
    /// Silences and, as published, exits that no silence came before.
    pub(crate) stalls: u64,
    pub(crate) recoveries: u64,
    pub(crate) intervals: Intervals,
}

impl AgentStats {
    pub(crate) const EMPTY: Self = Self {
        name: AgentInfo::NOBODY.name,
        pid: 0,
        claimed_pid: 0,
        uid: None,
        unconfirmed: true,
        status: Status::Ok,
        payload: 0,
        nonce: 0,
        stalled: false,
        deaf: false,
        last_ns: 0,
        beats: 0,
        missed: 0,
        stalls: 0,
        recoveries: 0,
        intervals: Intervals::EMPTY,
    };

    pub(crate) fn absorb(&mut self, gone: &Self) {
        self.beats += gone.beats;
        self.missed = self.missed.saturating_add(gone.missed);
        self.stalls += gone.stalls;
        self.recoveries += gone.recoveries;
        self.intervals.add(&gone.intervals);
    }
}

/// An agent whose process has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departed {
    pub(crate) agent: u64,
    pub(crate) at_ns: u64,
    pub(crate) cause: ExitCause,
    pub(crate) stats: AgentStats,
}

/// Those that ended last are listed so long, so that a scrape sees their last counts, but
/// not more than so many.
const LISTED_NS: u64 = 600_000_000_000;
const MOST_LISTED: usize = 1_024;

/// The books of all agents.
#[derive(Debug)]
pub(crate) struct StatsTable {
    agents: HashMap<u64, AgentStats, BuildHasherDefault<ByNumber>>,
    /// Those that ended last, in order of time.
    pub(crate) departed: VecDeque<Departed>,
    /// What those had that are neither followed nor listed.
    pub(crate) gone: AgentStats,
    pub(crate) endings: ExitCounts,
    /// From an agent's deadline until its Stall was said.
    pub(crate) detection: Latencies,
    /// Failures of a socket.
    pub(crate) io_errors: u64,
    threshold_ns: u64,
}

impl StatsTable {
    pub(crate) fn new(threshold_ns: u64) -> Self {
        Self {
            agents: HashMap::default(),
            departed: VecDeque::new(),
            gone: AgentStats::EMPTY,
            endings: ExitCounts::default(),
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

    /// Those of all agents, in no order.
    pub(crate) fn of_agents(&self) -> Vec<(u64, AgentStats)> {
        self.agents.iter().map(|(agent, stats)| (*agent, *stats)).collect()
    }

    /// Takes an event in. Answers what was known of its agent until then, if the event is
    /// the agent's end.
    pub(crate) fn note(&mut self, event: &Event) -> Option<AgentStats> {
        self.io_errors += u64::from(matches!(event.what, What::Io { .. }));
        let about = event.about.as_ref()?;
        let stats = self.agents.entry(about.agent).or_insert(AgentStats::EMPTY);
        match event.what {
            What::Beat { status, payload, missed, nonce } => {
                if stats.beats == 0 {
                    (stats.pid, stats.claimed_pid) = (about.pid, about.claimed_pid);
                } else {
                    let interval = event.observer_ns.saturating_sub(stats.last_ns);
                    stats.intervals.note(&INTERVALS, interval);
                }
                stats.status = status;
                stats.payload = payload;
                stats.nonce = nonce;
                stats.last_ns = event.observer_ns;
                stats.beats += 1;
                stats.missed = stats.missed.saturating_add(missed);
            }
            What::Stall { last_ns, deaf, .. } => {
                stats.stalls += 1;
                (stats.stalled, stats.deaf) = (true, deaf);
                let due = last_ns.saturating_add(self.threshold_ns);
                self.detection.note(&LATENCIES, event.observer_ns.saturating_sub(due));
            }
            What::Recovered { .. } => {
                stats.recoveries += 1;
                stats.stalled = false;
            }
            What::Exit { cause, .. } => {
                stats.stalls += u64::from(!stats.stalled);
                let stats = self.agents.remove(&about.agent)?;
                self.endings.note(&stats.name.to_string(), cause);
                let (agent, at_ns) = (about.agent, event.observer_ns);
                self.departed.push_back(Departed { agent, at_ns, cause, stats });
                self.close_old(at_ns);
                return Some(stats);
            }
            _ => {}
        }
        None
    }

    /// Lists those no longer that have been listed long enough.
    pub(crate) fn close_old(&mut self, now_ns: u64) {
        let over = |first: &Departed| first.at_ns.saturating_add(LISTED_NS) <= now_ns;
        while self.departed.len() > MOST_LISTED || self.departed.front().is_some_and(over) {
            if let Some(departed) = self.departed.pop_front() {
                self.gone.absorb(&departed.stats);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// The numbers of all agents that have a book.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.agents.keys().copied().collect()
    }

    /// Closes the book of an agent that made room for another. Returns it, if there is one.
    pub(crate) fn strike_out(&mut self, agent: u64) -> Option<AgentStats> {
        let stats = self.agents.remove(&agent)?;
        self.gone.absorb(&stats);
        Some(stats)
    }
}

/// Agents are numbered in order, so their numbers spread them by themselves, and who goes
/// through all of them goes through memory in order too.
#[derive(Debug, Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        // A table takes the place from the low bits, and tells those in one place apart by
        // the high ones.
        self.0 ^ self.0.rotate_right(7)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
