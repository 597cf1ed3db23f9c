//! Real processes, many of them: what they cost the observer beside datagrams, and whether
//! anything is lost when all beat in the same instant or the observer is away.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::What;

use super::{ASK, PATIENCE, THRESHOLD, attached, observer};
use crate::measure::Plan;
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings};
use crate::stage::Stage;
use crate::sys;

const INTERVAL: u64 = 100_000_000;
const HEAD_START: u64 = 500_000_000;
const POLL: Duration = Duration::from_millis(100);

/// Wake-ups a second: one for each sweep, and a tick of the observer's own.
const WAKES: f64 = 3.0;

#[derive(Clone, Copy)]
struct Run {
    name: &'static str,
    agents: u64,
    lane: bool,
    /// Whether the processes beat at different times.
    spread: bool,
    /// How long the observer does not run in the middle of it.
    away: Duration,
}

const COST: Run =
    Run { name: "1,000 spread", agents: 1_000, lane: true, spread: true, away: Duration::ZERO };
const CROWDS: [Run; 3] = [
    Run { name: "64 in the same instant", agents: 64, spread: false, ..COST },
    Run { name: "1,000 in the same instant", spread: false, ..COST },
    Run { name: "1,000, observer away for 5 s", away: Duration::from_secs(5), ..COST },
];

/// What happened in a run.
struct Found {
    tried: u64,
    refused: u64,
    received: u64,
    /// Those of the received beats that were not datagrams.
    on_lane: u64,
    stalls: u32,
    exits: u32,
    cpu_share: f64,
    wakes: f64,
}

impl Found {
    /// Whether every process made all its beats, and the observer heard of them in the way that
    /// the run is about.
    fn is_whole(&self, run: Run, beats: u64) -> bool {
        let as_meant = if run.lane { self.received } else { 0 };
        self.tried == run.agents * beats && self.received > 0 && self.on_lane == as_meant
    }
}

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let quick = plan.budget < Duration::from_secs(5);
    let beats = if quick { 50 } else { 200 };
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let lane = run(stage, COST, beats)?;
    let by_datagrams = Run { lane: false, ..COST };
    let datagrams = run(stage, by_datagrams, beats)?;
    let ratio = lane.cpu_share / datagrams.cpu_share;
    let whole = lane.is_whole(COST, beats);
    let both_whole = whole && datagrams.is_whole(by_datagrams, beats);
    let mut figures = vec![
        figure(COST, "observer's CPU", lane.cpu_share * 100.0, "% of one"),
        figure(COST, "observer's CPU with datagrams", datagrams.cpu_share * 100.0, "% of one"),
        figure(COST, "ratio of the two", ratio, "").at_most(0.01, both_whole),
        figure(COST, "wake-ups of the observer", lane.wakes, "a second").at_most(WAKES, whole),
        figure(COST, "beats not counted", lane.tried.abs_diff(lane.received) as f64, "")
            .at_most(0.0, whole),
        figure(COST, "wake-ups of the observer with datagrams", datagrams.wakes, "a second"),
    ];
    for crowd in CROWDS {
        let found = run(stage, crowd, beats)?;
        let whole = found.is_whole(crowd, beats);
        let zero = |what, value: f64| figure(crowd, what, value, "").at_most(0.0, whole);
        figures.push(zero("false stalls", found.stalls.into()));
        figures.push(zero("false exits", found.exits.into()));
        figures.push(zero("beats not counted", found.tried.abs_diff(found.received) as f64));
        if crowd.away.is_zero() {
            figures.push(zero("beats refused", found.refused as f64));
        }
        figures.push(figure(crowd, "beats tried", found.tried as f64, ""));
    }
    sys::stay_on(stage.sender_cpu)?;
    Ok((Vec::new(), figures))
}

fn figure(run: Run, what: &str, value: f64, unit: &'static str) -> Figure {
    Figure::new(format!("lane, {}: {what}", run.name), value, unit)
}

fn run(stage: &Stage, run: Run, beats: u64) -> io::Result<Found> {
    let path = stage.path("crowd.sock")?;
    let mut observer = observer(&path, THRESHOLD)?;
    let [sent, refused, ready, start] = processes::shared_numbers(4)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let mut agents = Children::default();
    for number in 0..run.agents {
        let phase = if run.spread { number * INTERVAL / run.agents } else { 0 };
        agents.0.push(Child::fork(|| {
            let agent = match run.lane {
                true => attached(&path),
                false => Varta::open(format!("{}?lane=off", path.display())),
            };
            let Ok(mut agent) = agent else { return };
            ready.fetch_add(1, Ordering::Relaxed);
            let start = wait_for(start);
            for number in 0..beats {
                let due = start + phase + number * INTERVAL;
                let left = due.saturating_sub(processes::boottime_ns());
                thread::sleep(Duration::from_nanos(left));
                match agent.beat(Status::Ok, 7) {
                    BeatOutcome::Sent => sent.fetch_add(1, Ordering::Relaxed),
                    _ => refused.fetch_add(1, Ordering::Relaxed),
                };
            }
            processes::sleep_on();
        })?);
    }
    let begun = Instant::now();
    while ready.load(Ordering::Relaxed) < run.agents {
        observer.poll_timeout(Duration::from_millis(20))?;
        if begun.elapsed() > 2 * PATIENCE {
            return Err(io::Error::other("the processes were not ready"));
        }
    }
    // What was beaten to get the pages.
    while observer.poll_timeout(THRESHOLD / 2)?.is_some() {}
    let before = observer.stats()?;
    let first_beat = processes::boottime_ns() + HEAD_START;
    start.store(first_beat, Ordering::Relaxed);
    let last_beat = first_beat + beats * INTERVAL;
    let mut away_at = (!run.away.is_zero()).then(|| first_beat + beats * INTERVAL / 4);
    let spent = || (processes::thread_cpu_ns(), processes::sleeps(), processes::boottime_ns());
    // Before the run the processes were silent, so each rings at its first beat. That is over by
    // then.
    let settled_at = first_beat + nanoseconds(THRESHOLD);
    let mut settled = None;
    let (mut stalls, mut exits) = (0, 0);
    let mut count = |what: &What| match what {
        What::Stall { .. } => stalls += 1,
        What::Exit { .. } => exits += 1,
        _ => {}
    };
    while processes::boottime_ns() < last_beat {
        if away_at.is_some_and(|at| processes::boottime_ns() > at) {
            away_at = None;
            thread::sleep(run.away);
        }
        if let Some(event) = observer.poll_timeout(POLL.max(THRESHOLD / 4))? {
            count(&event.what);
        }
        if settled.is_none() && processes::boottime_ns() >= settled_at {
            settled = Some(spent());
        }
    }
    let (cpu, sleeps, from) = settled.unwrap_or_else(spent);
    let took = (processes::boottime_ns() - from) as f64;
    let cpu_share = (processes::thread_cpu_ns() - cpu) as f64 / took;
    let wakes = (processes::sleeps() - sleeps) as f64 * 1e9 / took;
    // The beats of the last interval are read by the next look, before anybody is late.
    let read_by = last_beat + nanoseconds(THRESHOLD) * 3 / 4;
    while processes::boottime_ns() < read_by {
        if let Some(event) = observer.poll_timeout(POLL)? {
            count(&event.what);
        }
    }
    let after = observer.stats()?;
    let on_lane = after.lane_beats - before.lane_beats;
    let received = on_lane + after.beats - before.beats;
    drop(agents);
    let (sent, refused) = (sent.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    Ok(Found {
        tried: sent + refused,
        refused,
        received,
        on_lane,
        stalls,
        exits,
        cpu_share,
        wakes,
    })
}

fn wait_for(start: &AtomicU64) -> u64 {
    loop {
        match start.load(Ordering::Relaxed) {
            0 => thread::sleep(ASK),
            start => return start,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
