//! Agents that fall silent, and what the observer reports.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use varta::{Status, Varta};
use varta_observer::{Builder, Cause, Observer, What, Why};

use crate::kinds::{Kind, Shape};
use crate::outside::{Hold, burn};
use crate::support::{Child, Folder, PATIENCE, ms};

const THRESHOLD: Duration = ms(400);

/// Time between two beats.
const EVERY: Duration = ms(12);

/// After this many beats, the observer has learned which thread makes them.
const BEATS: u64 = 30;

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
    beats: u64,
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
            Trial { kind, hold: None, child, beats: 0, outcome: None }
        })
        .collect();
    let started = Instant::now();
    while trials.iter().any(|trial| trial.outcome.is_none()) {
        let left = || trials.iter().filter(|trial| trial.outcome.is_none());
        let names: Vec<_> = left().map(|trial| trial.kind.name).collect();
        assert!(started.elapsed() < PATIENCE, "not reported as silent: {names:?}");
        let Some(event) = observer.poll_timeout(ms(20)).unwrap() else { continue };
        let Some(about) = event.about else { continue };
        let is_it = |trial: &&mut Trial| trial.child.pid() == about.pid;
        let Some(trial) = trials.iter_mut().find(is_it) else { continue };
        match event.what {
            What::Beat { count, .. } => trial.beat(u64::from(count)),
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
        let Some(hold) = self.kind.hold else { return };
        if self.hold.is_none() && self.beats > BEATS {
            self.hold = Some(hold(self.child.pid()));
        }
    }

    fn silent(&mut self, observer: &Observer, agent: u64, why: Why) {
        // A machine that is busy may delay a beat for longer than the threshold.
        let is_early = self.kind.hold.is_some() && self.hold.is_none();
        // The observer may not have had the time to look, and follows it up.
        if is_early || self.outcome.is_some() || why.cause == Cause::Unknown {
            return;
        }
        let pid = self.child.pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let info = observer.cause(agent, 0).unwrap();
        let detail = format!("{info:?} {stat}");
        self.outcome = Some(Outcome { kind: self.kind, why, detail });
    }
}

/// The agent's process.
fn be_agent(kind: &'static Kind, path: &std::path::Path) {
    (kind.before)();
    if kind.shape != Shape::Alone {
        for _ in 0..3 {
            std::thread::spawn(|| {
                loop {
                    burn(ms(1) / 4);
                    std::thread::sleep(ms(3));
                }
            });
        }
    }
    let beat_and_hang = move |path: &std::path::Path| {
        let mut agent = Varta::connect(path).unwrap();
        let mut beats = 0;
        while kind.hold.is_some() || beats < BEATS {
            burn(kind.work);
            let _ = agent.beat(Status::Ok, 0);
            beats += 1;
            std::thread::sleep(EVERY);
        }
        (kind.hang)();
    };
    match kind.shape {
        Shape::Alone | Shape::Main => beat_and_hang(path),
        Shape::Worker => {
            let path = path.to_owned();
            std::thread::spawn(move || beat_and_hang(&path));
        }
    }
    loop {
        std::thread::park();
    }
}
