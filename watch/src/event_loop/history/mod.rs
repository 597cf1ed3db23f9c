//! Passes what happens to the history, and stamps the lines about it.

use std::io;

use varta_history::{CauseMembers, ClockPair, Expected, Record, Recovery, Started};
use varta_observer::{About, AgentInfo, Event, Lateness, Observer, What};

use super::{EventLoop, nanoseconds};
use crate::config::Settings;
use crate::output::batches;
use crate::output::cause::CauseFields;
use crate::output::stamp::Stamp;
use crate::platform::clock::wall_ns;
use crate::recovery::Decision;
use crate::state::expectations::ExpectedProgram;
use crate::state::history::{Collector, Identity, More, Unheard, kind_of};
use crate::state::services::ServiceReport;
use crate::state::stats::AgentStats;
use crate::state::{Notification, Subject};

/// How often the wall clock is looked at while something happens.
const CHECK_INTERVAL_NS: u64 = 1_000_000_000;

/// The wall clock was set if it has moved by more than this against the observer's clock.
const CLOCK_SET_NS: u64 = 1_000_000;

/// Numbers and times for lines, and the collector, if there is a history.
#[derive(Debug)]
pub(crate) struct Recorder {
    collector: Option<Collector>,
    /// By which times are converted until the next one, which has a record.
    pair: ClockPair,
    check_ns: u64,
    /// The number of the last line, without a history.
    seq: u64,
    /// When the observer was late, in order, until the events before that are recorded.
    late: Vec<Lateness>,
}

impl Recorder {
    pub(super) fn new(observer: &Observer, settings: &Settings, has_history: bool) -> Self {
        let pair = clock_pair(observer);
        let collector = has_history.then(|| Collector::new(started(settings), pair));
        let check_ns = pair.observer_ns.saturating_add(CHECK_INTERVAL_NS);
        Self { collector, pair, check_ns, seq: 0, late: Vec::new() }
    }

    /// The stamp of a line about something that happened then.
    pub(super) fn stamp(&self, at_ns: u64, seq: u64, threshold_ns: Option<u64>) -> Stamp {
        Stamp { wall_ns: self.pair.wall_at(at_ns), seq, threshold_ns }
    }

    /// The number of the last record, or without a history of the last line that would have one.
    pub(super) fn seq(&self) -> u64 {
        self.collector.as_ref().map_or(self.seq, Collector::seq)
    }

    /// Records something, if there is a history. Returns its number.
    fn number(&mut self, record: impl FnOnce(&mut Collector) -> u64) -> u64 {
        match &mut self.collector {
            Some(collector) => record(collector),
            None => {
                self.seq += 1;
                self.seq
            }
        }
    }

    /// When a minute of the history is over.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.collector.as_ref().map(Collector::due_ns)
    }

    /// Records what is due, and whether the wall clock was set. To be called before events are
    /// recorded.
    pub(super) fn keep_time(&mut self, now_ns: u64, observer: &mut Observer) -> io::Result<()> {
        if let Some(collector) = &mut self.collector {
            self.late.extend(std::iter::from_fn(|| observer.take_lateness()));
            if now_ns >= collector.due_ns() {
                self.pair = clock_pair(observer);
                self.check_ns = now_ns.saturating_add(CHECK_INTERVAL_NS);
                let unheard = unheard(observer)?;
                self.record_late(now_ns);
                if let Some(collector) = &mut self.collector {
                    collector.end_minute(self.pair, unheard);
                }
            }
        }
        if now_ns >= self.check_ns {
            self.check_ns = now_ns.saturating_add(CHECK_INTERVAL_NS);
            let pair = clock_pair(observer);
            if pair.wall_ns.abs_diff(self.pair.wall_at(pair.observer_ns)) > CLOCK_SET_NS {
                self.pair = pair;
                if let Some(collector) = &mut self.collector {
                    collector.clock(pair);
                }
            }
        }
        Ok(())
    }

    /// Records when the observer was late, up to a time.
    pub(super) fn record_late(&mut self, until_ns: u64) {
        if self.late.is_empty() {
            return;
        }
        let Some(collector) = &mut self.collector else { return };
        let until = self.late.partition_point(|late| late.observer_ns <= until_ns);
        self.late.drain(..until).for_each(|late| collector.late(late));
    }

    /// Records what is known about an agent.
    pub(super) fn identify(&mut self, at_ns: u64, info: &AgentInfo, stats: &AgentStats) {
        if let Some(collector) = &mut self.collector {
            let about = About {
                agent: info.agent,
                pid: info.pid,
                claimed_pid: info.claimed_pid,
                origin: info.origin,
            };
            let identity = identity(&about, stats, info.lane);
            collector.identify(at_ns, &identity, info.threshold_ns, stats.beats > 0);
        }
    }

    /// Records the beat of an agent, if there is a history. Returns false if the agent is not
    /// known yet; then [`first_beat`](Self::first_beat) has to be called.
    #[inline]
    pub(super) fn beat(&mut self, event: &Event, observer: &Observer) -> bool {
        match &mut self.collector {
            None => true,
            Some(collector) => collector.beat(event, || is_lane(event, observer)),
        }
    }

    /// Records an agent and its beat.
    #[cold]
    pub(super) fn first_beat(
        &mut self,
        event: &Event,
        stats: Option<&AgentStats>,
        observer: &Observer,
    ) {
        let (Some(collector), Some(about)) = (&mut self.collector, &event.about) else {
            return;
        };
        meet(collector, event.observer_ns, about, stats, observer);
        collector.beat(event, || is_lane(event, observer));
    }

    /// Records an event that is not a beat of an agent. Returns its number, or that of the record
    /// before it if it has none.
    pub(super) fn event(
        &mut self,
        event: &Event,
        stats: Option<&AgentStats>,
        expected: bool,
        observer: &Observer,
    ) -> u64 {
        if kind_of(&event.what).is_none() {
            return self.seq();
        }
        self.number(|collector| {
            if let Some(about) = event.about.filter(|about| !collector.knows(about.agent)) {
                meet(collector, event.observer_ns, &about, stats, observer);
            }
            let threshold_ns = threshold_of(event, stats, observer).unwrap_or_default();
            let more = More { why: cause_of(event, observer), threshold_ns, expected };
            collector.event(event, more)
        })
    }

    /// Records that an agent is not tracked any more. Returns the number of the record.
    pub(super) fn evicted(&mut self, now_ns: u64, agent: u64, claimed_pid: u32) -> u64 {
        self.number(|collector| collector.evicted(now_ns, agent, claimed_pid))
    }

    /// Records a decision of recovery. Returns the number of the record.
    pub(super) fn decision(&mut self, decision: &Decision) -> u64 {
        self.number(|collector| collector.push(decision.at_ns, Recovery::from(decision)))
    }

    /// Records what a service has said, unless it is a status text. Returns the number of the
    /// record, or of the one before.
    pub(super) fn service(&mut self, report: &ServiceReport) -> u64 {
        match report.record() {
            None => self.seq(),
            Some(record) => {
                self.number(|collector| collector.push(report.note.observer_ns, record))
            }
        }
    }

    /// Records the silences of agents at the end of the observer.
    pub(super) fn end_silences(&mut self, now_ns: u64) {
        self.record_late(u64::MAX);
        if let Some(collector) = &mut self.collector {
            collector.end_silences(now_ns);
        }
    }

    /// Records the last decisions and the end of the daemon, and why it failed, if it did.
    pub(crate) fn end(
        mut self,
        now_ns: u64,
        decisions: &[Decision],
        error: Option<&io::Error>,
        batches: &batches::Feed,
    ) {
        for decision in decisions {
            self.decision(decision);
        }
        if let Some(mut collector) = self.collector {
            collector.stop(now_ns, error.map(ToString::to_string));
            batches.records(collector.take());
        }
    }

    /// Records that an expected program has become missing, or is present again.
    pub(super) fn expected(&mut self, now_ns: u64, change: &ExpectedProgram) -> u64 {
        self.number(|collector| {
            let ExpectedProgram { program, count, there, .. } = change;
            let body =
                Expected { program: program.clone().into(), count: *count, there: *there };
            let record = match change.missing {
                true => Record::Missing(body),
                false => Record::Present(body),
            };
            collector.push(now_ns, record)
        })
    }
}

impl EventLoop {
    /// Records the threshold of an agent, if it has changed.
    pub(super) fn note_threshold(&mut self, agent: u64, by: &'static str) -> io::Result<()> {
        let Some(info) = self.context.observer.agent(agent)? else { return Ok(()) };
        if let Some(stats) = self.stats.get_mut(agent) {
            stats.threshold_ns = info.threshold_ns;
        }
        if let Some(collector) = &mut self.recorder.collector {
            let at_ns = self.recorded_ns.unwrap_or_else(|| self.context.observer.now_ns());
            collector.set_threshold(at_ns, agent, info.threshold_ns, by);
        }
        Ok(())
    }

    /// Records the thresholds after the flags have changed.
    pub(super) fn note_all_thresholds(&mut self) -> io::Result<()> {
        let now_ns = self.context.observer.now_ns();
        if let Some(collector) = &mut self.recorder.collector {
            let threshold_ns = nanoseconds(self.context.settings.threshold);
            collector.set_default_threshold(now_ns, threshold_ns);
        }
        let agents = self.stats.agent_numbers().into_iter();
        agents.into_iter().try_for_each(|agent| self.note_threshold(agent, "flag"))
    }

    /// Hands the records so far to the thread that writes them.
    pub(super) fn write_records(&mut self) {
        self.recorder.record_late(u64::MAX);
        if let Some(collector) = &mut self.recorder.collector
            && collector.has_records()
            && let Some(batches) = &self.context.batches
        {
            batches.records(collector.take());
        }
    }

    /// Takes over what recovery has decided.
    pub(super) fn take_decisions(&mut self) {
        let mut batch = Vec::new();
        for decision in self.context.recovery.decisions() {
            let seq = self.recorder.decision(&decision);
            let threshold_ns = match &decision.task {
                Some(late) => {
                    let task = self.context.observer.task(decision.agent, late.task.number);
                    task.ok().flatten().map(|task| task.threshold_ns)
                }
                None => self.stats.get(decision.agent).map(|stats| stats.threshold_ns),
            };
            let stamp = self.recorder.stamp(decision.at_ns, seq, threshold_ns);
            batch.push(Notification { about: Subject::Recovery(decision), stamp });
        }
        if !batch.is_empty() && self.context.shared.has_subscribers() {
            self.context.shared.publish(batch.into());
        }
    }
}

/// The threshold of the agent or task that an event is about. The declaration of a task has its
/// own.
pub(super) fn threshold_of(
    event: &Event,
    stats: Option<&AgentStats>,
    observer: &Observer,
) -> Option<u64> {
    match (event.about, event.task, event.what) {
        (_, _, What::Task { threshold_ns }) => Some(threshold_ns),
        (Some(about), Some(task), _) => {
            let task = observer.task(about.agent, task.number).ok().flatten();
            task.map(|task| task.threshold_ns)
        }
        _ => stats.map(|stats| stats.threshold_ns),
    }
}

fn started(settings: &Settings) -> Started {
    let flags = &settings.flags;
    let limit = |rate: u32| Some(rate.into()).filter(|rate| *rate > 0);
    Started {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        threshold_ns: nanoseconds(settings.threshold),
        causes: flags.admission.causes.is_on(),
        recovery: settings.has_commands(),
        lane: flags.lane.lane.is_on(),
        tasks: flags.lane.tasks.is_on(),
        capacity: flags.admission.tracker_capacity as u64,
        max_beat_rate: limit(flags.admission.max_beat_rate),
        global_beat_rate: limit(flags.admission.global_beat_rate),
        pause_after_ns: None,
    }
}

/// The observer's clock and the wall clock at the same moment.
fn clock_pair(observer: &Observer) -> ClockPair {
    let read = || {
        let before = observer.now_ns();
        let wall_ns = wall_ns();
        let after = observer.now_ns();
        (after.saturating_sub(before), ClockPair { observer_ns: after, wall_ns })
    };
    // Between two readings this thread may not have run for a while.
    let readings = [read(), read(), read()];
    let closest = readings.into_iter().min_by_key(|(apart, _)| *apart);
    closest.map_or(ClockPair::default(), |(_, pair)| pair)
}

fn unheard(observer: &Observer) -> io::Result<Unheard> {
    let counters = observer.stats()?;
    Ok(Unheard {
        full_looks: counters.full_looks,
        rate_limited: counters.rate_limited_agent + counters.rate_limited_global,
        refused: counters.capacity_exceeded,
        kernel_drops: counters.kernel_drops,
    })
}

/// Tells the collector of an agent that it does not know.
#[cold]
fn meet(
    collector: &mut Collector,
    at_ns: u64,
    about: &About,
    stats: Option<&AgentStats>,
    observer: &Observer,
) {
    let info = observer.agent(about.agent).ok().flatten();
    let stats = stats.unwrap_or(&AgentStats::EMPTY);
    let identity = identity(about, stats, info.is_some_and(|info| info.lane));
    let threshold_ns = info.map_or(stats.threshold_ns, |info| info.threshold_ns);
    collector.identify(at_ns, &identity, threshold_ns, stats.beats > 0);
}

fn identity(about: &About, stats: &AgentStats, lane: bool) -> Identity {
    Identity {
        agent: about.agent,
        pid: about.pid,
        claimed_pid: about.claimed_pid,
        uid: stats.uid,
        origin: about.origin,
        program: stats.name,
        unit: stats.unit,
        user_unit: stats.user_unit,
        container: stats.container,
        lane,
    }
}

fn is_lane(event: &Event, observer: &Observer) -> bool {
    let info = event.about.and_then(|about| observer.agent(about.agent).ok().flatten());
    info.is_some_and(|info| info.lane)
}

/// The cause of the silence that an event is about.
fn cause_of(event: &Event, observer: &Observer) -> Option<CauseMembers> {
    let (What::Stall { why: Some(why), .. } | What::Cause { why }) = event.what else {
        return None;
    };
    let task = event.task.map_or(0, |task| task.number);
    let info = event.about.and_then(|about| observer.cause(about.agent, task).ok().flatten());
    let fields = match info {
        Some(info) => CauseFields::with_details(&info, None),
        None => CauseFields::of(&why),
    };
    Some(fields.into())
}
