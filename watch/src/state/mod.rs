//! The state of the event loop, as other threads see it.
//!
//! The event loop must never wait for a reader. So no lock is shared between them:
//!
//! - A reader requests a [`Snapshot`] with [`Shared::snapshot`], which sends a message and
//!   wakes the event loop. The loop replies at the end of its iteration, with one snapshot for
//!   all pending requests, and the same again for requests within 50 ms. The snapshot is in an
//!   `Arc`, so a reader may keep it for any time. The reply arrives by a [`oneshot::Receiver`],
//!   which fails only when the daemon ends.
//! - A reader subscribes to events and recovery decisions with [`Shared::subscribe`], and
//!   receives them in batches from a ring of [`BATCHES`]. A reader that is too slow gets
//!   `Lagged` with the number of lost batches, and continues with those still in the ring.
//! - [`Shared::counters`] are atomic counters that other threads (recovery, audit, export,
//!   HTTP) increment themselves.
//!
//! A snapshot costs the event loop about 100 ns per agent.

pub(crate) mod applied;
pub(crate) mod by_number;
pub(crate) mod causes;
pub(crate) mod counters;
pub(crate) mod exits;
pub(crate) mod expectations;
pub(crate) mod histogram;
pub(crate) mod history;
pub(crate) mod programs;
pub(crate) mod services;
pub(crate) mod stats;
pub(crate) mod tasks;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{broadcast, mpsc, oneshot};
use varta::TaskName;
use varta_observer::{
    AgentInfo, CauseInfo, Counters, Event, Label, NotifyCounters, ServiceInfo, TaskInfo,
};

use crate::lookup::LockOwner;
use crate::output::cause::CauseFields;
use crate::output::stamp::Stamp;
use crate::recovery::Decision;
use crate::rules::Rules;
use crate::state::causes::StallCauses;
use crate::state::counters::SharedCounters;
use crate::state::exits::ExitCounts;
use crate::state::expectations::ExpectedProgram;
use crate::state::histogram::Latencies;
use crate::state::programs::Programs;
use crate::state::services::ServiceReport;
use crate::state::stats::{AgentStats, Departed};
use crate::state::tasks::OfName;

/// The number of batches that a slow subscriber may lag behind before it loses some.
pub(crate) const BATCHES: usize = 256;

/// The maximum number of readers that wait for a snapshot. Further requests fail.
const MAX_REQUESTS: usize = 64;

/// Requests within this time get the same snapshot.
pub(crate) const FRESH: Duration = Duration::from_millis(50);

/// The state at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The moment, in the observer's time and by the wall clock.
    pub(crate) now_ns: u64,
    pub(crate) at: SystemTime,
    /// The agents as the observer lists them, and their statistics. The reader joins the two
    /// with [`agents`](Self::agents), because the event loop has no time for it.
    pub(crate) infos: Vec<AgentInfo>,
    pub(crate) stats: Vec<(u64, AgentStats)>,
    /// The tasks of all agents that have some, by the numbers of the agents.
    pub(crate) tasks: BTreeMap<u64, Vec<TaskInfo>>,
    /// See [`owner`](Self::owner).
    pub(crate) owners: BTreeMap<(u64, u32), LockOwner>,
    /// The programs that speak the protocol of sd_notify, by the numbers of their agents.
    pub(crate) services: BTreeMap<u64, ServiceInfo>,
    /// None without a notify socket.
    pub(crate) notify: Option<NotifyCounters>,
    /// The counts of tasks by name, with those of all further names under None.
    pub(crate) task_counts: BTreeMap<Option<TaskName>, OfName>,
    /// Why agents and tasks are silent, by the numbers of the agent and of the task, which is 0
    /// for the process; that of agents that have [changed](Self::has_changed) too. Empty with
    /// `--causes off`.
    pub(crate) causes: BTreeMap<(u64, u32), CauseInfo>,
    /// None with `--causes off`.
    pub(crate) stall_causes: Option<StallCauses>,
    /// Agents that exited recently. Totals have to include these.
    pub(crate) departed: Vec<Departed>,
    /// The sum of the statistics of agents that are in neither list.
    pub(crate) gone: AgentStats,
    pub(crate) exits: ExitCounts,
    pub(crate) programs: Programs,
    pub(crate) detection: Latencies,
    pub(crate) io_errors: u64,
    pub(crate) counters: Counters,
    pub(crate) turns: Turns,
    pub(crate) threshold: Duration,
    pub(crate) capacity: usize,
    /// The expected programs, in the order of the configuration file.
    pub(crate) expected: Vec<ExpectedProgram>,
    pub(crate) rules: Arc<Rules>,
    /// How many agents each rule applies to.
    pub(crate) agents_by_rule: Vec<usize>,
}

impl Snapshot {
    /// The agents in order of their numbers.
    pub(crate) fn agents(&self) -> Vec<Agent<'_>> {
        join(&self.infos, &self.stats)
    }

    /// The owner of the lock for which a silent agent waits, or its task with this number; the
    /// process is task 0.
    pub(crate) fn owner(&self, agent: u64, task: u32) -> Option<&LockOwner> {
        self.owners.get(&(agent, task))
    }

    /// Why an agent is silent, or one of its tasks; the process is task 0.
    pub(crate) fn cause(&self, agent: u64, task: u32) -> Option<&CauseInfo> {
        self.causes.get(&(agent, task))
    }

    /// The same, for those who read it.
    pub(crate) fn cause_fields(&self, agent: u64, task: u32) -> Option<CauseFields> {
        let info = self.cause(agent, task)?;
        Some(CauseFields::with_details(info, self.owner(agent, task)))
    }

    /// Whether an agent executes another program since its last beat, so that its silence is not
    /// judged before it beats.
    pub(crate) fn has_changed(&self, info: &AgentInfo) -> bool {
        !info.stalled && self.cause(info.agent, 0).is_some()
    }

    /// The tasks of an agent.
    pub(crate) fn tasks_of(&self, agent: u64) -> &[TaskInfo] {
        self.tasks.get(&agent).map_or(&[], Vec::as_slice)
    }
}

fn join<'a>(infos: &'a [AgentInfo], stats: &'a [(u64, AgentStats)]) -> Vec<Agent<'a>> {
    let mut infos: Vec<_> = infos.iter().map(|info| (info.agent, info)).collect();
    let mut table: Vec<_> = stats.iter().map(|(agent, stats)| (*agent, stats)).collect();
    infos.sort_unstable_by_key(|(agent, _)| *agent);
    table.sort_unstable_by_key(|(agent, _)| *agent);
    let mut table = table.into_iter().peekable();
    let with_stats = |(agent, info)| {
        // An agent whose exit has not been reported yet has statistics, but no entry.
        while table.next_if(|(of, _)| *of < agent).is_some() {}
        // An agent whose beats were all over the rate limit has an entry, but no statistics.
        let stats = table.next_if(|(of, _)| *of == agent).map_or(&AgentStats::EMPTY, |it| it.1);
        Agent { info, stats }
    };
    infos.into_iter().map(with_stats).collect()
}

/// One agent: its entry in the observer, and its statistics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agent<'a> {
    pub(crate) info: &'a AgentInfo,
    pub(crate) stats: &'a AgentStats,
}

/// Statistics of the event loop itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// When the last iteration ended.
    pub(crate) last: SystemTime,
    pub(crate) count: u64,
    /// Whole iterations, without the wait.
    pub(crate) whole: Latencies,
    /// Receiving and evaluating beats.
    pub(crate) drain: Latencies,
    /// Forwarding events.
    pub(crate) maintenance: Latencies,
    /// Signals, requests and reloads.
    pub(crate) housekeeping: Latencies,
    pub(crate) over_budget: u64,
}

/// An item for subscribers.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub(crate) about: Subject,
    pub(crate) stamp: Stamp,
}

/// What an item for subscribers is about.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Event {
        event: Event,
        name: Label,
    },
    Recovery(Decision),
    /// An expected program has become missing, or is present again.
    Expected {
        at_ns: u64,
        program: ExpectedProgram,
    },
    Service(ServiceReport),
}

pub(crate) type Batch = Arc<[Notification]>;

/// The readers' side. Cloning it is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    wake_fd: Arc<OwnedFd>,
    requests: mpsc::Sender<oneshot::Sender<Arc<Snapshot>>>,
    notifications: broadcast::Sender<Batch>,
    counters: Arc<SharedCounters>,
}

impl Shared {
    /// Requests a snapshot. Returns None if the daemon ends or too many requests are pending.
    pub(crate) fn snapshot(&self) -> Option<oneshot::Receiver<Arc<Snapshot>>> {
        let (reply, receiver) = oneshot::channel();
        self.requests.try_send(reply).ok()?;
        self.wake();
        Some(receiver)
    }

    /// Subscribes to all notifications from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Batch> {
        self.notifications.subscribe()
    }

    /// Sends notifications to all subscribers.
    pub(crate) fn publish(&self, batch: Batch) {
        // Fails only if there are no subscribers.
        let _ = self.notifications.send(batch);
    }

    pub(crate) fn has_subscribers(&self) -> bool {
        self.notifications.receiver_count() > 0
    }

    pub(crate) fn counters(&self) -> &SharedCounters {
        &self.counters
    }

    /// Wakes the event loop, so that it handles requests.
    pub(crate) fn wake(&self) {
        // Fails only if the counter is full, and then the loop is being woken already.
        let _ = rustix::io::write(&self.wake_fd, &1_u64.to_ne_bytes());
    }
}

/// The event loop's side.
#[derive(Debug)]
pub(crate) struct SnapshotRequests {
    wake_fd: Arc<OwnedFd>,
    requests: mpsc::Receiver<oneshot::Sender<Arc<Snapshot>>>,
}

impl SnapshotRequests {
    /// Becomes readable when a thread wakes the loop.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake_fd.as_fd()
    }

    /// Resets the wake-up. Check for requests afterwards, not before.
    pub(crate) fn clear(&self) {
        // Fails only if there was no wake-up.
        let _ = rustix::io::read(&self.wake_fd, &mut [0; 8]);
    }

    /// The next pending request for a snapshot.
    pub(crate) fn next(&mut self) -> Option<oneshot::Sender<Arc<Snapshot>>> {
        self.requests.try_recv().ok()
    }
}

/// Creates both sides.
pub(crate) fn shared() -> io::Result<(Shared, SnapshotRequests)> {
    let wake_fd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
    let (notifications, _) = broadcast::channel(BATCHES);
    let counters = Arc::new(SharedCounters::default());
    Ok((
        Shared { wake_fd: Arc::clone(&wake_fd), requests: sender, notifications, counters },
        SnapshotRequests { wake_fd, requests: receiver },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_is_joined_with_its_own_statistics() {
        let infos = [3, 5, 1].map(|agent| {
            let mut info = AgentInfo::NOBODY;
            info.agent = agent;
            info
        });
        let stats =
            [5, 2, 1].map(|agent| (agent, AgentStats { payload: agent, ..AgentStats::EMPTY }));
        let agents = join(&infos, &stats);
        let found: Vec<_> = agents.iter().map(|it| (it.info.agent, it.stats.payload)).collect();
        assert_eq!(found, [(1, 1), (3, 0), (5, 5)]);
    }
}
