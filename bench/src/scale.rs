//! Two thousand real processes, each of which beats ten times a second.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Endpoint, Status, UdsTransport, Varta};
use varta_observer::{Builder, What};

use crate::measure::Plan;
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings};
use crate::stage::Stage;
use crate::sys;

const AGENTS: u64 = 2_000;
const INTERVAL: u64 = 100_000_000;
const THRESHOLD: Duration = Duration::from_secs(2);

/// Time between the moment all agents are ready and the first beat.
const HEAD_START: u64 = 500_000_000;

/// How often a ready agent checks whether the run has started.
const ASK: Duration = Duration::from_millis(20);

/// Longer than the forks take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Each run: its name, whether the phases of the agents differ, the queue length if it is not
/// the default, and whether the observer has real-time priority.
const RUNS: [(&str, bool, Option<usize>, bool); 4] = [
    ("phases spread", true, None, false),
    ("all at once", false, None, false),
    ("all at once, observer first", false, None, true),
    ("all at once, queue of 512", false, Some(512), false),
];

/// The longest wait of a poll.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    // The first two runs take half a minute each.
    let quick = plan.budget < Duration::from_secs(5);
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let mut figures =
        vec![Figure::new("scale: processes, ten beats a second", AGENTS as f64, "")];
    for (name, spread, queue, first) in RUNS {
        let beats = match (quick, first || queue.is_some()) {
            (true, _) => 25,
            (false, true) => 100,
            (false, false) => 300,
        };
        figures.append(&mut run(stage, name, spread, queue, first, beats)?);
    }
    sys::stay_on(stage.sender_cpu)?;
    Ok((Vec::new(), figures))
}

fn run(
    stage: &Stage,
    name: &str,
    spread: bool,
    queue: Option<usize>,
    first: bool,
    beats: u64,
) -> io::Result<Vec<Figure>> {
    let path = stage.path("scale.sock")?;
    let (heap, resident) = (sys::heap_bytes(), processes::resident_bytes());
    let bind =
        || Builder::new().listen(Endpoint::Path(path.clone())).threshold(THRESHOLD).bind();
    let mut observer = match queue {
        None => bind()?,
        Some(queue) => match processes::with_queue_of(queue, bind) {
            // Only root may do this.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(not_measured(name));
            }
            observer => observer?,
        },
    };
    let heap = sys::heap_bytes() - heap;
    let [sent, refused, ready, start] = processes::shared_numbers(4)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let mut agents = Children::default();
    for number in 0..AGENTS {
        let phase = if spread { number * INTERVAL / AGENTS } else { 0 };
        agents.0.push(Child::fork(|| {
            let Ok(mut agent) = Varta::connect(&path) else { return };
            ready.fetch_add(1, Ordering::Relaxed);
            let start = wait_for(start);
            beat_on(&mut agent, start + phase, beats, sent, refused);
            processes::sleep_on();
        })?);
    }
    let deadline = Instant::now() + PATIENCE;
    while ready.load(Ordering::Relaxed) < AGENTS {
        observer.poll_timeout(ASK)?;
        if Instant::now() > deadline {
            return Err(io::Error::other("the agents were not ready after two minutes"));
        }
    }
    if first && !processes::come_first(true) {
        return Ok(not_measured(name));
    }
    let first_beat = processes::boottime_ns() + HEAD_START;
    start.store(first_beat, Ordering::Relaxed);
    let end = first_beat + beats * INTERVAL;
    let (begun, cpu) = (processes::boottime_ns(), processes::thread_cpu_ns());
    let (mut stalls, mut exits, mut pauses) = (0_u32, 0_u32, 0_u32);
    while processes::boottime_ns() < end {
        match observer.poll_timeout(POLL)?.map(|event| event.what) {
            Some(What::Stall { .. }) => stalls += 1,
            Some(What::Exit { .. }) => exits += 1,
            Some(What::Paused { .. }) => pauses += 1,
            _ => {}
        }
    }
    let cpu = (processes::thread_cpu_ns() - cpu) as f64;
    let took = (processes::boottime_ns() - begun.max(first_beat)) as f64;
    let grown = processes::resident_bytes().saturating_sub(resident);
    let counters = observer.stats()?;
    if first {
        processes::come_first(false);
    }
    drop(agents);
    let (sent, refused) = (sent.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    let tried = sent + refused;
    // Without beats sent and received, there could be no false stalls.
    let measured = tried >= AGENTS * beats * 95 / 100 && counters.beats >= sent * 95 / 100;
    let figure = |what: &str, value: f64, unit| {
        Figure::new(format!("scale, {name}: {what}"), (value * 100.0).round() / 100.0, unit)
    };
    Ok(vec![
        figure("false stalls", stalls.into(), "").at_most(0.0, measured),
        figure("false exits", exits.into(), "").at_most(0.0, measured),
        figure("pauses reported", pauses.into(), ""),
        figure("beats tried", tried as f64, ""),
        figure("sends refused", refused as f64 * 100.0 / tried.max(1) as f64, "%"),
        figure("beats received", counters.beats as f64, ""),
        figure("observer's CPU", cpu * 100.0 / took, "% of one"),
        figure("observer's CPU for a beat", cpu / counters.beats.max(1) as f64, "ns"),
        figure("observer's heap", heap as f64, "bytes"),
        figure("growth of its process", grown as f64, "bytes"),
    ])
}

/// The figures of a run that needs root.
fn not_measured(name: &str) -> Vec<Figure> {
    ["false stalls", "false exits"]
        .map(|what| Figure::new(format!("scale, {name}: {what}"), 0.0, "").at_most(0.0, false))
        .into()
}

fn wait_for(start: &AtomicU64) -> u64 {
    loop {
        match start.load(Ordering::Relaxed) {
            0 => thread::sleep(ASK),
            start => return start,
        }
    }
}

fn beat_on(
    agent: &mut Varta<UdsTransport>,
    start: u64,
    beats: u64,
    sent: &AtomicU64,
    refused: &AtomicU64,
) {
    for number in 0..beats {
        let due = start + number * INTERVAL;
        thread::sleep(Duration::from_nanos(due.saturating_sub(processes::boottime_ns())));
        match agent.beat(Status::Ok, 7) {
            BeatOutcome::Sent => sent.fetch_add(1, Ordering::Relaxed),
            _ => refused.fetch_add(1, Ordering::Relaxed),
        };
    }
}
