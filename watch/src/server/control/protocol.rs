//! The protocol of the control socket: JSON, one line each way. `/agents` has the same format.

use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use varta::{Promise, Status};
use varta_observer::{AgentInfo, ExitCause, Label, ServiceInfo, TaskInfo};

use super::rules::{self, ExpectedRow, RuleRow};
use crate::output::cause::CauseFields;
use crate::platform::clock::nanoseconds;
use crate::server::last_day::{Strips, mark_not_judged};
use crate::state::stats::shown_pid;
use crate::state::{Agent, Snapshot};

/// A request, such as `{"ask":"agents"}`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Returns a [`Report`] in one line. More requests may follow.
    Agents,
    /// Returns which rule applies to the agent with this pid, in one line.
    Rules { pid: u32 },
    /// Returns all events from now on, one line each, until the client disconnects.
    Events {
        /// As JSON instead of text.
        #[serde(default)]
        json: bool,
    },
}

/// Why a request failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) error: String,
}

/// The agents and their state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) threshold_ms: u64,
    pub(crate) capacity: usize,
    pub(crate) totals: Totals,
    /// In order of their numbers.
    pub(crate) agents: Vec<Row>,
    /// Agents that exited recently, latest first.
    pub(crate) gone: Vec<Gone>,
    /// The rules and the expected programs, in the order of the configuration file.
    pub(crate) rules: Vec<RuleRow>,
    pub(crate) expected: Vec<ExpectedRow>,
}

/// Counters since the daemon started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) received: u64,
    pub(crate) beats: u64,
    pub(crate) stalls: u64,
    pub(crate) recoveries: u64,
    pub(crate) exits: u64,
    pub(crate) missed: u64,
}

/// The state of an agent: stalled, critical if one of its tasks is late, changed if it executes
/// another program since its last beat, or else the status that it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    Changed,
    Degraded,
    Critical,
    Stalled,
}

impl State {
    /// The best first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ok, Self::Changed, Self::Degraded, Self::Critical, Self::Stalled];

    fn of(info: &AgentInfo, snapshot: &Snapshot) -> Self {
        match info.status {
            _ if info.stalled => Self::Stalled,
            // As in the beats of an agent without a lane, which reads its own tasks.
            _ if info.tasks_late > 0 => Self::Critical,
            _ if snapshot.has_changed(info) => Self::Changed,
            Status::Ok => Self::Ok,
            Status::Degraded => Self::Degraded,
            Status::Critical => Self::Critical,
            // Only an observer sets this.
            Status::Stall => Self::Stalled,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
            Self::Stalled => "stalled",
        }
    }
}

/// A current agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) agent: u64,
    pub(crate) program: String,
    /// The pid in the daemon's namespace, or 0 if there is none.
    pub(crate) pid: u32,
    pub(crate) claimed_pid: u32,
    pub(crate) origin: String,
    pub(crate) uid: Option<u32>,
    pub(crate) address: Option<String>,
    pub(crate) state: State,
    /// The status of its last beat.
    pub(crate) status: String,
    pub(crate) payload: u64,
    pub(crate) age_ms: u64,
    pub(crate) threshold_ms: u64,
    pub(crate) beats: u64,
    pub(crate) missed: u64,
    pub(crate) stalls: u64,
    pub(crate) recoveries: u64,
    /// It may be a different process that reused the pid.
    pub(crate) unconfirmed: bool,
    /// It beats through shared memory.
    pub(crate) lane: bool,
    /// Why it is stalled, if that was looked up, or what it executes if it has changed.
    #[serde(flatten)]
    pub(crate) cause: Option<CauseFields>,
    /// In order of their numbers.
    pub(crate) tasks: Vec<TaskRow>,
    /// What the kernel calls its program.
    pub(crate) comm: String,
    /// The units of the service managers of the system and of its user, and its container, as far
    /// as they are known.
    pub(crate) unit: Option<String>,
    pub(crate) user_unit: Option<String>,
    pub(crate) container: Option<String>,
    /// If it speaks the protocol of sd_notify.
    #[serde(default)]
    pub(crate) service: Option<ServiceRow>,
    /// A letter for each half hour of the last day, if there is a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) day: Option<String>,
}

/// What a program says about itself at the notify socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServiceRow {
    /// starting, ready, reloading or stopping.
    pub(crate) state: String,
    /// Its status text, escaped.
    pub(crate) status: String,
    /// The name that its launcher gave it, escaped.
    pub(crate) name: String,
    /// None if its silence is not judged.
    pub(crate) watchdog_ms: Option<u64>,
    pub(crate) pings: u64,
    /// The error number that it reported last.
    pub(crate) errno: u32,
    pub(crate) exit_status: Option<u8>,
}

impl ServiceRow {
    fn of(service: &ServiceInfo) -> Self {
        Self {
            state: service.state.name().to_owned(),
            status: service.status.to_string(),
            name: service.name.to_string(),
            watchdog_ms: service.watchdog_ns.map(|ns| ns / 1_000_000),
            pings: service.pings,
            errno: service.errno,
            exit_status: service.exit_status,
        }
    }
}

/// A task of a current agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskRow {
    /// Its number, unique within the agent.
    pub(crate) task: u32,
    pub(crate) name: String,
    pub(crate) state: TaskState,
    /// The promises that are broken: beat, span, checkpoint, progress.
    pub(crate) broken: Vec<String>,
    /// The status and payload of its last beat.
    pub(crate) status: String,
    pub(crate) payload: u64,
    /// Time since its last call.
    pub(crate) age_ms: u64,
    /// None if it has no threshold.
    pub(crate) threshold_ms: Option<u64>,
    /// Calls of any kind.
    pub(crate) beats: u64,
    pub(crate) violations: u64,
    pub(crate) checkpoint: u16,
    pub(crate) done: u64,
    pub(crate) left: u64,
    /// Why it is late, if that was looked up.
    #[serde(flatten)]
    pub(crate) cause: Option<CauseFields>,
}

/// The state of a task: late, idle, or else the status that it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TaskState {
    Ok,
    Idle,
    Degraded,
    Critical,
    Late,
}

impl TaskState {
    fn of(info: &TaskInfo) -> Self {
        match info.status {
            _ if info.is_late() => Self::Late,
            Status::Degraded => Self::Degraded,
            Status::Critical | Status::Stall => Self::Critical,
            Status::Ok if info.idle => Self::Idle,
            Status::Ok => Self::Ok,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Idle => "idle",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
            Self::Late => "late",
        }
    }
}

impl TaskRow {
    fn of(info: &TaskInfo, cause: Option<CauseFields>) -> Self {
        let broken = Promise::ALL.into_iter().filter(|promise| info.is_broken(*promise));
        let has_threshold = info.threshold_ns != u64::MAX;
        Self {
            task: info.number,
            name: info.name.to_string(),
            state: TaskState::of(info),
            broken: broken.map(|promise| promise.name().to_owned()).collect(),
            status: info.status.name().to_owned(),
            payload: info.payload.into(),
            age_ms: info.age_ns / 1_000_000,
            threshold_ms: has_threshold.then_some(info.threshold_ns / 1_000_000),
            beats: info.beats,
            violations: info.violations,
            checkpoint: info.checkpoint,
            done: info.done.into(),
            left: info.left.into(),
            cause,
        }
    }

    pub(crate) fn is_late(&self) -> bool {
        self.state == TaskState::Late
    }
}

impl Row {
    fn of(agent: Agent<'_>, snapshot: &Snapshot, days: &Strips) -> Self {
        let Agent { info, stats } = agent;
        let cause_of = |task| snapshot.cause_fields(info.agent, task);
        let mut cause = cause_of(0);
        if let Some(cause) = cause.as_mut().filter(|_| snapshot.has_changed(info)) {
            cause.add("; its silence is not judged before it beats");
        }
        let mut day = days.get(&info.agent).cloned();
        if let Some(day) = day.as_mut().filter(|_| snapshot.has_changed(info)) {
            // The history shows it only when its silence has ended.
            let now_ns =
                nanoseconds(snapshot.at.duration_since(UNIX_EPOCH).unwrap_or_default());
            let unjudged_ns = info.age_ns.saturating_sub(info.threshold_ns);
            *day = mark_not_judged(day, now_ns.saturating_sub(unjudged_ns), now_ns);
        }
        let tasks = snapshot.tasks_of(info.agent).iter();
        let known = |label: Label| (!label.is_empty()).then(|| label.to_string());
        Self {
            agent: info.agent,
            program: stats.name.to_string(),
            pid: info.pid,
            claimed_pid: info.claimed_pid,
            origin: info.origin.name().to_owned(),
            uid: info.uid,
            address: info.address.map(|address| address.to_string()),
            state: State::of(info, snapshot),
            status: info.status.name().to_owned(),
            payload: stats.payload,
            age_ms: info.age_ns / 1_000_000,
            threshold_ms: info.threshold_ns / 1_000_000,
            beats: stats.beats,
            missed: stats.missed,
            stalls: stats.stalls,
            recoveries: stats.recoveries,
            unconfirmed: info.unconfirmed,
            lane: info.lane,
            comm: stats.comm.to_string(),
            unit: known(stats.unit),
            user_unit: known(stats.user_unit),
            container: known(stats.container),
            cause,
            tasks: tasks.map(|task| TaskRow::of(task, cause_of(task.number))).collect(),
            service: snapshot.services.get(&info.agent).map(ServiceRow::of),
            day,
        }
    }

    pub(crate) const fn shown_pid(&self) -> u32 {
        shown_pid(self.pid, self.claimed_pid)
    }
}

/// An agent whose process has exited.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Gone {
    pub(crate) agent: u64,
    pub(crate) program: String,
    pub(crate) pid: u32,
    pub(crate) ago_ms: u64,
    /// A description of the cause.
    pub(crate) cause: String,
    /// It exited with code 0, or had announced its exit.
    pub(crate) clean: bool,
    pub(crate) beats: u64,
    /// As that of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) day: Option<String>,
}

impl Report {
    pub(crate) fn of(snapshot: &Snapshot, days: &Strips) -> Self {
        let since = snapshot.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = |duration: std::time::Duration| {
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
        };
        let counters = &snapshot.counters;
        let agents = snapshot.agents().into_iter();
        let gone = snapshot.departed.iter().rev().map(|departed| Gone {
            agent: departed.agent,
            program: departed.stats.name.to_string(),
            pid: shown_pid(departed.stats.pid, departed.stats.claimed_pid),
            ago_ms: snapshot.now_ns.saturating_sub(departed.at_ns) / 1_000_000,
            cause: departed.cause.to_string(),
            clean: departed.expected || departed.cause == ExitCause::Code(0),
            beats: departed.stats.beats,
            day: days.get(&departed.agent).cloned(),
        });
        Self {
            at_ms: ms(since),
            uptime_ms: snapshot.now_ns / 1_000_000,
            threshold_ms: ms(snapshot.threshold),
            capacity: snapshot.capacity,
            totals: Totals {
                received: counters.received,
                beats: counters.beats
                    + counters.lane_beats
                    + snapshot.notify.map_or(0, |notify| notify.pings),
                stalls: counters.stalls,
                recoveries: counters.recoveries,
                exits: counters.exits,
                missed: counters.missed,
            },
            agents: agents.map(|it| Row::of(it, snapshot, days)).collect(),
            gone: gone.collect(),
            rules: rules::all(snapshot),
            expected: snapshot.expected.iter().map(ExpectedRow::of).collect(),
        }
    }
}
