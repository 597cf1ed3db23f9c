//! The last day of each agent, from the files of the history, for those who look at the agents.

mod days;
mod strip;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::spawn_blocking;
use tracing::warn;
use varta_history::{Item, Kind, Reader, Run};

use self::days::Days;
pub(crate) use self::strip::mark_not_judged;
use crate::platform::process::started_ns;

/// The strip of each agent, by its number.
pub(crate) type Strips = HashMap<u64, String>;

/// How old strips may be.
const EVERY: Duration = Duration::from_secs(60);

/// Reads the history when somebody asks, in another thread and at most once a minute: what was
/// recorded since the last time.
#[derive(Debug, Default)]
pub(crate) struct LastDay {
    /// None if there is no history.
    follower: Option<Arc<Mutex<Follower>>>,
    latest: Arc<Mutex<Latest>>,
}

#[derive(Debug, Default)]
struct Latest {
    strips: Arc<Strips>,
    asked_at: Option<Instant>,
}

/// Follows the history, for the agents of one run.
#[derive(Debug)]
struct Follower {
    folder: PathBuf,
    run: Run,
    reader: Option<Reader>,
    days: Days,
}

impl LastDay {
    /// Of the agents of this run, whose history is in this folder.
    pub(super) fn new(folder: Option<PathBuf>, run: Run) -> Self {
        let follower = folder.map(|folder| {
            let (reader, days) = (None, Days::default());
            Arc::new(Mutex::new(Follower { folder, run, reader, days }))
        });
        Self { follower, latest: Arc::default() }
    }

    /// The strips as they were at the last look, which is begun now if it is due.
    pub(super) fn strips(&self) -> Arc<Strips> {
        let mut latest = lock(&self.latest);
        let strips = Arc::clone(&latest.strips);
        let Some(follower) = &self.follower else { return strips };
        if latest.asked_at.is_none_or(|at| at.elapsed() >= EVERY) {
            latest.asked_at = Some(Instant::now());
            let (follower, latest) = (Arc::clone(follower), Arc::clone(&self.latest));
            spawn_blocking(move || {
                let strips = lock(&follower).strips();
                lock(&latest).strips = Arc::new(strips);
            });
        }
        strips
    }
}

impl Follower {
    fn strips(&mut self) -> Strips {
        if let Err(error) = self.read() {
            // It is read again from its beginning.
            (self.reader, self.days) = (None, Days::default());
            warn!(%error, "the last day of the agents cannot be read from the history");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.days.strips(now_ns, self.run, started_ns)
    }

    fn read(&mut self) -> Result<(), varta_history::Error> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(Reader::open(&self.folder)?),
        };
        while let Some(item) = reader.next()? {
            let Item::Record(entry) = item else { continue };
            self.days.pass(entry.header, entry.wall_ns);
            let is_wanted = matches!(
                entry.kind(),
                Some(
                    Kind::Agent
                        | Kind::Threshold
                        | Kind::Stall
                        | Kind::Recovered
                        | Kind::Gap
                        | Kind::Exit
                        | Kind::Eviction
                )
            );
            if is_wanted && let Some(record) = entry.record() {
                self.days.add(entry.wall_ns, entry.observer_ns, &record);
            }
        }
        Ok(())
    }
}

/// A thread that panicked leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
