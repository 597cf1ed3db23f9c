//! What it costs to find out why processes are silent.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Cause, Observer, What};

use crate::measure::{Group, Plan, Row};
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

const COST: &str = "a silence explained, time of both readings";
const ONE: &str = "process with 1 thread";
const TEN: &str = "process with 10 threads";
const KINDS: [(&str, usize); 2] = [(ONE, 1), (TEN, 10)];

pub(crate) const TARGETS: &[Target] =
    &[Target::median_ns(COST, ONE, 150e3), Target::median_ns(COST, TEN, 500e3)];

/// After this many beats, the threads of an agent are known.
const BEATS: u64 = 10;
const EVERY: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_millis(60);

/// How many fall silent at once, how often they beat, and after which time they are reported.
const CROWD: u64 = 1_000;
const SELDOM: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(4);
const LONGEST_NS: f64 = 10e6;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let rounds = if plan.budget < Duration::from_secs(5) { 20 } else { 100 };
    let mut rows = Vec::new();
    for (name, threads) in KINDS {
        let mut costs = Vec::new();
        for _ in 0..rounds {
            costs.extend(cost(stage, threads)?.map(|ns| ns as f64));
        }
        rows.push(Row::of_samples(name, costs));
    }
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let figures = crowd(stage)?;
    sys::stay_on(stage.sender_cpu)?;
    Ok((vec![Group { name: COST, rows }], figures))
}

fn observer(path: &Path, threshold: Duration) -> io::Result<Observer> {
    Builder::new()
        .listen(path.to_string_lossy().parse().map_err(io::Error::other)?)
        .threshold(threshold)
        .causes(true)
        .bind()
}

/// How long the readings took of one process that hangs. `None` if its state was not found out.
fn cost(stage: &Stage, threads: usize) -> io::Result<Option<u64>> {
    let path = stage.path("causes.sock")?;
    let mut observer = observer(&path, SOON)?;
    let _agent = Child::fork(|| {
        for _ in 1..threads {
            thread::spawn(processes::sleep_on);
        }
        let Ok(mut agent) = Varta::connect(&path) else { return };
        for _ in 0..BEATS {
            let _ = agent.beat(Status::Ok, 7);
            thread::sleep(EVERY);
        }
        processes::sleep_on();
    })?;
    // The question is not how long the scheduler lets it wait.
    processes::come_first(true);
    let cost = cost_of_one(&mut observer);
    processes::come_first(false);
    cost
}

fn cost_of_one(observer: &mut Observer) -> io::Result<Option<u64>> {
    let begun = Instant::now();
    let (mut before, mut beats) = (0, 0);
    loop {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("no stall was reported"));
        }
        let Some(event) = observer.poll_timeout(EVERY)? else { continue };
        match event.what {
            What::Beat { .. } => {
                beats += 1;
                before = observer.stats()?.cause_ns;
            }
            // On a busy machine it may stall before.
            What::Stall { .. } if beats < BEATS => {}
            What::Stall { why, .. } => {
                let found = why.is_some_and(|why| why.cause != Cause::Unknown);
                return Ok(found.then_some(observer.stats()?.cause_ns - before));
            }
            _ => {}
        }
    }
}

/// The longest poll while a thousand processes fall silent in the same instant.
fn crowd(stage: &Stage) -> io::Result<Vec<Figure>> {
    let path = stage.path("crowd.sock")?;
    let mut observer = observer(&path, LATER)?;
    let [ready, quiet] = processes::shared_numbers(2)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    processes::raise_limits();
    let mut agents = Children::default();
    for _ in 0..CROWD {
        agents.0.push(Child::fork(|| {
            let Ok(mut agent) = Varta::connect(&path) else { return };
            be_one_of_many(&mut agent, ready, quiet);
        })?);
    }
    let begun = Instant::now();
    while ready.load(Ordering::Relaxed) < CROWD || begun.elapsed() < 2 * SELDOM {
        observer.poll_timeout(Duration::from_millis(20))?;
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("the processes were not ready"));
        }
    }
    let first = processes::come_first(true);
    quiet.store(1, Ordering::Relaxed);
    let began = Instant::now();
    let (mut longest, mut stalls) = (Duration::ZERO, 0);
    let before = observer.stats()?.cause_looks;
    // All are looked at again after two thresholds.
    while began.elapsed() < 2 * LATER + Duration::from_secs(1) {
        let poll = Instant::now();
        let event = observer.poll_timeout(Duration::ZERO)?;
        longest = longest.max(poll.elapsed());
        match event.map(|event| event.what) {
            Some(What::Stall { .. }) => stalls += 1,
            Some(_) => {}
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
    processes::come_first(false);
    let looks = observer.stats()?.cause_looks - before;
    let measured = first && stalls >= CROWD && looks >= CROWD;
    let name = "causes: longest poll while 1,000 processes fall silent at once";
    Ok(vec![
        Figure::new(name, longest.as_nanos() as f64, "ns").at_most(LONGEST_NS, measured),
        Figure::new("causes: looks at 1,000 silent processes", looks as f64, ""),
    ])
}

fn be_one_of_many(agent: &mut Varta, ready: &AtomicU64, quiet: &AtomicU64) {
    while agent.beat(Status::Ok, 7) != BeatOutcome::Sent {
        thread::sleep(Duration::from_millis(1));
    }
    ready.fetch_add(1, Ordering::Relaxed);
    while quiet.load(Ordering::Relaxed) == 0 {
        thread::sleep(SELDOM);
        let _ = agent.beat(Status::Ok, 7);
    }
    processes::sleep_on();
}
