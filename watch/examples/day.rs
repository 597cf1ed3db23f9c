//! A history as a day would leave it: `day FOLDER LOAD HOURS AGENTS`.
//!
//! The daemon's own collector and the writer make it, in simulated time. LOAD is `gaps`: each agent
//! beats ten times a second, with a threshold of 2 s, and is silent for 1.6 s every 61 seconds: more
//! often would raise its floor; or `slow`: each beats once a second. One agent in a hundred hangs for 10 s each hour. At the end it
//! prints the size of the history in bytes and the number of records.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
#![allow(dead_code, unused_imports, reason = "the daemon uses the rest")]

#[path = "../src/state/by_number.rs"]
mod by_number;
#[path = "../src/state/history/mod.rs"]
mod history;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use history::{Collector, Identity, More, Unheard};
use varta::{Promise, Status};
use varta_history::{ClockPair, Error, Limits, Origin, Record, Run, Started, Writer};
use varta_observer::{About, Event, Label, What};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const THRESHOLD: u64 = 2 * SECOND;
const PROGRAMS: u64 = 20;

/// The wall clock at the start: 2026-11-29T00:00:00Z.
const START: u64 = 1_795_910_400 * SECOND;

/// Events within this time are in order of agents, not of time.
const STEP: u64 = 100 * MS;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Gaps,
    Slow,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, load, hours, agents] = arguments.as_slice() else { return usage() };
    let load = match load.as_str() {
        "gaps" => Load::Gaps,
        "slow" => Load::Slow,
        _ => return usage(),
    };
    let (Ok(hours), Ok(agents)) = (hours.parse(), agents.parse()) else { return usage() };
    match write(Path::new(folder), load, hours, agents) {
        Ok((bytes, records)) => println!("{bytes} {records}"),
        Err(error) => {
            eprintln!("day: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: day FOLDER gaps|slow HOURS AGENTS");
    ExitCode::from(2)
}

/// Writes the history, and returns its size and the number of its records.
fn write(folder: &Path, load: Load, hours: u64, agents: u64) -> Result<(u64, u64), Error> {
    let run = Run { boot_id: *b"a simulated boot", start_us: 0 };
    let origin = Origin { host: "simulated".to_owned(), run, boot_ns: 0 };
    let limits = Limits { max_bytes: u64::MAX, max_age_ns: u64::MAX };
    let mut writer = Writer::open(folder, limits, origin, pair(0))?;
    let started = Started { threshold_ns: THRESHOLD, ..Started::default() };
    let mut collector = Collector::new(started, pair(0));
    let mut crowd: Vec<_> = (1..=agents).map(|agent| Beating::new(agent, load)).collect();
    for agent in &crowd {
        collector.identify(agent.next_ns, &agent.identity(), THRESHOLD, true);
    }
    let mut known = BTreeMap::new();
    let mut now_ns = 0;
    while now_ns < hours * HOUR {
        now_ns += STEP;
        for agent in &mut crowd {
            agent.run(now_ns, &mut collector);
        }
        if now_ns >= collector.due_ns() {
            collector.end_minute(pair(now_ns), Unheard::default());
        }
        for stored in collector.take() {
            writer.push(stored.seq, stored.at_ns, &stored.record);
            if let Record::Agent(agent) = &stored.record {
                known.insert(agent.agent, (stored.at_ns, stored.record.clone()));
            }
        }
        // As often as the daemon syncs.
        if now_ns.is_multiple_of(SECOND) {
            writer.flush(pair(now_ns), || known.values().cloned().collect())?;
        }
    }
    collector.end_silences(pair(now_ns), Unheard::default());
    collector.stop(now_ns, None);
    for stored in collector.take() {
        writer.push(stored.seq, stored.at_ns, &stored.record);
    }
    writer.flush(pair(now_ns), Vec::new)?;
    let counts = writer.counts();
    writer.end(pair(now_ns))?;
    Ok((counts.bytes, counts.records))
}

fn pair(observer_ns: u64) -> ClockPair {
    ClockPair { observer_ns, wall_ns: START + observer_ns }
}

/// An agent that beats.
struct Beating {
    number: u64,
    load: Load,
    next_ns: u64,
    last_ns: u64,
    nonce: u64,
    stalled: bool,
    random: u64,
}

impl Beating {
    fn new(number: u64, load: Load) -> Self {
        // They do not all beat at the same time.
        let next_ns = number * 7_919 * 1_000 % MINUTE;
        Self { number, load, next_ns, last_ns: 0, nonce: 0, stalled: false, random: number }
    }

    fn pid(&self) -> u32 {
        u32::try_from(1_000 + self.number).unwrap_or(u32::MAX)
    }

    fn about(&self) -> About {
        let (agent, pid) = (self.number, self.pid());
        About { agent, pid, claimed_pid: pid, origin: varta_observer::Origin::KernelAttested }
    }

    fn identity(&self) -> Identity {
        let program = format!("program-{}", self.number % PROGRAMS);
        Identity {
            agent: self.number,
            pid: self.pid(),
            claimed_pid: self.pid(),
            uid: Some(0),
            origin: varta_observer::Origin::KernelAttested,
            program: Label::new(program.as_bytes()),
            unit: Label::new(b"program.service"),
            user_unit: Label::EMPTY,
            container: Label::EMPTY,
            lane: false,
        }
    }

    /// Beats until a time, and stalls if that is due.
    fn run(&mut self, until_ns: u64, collector: &mut Collector) {
        let due_ns = self.last_ns + THRESHOLD;
        if self.nonce > 0 && !self.stalled && due_ns < self.next_ns && due_ns < until_ns {
            self.stalled = true;
            let (last_nonce, last_ns) = (self.nonce, self.last_ns);
            let what = What::Stall { last_nonce, last_ns, deaf: false, late: None, why: None };
            let more = More { threshold_ns: THRESHOLD, ..More::default() };
            collector.event(&self.event(due_ns, what), more);
        }
        while self.next_ns < until_ns {
            let at_ns = self.next_ns;
            if std::mem::take(&mut self.stalled) {
                let silent_ns = at_ns - self.last_ns;
                let what = What::Recovered { silent_ns, promise: Promise::Beat };
                collector.event(&self.event(at_ns, what), More::default());
            }
            self.nonce += 1;
            let nonce = self.nonce;
            let what =
                What::Beat { status: Status::Ok, payload: 0, nonce, missed: 0, count: 1 };
            let since_ns = (nonce > 1).then(|| at_ns - self.last_ns);
            collector.beat(&self.event(at_ns, what), since_ns, || false);
            self.last_ns = at_ns;
            self.next_ns = at_ns + self.interval(at_ns);
        }
    }

    fn event(&self, observer_ns: u64, what: What) -> Event {
        Event { observer_ns, about: Some(self.about()), task: None, what }
    }

    /// The time until the next beat.
    fn interval(&mut self, at_ns: u64) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let jitter = self.random % (2 * MS);
        let usual = if self.load == Load::Gaps { 100 * MS } else { SECOND };
        let is_first_in = |time: u64| at_ns / time != (at_ns + usual) / time;
        if self.number.is_multiple_of(100) && is_first_in(HOUR) {
            return 10 * SECOND + jitter;
        }
        if self.load == Load::Gaps && is_first_in(MINUTE + SECOND) {
            return 1_600 * MS + jitter;
        }
        usual + jitter
    }
}
