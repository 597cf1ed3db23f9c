//! What one run of the daemon has recorded of its agents. All times are those of its observer.

use std::collections::BTreeMap;

use varta::Status;
use varta_history::ClockPair;
use varta_observer::ExitCause;

/// One run of the daemon, or the part of it that is still recorded.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The thresholds of the flags, since when.
    pub(crate) defaults: Vec<(u64, u64)>,
    /// The shortest lateness that is a pause, if it was configured.
    pub(crate) pause_after_ns: Option<u64>,
    /// When the first and the last thing were recorded.
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) agents: Vec<Agent>,
    pub(crate) absences: Vec<Absence>,
    /// What the wall clock showed, in the order of time.
    pub(crate) clocks: Vec<ClockPair>,
    /// How often what happened that the records do not tell precisely.
    pub(crate) doubts: BTreeMap<Doubt, u64>,
}

/// A reason why a replay may not equal a run with its thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// Agents that beat over a network.
    Network,
    /// Agents that beat through shared memory, while the observer was late.
    LateLooks,
    /// Agents whose exits are not reported at once.
    Exits,
    /// Services with a time of their own.
    Services,
    /// Stalls of tasks.
    Tasks,
    /// Agents that were forgotten to make room.
    Evictions,
    /// Runs that looked up causes.
    Causes,
    /// Looks that found the queue full.
    FullQueue,
    /// Beats above a limit.
    RateLimits,
    /// Beats of agents for which there was no room.
    Refused,
    /// Datagrams that the kernel dropped.
    KernelDrops,
    /// Records that could not be written.
    Lost,
    /// Runs whose end was not recorded.
    Unended,
    /// Runs whose beginning is not recorded any more.
    Beginning,
}

/// A time in which the observer itself did not run, as its own clocks tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Absence {
    /// When it ran again.
    pub(crate) at_ns: u64,
    /// By how much that was late.
    pub(crate) late_ns: u64,
    /// How long ago it had run before.
    pub(crate) away_ns: u64,
    /// For how long the system was suspended in between.
    pub(crate) suspended_ns: u64,
}

/// One agent.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    pub(crate) number: u64,
    pub(crate) pid: u32,
    /// What the records do not tell precisely about it.
    pub(crate) doubts: Vec<Doubt>,
    /// Its first beat, or the beginning of what is still recorded of it. None if it has only
    /// tasks.
    pub(crate) first_ns: Option<u64>,
    /// By what rules find it, since when.
    pub(crate) identities: Vec<(u64, Identity)>,
    /// Its thresholds, since when.
    pub(crate) thresholds: Vec<(u64, Recorded)>,
    /// From which length on its silences are recorded, since when.
    pub(crate) floors: Vec<(u64, u64)>,
    /// When stalls were reported.
    pub(crate) stalls: Vec<u64>,
    /// When recovery commands were started for it.
    pub(crate) commands: Vec<u64>,
    /// In the order of time.
    pub(crate) silences: Vec<Silence>,
    /// When silences reached their threshold that were no Stall, because the observer was late and
    /// found what ended them first. Until then it did not judge them.
    pub(crate) unjudged: Vec<u64>,
    pub(crate) exit: Option<Exit>,
}

/// What an agent is called, for rules and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) program: String,
    pub(crate) uid: Option<u32>,
    /// Empty if there is none.
    pub(crate) unit: String,
    pub(crate) container: String,
}

/// A threshold that an agent had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) ns: u64,
    pub(crate) source: Source,
}

/// Where a threshold came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The flags or a rule.
    Settings,
    /// A rule did not judge the first silence yet.
    Grace,
    /// A rule says that the agent is not watched.
    Unwatched,
    /// The service's own.
    Service,
}

/// A time between two signs of life that was longer than the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) end: End,
}

/// What ended a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Beat,
    Exit,
    /// The observer needed its place.
    Eviction,
    /// The run, or what is recorded of it.
    Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) at_ns: u64,
    pub(crate) cause: ExitCause,
    pub(crate) last_status: Status,
}

impl Run {
    /// The first threshold of the flags.
    pub(crate) fn default_ns(&self) -> u64 {
        self.defaults.first().map_or(FLAGS_NS, |(_, ns)| *ns)
    }

    /// The wall clock at a time of the observer, in nanoseconds since 1970.
    pub(crate) fn wall_ns(&self, at_ns: u64) -> u64 {
        let later = self.clocks.partition_point(|pair| pair.observer_ns <= at_ns);
        let pair = self.clocks.get(later.saturating_sub(1));
        pair.map_or(at_ns, |pair| pair.wall_at(at_ns))
    }

    /// The observer's time when the wall clock showed this for the last time.
    pub(crate) fn observer_ns(&self, wall_ns: u64) -> u64 {
        let pair = self.clocks.iter().rev().find(|pair| pair.wall_ns <= wall_ns);
        pair.map_or(0, |pair| pair.observer_ns.saturating_add(wall_ns - pair.wall_ns))
    }
}

/// A threshold for a run whose flags are not recorded any more.
const FLAGS_NS: u64 = 2_000_000_000;

impl Agent {
    /// What it is called in reports: its last name.
    pub(crate) fn program(&self) -> &str {
        self.identities.last().map_or("", |(_, identity)| identity.program.as_str())
    }
}

impl Silence {
    pub(crate) const fn length_ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }

    /// Whether something happened in it.
    pub(crate) const fn contains(&self, at_ns: u64) -> bool {
        self.from_ns < at_ns && at_ns <= self.to_ns
    }
}
