//! How late a stall is reported when fifty of a thousand processes stop in the same instant.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::Status;

use super::{PATIENCE, attached, observer};
use crate::detection::Late;
use crate::measure::{Group, Plan, Row};
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

const AGENTS: u64 = 1_000;
const AT_ONCE: u64 = 50;
/// Every group of fifty stops in one of these rounds.
const GROUPS: u64 = AGENTS / AT_ONCE;

const LANE_100: &str = "lane, stall event after its deadline, 100 ms";
const LANE_500: &str = "lane, stall event after its deadline, 500 ms";
const FIFTY: &str = "50 of 1,000 at once";
const LIMIT: f64 = 1e6;

pub(crate) const TARGETS: &[Target] =
    &[Target::p99_ns(LANE_100, FIFTY, LIMIT), Target::p99_ns(LANE_500, FIFTY, LIMIT)];

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let quick = plan.budget < Duration::from_secs(5);
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let mut groups = Vec::new();
    let mut pauses = 0;
    for (name, threshold) in
        [(LANE_100, Duration::from_millis(100)), (LANE_500, Duration::from_millis(500))]
    {
        let found = stop_by_fifties(stage, threshold, if quick { 5 } else { GROUPS })?;
        pauses += found.pauses;
        let rows = vec![Row::of_samples(FIFTY, found.by().collect())];
        groups.push(Group { name, rows });
    }
    sys::stay_on(stage.sender_cpu)?;
    let paused =
        Figure::new("lane, pauses reported while waiting for stalls", pauses.into(), "");
    Ok((groups, vec![paused]))
}

fn stop_by_fifties(stage: &Stage, threshold: Duration, rounds: u64) -> io::Result<Late> {
    let path = stage.path("late.sock")?;
    let mut observer = observer(&path, threshold)?;
    // The number of the group that does not beat, from 1.
    let [ready, stopped] = processes::shared_numbers(2)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let mut agents = Children::default();
    for number in 0..AGENTS {
        agents.0.push(Child::fork(|| {
            let Ok(mut agent) = attached(&path) else { return };
            ready.fetch_add(1, Ordering::Relaxed);
            beat_on(&mut agent, number % GROUPS + 1, threshold / 3, stopped);
        })?);
    }
    let mut late = Late::default();
    let begun = Instant::now();
    while ready.load(Ordering::Relaxed) < AGENTS {
        observer.poll_timeout(Duration::from_millis(20))?;
        if begun.elapsed() > 2 * PATIENCE {
            return Err(io::Error::other("the processes were not ready"));
        }
    }
    let first = processes::come_first(true);
    let mut listen = |late: &mut Late, time: Duration| -> io::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Some(event) = observer.poll_timeout(time.saturating_sub(begun.elapsed()))? {
                late.note(&event, threshold);
            }
        }
        Ok(())
    };
    // Those that stalled while others were still being forked are back after this.
    listen(&mut Late::default(), 2 * threshold)?;
    for round in 1..=rounds {
        stopped.store(round, Ordering::Relaxed);
        listen(&mut late, 2 * threshold)?;
        stopped.store(0, Ordering::Relaxed);
        listen(&mut late, threshold)?;
    }
    processes::come_first(false);
    if !first {
        // It measured the scheduler; the row has too few samples for a verdict.
        late = Late::default();
    }
    Ok(late)
}

fn beat_on(
    agent: &mut varta::Varta<varta::AnyTransport>,
    group: u64,
    interval: Duration,
    stopped: &AtomicU64,
) {
    loop {
        if stopped.load(Ordering::Relaxed) != group {
            let _ = agent.beat(Status::Ok, 7);
        }
        thread::sleep(interval);
    }
}
