//! A replay equals the run that it replaces.

mod held;

use std::time::Duration;

use varta::{Frame, Status};
use varta_history::{ClockPair, Record, Started};
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{About, Builder, Event, ExitCause, Label, Simulated, Uids, What};

use super::Reading;
use super::compare::{by_program, cases};
use super::judge::{Found, Verdict, judge};
use super::recorded::{Absence, Agent, End, Exit, Identity, Run, Silence};
use super::thresholds::{Choice, TooShort, plan};

use crate::state::history::{self, Collector, More, Stored};
use crate::state::stats::StatsTable;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What happens to an observer, in the order of time.
#[derive(Debug, Clone, Copy)]
enum Input {
    Away(Absence),
    Beat(u32),
    Exit(u32),
}

#[derive(Debug, Default)]
struct Script {
    inputs: Vec<(u64, Input)>,
    /// Since when the observer does not run, and until when it has read what arrived meanwhile.
    away: Vec<(u64, u64)>,
    end_ns: u64,
}

/// How long an observer that runs again takes to read what has arrived.
const READ_NS: u64 = 300_000;

/// A generator of numbers, so that each seed is a script.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// How often agents are silent, and the observer is away.
#[derive(Debug, Clone, Copy)]
enum Pace {
    Busy,
    /// Agents are silent less than once a minute, and the observer is away for less than their
    /// floor.
    Calm,
}

impl Script {
    /// Agents that beat every 200 ms or so, with silences of up to 12 s, and an observer that is
    /// away now and then.
    fn random(seed: u64, pace: Pace) -> Self {
        let mut random = Random(seed);
        let (end_ns, longest_ns, apart_ns) = match pace {
            Pace::Busy => (120 * SECOND, 4 * SECOND, 0),
            Pace::Calm => (600 * SECOND, 190 * MS, 65 * SECOND),
        };
        let mut away: Vec<(u64, u64)> = Vec::new();
        let mut inputs = Vec::new();
        let mut time = SECOND;
        while time < end_ns {
            // Sometimes it is away again at once.
            if !random.one_in(4) {
                time += 5 * SECOND + random.below(20 * SECOND);
            }
            let away_ns = 51 * MS + random.below(longest_ns);
            let late_ns = 51 * MS + random.below(away_ns - 51 * MS + 1);
            let suspended_ns = if random.one_in(3) { random.below(away_ns + 1) } else { 0 };
            let at_ns = time + away_ns;
            let absence = Absence { at_ns, late_ns, away_ns, suspended_ns };
            inputs.push((at_ns, Input::Away(absence)));
            away.push((time, at_ns + READ_NS));
            time = at_ns + READ_NS;
        }
        for agent in 0..5 {
            let mut time = random.below(3 * SECOND);
            let mut calm_until = 0;
            while time < end_ns {
                // While it is away, what arrives waits.
                let during = away.iter().find(|(from, to)| *from < time && time < *to);
                inputs.push((during.map_or(time, |(_, to)| *to), Input::Beat(agent)));
                time += 150 * MS + random.below(100 * MS);
                if time >= calm_until && random.one_in(20) {
                    time += random.below(12 * SECOND);
                    calm_until = time + apart_ns;
                }
                if random.one_in(400) {
                    break;
                }
            }
            if time < end_ns && random.one_in(2) {
                let time = time + random.below(6 * SECOND);
                let during = away.iter().find(|(from, to)| *from < time && time < *to);
                inputs.push((during.map_or(time, |(_, to)| *to), Input::Exit(agent)));
            }
        }
        inputs.retain(|(at_ns, _)| *at_ns <= end_ns);
        inputs.sort_by_key(|(at_ns, input)| {
            let order = match input {
                Input::Away(_) => 0,
                Input::Beat(_) => 1,
                Input::Exit(_) => 2,
            };
            (*at_ns, order)
        });
        away.retain(|(_, to)| *to <= end_ns);
        Self { inputs, away, end_ns }
    }

    /// Lets an observer with this threshold run, and calls `after` whenever it may have news.
    fn run(&self, threshold_ns: u64, mut after: impl FnMut(&mut Simulated)) {
        let mut observer = Builder::new()
            .uids(Uids::Any)
            .threshold(Duration::from_nanos(threshold_ns))
            .simulate()
            .unwrap();
        let mut nonces = [0; 8];
        let mut now_ns = 0;
        for (at_ns, input) in &self.inputs {
            // It looks at everything that happens at one time before it judges silences.
            if std::mem::replace(&mut now_ns, *at_ns) < *at_ns {
                self.expire(&mut observer, *at_ns, &mut after);
            }
            match *input {
                Input::Away(Absence { at_ns, late_ns, away_ns, suspended_ns }) => {
                    observer.away(at_ns, late_ns, away_ns, suspended_ns);
                }
                Input::Beat(agent) => {
                    let pid = agent + 100;
                    nonces[agent as usize] += 1;
                    let mut wire = [0; 32];
                    Frame::new(Status::Ok, pid, 0, nonces[agent as usize], 0).encode(&mut wire);
                    let sender = Sender::Kernel { pid, uid: 0, process: None };
                    observer.feed(*at_ns, &Datagram::new(0, sender, &wire));
                }
                Input::Exit(agent) => {
                    observer.exit(*at_ns, agent + 100, ExitCause::Signal(9));
                }
            }
            after(&mut observer);
        }
        self.expire(&mut observer, self.end_ns + 1, &mut after);
    }

    /// Lets the observer judge all that is due before a time, while it is not away.
    fn expire(
        &self,
        observer: &mut Simulated,
        before_ns: u64,
        after: &mut impl FnMut(&mut Simulated),
    ) {
        let absence = self.away.iter().find(|(from, to)| *from < before_ns && before_ns <= *to);
        let until_ns = absence.map_or(before_ns, |(from, _)| *from + 1);
        while let Some(due) = observer.next_deadline().filter(|due| *due < until_ns) {
            observer.advance(due);
            after(observer);
        }
    }

    /// What an observer with this threshold reports.
    fn events(&self, threshold_ns: u64) -> Vec<Event> {
        let mut events = Vec::new();
        self.run(threshold_ns, |observer| {
            events.extend(std::iter::from_fn(|| observer.poll()));
        });
        events
    }

    /// What a daemon with this threshold stores of it, read again.
    fn stored(&self, threshold_ns: u64) -> Run {
        let mut history = History::new(threshold_ns);
        self.run(threshold_ns, |observer| history.take(observer));
        history.read(self.end_ns)
    }

    /// What is recorded of it with this floor.
    fn recorded(&self, default_ns: u64, floor_ns: u64) -> Run {
        let defaults = vec![(0, default_ns)];
        let mut run = Run { defaults, end_ns: self.end_ns, ..Run::default() };
        let mut places = [None; 8];
        let mut last = [0; 8];
        for (at_ns, input) in &self.inputs {
            match *input {
                Input::Away(absence) => run.absences.push(absence),
                Input::Beat(agent) => {
                    let place = *places[agent as usize].get_or_insert(run.agents.len());
                    let from_ns = std::mem::replace(&mut last[agent as usize], *at_ns);
                    if place == run.agents.len() {
                        run.agents.push(an_agent(agent, *at_ns, floor_ns));
                    } else if at_ns - from_ns > floor_ns {
                        let silence = Silence { from_ns, to_ns: *at_ns, end: End::Beat };
                        run.agents[place].silences.push(silence);
                    }
                }
                Input::Exit(agent) => {
                    let Some(place) = places[agent as usize] else { continue };
                    let from_ns = last[agent as usize];
                    let silence = Silence { from_ns, to_ns: *at_ns, end: End::Exit };
                    run.agents[place].silences.push(silence);
                    let (cause, last_status) = (ExitCause::Signal(9), Status::Ok);
                    run.agents[place].exit = Some(Exit { at_ns: *at_ns, cause, last_status });
                }
            }
        }
        for agent in run.agents.iter_mut().filter(|agent| agent.exit.is_none()) {
            let from_ns = last[usize::try_from(agent.number).unwrap()];
            let silence = Silence { from_ns, to_ns: self.end_ns, end: End::Run };
            agent.silences.push(silence);
        }
        run
    }
}

/// What a daemon with this threshold stores of what its observer reports.
struct History {
    threshold_ns: u64,
    collector: Collector,
    stats: StatsTable,
    events: Vec<Event>,
}

impl History {
    fn new(threshold_ns: u64) -> Self {
        let started = Started { threshold_ns, ..Started::default() };
        let collector = Collector::new(started, ClockPair::default());
        let stats = StatsTable::new(threshold_ns);
        Self { threshold_ns, collector, stats, events: Vec::new() }
    }

    fn take(&mut self, observer: &mut Simulated) {
        let collector = &mut self.collector;
        while let Some(lateness) = observer.take_lateness() {
            collector.late(lateness);
        }
        while let Some(event) = observer.poll() {
            self.stats.note(&event);
            let is_beat = matches!(event.what, What::Beat { .. });
            if let Some(about) = event.about.filter(|it| !collector.knows(it.agent)) {
                let identity = identity(&about);
                collector.identify(event.observer_ns, &identity, self.threshold_ns, is_beat);
            }
            if is_beat {
                collector.beat(&event, self.stats.since_ns, || false);
            } else {
                collector.event(&event, More::default());
            }
            self.events.push(event);
        }
    }

    /// What is stored, read again.
    fn read(&mut self, end_ns: u64) -> Run {
        let pair = ClockPair { observer_ns: end_ns, wall_ns: end_ns };
        self.collector.end_silences(pair, history::Unheard::default());
        self.collector.stop(end_ns, None);
        let mut reading = Reading::default();
        for Stored { at_ns, record, .. } in self.collector.take() {
            let mut body = Vec::new();
            record.encode(&mut body);
            let record = Record::decode(record.kind(), &body).unwrap();
            reading.add(ClockPair { observer_ns: at_ns, wall_ns: at_ns }, false, &record);
        }
        reading.end()
    }
}

fn identity(about: &About) -> history::Identity {
    let none = Label::EMPTY;
    history::Identity {
        agent: about.agent,
        pid: about.pid,
        claimed_pid: about.claimed_pid,
        uid: None,
        origin: about.origin,
        program: Label::new(b"ingest"),
        unit: none,
        user_unit: none,
        container: none,
        lane: false,
    }
}

fn an_agent(number: u32, first_ns: u64, floor_ns: u64) -> Agent {
    let program = format!("p{}", number % 2);
    let (unit, container) = (String::new(), String::new());
    let identity = Identity { program, uid: None, unit, container };
    Agent {
        number: number.into(),
        pid: number + 100,
        first_ns: Some(first_ns),
        identities: vec![(first_ns, identity)],
        floors: vec![(first_ns, floor_ns)],
        ..Agent::default()
    }
}

/// The events that a replay is about, with the pids of their agents.
fn verdicts_of(events: &[Event]) -> Vec<(u64, u32, Found)> {
    let found = |event: &Event| {
        let found = match event.what {
            What::Stall { last_ns, .. } => Found::Stall { last_ns },
            What::Recovered { silent_ns, .. } => Found::Recovered { silent_ns },
            What::Exit { cause, last_status } => Found::Exit { cause, last_status },
            _ => return None,
        };
        Some((event.observer_ns, event.about?.pid, found))
    };
    events.iter().filter_map(found).collect()
}

fn one(threshold_ns: u64) -> Choice {
    Choice::One { threshold: Duration::from_nanos(threshold_ns), program: None }
}

fn replay(run: &Run, choice: &Choice) -> Vec<Verdict> {
    let plan = plan(run, choice, ALWAYS).unwrap();
    judge(run, choice.default_ns(run), &plan).unwrap()
}

const ALWAYS: (u64, u64) = (0, u64::MAX);

/// Compares a replay of what was recorded with an observer with this threshold. Returns how many
/// decisions there were.
fn compare(script: &Script, recorded: &Run, threshold_ns: u64) -> usize {
    let live = sorted(verdicts_of(&script.events(threshold_ns)));
    let again = replayed(recorded, threshold_ns);
    // A Stall that was due while it was away comes once it has read everything.
    let is_equal = |(again, live): (&(u64, u32, Found), &(u64, u32, Found))| {
        let later_ns = live.0.checked_sub(again.0);
        (again.1, again.2) == (live.1, live.2) && later_ns.is_some_and(|ns| ns <= READ_NS)
    };
    let first = again.iter().zip(&live).find(|pair| !is_equal(*pair));
    assert_eq!(first, None, "{threshold_ns} ns");
    assert_eq!(again.len(), live.len(), "{threshold_ns} ns");
    live.len()
}

/// What a replay with this threshold decides, with the pids of the agents.
fn replayed(recorded: &Run, threshold_ns: u64) -> Vec<(u64, u32, Found)> {
    let pid = |verdict: &Verdict| recorded.agents[verdict.agent].pid;
    let verdicts = replay(recorded, &one(threshold_ns));
    sorted(verdicts.iter().map(|it| (it.at_ns, pid(it), it.found)).collect())
}

#[test]
fn a_replay_decides_as_an_observer_with_its_threshold_does() {
    let mut decisions = 0;
    for seed in 0..30 {
        let script = Script::random(seed, Pace::Busy);
        let recorded = script.recorded(2 * SECOND, SECOND / 2);
        for threshold_ns in [SECOND / 2, SECOND, 4 * SECOND, 7 * SECOND] {
            decisions += compare(&script, &recorded, threshold_ns);
        }
    }
    assert!(decisions > 1_000, "{decisions}");
}

#[test]
fn a_replay_of_what_a_daemon_stores_equals_a_daemon_with_half_and_twice_the_threshold() {
    for (seed, pace) in
        (0..12).map(|seed| (seed, if seed % 2 == 0 { Pace::Busy } else { Pace::Calm }))
    {
        let script = Script::random(seed, pace);
        let stored = script.stored(2 * SECOND);
        for threshold_ns in [2 * SECOND, 4 * SECOND] {
            assert!(compare(&script, &stored, threshold_ns) > 10);
        }
        // Agents that are silent more often than once a minute are not recorded that precisely.
        match pace {
            Pace::Calm => assert!(compare(&script, &stored, SECOND) > 10),
            Pace::Busy => {
                let short = plan(&stored, &one(SECOND), ALWAYS).unwrap_err();
                assert_eq!(short.floor_ns, 2 * SECOND);
            }
        }
        let again = replay(&stored, &one(2 * SECOND));
        for case in cases(&stored, &again, |_| true, ALWAYS) {
            let later_ns = case.recorded_ns.zip(case.replayed_ns);
            let later_ns = later_ns.and_then(|(live, again)| live.checked_sub(again));
            assert!(later_ns.is_some_and(|ns| ns <= READ_NS), "nothing changes: {case:?}");
        }
    }
}

#[test]
fn a_replay_has_room_for_all_agents_of_a_run() {
    let mut run = Run { defaults: vec![(0, SECOND)], end_ns: 9 * SECOND, ..Run::default() };
    run.agents = (0..1_000).map(|number| an_agent(number, 0, SECOND / 2)).collect();
    for agent in &mut run.agents {
        let (from_ns, to_ns, end) = (SECOND, 4 * SECOND, End::Beat);
        agent.silences.push(Silence { from_ns, to_ns, end });
    }
    assert_eq!(replay(&run, &one(2 * SECOND)).len(), 2_000, "a Stall and a recovery of each");
}

/// By agent: of what happens to several of them at one time the order does not matter.
fn sorted(mut verdicts: Vec<(u64, u32, Found)>) -> Vec<(u64, u32, Found)> {
    verdicts.sort_by_key(|(at_ns, pid, found)| (*pid, *at_ns, format!("{found:?}")));
    verdicts
}

/// An observer that is late finds a beat that arrived meanwhile before it judges the silence.
#[test]
fn a_silence_that_was_no_stall_because_the_observer_was_late_is_none_in_a_replay() {
    const BACK: u64 = 2_300 * MS;
    let end_ns = BACK + READ_NS;
    let stored = |late_ns: u64| {
        let since_ns = BACK - late_ns;
        let absence = Absence { at_ns: BACK, late_ns, away_ns: late_ns, suspended_ns: 0 };
        let mut inputs = vec![(0, Input::Beat(0)), (end_ns, Input::Beat(0))];
        // Less than 50 ms is not recorded.
        if late_ns > 50 * MS {
            inputs.insert(1, (BACK, Input::Away(absence)));
        }
        let away = vec![(since_ns, end_ns)];
        Script { inputs, away, end_ns: 3 * SECOND }
    };
    let names = |script: &Script, recorded_ns: u64, threshold_ns: u64| {
        let again = replayed(&script.stored(recorded_ns), threshold_ns);
        let live = sorted(verdicts_of(&script.events(threshold_ns)));
        assert_eq!(again, live, "{recorded_ns} {threshold_ns}");
        live.len()
    };
    for (late_ns, recorded_ns) in [(40 * MS, 2_270 * MS), (290 * MS, 2_020 * MS)] {
        let script = stored(late_ns);
        assert_eq!(names(&script, recorded_ns, recorded_ns), 0);
        assert_eq!(names(&script, recorded_ns, recorded_ns + 10 * MS), 0);
        assert_eq!(names(&script, recorded_ns, recorded_ns - 100 * MS), 2);
        assert_eq!(names(&script, recorded_ns, end_ns + 1), 0);
    }
    // What a longer delay hides is known for each threshold.
    assert_eq!(names(&stored(290 * MS), SECOND * 4, 2_100 * MS), 0);
}

#[test]
fn what_changes_is_counted_by_program_and_in_sum() {
    let script = Script::default();
    let mut run = script.recorded(2 * SECOND, SECOND / 2);
    run.end_ns = 100 * SECOND;
    let silence = |from, to, end| Silence { from_ns: from * SECOND, to_ns: to * SECOND, end };
    let mut first = an_agent(0, 0, SECOND / 2);
    // A false alarm, a shorter silence, and a hang that ends in its death.
    first.silences = vec![
        silence(10, 13, End::Beat),
        silence(20, 21, End::Beat),
        silence(30, 40, End::Exit),
    ];
    first.stalls = vec![12 * SECOND, 32 * SECOND];
    first.exit =
        Some(Exit { at_ns: 40 * SECOND, cause: ExitCause::Unknown, last_status: Status::Ok });
    let mut second = an_agent(1, 0, SECOND / 2);
    second.silences = vec![silence(50, 54, End::Beat), silence(97, 100, End::Run)];
    second.stalls = vec![52 * SECOND, 99 * SECOND];
    second.commands = vec![53 * SECOND];
    run.agents = vec![first, second];
    let of = |threshold_ns| {
        let verdicts = replay(&run, &one(threshold_ns));
        let cases = cases(&run, &verdicts, |_| true, ALWAYS);
        let programs = by_program(&run, &cases, |_| true);
        let of = |name| {
            let counts: &super::compare::Counts = &programs[name];
            let all = (counts.recorded, counts.replayed, counts.go, counts.come);
            (all, (counts.deaths, counts.missed, counts.later_most_ns))
        };
        (of("p0"), of("p1"))
    };
    let later = |seconds: i128| Some(seconds * i128::from(SECOND));
    assert_eq!(of(2 * SECOND).0, ((2, 2, 0, 0), (1, 0, later(0))));
    assert_eq!(
        of(5 * SECOND),
        (((2, 1, 1, 0), (1, 0, later(3))), ((2, 0, 2, 0), (2, 2, None)))
    );
    assert_eq!(of(SECOND).1, ((2, 2, 0, 0), (2, 0, later(-1))));
    assert_eq!(of(SECOND - 1).0, ((2, 3, 0, 1), (1, 0, later(-1).map(|ns| ns - 1))));
}

#[test]
fn a_threshold_below_what_was_recorded_is_refused() {
    let mut agent = an_agent(0, 0, SECOND / 2);
    agent.floors.push((50 * SECOND, SECOND));
    let agents = vec![agent, an_agent(1, 0, SECOND / 4)];
    let run = Run { defaults: vec![(0, 2 * SECOND)], agents, ..Run::default() };
    let least = |threshold_ns, period| {
        let plan = plan(&run, &one(threshold_ns), period);
        plan.map(drop)
            .map_err(|TooShort { agent, floor_ns, at_ns, .. }| (agent, floor_ns, at_ns))
    };
    assert_eq!(least(SECOND, ALWAYS), Ok(()));
    assert_eq!(least(SECOND - 1, ALWAYS), Err((0, SECOND, 50 * SECOND)));
    assert_eq!(least(SECOND - 1, (0, 50 * SECOND)), Ok(()), "it was recorded so later");
    assert_eq!(least(1, (0, 50 * SECOND)), Err((0, SECOND / 2, 0)));
}

/// What was due when it ran is judged before the next delay begins, and is not forgiven by it.
#[test]
fn a_delay_right_after_another_one_does_not_forgive_what_was_due_before() {
    let absence = |since, until| {
        let (late_ns, at_ns) = ((until - since) * MS, until * MS);
        (at_ns, Input::Away(Absence { at_ns, late_ns, away_ns: late_ns, suspended_ns: 0 }))
    };
    let beat = |at| (at * MS, Input::Beat(0));
    let inputs = vec![beat(0), absence(1_900, 2_200), absence(2_200, 3_700), beat(3_800)];
    let away = vec![(1_900 * MS, 2_200 * MS), (2_200 * MS, 3_700 * MS)];
    let script = Script { inputs, away, end_ns: 4 * SECOND };
    let stored = script.stored(2 * SECOND);
    assert_eq!(compare(&script, &stored, 2 * SECOND), 2);
    assert_eq!(replayed(&stored, 2 * SECOND)[0].0, 2_200 * MS);
}
