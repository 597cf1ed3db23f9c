//! What it costs to find out why processes are silent.
//!
//! A process that falls silent is read twice, each time after a pause, in which the caches of the
//! CPU are used by others, so a reading costs two to three times as much as in a loop. Beside it,
//! the same files are read after the same pauses by nothing but `open`, `read` and `close`: the
//! limit is on the ratio of the two, which depends on the machine less than the times do.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Cause, Event, Observer, What};

use crate::measure::{Group, Plan, Row};
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

/// For how long both readings hold the polls of the observer.
const COST: &str = "a silence explained, time of both readings";
/// How much more CPU time all threads of the observer use than without looking for causes.
const CPU: &str = "a silence explained, CPU time of both readings";
const ONE: &str = "process with 1 thread";
const TEN: &str = "process with 10 threads";
const BARE_ONE: &str = "the same files of 1 thread, open, read and close alone";
const BARE_TEN: &str = "the same files of 10 threads, open, read and close alone";
const KINDS: [(&str, &str, usize); 2] = [(ONE, BARE_ONE, 1), (TEN, BARE_TEN, 10)];

pub(crate) const TARGETS: &[Target] = &[
    Target::median(COST, ONE, BARE_ONE, MOST_TIMES),
    Target::median(COST, TEN, BARE_TEN, MOST_TIMES),
];
/// How many times as long as the bare readings both readings may take.
const MOST_TIMES: f64 = 1.25;
/// The times to aim at, which depend on the machine.
const AIMS: [&str; 2] =
    ["process with 1 thread, aim 150000 ns", "process with 10 threads, aim 500000 ns"];

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

pub(crate) fn alone(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let rounds = if plan.budget < Duration::from_secs(5) { 20 } else { 100 };
    let (mut held, mut used, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for ((name, bare, threads), aim) in KINDS.into_iter().zip(AIMS) {
        let (mut with, mut without) = (Watch::new(stage, true)?, Watch::new(stage, false)?);
        let (mut costs, mut cpu, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (with, without) = (with.cost(threads)?, without.cost(threads)?);
            let bare = read_alone(threads)?;
            if with.found {
                costs.push(with.held_ns as f64);
                cpu.push(with.cpu_ns as f64 - without.cpu_ns as f64);
                alone.push(bare);
            }
        }
        let (costs, alone) = (Row::of_rounds(name, costs), Row::of_rounds(bare, alone));
        figures.push(Figure::new(format!("{COST}: {aim}"), costs.median(), "ns"));
        held.extend([costs, alone]);
        used.push(Row::of_samples(name, cpu));
    }
    Ok((vec![Group { name: COST, rows: held }, Group { name: CPU, rows: used }], figures))
}

fn observer(path: &Path, threshold: Duration, causes: bool) -> io::Result<Observer> {
    Builder::new()
        .listen(path.to_string_lossy().parse().map_err(io::Error::other)?)
        .threshold(threshold)
        .causes(causes)
        .bind()
}

/// What it took from the last beat of a process until its stall was reported.
struct Spent {
    /// Whether its cause was found.
    found: bool,
    held_ns: u64,
    cpu_ns: u64,
}

/// An observer that follows one process after the other.
struct Watch {
    observer: Observer,
    path: PathBuf,
}

impl Watch {
    fn new(stage: &Stage, causes: bool) -> io::Result<Self> {
        let path = stage.path(if causes { "causes.sock" } else { "no-causes.sock" })?;
        Ok(Self { observer: observer(&path, SOON, causes)?, path })
    }

    /// What a new process costs that hangs after some beats.
    fn cost(&mut self, threads: usize) -> io::Result<Spent> {
        let agent = Child::fork(|| {
            start_threads(threads);
            let Ok(mut agent) = Varta::connect(&self.path) else { return };
            for _ in 0..BEATS {
                let _ = agent.beat(Status::Ok, 7);
                thread::sleep(EVERY);
            }
            processes::sleep_on();
        })?;
        // The question is not how long the scheduler lets it wait.
        processes::come_first(true);
        let cost = self.cost_of(agent.pid());
        processes::come_first(false);
        let cost = cost?;
        drop(agent);
        while !matches!(self.next()?.what, What::Exit { .. }) {}
        Ok(cost)
    }

    fn next(&mut self) -> io::Result<Event> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(event) = self.observer.poll_timeout(EVERY)? {
                return Ok(event);
            }
        }
        Err(io::Error::other("nothing was reported"))
    }

    fn cost_of(&mut self, pid: u32) -> io::Result<Spent> {
        let (mut before, mut cpu, mut beats) = (0, 0, 0);
        loop {
            let event = self.next()?;
            if event.about.is_none_or(|about| about.pid != pid) {
                continue;
            }
            match event.what {
                What::Beat { .. } => {
                    beats += 1;
                    before = self.observer.stats()?.cause_ns;
                    cpu = processes::process_cpu_ns();
                }
                // On a busy machine it may stall before.
                What::Stall { .. } if beats < BEATS => {}
                What::Stall { why, .. } => {
                    return Ok(Spent {
                        found: why.is_some_and(|why| why.cause != Cause::Unknown),
                        held_ns: self.observer.stats()?.cause_ns - before,
                        cpu_ns: processes::process_cpu_ns() - cpu,
                    });
                }
                _ => {}
            }
        }
    }
}

fn start_threads(threads: usize) {
    for _ in 1..threads {
        thread::spawn(processes::sleep_on);
    }
}

/// How long it takes to read, after the same pauses, the files that an observer reads of a process.
fn read_alone(threads: usize) -> io::Result<f64> {
    let process = Child::fork(|| {
        start_threads(threads);
        processes::sleep_on();
    })?;
    let folder = format!("/proc/{}", process.pid());
    thread::sleep(SOON);
    let tasks: Vec<_> = fs::read_dir(format!("{folder}/task"))?
        .map(|task| task.map(|task| task.path().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    let of_tasks = |name: &'static str| tasks.iter().map(move |task| format!("{task}/{name}"));
    let early: Vec<_> = ["/proc/pressure/memory".to_owned(), format!("{folder}/cgroup")]
        .into_iter()
        .chain(of_tasks("stat"))
        .chain(of_tasks("schedstat"))
        .collect();
    let late = ["status", "wchan", "syscall"].map(|name| format!("{folder}/{name}"));
    processes::come_first(true);
    thread::sleep(SOON / 2);
    let began = Instant::now();
    let mut result = read_all(&early);
    let mut took = began.elapsed();
    thread::sleep(SOON / 2);
    let began = Instant::now();
    result = result.and_then(|()| read_all(&early)).and_then(|()| read_all(&late));
    black_box(fs::read_link(format!("{folder}/exe"))?);
    took += began.elapsed();
    processes::come_first(false);
    result?;
    Ok(took.as_nanos() as f64)
}

fn read_all(paths: &[String]) -> io::Result<()> {
    let mut content = [0; 4096];
    paths.iter().try_for_each(|path| {
        black_box(File::open(path)?.read(&mut content)?);
        Ok(())
    })
}

/// The longest poll while a thousand processes fall silent in the same instant.
pub(crate) fn crowd(stage: &Stage) -> io::Result<Vec<Figure>> {
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let path = stage.path("crowd.sock")?;
    let mut observer = observer(&path, LATER, true)?;
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
    let (mut first_stall, mut explained) = (None, HashSet::new());
    let mut all_explained = None;
    let before = observer.stats()?;
    // All are looked at again after two thresholds.
    while began.elapsed() < 2 * LATER + Duration::from_secs(1) {
        let poll = Instant::now();
        let event = observer.poll_timeout(Duration::ZERO)?;
        longest = longest.max(poll.elapsed());
        let Some(event) = event else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let why = match event.what {
            What::Stall { why, .. } => {
                stalls += 1;
                first_stall.get_or_insert_with(Instant::now);
                why
            }
            What::Cause { why } => Some(why),
            _ => None,
        };
        let is_new = why.is_some_and(|why| why.cause != Cause::Unknown)
            && event.about.is_some_and(|about| explained.insert(about.agent));
        if is_new && explained.len() as u64 == CROWD {
            let cost_ns = observer.stats()?.cause_ns - before.cause_ns;
            all_explained = first_stall.map(|first| (first.elapsed(), cost_ns));
        }
    }
    processes::come_first(false);
    let looks = observer.stats()?.cause_looks - before.cause_looks;
    let measured = first && stalls >= CROWD && looks >= CROWD;
    let name = "causes: longest poll while 1,000 processes fall silent at once";
    let mut figures = vec![
        Figure::new(name, longest.as_nanos() as f64, "ns").at_most(LONGEST_NS, measured),
        Figure::new("causes: looks at 1,000 silent processes", looks as f64, ""),
    ];
    if let Some((time, cost_ns)) = all_explained {
        let (name, each) =
            ("causes: time of both readings, for each of 1,000 at once", CROWD as f64);
        figures.push(Figure::new(name, cost_ns as f64 / each, "ns"));
        let name = "causes: from the first stall of 1,000 to the last cause";
        figures.push(Figure::new(name, time.as_nanos() as f64, "ns"));
    }
    Ok(figures)
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
