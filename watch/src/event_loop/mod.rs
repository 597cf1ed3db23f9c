//! The event loop: receives beats, updates the statistics, and forwards events. It blocks on
//! nothing but its own descriptors.

mod busy_poll;
mod event_log;
mod evictions;
mod expectations;
mod history;
mod housekeeping;
mod lock_owners;
mod pressure;
mod rules;
mod scripts;
mod service_log;
mod services;
pub(crate) mod signals;
mod task_log;
mod thresholds;
pub(crate) mod watchdog;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use varta_observer::{About, AgentInfo, Event, Label, Names, Observer, Origin, What};

use self::event_log::EventLog;
use self::evictions::Search;
pub(crate) use self::history::Recorder;
use self::history::threshold_of;
use self::lock_owners::LockOwners;
use self::pressure::Pressure;
use self::rules::Starting;
use self::service_log::ServiceLog;
use crate::config::Settings;
use crate::event_loop::busy_poll::BusyPoll;
use crate::event_loop::signals::Signals;
use crate::lookup::Lookups;
use crate::output::batches;
use crate::output::cause::Phrase;
use crate::output::export::Entry;
use crate::platform::clock::nanoseconds;
use crate::platform::systemd::Notifier;
use crate::recovery::{self, Known};
use crate::server::ServerThread;
use crate::state::causes::StallCauses;
use crate::state::expectations::Expectations;
use crate::state::histogram::{LATENCIES, Latencies};
use crate::state::stats::StatsTable;
use crate::state::{Notification, Shared, Snapshot, SnapshotRequests, Subject, Turns};

/// Maximum number of events per iteration, so that signals and requests are not starved.
const MAX_EVENTS: usize = 256;

/// Everything that the event loop works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) observer: Observer,
    pub(crate) settings: Settings,
    /// The command line, for a reload.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) shared: Shared,
    pub(crate) requests: SnapshotRequests,
    pub(crate) signals: Signals,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) recovery: recovery::Feed,
    pub(crate) lookups: Lookups,
    /// The thread that writes the export file and the history, if there is one of them.
    pub(crate) batches: Option<batches::Feed>,
    pub(crate) has_history: bool,
    pub(crate) server: ServerThread,
    /// Whether there is a notify socket.
    pub(crate) notifies: bool,
}

/// The event loop, which is the only owner of the observer.
///
/// - Input: datagrams, timers and process exits, by way of the [`Observer`]; signals; requests
///   for snapshots; agents that recovery asks about again. The signals' pipe and the wake-up
///   descriptor of [`SnapshotRequests`] interrupt the observer's wait.
/// - Time: the observer's clock, in nanoseconds since its start. An iteration is due when the
///   observer has events, or when the log, recovery or the pressure check has something to do.
/// - Output: each event once, in the observer's order, to the statistics, the log and recovery;
///   then each batch to the export file and the subscribers. None of these can block the loop:
///   what does not fit into a queue is dropped and counted.
/// - Order of calls: [`new`](Self::new), [`run`](Self::run) until it returns, then
///   [`into_parts`](Self::into_parts).
#[derive(Debug)]
pub(crate) struct EventLoop {
    context: Context,
    stats: StatsTable,
    turns: Turns,
    /// When the last iteration ended, in the observer's time.
    last_turn_ns: u64,
    busy_poll: BusyPoll,
    log: EventLog,
    service_log: ServiceLog,
    search: Search,
    owners: LockOwners,
    pressure: Pressure,
    starting: Starting,
    expectations: Expectations,
    recorder: Recorder,
    /// While events are forwarded: when the present one was.
    recorded_ns: Option<u64>,
    /// The latest snapshot, and when it was taken.
    latest: Option<(Instant, Arc<Snapshot>)>,
    end_at: Option<Instant>,
    namespace_refused: u64,
}

impl EventLoop {
    pub(crate) fn new(mut context: Context) -> io::Result<Self> {
        context.observer.wake_by(context.signals.as_fd())?;
        context.observer.wake_by(context.requests.wake_fd())?;
        context.observer.end_polls_for_notes();
        let now_ns = context.observer.now_ns();
        let turns = Turns {
            last: SystemTime::now(),
            count: 0,
            whole: Latencies::EMPTY,
            drain: Latencies::EMPTY,
            maintenance: Latencies::EMPTY,
            housekeeping: Latencies::EMPTY,
            over_budget: 0,
        };
        let after = context.settings.flags.supervision.shutdown_after_secs;
        let end_at =
            after.and_then(|secs| Instant::now().checked_add(Duration::from_secs(secs)));
        let mut stats = StatsTable::new(nanoseconds(context.settings.threshold));
        let has_causes = context.settings.flags.admission.causes.is_on();
        stats.causes = has_causes.then(StallCauses::default);
        let expectations = Expectations::new(&context.settings.rules.expected, now_ns);
        stats.programs.expect(&context.settings.rules.expected);
        let recorder = Recorder::new(&context.observer, &context.settings, context.has_history);
        let namespace_refused = 0;
        let busy_poll = BusyPoll::default();
        let last_turn_ns = now_ns;
        Ok(Self {
            context,
            stats,
            turns,
            last_turn_ns,
            busy_poll,
            log: EventLog::default(),
            service_log: ServiceLog::default(),
            search: Search::default(),
            owners: LockOwners::default(),
            pressure: Pressure::default(),
            starting: Starting::default(),
            expectations,
            recorder,
            recorded_ns: None,
            latest: None,
            end_at,
            namespace_refused,
        })
    }

    /// Runs until a signal or --shutdown-after-secs ends it.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = [Event::NOTHING; MAX_EVENTS];
        while !self.context.signals.end() {
            let left = self.end_at.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let now = self.context.observer.now_ns();
            self.log.sum_up(now);
            self.owners.sum_up(now);
            self.service_log.sum_up(now);
            self.context.recovery.sum_up(now);
            self.end_graces(now)?;
            self.check_expectations(now);
            // Those of the last iteration too: nothing may happen for long.
            self.recorder.write(self.context.batches.as_ref());
            let wait = match self.busy_poll.should_poll(now) {
                true => Duration::ZERO,
                false => {
                    let pressure = self.pressure.due_ns(!self.stats.is_empty());
                    let logs =
                        [self.log.due_ns(), self.owners.due_ns(), self.service_log.due_ns()];
                    let rules = [self.starting.due_ns(), self.expectations.due_ns()];
                    let due =
                        [self.context.recovery.due_ns(), pressure, self.recorder.due_ns()];
                    let due = due.into_iter().chain(logs).chain(rules).flatten();
                    let due = due.map(|at| Duration::from_nanos(at.saturating_sub(now)));
                    left.into_iter().chain(due).min().unwrap_or(Duration::MAX)
                }
            };
            let received = self.context.observer.poll_many(&mut events, wait)?;
            let woken = self.context.observer.take_woken();
            self.take_notes()?;
            self.pressure.check(&mut self.context.observer)?;
            if received == 0 && wait.is_zero() && !woken {
                continue;
            }
            let drained = self.context.observer.now_ns();
            self.recorder.keep_time(drained, &mut self.context.observer)?;
            let events = events.get(..received).unwrap_or_default();
            self.take_renamed()?;
            self.forward(events)?;
            self.remove_evicted(drained)?;
            if received < MAX_EVENTS {
                self.remove_unlisted()?;
            }
            let maintained = self.context.observer.now_ns();
            let mut ended = maintained;
            if woken {
                self.run_housekeeping()?;
                ended = self.context.observer.now_ns();
            }
            self.check_namespaces()?;
            // The wait ended with the poll that found the first event.
            let began = events.first().map_or(drained, |first| first.observer_ns);
            if received > 0 {
                self.busy_poll.note(began, ended, wait.is_zero());
            }
            self.record_iteration([began, drained, maintained, ended]);
        }
        Ok(())
    }

    /// Returns what is needed for an orderly shutdown.
    pub(crate) fn into_parts(mut self) -> (Context, Recorder) {
        self.recorder.end_silences(&self.context.observer);
        self.log.sum_up(u64::MAX);
        self.owners.sum_up(u64::MAX);
        self.service_log.sum_up(u64::MAX);
        (self.context, self.recorder)
    }

    /// Records one iteration: when it began, and when each of its phases ended.
    fn record_iteration(&mut self, [began, drained, maintained, ended]: [u64; 4]) {
        let turns = &mut self.turns;
        let whole = ended.saturating_sub(began);
        turns.count += 1;
        self.last_turn_ns = ended;
        turns.whole.note(&LATENCIES, whole);
        turns.drain.note(&LATENCIES, drained.saturating_sub(began));
        turns.maintenance.note(&LATENCIES, maintained.saturating_sub(drained));
        turns.housekeeping.note(&LATENCIES, ended.saturating_sub(maintained));
        let budget =
            self.context.settings.flags.http.iteration_budget_ms.saturating_mul(1_000_000);
        turns.over_budget += u64::from(whole > budget);
        self.context.shared.counters().turns.one();
    }

    /// Adds events to the statistics and forwards them.
    fn forward(&mut self, events: &[Event]) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let has_subscribers = self.context.shared.has_subscribers();
        let mut notifications =
            Vec::with_capacity(if has_subscribers { events.len() } else { 0 });
        let exported = self.context.batches.as_ref().is_some_and(batches::Feed::has_export);
        let mut entries = Vec::with_capacity(if exported { events.len() } else { 0 });
        for event in events {
            self.recorder.record_late(event.observer_ns);
            self.recorded_ns = Some(event.observer_ns);
            let agent = event.about.map(|about| about.agent);
            // An exit removes it.
            let applied = self.stats.applied.of(agent.unwrap_or(0));
            let expected = self.expected_exit(event);
            let judged = expected.as_ref().unwrap_or(event);
            let ended = self.stats.note(judged);
            if expected.is_some() {
                self.stats.expect_last_exit(event);
            }
            if ended.is_some() {
                self.expectations.agents_changed();
            }
            let is_beat = matches!(event.what, What::Beat { .. });
            // A process that never beats itself is known by its tasks.
            let is_sign_of_life = is_beat || matches!(event.what, What::Task { .. });
            if let Some(about) = event.about.filter(|_| is_sign_of_life) {
                self.update_identity(&about)?;
            }
            if is_beat && event.task.is_none() {
                self.recorder.beat(event, &self.stats, &self.context.observer);
            }
            if is_beat && !has_subscribers && !exported {
                continue;
            }
            let stats = ended.as_ref().or_else(|| self.stats.get(agent?));
            let name = stats.map_or(Label::EMPTY, |stats| stats.name);
            let mut seq = self.recorder.seq();
            if !is_beat {
                let observer = &self.context.observer;
                seq = self.recorder.event(event, stats, expected.is_some(), observer);
                let why = why(event, &self.context.observer);
                match (&expected, agent, stats) {
                    (Some(_), Some(agent), Some(stats)) => {
                        self.service_log.write_exit(event, agent, stats);
                    }
                    _ => self.log.write(event, name, stats, why.as_deref()),
                }
                if let Some(stats) = stats.filter(|_| applied.is_watched) {
                    let Context { observer, recovery, lookups, .. } = &mut self.context;
                    let asked = self.owners.ask(judged, stats.uid, observer, lookups);
                    let known = Known { stats, applied };
                    recovery.forward(judged, known, observer, asked);
                }
                if let (What::Ended { .. }, Some(agent)) = (&event.what, agent) {
                    self.search.unlisted.push(agent);
                }
            }
            if !has_subscribers && !exported {
                continue;
            }
            let threshold_ns = threshold_of(event, stats, &self.context.observer);
            let stamp = self.recorder.stamp(event.observer_ns, seq, threshold_ns);
            if has_subscribers {
                let about = Subject::Event { event: *event, name };
                notifications.push(Notification { about, stamp });
            }
            if exported {
                let (nonce, stalled) =
                    stats.map_or((0, false), |stats| (stats.nonce, stats.stalled));
                entries.push(Entry { event: *event, name, nonce, stalled, stamp });
            }
        }
        self.recorded_ns = None;
        if let Some(batches) = self.context.batches.as_ref().filter(|_| exported) {
            batches.entries(entries);
        }
        if has_subscribers {
            self.context.shared.publish(notifications.into());
        }
        Ok(())
    }

    /// Asks the observer for the identity of an agent when it is new, and until it is
    /// confirmed. A sealed agent can become unconfirmed with each new session.
    fn update_identity(&mut self, about: &About) -> io::Result<()> {
        let Some(stats) = self.stats.get_mut(about.agent) else { return Ok(()) };
        if !stats.unconfirmed && about.origin != Origin::SecureNetwork {
            return Ok(());
        }
        if let Ok(Some(info)) = self.context.observer.agent(about.agent) {
            stats.uid = info.uid;
            stats.threshold_ns = info.threshold_ns;
            // Over plain UDP there is nothing to confirm.
            stats.unconfirmed = info.unconfirmed && info.origin != Origin::Network;
            self.update_names(&info)?;
        }
        Ok(())
    }

    /// Takes over the names of agents that have become known since they were first heard.
    fn take_renamed(&mut self) -> io::Result<()> {
        while let Some(agent) = self.context.observer.take_renamed() {
            if let Some(info) = self.context.observer.agent(agent)? {
                self.update_names(&info)?;
            }
        }
        Ok(())
    }

    fn update_names(&mut self, info: &AgentInfo) -> io::Result<()> {
        let names = self.context.observer.names(info.agent)?.unwrap_or_default();
        self.stats.set_name(info.agent, info.label);
        let Some(stats) = self.stats.get_mut(info.agent) else { return Ok(()) };
        stats.comm = info.name;
        let Names { unit, user_unit, container, .. } = names;
        (stats.unit, stats.user_unit, stats.container) = (unit, user_unit, container);
        self.ask_for_script(info, &names);
        self.stats.exits.expect(info.label.to_string());
        self.expectations.agents_changed();
        let at_ns = self.recorded_ns.unwrap_or_else(|| self.context.observer.now_ns());
        if let Some(stats) = self.stats.get(info.agent) {
            self.recorder.identify(at_ns, info, stats);
        }
        self.update_rule(info.agent)
    }

    fn check_namespaces(&mut self) -> io::Result<()> {
        if !self.context.settings.flags.admission.strict_namespace_check {
            return Ok(());
        }
        let refused = self.context.observer.stats()?.namespace_refused;
        if refused == self.namespace_refused {
            return Ok(());
        }
        Err(io::Error::other(
            "a beat came from another pid namespace, and --strict-namespace-check is set",
        ))
    }
}

/// The cause of a silence in words, if the event is about one.
fn why(event: &Event, observer: &Observer) -> Option<String> {
    let (What::Stall { why: Some(_), .. } | What::Cause { .. }) = event.what else {
        return None;
    };
    let task = event.task.map_or(0, |task| task.number);
    let info = observer.cause(event.about?.agent, task).ok()??;
    Some(Phrase::new(&info, None).to_string())
}
