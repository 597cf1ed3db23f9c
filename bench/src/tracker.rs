//! The cost of an observer's decisions, without sockets, by the number of agents.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use varta::{FRAME_BYTES, Frame, Status};
use varta_observer::judge::{Datagram, Judge, NoEnvironment, Sender, Settings};
use varta_observer::{Builder, Policy, What};

use crate::measure::{Group, Plan, Row};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

const BEAT: &str = "tracker, a beat";
const TICK: &str = "tracker, a quiet tick";
const THOUSAND: &str = "1,000 agents in turn";
const MILLION: &str = "1,000,000 agents in turn";
const ONE: &str = "1 agent";
const A_MILLION: &str = "1,000,000 agents";

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
const STALLING: u32 = 100_000;

const SECOND: u64 = 1_000_000_000;
const THRESHOLD: u64 = 5 * SECOND / 2;

/// Datagrams that are encoded before the timing starts.
const CHUNK: usize = 64;
/// Beats of a contender in one turn.
const TURN: usize = 200 * CHUNK;
/// Number of ticks that are timed together, and the time between them.
const TICKS: u32 = 100;
const TICK_NS: u64 = 1_000_000;

pub(crate) const TARGETS: &[Target] =
    &[Target::median(BEAT, MILLION, THOUSAND, 3.0), Target::median(TICK, A_MILLION, ONE, 1.1)];

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let mut figures = sizes(stage)?;
    let groups = vec![beats(plan)?, ticks(plan)?];
    figures.push(stalls(plan)?);
    Ok((groups, figures))
}

/// A judge and the agents it tracks, each of which beats once a second.
struct Agents {
    judge: Judge,
    pids: Vec<u32>,
    next: usize,
    now: u64,
    apart: u64,
    nonce: u64,
}

impl Agents {
    fn new(count: u32) -> Self {
        let mut settings = Settings::new(Policy::same_uid(0));
        settings.capacity = count as usize;
        settings.threshold_ns = THRESHOLD;
        let mut agents = Self {
            judge: Judge::new(settings),
            pids: (300..300 + count).collect(),
            next: 0,
            now: SECOND,
            apart: SECOND / u64::from(count),
            nonce: 0,
        };
        agents.beats(count as usize, true);
        agents
    }

    /// Agents that beat in a random order that caches cannot predict, but still once a second
    /// each.
    fn shuffled(count: u32) -> Self {
        let mut agents = Self::new(count);
        shuffle(&mut agents.pids);
        agents
    }

    /// Sends this many beats, and returns how long the judge took.
    fn beats(&mut self, count: usize, first: bool) -> Duration {
        let mut took = Duration::ZERO;
        let mut frames = [(0, 0, [0; FRAME_BYTES]); CHUNK];
        let mut left = count;
        while left > 0 {
            let chunk = left.min(CHUNK);
            left -= chunk;
            for (at, pid, wire) in frames.iter_mut().take(chunk) {
                *pid = self.pids.get(self.next).copied().unwrap_or(300);
                self.next = if self.next + 1 < self.pids.len() { self.next + 1 } else { 0 };
                self.nonce += u64::from(self.next == 0);
                self.now += self.apart;
                *at = self.now;
                Frame::new(Status::Ok, *pid, *at, self.nonce + 1, 7).encode(wire);
            }
            let begun = Instant::now();
            for (at, pid, wire) in frames.iter().take(chunk) {
                let process = first.then_some(u64::from(*pid));
                let sender = Sender::Kernel { pid: *pid, uid: 0, process };
                self.judge.hear(*at, &Datagram::new(0, sender, wire), &mut NoEnvironment);
                black_box(self.judge.next_event());
            }
            black_box(self.judge.expire(self.now, &mut NoEnvironment));
            took += begun.elapsed();
        }
        took
    }

    /// Checks the deadlines several times while none expires.
    fn ticks(&mut self) -> Duration {
        let begun = Instant::now();
        for _ in 0..TICKS {
            self.now += TICK_NS;
            black_box(self.judge.next_deadline());
            black_box(self.judge.expire(self.now, &mut NoEnvironment));
        }
        begun.elapsed()
    }

    fn check(&self, beats: u64) -> io::Result<()> {
        let counters = self.judge.counters();
        match (counters.stalls, counters.beats) {
            (0, heard) if heard == beats => Ok(()),
            (stalls, heard) => {
                Err(io::Error::other(format!("{heard} of {beats} beats, {stalls} stalls")))
            }
        }
    }
}

fn beats(plan: Plan) -> io::Result<Group> {
    let mut contenders = [
        (THOUSAND, Agents::new(FEW), Vec::new()),
        (MILLION, Agents::new(MANY), Vec::new()),
        ("1,000 agents in any order", Agents::shuffled(FEW), Vec::new()),
        ("1,000,000 agents in any order", Agents::shuffled(MANY), Vec::new()),
    ];
    let end = Instant::now() + plan.budget / 2;
    let mut turns = 0;
    while turns < 3 || Instant::now() < end {
        turns += 1;
        for (_, agents, rounds) in &mut contenders {
            rounds.push(nanoseconds(agents.beats(TURN, false)) / TURN as f64);
        }
    }
    for (_, agents, _) in &contenders {
        agents.check(agents.pids.len() as u64 + turns * TURN as u64)?;
    }
    let rows = contenders.map(|(name, _, rounds)| Row::of_rounds(name, rounds));
    Ok(Group { name: BEAT, rows: rows.into() })
}

fn ticks(plan: Plan) -> io::Result<Group> {
    let mut one = (ONE, Agents::new(1), Vec::new());
    let mut million = (A_MILLION, Agents::new(MANY), Vec::new());
    let end = Instant::now() + plan.budget / 2;
    let mut turns = 0_u32;
    while turns < 3 || Instant::now() < end {
        turns += 1;
        for (_, agents, rounds) in [&mut one, &mut million] {
            // Agents that have just beaten have a second and a half left, minus the rounding of
            // their deadlines.
            agents.beats(agents.pids.len(), false);
            agents.ticks();
            for _ in 0..5 {
                rounds.push(nanoseconds(agents.ticks()) / f64::from(TICKS));
            }
        }
    }
    for (_, agents, _) in [&one, &million] {
        agents.check(agents.pids.len() as u64 * u64::from(turns + 1))?;
    }
    let rows = [one, million].map(|(name, _, rounds)| Row::of_rounds(name, rounds));
    Ok(Group { name: TICK, rows: rows.into() })
}

/// All agents stall at once; the figure is the nanoseconds per agent.
fn stalls(plan: Plan) -> io::Result<Figure> {
    let mut agents = Agents::new(STALLING);
    shuffle(&mut agents.pids);
    agents.apart = 10;
    let mut rounds = Vec::new();
    for _ in 0..plan.set_ups {
        agents.beats(STALLING as usize, false);
        agents.now += THRESHOLD;
        let (mut stalled, mut last) = (0, 0);
        let begun = Instant::now();
        while agents.judge.expire(agents.now, &mut NoEnvironment) {
            let Some(event) = agents.judge.next_event() else { break };
            let What::Stall { last_ns, .. } = event.what else {
                return Err(io::Error::other(format!("not a stall: {event}")));
            };
            if last_ns < last {
                return Err(io::Error::other("stalls out of order"));
            }
            last = last_ns;
            stalled += 1;
        }
        rounds.push(nanoseconds(begun.elapsed()) / f64::from(STALLING));
        if stalled != STALLING {
            return Err(io::Error::other(format!("{stalled} stalls of {STALLING}")));
        }
    }
    let row = Row::of_rounds("", rounds);
    let measured = row.samples() > 0;
    let figure = Figure::new("100,000 stalls at once, each, in order", row.median(), "ns");
    Ok(figure.at_most(200.0, measured))
}

/// The memory per agent of capacity.
fn sizes(stage: &Stage) -> io::Result<Vec<Figure>> {
    let judge = |capacity| {
        let mut settings = Settings::new(Policy::same_uid(0));
        settings.capacity = capacity;
        Ok(Judge::new(settings))
    };
    let path = stage.path("sized.sock")?;
    let observer = |capacity| {
        let endpoint = varta::Endpoint::Path(path.clone());
        Builder::new().listen(endpoint).capacity(capacity).descriptors(capacity).bind()
    };
    let heap = each(judge)?;
    Ok(vec![
        Figure::new("tracker, heap for each agent", heap, "bytes").at_most(128.0, heap > 0.0),
        Figure::new("observer, heap for each agent", each(observer)?, "bytes"),
    ])
}

fn each<T>(make: impl Fn(usize) -> io::Result<T>) -> io::Result<f64> {
    let heap = |capacity: u32| {
        let before = sys::heap_bytes();
        let made = make(capacity as usize)?;
        let heap = sys::heap_bytes() - before;
        drop(made);
        io::Result::Ok(heap as f64)
    };
    Ok((heap(2 * STALLING)? - heap(STALLING)?) / f64::from(STALLING))
}

/// Shuffles in a pseudo-random order that is always the same.
fn shuffle(values: &mut [u32]) {
    let mut seed = 1_u64;
    for at in (1..values.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let other = (seed >> 32) as usize % (at + 1);
        values.swap(at, other);
    }
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}
