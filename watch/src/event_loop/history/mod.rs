//! Passes what happens to the history, and stamps the lines about it.

mod facts;
mod wall_clock;

use std::io;

use varta_history::{Expected, Record, Recovery};
use varta_observer::{About, AgentInfo, Event, Lateness, Observer};

pub(super) use self::facts::threshold_of;
use self::facts::{cause_of, identity, info_of, is_lane, started, unheard};
use self::wall_clock::WallClock;
use crate::config::Settings;
use crate::output::batches;
use crate::output::stamp::Stamp;
use crate::recovery::Decision;
use crate::state::expectations::ExpectedProgram;
use crate::state::history::{Collector, More, kind_of};
use crate::state::services::ServiceReport;
use crate::state::stats::{AgentStats, StatsTable};

/// Numbers and times for lines, and the collector, if there is a history.
#[derive(Debug)]
pub(crate) struct Recorder {
    collector: Option<Collector>,
    clock: WallClock,
    /// The number of the last line, without a history.
    seq: u64,
    /// When the observer was late, in order, until the events before that are recorded.
    late: Vec<Lateness>,
}

impl Recorder {
    pub(super) fn new(observer: &Observer, settings: &Settings, has_history: bool) -> Self {
        let clock = WallClock::new(observer);
        let collector = has_history.then(|| Collector::new(started(settings), clock.pair()));
        Self { collector, clock, seq: 0, late: Vec::new() }
    }

    /// The stamp of a line about something that happened then.
    pub(super) fn stamp(&self, at_ns: u64, seq: u64, threshold_ns: Option<u64>) -> Stamp {
        Stamp { wall_ns: self.clock.at(at_ns), seq, threshold_ns }
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

    /// Records something that has no number of its own, if there is a history.
    fn record(&mut self, record: impl FnOnce(&mut Collector)) {
        if let Some(collector) = &mut self.collector {
            record(collector);
        }
    }

    /// When a minute of the history is over.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.collector.as_ref().map(Collector::due_ns)
    }

    /// Records what is due, and whether the wall clock was set. To be called before events are
    /// recorded.
    pub(super) fn keep_time(&mut self, now_ns: u64, observer: &mut Observer) -> io::Result<()> {
        if let Some(due_ns) = self.due_ns() {
            self.late.extend(std::iter::from_fn(|| observer.take_lateness()));
            if now_ns >= due_ns {
                let (pair, unheard) = (self.clock.read(observer), unheard(observer)?);
                self.record_late(now_ns);
                self.record(|collector| collector.end_minute(pair, unheard));
            }
        }
        if let Some(pair) = self.clock.check(now_ns, observer) {
            self.record(|collector| collector.clock(pair));
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
        let AgentInfo { agent, pid, claimed_pid, origin, .. } = *info;
        let about = About { agent, pid, claimed_pid, origin };
        self.record(|collector| meet(collector, at_ns, &about, Some(stats), Some(info)));
    }

    /// Records the beat of an agent, if there is a history.
    #[inline]
    pub(super) fn beat(&mut self, event: &Event, stats: &StatsTable, observer: &Observer) {
        let Some(collector) = &mut self.collector else { return };
        if !collector.beat(event, stats.since_ns, || is_lane(event, observer)) {
            first_beat(collector, event, stats, observer);
        }
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
                let info = info_of(event, observer);
                meet(collector, event.observer_ns, &about, stats, info.as_ref());
            }
            let threshold_ns = threshold_of(event, stats, observer).unwrap_or_default();
            let more = More { why: cause_of(event, observer), threshold_ns, expected };
            collector.event(event, more)
        })
    }

    /// Records the threshold of an agent, if it has changed.
    pub(super) fn threshold(&mut self, at_ns: u64, agent: u64, ns: u64, by: &'static str) {
        self.record(|collector| collector.set_threshold(at_ns, agent, ns, by));
    }

    /// Records the threshold of agents that have none of their own.
    pub(super) fn default_threshold(&mut self, at_ns: u64, ns: u64) {
        self.record(|collector| collector.set_default_threshold(at_ns, ns));
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

    /// Records the silences of agents at the end of the observer.
    pub(super) fn end_silences(&mut self, observer: &Observer) {
        self.record_late(u64::MAX);
        let pair = self.clock.read(observer);
        self.record(|collector| {
            // The counters can only fail in a forked child.
            let unheard = unheard(observer).unwrap_or_default();
            collector.end_silences(pair, unheard);
        });
    }

    /// Hands the records so far to the thread that writes them.
    pub(super) fn write(&mut self, batches: Option<&batches::Feed>) {
        self.record_late(u64::MAX);
        if let (Some(collector), Some(batches)) = (&mut self.collector, batches)
            && collector.has_records()
        {
            batches.records(collector.take());
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
        self.record(|collector| collector.stop(now_ns, error.map(ToString::to_string)));
        self.write(Some(batches));
    }
}

/// Records an agent that the collector does not know, and its first beat.
#[cold]
fn first_beat(
    collector: &mut Collector,
    event: &Event,
    stats: &StatsTable,
    observer: &Observer,
) {
    let Some(about) = &event.about else { return };
    let (stats, info) = (stats.get(about.agent), info_of(event, observer));
    meet(collector, event.observer_ns, about, stats, info.as_ref());
    collector.beat(event, None, || info.is_some_and(|info| info.lane));
}

/// Tells the collector what is known of an agent.
fn meet(
    collector: &mut Collector,
    at_ns: u64,
    about: &About,
    stats: Option<&AgentStats>,
    info: Option<&AgentInfo>,
) {
    let stats = stats.unwrap_or(&AgentStats::EMPTY);
    let identity = identity(about, stats, info.is_some_and(|info| info.lane));
    let threshold_ns = info.map_or(stats.threshold_ns, |info| info.threshold_ns);
    collector.identify(at_ns, &identity, threshold_ns, stats.beats > 0);
}
