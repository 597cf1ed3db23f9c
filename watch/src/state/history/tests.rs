use varta::{Frame, Status};
use varta_history::{Gap, Kind};
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{ExitCause, Label, Observer, Simulated};

use super::*;
use crate::state::stats::StatsTable;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// An observer in simulated time with a threshold of two seconds, and the records of what it
/// reports.
struct World {
    observer: Simulated,
    stats: StatsTable,
    collector: Collector,
    nonce: u64,
}

impl World {
    fn new() -> Self {
        let pair = ClockPair { observer_ns: 0, wall_ns: 1_700_000_000 * SECOND };
        let mut collector = Collector::new(Started::default(), pair);
        collector.take();
        let stats = StatsTable::new(2 * SECOND);
        Self { observer: Observer::simulated(), stats, collector, nonce: 0 }
    }

    fn beat(&mut self, at_ns: u64, pid: u32) {
        self.nonce += 1;
        let mut frame = [0; 32];
        Frame::new(Status::Ok, pid, 0, self.nonce, 7).encode(&mut frame);
        let sender = Sender::Kernel { pid, uid: 0, process: None };
        self.observer.feed(at_ns, &Datagram::new(0, sender, &frame));
        self.collect();
    }

    /// Beats at this interval until a time, from one interval after `from`.
    fn beat_on(&mut self, pid: u32, from: u64, interval: u64, until: u64) {
        for at_ns in (from..=until).step_by(usize::try_from(interval).unwrap()).skip(1) {
            self.beat(at_ns, pid);
        }
    }

    fn advance(&mut self, at_ns: u64) {
        self.observer.advance(at_ns);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(event) = self.observer.poll() {
            self.stats.note(&event);
            let is_beat = matches!(event.what, What::Beat { .. });
            if let Some(about) = event.about.filter(|about| !self.collector.knows(about.agent))
            {
                let identity = Identity {
                    agent: about.agent,
                    pid: about.pid,
                    claimed_pid: about.claimed_pid,
                    uid: Some(0),
                    origin: about.origin,
                    program: Label::new(b"ingest"),
                    unit: Label::EMPTY,
                    user_unit: Label::EMPTY,
                    container: Label::EMPTY,
                    lane: false,
                };
                self.collector.identify(event.observer_ns, &identity, 2 * SECOND, is_beat);
            }
            if is_beat {
                self.collector.beat(&event, self.stats.since_ns, || false);
            } else {
                self.collector.event(&event, More::default());
            }
        }
    }

    /// The kinds of the records since the last call.
    fn kinds(&mut self) -> Vec<&'static str> {
        self.collector.take().iter().map(|stored| stored.record.kind().name()).collect()
    }

    fn records(&mut self, kind: Kind) -> Vec<(u64, Record)> {
        let records = self.collector.take().into_iter();
        let records = records.filter(|stored| stored.record.kind() == kind);
        records.map(|stored| (stored.at_ns, stored.record)).collect()
    }
}

fn gap(silent_ns: u64, forgiven_ns: u64, end: Option<&'static str>) -> Record {
    Gap { agent: 1, silent_ns, forgiven_ns, end: end.map(Text::from) }.into()
}

#[test]
fn beats_in_time_leave_nothing_but_their_minute() {
    let mut world = World::new();
    world.beat(0, 9);
    assert_eq!(world.kinds(), ["agent"]);
    world.beat_on(9, 0, 100 * MS, 60 * SECOND);
    assert_eq!(world.kinds(), [""; 0]);
    let pair = ClockPair { observer_ns: 60 * SECOND, wall_ns: 1_700_000_060 * SECOND };
    world.collector.end_minute(pair, Unheard { full_looks: 3, ..Unheard::default() });
    let records = world.collector.take();
    let Record::Minute(minute) = &records[0].record else { panic!("{records:?}") };
    assert_eq!((minute.program.as_ref(), minute.beats, minute.missed), ("ingest", 601, 0));
    assert_eq!(minute.intervals.count(), 600);
    let clock = Clock { wall_ns: pair.wall_ns, full_looks: Some(3), ..Clock::default() };
    assert_eq!(records[1].record, clock.into());
    assert_eq!(records.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(world.collector.due_ns(), 120 * SECOND);
}

#[test]
fn a_silence_that_is_longer_than_the_floor_is_recorded_with_its_end() {
    let mut world = World::new();
    world.beat(SECOND, 9);
    world.kinds();
    world.beat(SECOND + 500 * MS, 9);
    assert_eq!(world.kinds(), [""; 0]);
    world.beat(SECOND + 1_001 * MS, 9);
    let gaps = world.records(Kind::Gap);
    assert_eq!(gaps, [(SECOND + 1_001 * MS, gap(501 * MS, 0, None))]);
}

#[test]
fn many_silences_raise_the_floor_and_an_hour_lowers_it() {
    let mut world = World::new();
    world.beat(0, 9);
    world.beat_on(9, 0, 600 * MS, 60 * SECOND);
    let floors = world.records(Kind::Floor);
    let floor = |floor_ns| Record::from(FloorRecord { agent: 1, floor_ns });
    assert_eq!(floors, [(1_200 * MS, floor(SECOND))]);
    world.beat_on(9, 60 * SECOND, 400 * MS, 3_700 * SECOND);
    assert_eq!(world.kinds(), [""; 0]);
    let pair = ClockPair { observer_ns: 3_700 * SECOND, wall_ns: 0 };
    world.collector.end_minute(pair, Unheard::default());
    assert_eq!(world.records(Kind::Floor), [(3_700 * SECOND, floor(500 * MS))]);
}

#[test]
fn a_stall_has_the_beats_before_it_and_its_recovery_the_silence() {
    let mut world = World::new();
    world.beat(0, 9);
    world.beat_on(9, 0, 100 * MS, 10 * SECOND);
    world.kinds();
    world.advance(12 * SECOND);
    let records = world.collector.take();
    let Record::Beats(beats) = &records[1].record else { panic!("{records:?}") };
    assert_eq!((records[0].record.kind(), records.len()), (Kind::Stall, 2));
    let times: Vec<_> = beats.beats.iter().map(|beat| beat.observer_ns).collect();
    assert_eq!((times.len(), times[0], times[63]), (64, 3_700 * MS, 10 * SECOND));
    world.beat(15 * SECOND, 9);
    let records = world.collector.take();
    assert_eq!(records[0].record, gap(5 * SECOND, 0, None));
    assert_eq!(records[1].record.kind(), Kind::Recovered);
    assert_eq!(records.len(), 2, "the beat ends no second silence");
    world.observer.exit(16 * SECOND, 9, ExitCause::Signal(9));
    world.collect();
    let records = world.collector.take();
    assert_eq!(records[0].record, gap(SECOND, 0, Some("exit")));
    let Record::Exit(exit) = &records[1].record else { panic!("{records:?}") };
    assert_eq!((exit.signal, exit.last_ns, exit.stalled), (Some(9), 15 * SECOND, false));
    let Record::Beats(beats) = &records[2].record else { panic!("{records:?}") };
    assert_eq!(beats.beats.len(), 1, "the others were written before");
    assert!(!world.collector.knows(1));
}

#[test]
fn each_agent_has_its_last_beats_however_many_others_send() {
    let mut world = World::new();
    world.beat(0, 9);
    world.beat_on(9, 0, MS, 3 * MS);
    world.beat_on(8, 3 * MS, MS / 4, 1_503 * MS);
    world.beat(1_504 * MS, 9);
    world.kinds();
    world.advance(10 * SECOND);
    let beats = world.records(Kind::Beats).into_iter().map(|(_, record)| {
        let Record::Beats(beats) = record else { panic!("{record:?}") };
        let times: Vec<_> = beats.beats.iter().map(|beat| beat.observer_ns / MS).collect();
        (beats.agent, times)
    });
    let last: Vec<_> = (0..64).rev().map(|back| (1_503 * MS - back * MS / 4) / MS).collect();
    assert_eq!(beats.collect::<Vec<_>>(), [(2, last), (1, vec![0, 1, 2, 3, 1_504])]);
}

#[test]
fn the_end_of_the_daemon_ends_the_silences_that_are_longer_than_their_floor() {
    let mut world = World::new();
    world.beat(0, 9);
    world.beat(3 * SECOND, 8);
    world.advance(3_100 * MS);
    world.kinds();
    let pair = ClockPair { observer_ns: 3_200 * MS, wall_ns: 0 };
    world.collector.end_silences(pair, Unheard { refused: 2, ..Unheard::default() });
    world.collector.stop(3_200 * MS, None);
    let records: Vec<_> = world.collector.take().into_iter().map(|it| it.record).collect();
    let clock = Clock { refused: Some(2), ..Clock::default() };
    let expected = [clock.into(), gap(3_200 * MS, 0, Some("stop")), Stopped::default().into()];
    assert_eq!(records[1..], expected);
    assert_eq!(records[0].kind(), Kind::Minute);
}

#[test]
fn an_eviction_ends_the_silence_of_the_agent() {
    let mut world = World::new();
    world.beat(SECOND, 9);
    world.kinds();
    world.collector.evicted(5 * SECOND, 1, 9);
    let records: Vec<_> = world.collector.take().into_iter().map(|it| it.record).collect();
    let eviction = Eviction { agent: 1, claimed_pid: 9, last_ns: SECOND };
    assert_eq!(records, [gap(4 * SECOND, 0, Some("eviction")), eviction.into()]);
    assert!(!world.collector.knows(1));
}

#[test]
fn the_longest_pause_in_a_silence_is_forgiven() {
    let mut world = World::new();
    world.beat(0, 9);
    for (at, due) in [(3, 1), (10, 4), (13, 11)] {
        world.observer.late(at * SECOND, due * SECOND);
        world.collect();
    }
    world.beat(14 * SECOND, 9);
    world.beat(15 * SECOND, 9);
    let gaps = world.records(Kind::Gap);
    let expected = [(14, gap(14 * SECOND, 6 * SECOND, None)), (15, gap(SECOND, 0, None))];
    assert_eq!(gaps, expected.map(|(at, gap)| (at * SECOND, gap)));
    let late = world.observer.take_lateness().unwrap();
    world.collector.late(late);
    assert_eq!(world.kinds(), ["late"]);
}

#[test]
fn a_threshold_that_changes_is_recorded_once_with_the_new_floor() {
    let mut world = World::new();
    world.beat(0, 9);
    world.kinds();
    for _ in 0..2 {
        world.collector.set_threshold(SECOND, 1, 8 * SECOND, "rule");
    }
    assert_eq!(world.kinds(), ["threshold", "floor"]);
    world.beat(2 * SECOND, 9);
    assert_eq!(world.kinds(), [""; 0], "the floor is two seconds now");
}

#[test]
fn of_an_agent_with_shared_memory_only_silences_that_stalled_are_recorded() {
    let mut world = World::new();
    world.beat(0, 9);
    world
        .observer
        .feed(SECOND, &Datagram::new(0, Sender::Kernel { pid: 9, uid: 0, process: None }, &[]));
    world.kinds();
    let beat = |at_ns| Event {
        observer_ns: at_ns,
        about: Some(varta_observer::About {
            agent: 1,
            pid: 9,
            claimed_pid: 9,
            origin: varta_observer::Origin::KernelAttested,
        }),
        task: None,
        what: What::Beat { status: Status::Ok, payload: 0, nonce: 5, missed: 0, count: 9 },
    };
    world.collector.beat(&beat(SECOND), Some(SECOND), || true);
    let records = world.records(Kind::Agent);
    let [(_, Record::Agent(agent))] = &records[..] else { panic!("{records:?}") };
    assert_eq!((agent.lane, agent.floor_ns), (true, 2 * SECOND));
    world.collector.beat(&beat(5 * SECOND), Some(4 * SECOND), || true);
    assert_eq!(world.kinds(), [""; 0]);
}

/// Of two agents, one beats 20 times as often as the other. Both have their last 64 beats, and
/// each of them once.
#[test]
fn an_agent_that_beats_seldom_keeps_its_last_beats_too() {
    let mut world = World::new();
    let mut heard = vec![Vec::new(); 2];
    let mut recorded = vec![Vec::new(); 2];
    for beat in 1..=40_000 {
        let at_ns = beat * MS;
        let is_rare = beat % 20 == 0;
        world.beat(at_ns, if is_rare { 8 } else { 9 });
        heard[usize::from(is_rare)].push(at_ns);
        // The first to speak is agent 1.
        if beat % 7_001 == 0 || beat == 40_000 {
            for (at, beats) in recorded.iter_mut().enumerate() {
                world.collector.add_waiting();
                world.collector.record_beats(at_ns, at as u64 + 1);
                let last = heard[at].iter().rev().take(64).rev().copied().collect::<Vec<_>>();
                beats.push(last);
            }
        }
    }
    let mut records = world.records(Kind::Beats).into_iter();
    for time in 0..recorded[0].len() {
        for beats in &recorded {
            let Some((_, Record::Beats(record))) = records.next() else { panic!("no record") };
            let times: Vec<_> = record.beats.iter().map(|beat| beat.observer_ns).collect();
            assert_eq!(times, beats[time]);
        }
    }
}
