//! How soon an observer reports stalls and exits, and how often an idle observer wakes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use varta::{Endpoint, FRAME_BYTES, Frame, Status, Varta};
use varta_observer::{Builder, Event, ExitCause, Observer, What};

use crate::measure::{Group, Plan, Row};
use crate::processes::{self, Child};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

const AT_50: &str = "stall event after its deadline, 50 ms";
const AT_120: &str = "stall event after its deadline, 120 ms";
const AT_150: &str = "stall event after its deadline, 150 ms";
const AT_250: &str = "stall event after its deadline, 250 ms";
const THRESHOLDS: [(&str, Duration); 4] = [
    (AT_50, Duration::from_millis(50)),
    (AT_120, Duration::from_millis(120)),
    (AT_150, Duration::from_millis(150)),
    (AT_250, Duration::from_millis(250)),
];

const BARE: &str = "bare sleep, for comparison";
const ALONE: &str = "one agent alone";
const TOGETHER: &str = "twenty stopping together";
const AMONG: &str = "among 500 beating";

const EXIT: &str = "exit";
const KILLED: &str = "from kill to event";
const REAPED: &str = "from kill to the parent's having reaped";

const LIMIT: f64 = 2e6;

pub(crate) const STALL_TARGETS: &[Target] = &[
    Target::p99_ns(AT_50, ALONE, LIMIT),
    Target::p99_ns(AT_50, TOGETHER, LIMIT),
    Target::p99_ns(AT_50, AMONG, LIMIT),
    Target::p99_ns(AT_120, ALONE, LIMIT),
    Target::p99_ns(AT_120, TOGETHER, LIMIT),
    Target::p99_ns(AT_120, AMONG, LIMIT),
    Target::p99_ns(AT_150, ALONE, LIMIT),
    Target::p99_ns(AT_150, TOGETHER, LIMIT),
    Target::p99_ns(AT_150, AMONG, LIMIT),
    Target::p99_ns(AT_250, ALONE, LIMIT),
    Target::p99_ns(AT_250, TOGETHER, LIMIT),
    Target::p99_ns(AT_250, AMONG, LIMIT),
];
pub(crate) const EXIT_TARGETS: &[Target] = &[Target::p99_ns(EXIT, KILLED, LIMIT)];

/// Number of observers per threshold that each watch one agent, all at the same time.
const OBSERVERS: u32 = 8;
const TWENTY: u32 = 20;
const BEATING: u32 = 500;

/// The first of the pids that agents over the network claim.
const FIRST_PID: u32 = 1000;

const NEVER: Duration = Duration::from_secs(3600);

/// Longer than any step here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How late events were, and how often the observer reported that it was late itself.
#[derive(Default)]
pub(crate) struct Late {
    /// When each Stall was reported on the kernel's clock, and its deadline on the observer's
    /// clock.
    stalls: Vec<(u64, u64)>,
    /// When the observer started, on the kernel's clock.
    start: Option<u64>,
    pub(crate) pauses: u32,
}

impl Late {
    pub(crate) fn note(&mut self, event: &Event, threshold: Duration) {
        let now = processes::boottime_ns();
        // The smallest difference ever seen is the closest to the true start.
        let start = now - event.observer_ns;
        self.start = Some(self.start.map_or(start, |known| known.min(start)));
        match event.what {
            What::Stall { last_ns, .. } => {
                self.stalls.push((now, last_ns + nanoseconds(threshold)));
            }
            What::Paused { .. } => self.pauses += 1,
            _ => {}
        }
    }

    pub(crate) fn by(&self) -> impl Iterator<Item = f64> + '_ {
        let start = self.start.unwrap_or_default();
        self.stalls.iter().map(move |(at, due)| at.saturating_sub(start + due) as f64)
    }
}

/// A thread that runs an observer.
type Found = JoinHandle<io::Result<Late>>;

/// Starts observers with this threshold that wait for this many stalls.
type Begin = fn(&Stage, Duration, u32) -> io::Result<Vec<Found>>;

pub(crate) fn stalls(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let each = if plan.budget < Duration::from_secs(5) { 100 } else { 256 };
    anywhere(stage, || {
        let mut groups: Vec<_> =
            THRESHOLDS.map(|(name, _)| Group { name, rows: Vec::new() }).into();
        let mut pauses = 0;
        let sleepers = THRESHOLDS.map(|(_, threshold)| {
            let sleeper = |_| thread::spawn(move || sleep_late(threshold, each / OBSERVERS));
            (0..OBSERVERS).map(sleeper).collect::<Vec<_>>()
        });
        let uses: [(_, Begin); 3] = [(ALONE, alone), (TOGETHER, together), (AMONG, among)];
        let mut found = Vec::new();
        for (name, begin) in uses {
            let mut all = Vec::new();
            for (_, threshold) in THRESHOLDS {
                all.push(begin(stage, threshold, each)?);
            }
            for (group, observers) in groups.iter_mut().zip(all) {
                let mut late = Vec::new();
                for observer in observers {
                    let heard = observer.join().map_err(|_| panicked())??;
                    pauses += heard.pauses;
                    late.extend(heard.by());
                }
                found.push((group.name, Row::of_samples(name, late)));
            }
        }
        for (group, sleepers) in groups.iter_mut().zip(sleepers) {
            let mut slept = Vec::new();
            for sleeper in sleepers {
                slept.append(&mut sleeper.join().map_err(|_| panicked())?);
            }
            group.rows.push(Row::of_samples(BARE, slept));
        }
        for (name, row) in found {
            let group = groups.iter_mut().find(|group| group.name == name);
            if let Some(group) = group {
                group.rows.push(row);
            }
        }
        let paused = Figure::new("pauses reported while waiting for stalls", pauses.into(), "");
        Ok((groups, vec![paused]))
    })
}

/// How late this machine wakes a thread that only sleeps.
fn sleep_late(threshold: Duration, times: u32) -> Vec<f64> {
    (0..times)
        .map(|_| {
            let due = Instant::now() + threshold;
            thread::sleep(threshold);
            due.elapsed().as_secs_f64() * 1e9
        })
        .collect()
}

/// Each observer tracks this process, which beats once and waits until it is reported as
/// stalled.
fn alone(stage: &Stage, threshold: Duration, stalls: u32) -> io::Result<Vec<Found>> {
    let begin = |number| {
        let path = stage.path(&format!("{}-{number}.sock", threshold.as_millis()))?;
        Ok(thread::spawn(move || watch_alone(path, threshold, stalls.div_ceil(OBSERVERS))))
    };
    (0..OBSERVERS).map(begin).collect()
}

fn watch_alone(path: PathBuf, threshold: Duration, stalls: u32) -> io::Result<Late> {
    let mut observer = at_path(path.clone(), threshold)?;
    let mut agent = Varta::connect(&path)?;
    let mut late = Late::default();
    for _ in 0..stalls {
        let _ = agent.beat(Status::Ok, 7);
        let before = late.stalls.len();
        listen_until(&mut observer, threshold, &mut late, |late| late.stalls.len() > before)?;
    }
    Ok(late)
}

fn together(_: &Stage, threshold: Duration, stalls: u32) -> io::Result<Vec<Found>> {
    Ok(vec![thread::spawn(move || {
        let (mut observer, address) = over_udp(threshold)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let mut late = Late::default();
        for round in 1..=stalls.div_ceil(TWENTY) {
            for pid in FIRST_PID..FIRST_PID + TWENTY {
                socket.send_to(&frame(pid, round.into()), address)?;
            }
            let all = late.stalls.len() + TWENTY as usize;
            listen_until(&mut observer, threshold, &mut late, |late| late.stalls.len() >= all)?;
        }
        Ok(late)
    })])
}

/// 500 agents keep beating, while twenty more stop and return, each at another time.
fn among(_: &Stage, threshold: Duration, stalls: u32) -> io::Result<Vec<Found>> {
    let (mut observer, address) = over_udp(threshold)?;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    thread::spawn(move || beat_for_many(address, threshold, &stop));
    Ok(vec![thread::spawn(move || {
        let mut late = Late::default();
        let heard = listen_until(&mut observer, threshold, &mut late, |late| {
            late.stalls.len() >= stalls as usize
        });
        done.store(true, Ordering::Relaxed);
        heard.map(|()| late)
    })])
}

fn beat_for_many(
    address: SocketAddr,
    threshold: Duration,
    stop: &AtomicBool,
) -> io::Result<()> {
    /// Steps in which every beating agent beats once.
    const STEPS: u32 = 10;
    /// Steps in which every stopping agent beats once: longer than the threshold.
    const STOPPED: u32 = 6 * STEPS;

    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let step = threshold / 3 / STEPS;
    let (mut due, mut count) = (Instant::now(), 0_u32);
    while !stop.load(Ordering::Relaxed) {
        let nonce = u64::from(count / STEPS) + 1;
        for pid in (count % STEPS..BEATING).step_by(STEPS as usize) {
            socket.send_to(&frame(FIRST_PID + pid, nonce), address)?;
        }
        for stopping in 0..TWENTY {
            if count % STOPPED == stopping * STOPPED / TWENTY {
                let pid = FIRST_PID + BEATING + stopping;
                socket.send_to(&frame(pid, nonce), address)?;
            }
        }
        count += 1;
        due += step;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn listen_until(
    observer: &mut Observer,
    threshold: Duration,
    late: &mut Late,
    enough: impl Fn(&Late) -> bool,
) -> io::Result<()> {
    let begun = Instant::now();
    while !enough(late) {
        if let Some(event) = observer.poll_timeout(NEVER)? {
            late.note(&event, threshold);
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("the stalls were not reported"));
        }
    }
    Ok(())
}

/// Kills children one after the other, and reaps each at once.
pub(crate) fn exits(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let times = if plan.budget < Duration::from_secs(5) { 200 } else { 1000 };
    anywhere(stage, || {
        let path = stage.path("exit.sock")?;
        let mut observer = at_path(path.clone(), NEVER)?;
        let reaped_at = Arc::new(AtomicU64::new(0));
        let reaped = Arc::clone(&reaped_at);
        let (give, take) = mpsc::channel::<Child>();
        let (done, is_done) = mpsc::channel();
        let reaper = thread::spawn(move || {
            for child in take {
                child.reap();
                reaped.store(processes::boottime_ns(), Ordering::Release);
                let _ = done.send(());
            }
        });
        let (mut late, mut reaping, mut unknown) = (Vec::new(), Vec::new(), 0);
        for _ in 0..times {
            let child = Child::fork(|| {
                if let Ok(mut agent) = Varta::connect(&path) {
                    let _ = agent.beat(Status::Ok, 7);
                }
                processes::sleep_on();
            })?;
            let pid = child.pid();
            await_event(&mut observer, |what| matches!(what, What::Beat { .. }))?;
            give.send(child).map_err(|_| panicked())?;
            // Gives the reaper time to sleep in its wait for this child.
            thread::sleep(Duration::from_micros(300));
            let killed_at = processes::boottime_ns();
            processes::kill(pid);
            let what = await_event(&mut observer, |what| matches!(what, What::Exit { .. }))?;
            late.push((processes::boottime_ns() - killed_at) as f64);
            let cause_is_known = matches!(what, What::Exit { cause: ExitCause::Signal(9), .. });
            unknown += u32::from(!cause_is_known);
            is_done.recv().map_err(io::Error::other)?;
            let reaped_at = reaped_at.load(Ordering::Acquire);
            reaping.push(reaped_at.saturating_sub(killed_at) as f64);
        }
        drop(give);
        reaper.join().map_err(|_| panicked())?;
        let rows = vec![Row::of_samples(REAPED, reaping), Row::of_samples(KILLED, late)];
        let figure = Figure::new("exits whose cause stayed unknown", unknown.into(), "");
        Ok((vec![Group { name: EXIT, rows }], vec![figure]))
    })
}

fn await_event(observer: &mut Observer, is_it: impl Fn(&What) -> bool) -> io::Result<What> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(event) = observer.poll_timeout(PATIENCE)?.filter(|event| is_it(&event.what))
        {
            return Ok(event.what);
        }
    }
    Err(io::Error::other("an expected event did not arrive"))
}

/// How often an observer wakes that receives nothing.
pub(crate) fn quiet(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let time = (plan.budget * 3 / 2).min(Duration::from_secs(8));
    let watch = |agents: u32| {
        let path = stage.path(&format!("quiet-{agents}.sock"))?;
        let mut observer = at_path(path.clone(), NEVER)?;
        let mut agent = Varta::connect(&path)?;
        for _ in 0..agents {
            let _ = agent.beat(Status::Ok, 7);
            await_event(&mut observer, |what| matches!(what, What::Beat { .. }))?;
        }
        io::Result::Ok(thread::spawn(move || {
            let (begun, before) = (Instant::now(), processes::sleeps());
            while begun.elapsed() < time {
                let left = time.saturating_sub(begun.elapsed());
                observer.poll_timeout(left)?;
            }
            let slept = processes::sleeps() - before;
            io::Result::Ok((slept, begun.elapsed().as_secs_f64()))
        }))
    };
    let (without, with_one) = (watch(0)?, watch(1)?);
    let figure = |name, watched: JoinHandle<io::Result<(u64, f64)>>| {
        let (slept, seconds) = watched.join().map_err(|_| panicked())??;
        // The last wake is the end of the wait. An observer that never slept was not quiet.
        let wakes = slept.saturating_sub(1) as f64 / seconds;
        let figure = Figure::new(name, (wakes * 100.0).round() / 100.0, "a second");
        io::Result::Ok(figure.at_most(1.0, slept > 0))
    };
    Ok((
        Vec::new(),
        vec![
            figure("wakes of a quiet observer without agents", without)?,
            figure("wakes of a quiet observer with one agent", with_one)?,
        ],
    ))
}

/// Runs on any CPU, with real-time priority if permitted, so that the results show how late an
/// observer is and not how late it is scheduled.
fn anywhere(
    stage: &Stage,
    what: impl FnOnce() -> io::Result<Findings>,
) -> io::Result<Findings> {
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let first = processes::come_first(true);
    let done = what();
    processes::come_first(false);
    sys::stay_on(stage.sender_cpu)?;
    let (groups, mut figures) = done?;
    if !first {
        figures.push(Figure::new("not root: measured behind what else runs here", 1.0, ""));
    }
    Ok((groups, figures))
}

fn at_path(path: PathBuf, threshold: Duration) -> io::Result<Observer> {
    Builder::new().listen(Endpoint::Path(path)).threshold(threshold).bind()
}

fn over_udp(threshold: Duration) -> io::Result<(Observer, SocketAddr)> {
    let observer =
        Builder::new().udp(([127, 0, 0, 1], 0).into()).threshold(threshold).bind()?;
    let address = observer.udp_addresses().next();
    let address = address.ok_or_else(|| io::Error::other("no address"))?;
    Ok((observer, address))
}

fn frame(pid: u32, nonce: u64) -> [u8; FRAME_BYTES] {
    let mut wire = [0; FRAME_BYTES];
    Frame::new(Status::Ok, pid, nonce, nonce, 7).encode(&mut wire);
    wire
}

fn panicked() -> io::Error {
    io::Error::other("a thread panicked")
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
