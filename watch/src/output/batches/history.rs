//! The history's files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{error, warn};
use varta_history::{ClockPair, Limits, Origin, Writer};

use super::state::State;
use crate::platform::clock::{Clock, wall_ns};
use crate::state::counters;
use crate::state::history::Stored;

/// The minimum time between two log lines about a failing disk.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How often what was written is synced.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The folder of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// No flag names it: it is used if that is possible.
    pub(crate) is_default: bool,
}

/// The history of this run.
#[derive(Debug)]
pub(crate) struct HistoryFiles {
    writer: Writer,
    folder: Folder,
    clock: Clock,
    state: State,
    logged_at: Option<Instant>,
    /// What the counters have been told.
    told: varta_history::Counts,
}

impl HistoryFiles {
    /// Opens the folder, and begins a segment. Returns None after a warning if another daemon
    /// writes there, or if the folder cannot be used and nobody asked for it.
    pub(crate) fn open(
        folder: Folder,
        limits: Limits,
        origin: Origin,
        clock: Clock,
    ) -> io::Result<Option<Self>> {
        let writer = match Writer::open(&folder.path, limits, origin, now(clock)) {
            Ok(writer) => writer,
            Err(error) if folder.is_default || is_in_use(&error) => {
                warn!("there is no history: {error}");
                return Ok(None);
            }
            Err(error) => {
                let why = format!("--history-dir {}: {error}", folder.path.display());
                return Err(io::Error::new(error.kind(), why));
            }
        };
        for repair in writer.repairs() {
            warn!("history: {repair}");
        }
        let state = State::default();
        let told = varta_history::Counts::default();
        Ok(Some(Self { writer, folder, clock, state, logged_at: None, told }))
    }

    /// The folder in which the history is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The time until something has to be synced, if there is something to sync.
    pub(super) fn sync_due(&self) -> Option<Duration> {
        self.writer.has_unsynced().then_some(SYNC_INTERVAL)
    }

    /// Adds a record to what is written next.
    pub(super) fn add(&mut self, stored: &Stored) {
        self.state.apply(stored.at_ns, &stored.record);
        self.writer.push(stored.seq, stored.at_ns, &stored.record);
    }

    /// Writes what was added.
    pub(super) fn write(&mut self, counters: &counters::History) {
        let state = &self.state;
        if let Err(error) = self.writer.flush(now(self.clock), || state.records()) {
            self.log_failure(&error);
        }
        self.count(counters);
    }

    /// Writes and syncs everything.
    pub(super) fn end(mut self, counters: &counters::History) {
        self.count(counters);
        if let Err(error) = self.writer.end(now(self.clock)) {
            error!("history: {error}");
        }
    }

    fn count(&mut self, counters: &counters::History) {
        let counts = self.writer.counts();
        counters.records.add(counts.records.saturating_sub(self.told.records));
        counters.lost.add(counts.lost.saturating_sub(self.told.lost));
        counters.bytes.set(counts.bytes);
        counters.segments.set(counts.segments);
        self.told = counts;
    }

    fn log_failure(&mut self, error: &varta_history::Error) {
        if self.logged_at.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            self.logged_at = Some(Instant::now());
            error!(folder = %self.folder.path.display(), "records of the history lost: {error}");
        }
    }
}

fn is_in_use(error: &varta_history::Error) -> bool {
    matches!(error, varta_history::Error::InUse { .. })
}

fn now(clock: Clock) -> ClockPair {
    ClockPair { observer_ns: clock.now(), wall_ns: wall_ns() }
}
