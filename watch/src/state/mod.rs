//! What the watching thread knows, for other threads.
//!
//! The watching thread must never wait for a reader. So nothing here is locked by both:
//!
//! - A reader **asks** for a [`Snapshot`] ([`Shared::snapshot`]): a message and a ring of the
//!   watching thread's bell. That thread answers at the end of its turn, with one snapshot
//!   for all who have asked, and the same again to those who ask within 50 ms. It is behind
//!   an `Arc`: a reader may keep it as long as it likes. The answer is a
//!   [`oneshot::Receiver`]: `.await` it, or call `blocking_recv`. It fails only when the
//!   daemon ends.
//! - A reader **subscribes** to what is said ([`Shared::subscribe`]): events and decisions of
//!   recovery, in batches. Behind it is a ring of [`BATCHES`]; who reads too slowly gets
//!   `Lagged` with the number of batches lost, and goes on with those still there.
//! - **Counters** ([`Shared::counters`]) are atomic counters that other threads (recovery,
//!   audit, export, HTTP) add to themselves, and anybody reads.
//!
//! A snapshot costs the watching thread about 100 ns an agent.

pub(crate) mod counters;
pub(crate) mod exits;
pub(crate) mod histogram;
pub(crate) mod stats;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{broadcast, mpsc, oneshot};
use varta_observer::{AgentInfo, Counters, Event, ProgramName};

use crate::recovery::Decision;
use crate::state::counters::SharedCounters;
use crate::state::exits::ExitCounts;
use crate::state::histogram::Latencies;
use crate::state::stats::{AgentStats, Departed};

/// How many batches a slow subscriber may lag behind before it loses some.
pub(crate) const BATCHES: usize = 256;

/// Readers that may wait for a snapshot at once; one more waits for a place.
const ASKING: usize = 64;

/// Whoever asks again within this time is given the same snapshot.
pub(crate) const FRESH: Duration = Duration::from_millis(50);

/// All that is known at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// When, in the observer's time and by the wall clock.
    pub(crate) now_ns: u64,
    pub(crate) at: SystemTime,
    /// Of the agents: what the observer has of each, and what its events have told. Each as
    /// it was come by, because the watching thread has no time to put them together.
    pub(crate) infos: Vec<AgentInfo>,
    pub(crate) stats: Vec<(u64, AgentStats)>,
    /// Agents that have ended lately. Who counts what has been adds these to the others.
    pub(crate) departed: Vec<Departed>,
    /// The sum of what agents had that are in neither list.
    pub(crate) gone: AgentStats,
    pub(crate) endings: ExitCounts,
    pub(crate) detection: Latencies,
    pub(crate) io_errors: u64,
    pub(crate) counters: Counters,
    pub(crate) turns: Turns,
    pub(crate) threshold: Duration,
    pub(crate) capacity: usize,
}

impl Snapshot {
    /// The agents in order of their numbers.
    pub(crate) fn agents(&self) -> Vec<Agent<'_>> {
        put_together(&self.infos, &self.stats)
    }
}

fn put_together<'a>(infos: &'a [AgentInfo], stats: &'a [(u64, AgentStats)]) -> Vec<Agent<'a>> {
    let mut infos: Vec<_> = infos.iter().map(|info| (info.agent, info)).collect();
    let mut table: Vec<_> = stats.iter().map(|(agent, stats)| (*agent, stats)).collect();
    infos.sort_unstable_by_key(|(agent, _)| *agent);
    table.sort_unstable_by_key(|(agent, _)| *agent);
    let mut table = table.into_iter().peekable();
    let with_book = |(agent, info)| {
        // Of one whose end is still to be told there is a book, and nothing else.
        while table.next_if(|(of, _)| *of < agent).is_some() {}
        // Of one that has only beaten too often there is none.
        let stats = table.next_if(|(of, _)| *of == agent).map_or(&AgentStats::EMPTY, |it| it.1);
        Agent { info, stats }
    };
    infos.into_iter().map(with_book).collect()
}

/// One agent: what the observer has of it, and what its events have told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agent<'a> {
    pub(crate) info: &'a AgentInfo,
    pub(crate) stats: &'a AgentStats,
}

/// What the loop itself does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// When the last one ended.
    pub(crate) last: SystemTime,
    pub(crate) count: u64,
    /// A whole turn, without the wait.
    pub(crate) whole: Latencies,
    /// Reading and judging.
    pub(crate) drain: Latencies,
    /// Passing on what was said.
    pub(crate) maintenance: Latencies,
    /// Signals, questions, reloads.
    pub(crate) housekeeping: Latencies,
    pub(crate) over_budget: u64,
}

/// Something that was said.
#[derive(Debug, Clone)]
pub(crate) enum Notification {
    Event { event: Event, name: ProgramName },
    Recovery(Decision),
}

pub(crate) type Batch = Arc<[Notification]>;

/// The readers' end. Cloning it is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    bell: Arc<OwnedFd>,
    asking: mpsc::Sender<oneshot::Sender<Arc<Snapshot>>>,
    said: broadcast::Sender<Batch>,
    counters: Arc<SharedCounters>,
}

impl Shared {
    /// Asks for a snapshot. None when the daemon ends, or too many ask already.
    pub(crate) fn snapshot(&self) -> Option<oneshot::Receiver<Arc<Snapshot>>> {
        let (answer, answered) = oneshot::channel();
        self.asking.try_send(answer).ok()?;
        self.ring();
        Some(answered)
    }

    /// From now on, all that is said.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Batch> {
        self.said.subscribe()
    }

    /// Tells the subscribers.
    pub(crate) fn say(&self, batch: Batch) {
        // That nobody listens is not an error.
        let _ = self.said.send(batch);
    }

    pub(crate) fn has_subscribers(&self) -> bool {
        self.said.receiver_count() > 0
    }

    pub(crate) fn counters(&self) -> &SharedCounters {
        &self.counters
    }

    /// Has the watching thread look after its messages.
    pub(crate) fn ring(&self) {
        // A full counter means that it has been rung already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

/// The watching thread's end.
#[derive(Debug)]
pub(crate) struct SnapshotRequests {
    bell: Arc<OwnedFd>,
    asked: mpsc::Receiver<oneshot::Sender<Arc<Snapshot>>>,
}

impl SnapshotRequests {
    /// Becomes readable when somebody has rung.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Stills the bell; what came before it rang is found by whoever looks afterwards.
    pub(crate) fn still(&self) {
        // Nothing to read means that it was still.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    /// The next who waits for a snapshot.
    pub(crate) fn next(&mut self) -> Option<oneshot::Sender<Arc<Snapshot>>> {
        self.asked.try_recv().ok()
    }
}

/// Both ends.
pub(crate) fn shared() -> io::Result<(Shared, SnapshotRequests)> {
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (asking, asked) = mpsc::channel(ASKING);
    let (said, _) = broadcast::channel(BATCHES);
    let counters = Arc::new(SharedCounters::default());
    Ok((
        Shared { bell: Arc::clone(&bell), asking, said, counters },
        SnapshotRequests { bell, asked },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_gets_its_own_statistics() {
        let infos = [3, 5, 1].map(|agent| {
            let mut info = AgentInfo::NOBODY;
            info.agent = agent;
            info
        });
        let stats =
            [5, 2, 1].map(|agent| (agent, AgentStats { payload: agent, ..AgentStats::EMPTY }));
        let agents = put_together(&infos, &stats);
        let found: Vec<_> = agents.iter().map(|it| (it.info.agent, it.stats.payload)).collect();
        assert_eq!(found, [(1, 1), (3, 0), (5, 5)]);
    }
}
