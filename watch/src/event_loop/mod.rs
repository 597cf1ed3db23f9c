//! The loop: hears, keeps the books, passes on what was said. It waits for nothing but its
//! own descriptors.

mod busy_poll;
mod event_log;
mod evictions;
mod housekeeping;
mod pressure;
pub(crate) mod priority;
pub(crate) mod signals;
pub(crate) mod watchdog;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use varta_observer::{About, AgentInfo, Event, Observer, Origin, What};

use self::event_log::EventLog;
use self::evictions::Search;
use self::pressure::Pressure;
use crate::config::Settings;
use crate::event_loop::busy_poll::BusyPoll;
use crate::event_loop::signals::Signals;
use crate::output::export::{self, Entry};
use crate::platform::systemd::Notifier;
use crate::recovery;
use crate::server::ServerThread;
use crate::state::histogram::{LATENCIES, Latencies};
use crate::state::stats::StatsTable;
use crate::state::{Notification, Shared, Snapshot, SnapshotRequests, Turns};

/// How many events a turn takes at most, so that signals and questions get their turn too.
const A_TURN: usize = 256;

/// All that the loop works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) observer: Observer,
    pub(crate) settings: Settings,
    /// The command line, for a reload.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) shared: Shared,
    pub(crate) questions: SnapshotRequests,
    pub(crate) signals: Signals,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) recovery: recovery::Feed,
    pub(crate) export: Option<export::Feed>,
    pub(crate) showing: ServerThread,
}

/// The loop.
#[derive(Debug)]
pub(crate) struct EventLoop {
    with: Context,
    stats: StatsTable,
    turns: Turns,
    /// When the last turn ended. The wall clock is asked only by who wants to know.
    last_turn_ns: u64,
    busy_poll: BusyPoll,
    log: EventLog,
    search: Search,
    pressure: Pressure,
    /// The snapshot given out last, and when.
    latest: Option<(Instant, Arc<Snapshot>)>,
    end_at: Option<Instant>,
    namespace_refused: u64,
}

impl EventLoop {
    pub(crate) fn new(mut with: Context) -> io::Result<Self> {
        with.observer.wake_by(with.signals.as_fd())?;
        with.observer.wake_by(with.questions.bell())?;
        let now_ns = with.observer.now_ns();
        let turns = Turns {
            last: SystemTime::now(),
            count: 0,
            whole: Latencies::EMPTY,
            drain: Latencies::EMPTY,
            maintenance: Latencies::EMPTY,
            housekeeping: Latencies::EMPTY,
            over_budget: 0,
        };
        let after = with.settings.flags.keeping.shutdown_after_secs;
        let end_at =
            after.and_then(|secs| Instant::now().checked_add(Duration::from_secs(secs)));
        let stats = StatsTable::new(nanoseconds(with.settings.threshold));
        let namespace_refused = 0;
        let busy_poll = BusyPoll::default();
        let last_turn_ns = now_ns;
        Ok(Self {
            with,
            stats,
            turns,
            last_turn_ns,
            busy_poll,
            log: EventLog::default(),
            search: Search::default(),
            pressure: Pressure::default(),
            latest: None,
            end_at,
            namespace_refused,
        })
    }

    /// Watches until told to end.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = [Event::NOTHING; A_TURN];
        while !self.with.signals.end() {
            let left = self.end_at.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let now = self.with.observer.now_ns();
            self.log.sum_up(now);
            self.with.recovery.sum_up(now);
            let wait = match self.busy_poll.looks_again(now) {
                true => Duration::ZERO,
                false => {
                    let pressure = self.pressure.due_ns(!self.stats.is_empty());
                    let due = [self.log.due_ns(), self.with.recovery.due_ns(), pressure];
                    let due = due.into_iter().flatten();
                    let due = due.map(|at| Duration::from_nanos(at.saturating_sub(now)));
                    left.into_iter().chain(due).min().unwrap_or(Duration::MAX)
                }
            };
            let heard = self.with.observer.poll_many(&mut events, wait)?;
            let woken = self.with.observer.take_woken();
            self.pressure.look(&mut self.with.observer)?;
            if heard == 0 && wait.is_zero() && !woken {
                continue;
            }
            let drained = self.with.observer.now_ns();
            let events = events.get(..heard).unwrap_or_default();
            self.pass_on(events);
            self.forget_evicted(drained)?;
            let maintained = self.with.observer.now_ns();
            let mut ended = maintained;
            if woken {
                self.keep_house()?;
                ended = self.with.observer.now_ns();
            }
            self.check_namespaces()?;
            // The wait is over with the look that has found the first of them.
            let began = events.first().map_or(drained, |first| first.observer_ns);
            if heard > 0 {
                self.busy_poll.note(began, ended, wait.is_zero());
            }
            self.note_turn([began, drained, maintained, ended]);
        }
        Ok(())
    }

    /// What is needed to end in order.
    pub(crate) fn into_parts(mut self) -> Context {
        self.log.sum_up(u64::MAX);
        self.with
    }

    /// When it began, and was through with hearing, with passing on, and with all else.
    fn note_turn(&mut self, [began, drained, maintained, ended]: [u64; 4]) {
        let turns = &mut self.turns;
        let whole = ended.saturating_sub(began);
        turns.count += 1;
        self.last_turn_ns = ended;
        turns.whole.note(&LATENCIES, whole);
        turns.drain.note(&LATENCIES, drained.saturating_sub(began));
        turns.maintenance.note(&LATENCIES, maintained.saturating_sub(drained));
        turns.housekeeping.note(&LATENCIES, ended.saturating_sub(maintained));
        let budget =
            self.with.settings.flags.http.iteration_budget_ms.saturating_mul(1_000_000);
        turns.over_budget += u64::from(whole > budget);
        self.with.shared.counters().turns.one();
    }

    /// Takes events in, and tells all who want to know.
    fn pass_on(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let listened_to = self.with.shared.has_subscribers();
        let mut said = Vec::with_capacity(if listened_to { events.len() } else { 0 });
        let exported = self.with.export.is_some();
        let mut entries = Vec::with_capacity(if exported { events.len() } else { 0 });
        for event in events {
            let ended = self.stats.note(event);
            let agent = event.about.map(|about| about.agent);
            let is_beat = matches!(event.what, What::Beat { .. });
            if let Some(about) = event.about.filter(|_| is_beat) {
                self.learn(&about);
                if !listened_to && !exported {
                    continue;
                }
            }
            let stats = ended.as_ref().or_else(|| self.stats.get(agent?));
            let name = stats.map_or(AgentInfo::NOBODY.name, |stats| stats.name);
            if !is_beat {
                self.log.write(event.observer_ns, event, name, stats);
                if let Some(stats) = stats {
                    self.with.recovery.tell(event, stats, &self.with.observer);
                }
            }
            if listened_to {
                said.push(Notification::Event { event: *event, name });
            }
            if exported {
                let (nonce, stalled) =
                    stats.map_or((0, false), |stats| (stats.nonce, stats.stalled));
                entries.push(Entry { event: *event, name, nonce, stalled });
            }
        }
        if let Some(export) = &self.with.export {
            export.push(entries);
        }
        if listened_to {
            self.with.shared.say(said.into());
        }
    }

    /// What only the observer knows of an agent is asked when it is new, and until the
    /// agent is confirmed. A sealed agent can become unconfirmed with each new session.
    fn learn(&mut self, about: &About) {
        let Some(stats) = self.stats.get_mut(about.agent) else { return };
        if !stats.unconfirmed && about.origin != Origin::SecureNetwork {
            return;
        }
        if let Ok(Some(info)) = self.with.observer.agent(about.agent) {
            (stats.name, stats.uid) = (info.name, info.uid);
            // Over plain UDP there is nothing to confirm.
            stats.unconfirmed = info.unconfirmed && info.origin != Origin::Network;
            self.stats.endings.expect(info.name.to_string());
        }
    }

    fn check_namespaces(&mut self) -> io::Result<()> {
        if !self.with.settings.flags.admission.strict_namespace_check {
            return Ok(());
        }
        let refused = self.with.observer.stats()?.namespace_refused;
        if refused == self.namespace_refused {
            return Ok(());
        }
        Err(io::Error::other(
            "a beat came from another pid namespace, and --strict-namespace-check was said",
        ))
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
