//! Agents that fall silent, and what the observer reports.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Cause, Observer, What, Why};

use crate::hangs::waits;
use crate::kinds::{Kind, Shape};
use crate::outside::{Hold, burn, set_nice};
use crate::support::{Child, Folder, ms};

const THRESHOLD: Duration = ms(400);

/// A machine may be busy with a lot else.
const LONGEST_S: u32 = 180;

/// Time between two beats.
pub(crate) const EVERY: Duration = ms(12);

/// After this many beats, the observer has learned which thread makes them.
pub(crate) const BEATS: u64 = 30;

/// The payload of the last beat.
pub(crate) const LAST: u32 = 1;

pub(crate) struct Outcome {
    pub(crate) kind: &'static Kind,
    why: Why,
    /// What the observer was told, for the message of a test that fails.
    detail: String,
}

impl Outcome {
    pub(crate) fn cause(&self) -> Cause {
        self.why.cause
    }

    pub(crate) fn is_right(&self) -> bool {
        self.kind.causes.contains(&self.why.cause)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, why, detail } = self;
        write!(f, "{}: {:?} expected, found {why}; {detail}", kind.name, kind.causes)
    }
}

/// An agent of one kind.
struct Trial {
    kind: &'static Kind,
    /// Dropped first: a process that is frozen cannot be killed.
    hold: Option<Hold>,
    child: Child,
    /// Dropped last, when it holds no process any more.
    around: Option<Hold>,
    /// Its number, once it has beaten.
    agent: u64,
    beats: u64,
    /// Whether it is silent for its own reason from now on.
    is_last: bool,
    outcome: Option<Outcome>,
}

/// Runs one agent of each kind, all at once, until it is known why each is silent.
#[track_caller]
pub(crate) fn run(kinds: &[&'static Kind]) -> Vec<Outcome> {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Builder::new()
        .listen(path.to_str().unwrap().parse().unwrap())
        .threshold(THRESHOLD)
        .causes(true)
        .bind()
        .unwrap();
    let mut trials: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let path = path.clone();
            let folder = folder.path().to_owned();
            let child = Child::start(move || {
                std::env::set_current_dir(&folder).unwrap();
                be_agent(kind, &path);
            });
            let (hold, around) = (None, None);
            Trial {
                kind,
                hold,
                child,
                around,
                agent: 0,
                beats: 0,
                is_last: false,
                outcome: None,
            }
        })
        .collect();
    let started = Instant::now();
    while trials.iter().any(|trial| trial.outcome.is_none()) {
        let left = || trials.iter().filter(|trial| trial.outcome.is_none());
        let names: Vec<_> = left().map(|trial| &trial.kind.name).collect();
        let waited = started.elapsed();
        assert!(waited.as_secs() < LONGEST_S.into(), "not reported as silent: {names:?}");
        let event = observer.poll_timeout(ms(20)).unwrap();
        for trial in trials.iter_mut().filter(|trial| trial.executes()) {
            // No stall is reported of it.
            if let Some(info) = observer.cause(trial.agent, 0).unwrap() {
                trial.silent(&observer, trial.agent, info.why);
            }
        }
        let Some(event) = event else { continue };
        let Some(about) = event.about else { continue };
        let is_it = |trial: &&mut Trial| trial.child.pid() == about.pid;
        let Some(trial) = trials.iter_mut().find(is_it) else { continue };
        match event.what {
            What::Beat { count, payload, .. } => {
                trial.is_last |= payload == u64::from(LAST);
                trial.agent = about.agent;
                trial.beat(u64::from(count));
            }
            What::Stall { why: Some(why), .. } | What::Cause { why } => {
                trial.silent(&observer, about.agent, why);
            }
            What::Exit { cause, .. } if trial.outcome.is_none() => {
                panic!("{} has ended instead: {cause:?}", trial.kind.name);
            }
            _ => {}
        }
    }
    trials.into_iter().filter_map(|trial| trial.outcome).collect()
}

impl Trial {
    fn beat(&mut self, count: u64) {
        self.beats += count;
        let pid = self.child.pid();
        if self.around.is_none() {
            self.around = self.kind.around.map(|around| around(pid));
        }
        if self.hold.is_none() && self.beats > BEATS {
            self.hold = self.kind.hold.map(|hold| hold(pid));
        }
    }

    fn executes(&self) -> bool {
        self.kind.causes == [Cause::Exec]
    }

    fn silent(&mut self, observer: &Observer, agent: u64, why: Why) {
        // A machine that is busy may delay a beat for longer than the threshold.
        let is_early = self.hold.is_none() && !self.is_last;
        // The observer may not have had the time to look, and follows it up.
        if is_early || self.outcome.is_some() || why.cause == Cause::Unknown {
            return;
        }
        let pid = self.child.pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let info = observer.cause(agent, 0).unwrap().unwrap();
        let detail = format!("{info:?} {stat}");
        self.outcome = Some(Outcome { kind: self.kind, why, detail });
    }
}

/// The agent's process.
fn be_agent(kind: &'static Kind, path: &Path) {
    // SAFETY: sets the timer that ends this process if it is forgotten.
    unsafe { libc::alarm(LONGEST_S) };
    set_nice(0);
    (kind.before)();
    if let Some(program) = kind.program {
        program.be_agent(path);
    }
    let wait_for_work = || {
        let (mutex, condition) = (Mutex::new(()), Condvar::new());
        drop(condition.wait_while(mutex.lock().unwrap(), |()| true));
    };
    let others: &[fn()] = match kind.shape {
        Shape::Alone => &[],
        Shape::Main | Shape::Worker => {
            &[be_well, be_well, be_well, wait_for_work, wait_for_work]
        }
        Shape::BesideSpinning => &[spin, wait_for_work, wait_for_work, wait_for_work],
        Shape::InTurn => &[wait_for_work, wait_for_work, wait_for_work],
    };
    for other in others {
        thread::spawn(*other);
    }
    match kind.shape {
        Shape::Alone | Shape::Main | Shape::BesideSpinning => beat_and_hang(kind, path),
        Shape::Worker => {
            let path = path.to_owned();
            thread::spawn(move || beat_and_hang(kind, &path));
            park();
        }
        Shape::InTurn => {
            let agent = Agent::connect(path);
            for _ in 0..4 {
                let agent = agent.clone();
                thread::spawn(move || beat_in_turn(kind, &agent));
            }
            waits::in_epoll(&mut || ());
        }
    }
    park();
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

/// Does some work again and again.
fn be_well() {
    loop {
        burn(ms(1) / 4);
        thread::sleep(ms(3));
    }
}

fn beat_and_hang(kind: &Kind, path: &Path) {
    let agent = Agent::connect(path);
    while kind.hold.is_some() || !agent.has_beaten_enough() {
        (kind.work)();
        agent.beat();
        thread::sleep(EVERY);
    }
    (kind.hang)(&mut || agent.beat_for_the_last_time());
}

/// One of several threads that work and beat when it is time, until all of them hang.
fn beat_in_turn(kind: &Kind, agent: &Agent) {
    while !agent.has_beaten_enough() {
        burn(ms(1) / 5);
        thread::sleep(ms(3));
        agent.beat_if_due();
    }
    (kind.hang)(&mut || agent.beat_for_the_last_time());
}

/// The handle of an agent, for several threads.
#[derive(Clone)]
struct Agent(Arc<Mutex<Beats>>);

struct Beats {
    handle: Varta,
    made: u64,
    last_at: Instant,
}

impl Agent {
    fn connect(path: &Path) -> Self {
        let handle = Varta::connect(path).unwrap();
        Self(Arc::new(Mutex::new(Beats { handle, made: 0, last_at: Instant::now() })))
    }

    fn has_beaten_enough(&self) -> bool {
        self.0.lock().unwrap().made >= BEATS
    }

    fn beat(&self) {
        self.0.lock().unwrap().beat();
    }

    fn beat_if_due(&self) {
        let mut beats = self.0.lock().unwrap();
        if beats.last_at.elapsed() >= EVERY {
            beats.beat();
        }
    }

    /// The observer must receive this one.
    fn beat_for_the_last_time(&self) {
        while self.0.lock().unwrap().handle.beat(Status::Ok, LAST) != BeatOutcome::Sent {
            thread::sleep(ms(1));
        }
    }
}

impl Beats {
    fn beat(&mut self) {
        let _ = self.handle.beat(Status::Ok, 0);
        self.made += 1;
        self.last_at = Instant::now();
    }
}
