//! Heartbeats through shared memory: what a beat, a task, a page and a look cost, and whether
//! crowds lose anything.

mod attach;
mod beat;
mod crowd;
mod hostile;
mod late;
mod look;

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use varta::{AnyTransport, Endpoint, Status, Varta};
use varta_observer::{Builder, Observer};

pub(crate) use attach::{TARGETS as ATTACH_TARGETS, all as attach};
pub(crate) use beat::{
    COLD_TARGETS, EACH, HOT_TARGETS, cold_after_1_ms, cold_after_10_ms, hot, repeated,
};
pub(crate) use crowd::all as crowd;
pub(crate) use hostile::all as hostile;
pub(crate) use late::{TARGETS as LATE_TARGETS, all as late};
pub(crate) use look::all as look;

use crate::measure::Standing;
use crate::processes::Child;
use crate::sys;

/// Longer than it takes to get a page on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a process asks whether it has its page, or whether a run has begun. A thousand that
/// ask more often leave the observer no CPU.
pub(crate) const ASK: Duration = Duration::from_millis(50);

/// The default threshold of an observer.
const THRESHOLD: Duration = Duration::from_secs(2);

/// An observer in a process of its own, on another CPU. It ends when this is dropped.
pub(crate) struct Apart {
    _process: Child,
}

impl Standing for Apart {}

impl Apart {
    pub(crate) fn start(path: &Path, cpu: usize) -> io::Result<Self> {
        let process = Child::fork(|| {
            let polling = || -> io::Result<()> {
                sys::stay_on(cpu)?;
                let mut observer = observer(path, THRESHOLD)?;
                loop {
                    observer.poll()?;
                }
            };
            let _ = polling();
        })?;
        Ok(Self { _process: process })
    }
}

/// An observer with a lane that watches tasks.
fn observer(path: &Path, threshold: Duration) -> io::Result<Observer> {
    Builder::new()
        .listen(Endpoint::Path(path.to_owned()))
        .threshold(threshold)
        .lane(true)
        .tasks(true)
        .bind()
}

/// An agent of this process that has a page.
pub(crate) fn attached(path: &Path) -> io::Result<Varta<AnyTransport>> {
    let mut agent = Varta::open(path)?;
    let begun = Instant::now();
    while agent.watched().is_none() {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("the observer gave no page"));
        }
        let _ = agent.beat(Status::Ok, 7);
        thread::sleep(ASK);
    }
    Ok(agent)
}
