//! The cost of receiving a frame, compared with a loop that only receives and with the observer
//! of 0.2.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::{Endpoint, FRAME_BYTES, Frame, Status};
use varta_observer::{Builder, Event, Observer, What};
use varta_watch::{ClockSource, EvictionPolicy, PreThreadAttestation};

use crate::bare::{Bare, send_as};
use crate::measure::{Group, Plan, Row};
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

const ONE_SENDER: &str = "flood, one sender, CPU per frame";
const TWO_SENDERS: &str = "flood, two senders, CPU per frame";
const ROOMY: &str = "flood, queue of 512, CPU per frame";
const DRAINED: &str = "full queue drained, per frame";
const AGENTS: &str = "by agents, drained, per frame";

const BARE: &str = "bare recvmmsg";
const VARTA: &str = "varta";
const MANY_AT_ONCE: &str = "varta, poll_many";
const VARTA_0_2: &str = "varta 0.2";
const BARE_MANY: &str = "bare recvmmsg, 4,096 senders";
const VARTA_MANY: &str = "varta, 4,096 agents";

const CAPACITY: usize = 4096;

/// How long a contender receives in one turn, after a warm-up of sender and receiver.
const TURN: Duration = Duration::from_millis(25);
const WARM_UP: Duration = Duration::from_millis(5);

/// How often a contender polls before it checks whether its turn is over.
const POLLS: u64 = EVENTS as u64;
const EVENTS: usize = 64;

/// The wait of the observer of 0.2.
const WAIT: Duration = Duration::from_millis(100);

const NEVER: Duration = Duration::from_secs(3600);

pub(crate) const FLOOD_TARGETS: &[Target] = &[
    Target::median(ONE_SENDER, VARTA, BARE, 1.15),
    Target::median(ONE_SENDER, VARTA, VARTA_0_2, 0.30),
    Target::median(TWO_SENDERS, VARTA, BARE, 1.15),
    Target::median(TWO_SENDERS, VARTA, VARTA_0_2, 0.30),
    Target::median(ROOMY, VARTA, BARE, 1.15),
    Target::median(ROOMY, VARTA, VARTA_0_2, 0.30),
];
pub(crate) const DRAINED_TARGETS: &[Target] = &[
    Target::median(DRAINED, VARTA, BARE, 1.15),
    Target::median(DRAINED, VARTA, VARTA_0_2, 0.30),
];
pub(crate) const AGENTS_TARGETS: &[Target] = &[Target::median(AGENTS, VARTA_MANY, VARTA, 1.10)];

/// A receiver with its own socket.
struct Receiver {
    name: &'static str,
    path: PathBuf,
    /// Receives until this time or until this many frames, and returns their number.
    receive: Box<dyn FnMut(Instant, u64) -> io::Result<u64>>,
    /// CPU time per frame of each turn.
    cpu: Vec<f64>,
    /// Frames per second of each turn.
    rate: Vec<f64>,
}

impl Receiver {
    fn new(
        name: &'static str,
        path: PathBuf,
        receive: impl FnMut(Instant, u64) -> io::Result<u64> + 'static,
    ) -> Self {
        Self { name, path, receive: Box::new(receive), cpu: Vec::new(), rate: Vec::new() }
    }

    fn bare(name: &'static str, path: PathBuf) -> io::Result<Self> {
        let mut bare = Bare::bind(&path)?;
        Ok(Self::new(name, path, move |until, most| bare.receive(until, most)))
    }

    fn varta(name: &'static str, path: PathBuf) -> io::Result<Self> {
        let mut observer = observer(&path)?;
        Ok(Self::new(name, path, move |until, most| {
            let mut heard = 0;
            while heard < most && Instant::now() < until {
                for _ in 0..most.min(POLLS) {
                    let Some(event) = observer.poll_timeout(WAIT)? else { break };
                    heard += u64::from(matches!(event.what, What::Beat { .. }));
                }
            }
            Ok(heard)
        }))
    }

    fn varta_many(name: &'static str, path: PathBuf) -> io::Result<Self> {
        let mut observer = observer(&path)?;
        let mut events = [Event::NOTHING; EVENTS];
        Ok(Self::new(name, path, move |until, most| {
            let mut heard = 0;
            while heard < most && Instant::now() < until {
                let count = observer.poll_many(&mut events, WAIT)?;
                let beats = events.iter().take(count);
                heard += beats.filter(|event| matches!(event.what, What::Beat { .. })).count()
                    as u64;
            }
            Ok(heard)
        }))
    }

    /// The observer of 0.2 without rate limits, with the same capacity.
    fn varta_0_2(name: &'static str, path: PathBuf) -> io::Result<Self> {
        let mut observer = varta_watch::Observer::bind(
            &path,
            NEVER,
            0o600,
            WAIT,
            1 << 20,
            CAPACITY,
            EvictionPolicy::Strict,
            256,
            None,
            0,
            0,
            ClockSource::Monotonic,
            &PreThreadAttestation::new()?,
        )?;
        Ok(Self::new(name, path, move |until, most| {
            let mut heard = 0;
            while heard < most && Instant::now() < until {
                for _ in 0..most.min(POLLS) {
                    let Some(event) = observer.poll() else { break };
                    heard += u64::from(matches!(event, varta_watch::Event::Beat { .. }));
                }
            }
            Ok(heard)
        }))
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn take_turn(&mut self) -> io::Result<()> {
        (self.receive)(Instant::now() + WARM_UP, u64::MAX)?;
        let (begun, cpu) = (Instant::now(), processes::thread_cpu_ns());
        let heard = (self.receive)(begun + TURN, u64::MAX)?;
        let cpu = processes::thread_cpu_ns() - cpu;
        // A turn in which the machine was busy with other work does not count.
        if heard >= POLLS {
            self.cpu.push(cpu as f64 / heard as f64);
            self.rate.push(heard as f64 / begun.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

fn observer(path: &Path) -> io::Result<Observer> {
    Builder::new()
        .listen(Endpoint::Path(path.to_owned()))
        .capacity(CAPACITY)
        .descriptors(CAPACITY)
        .threshold(NEVER)
        .bind()
}

/// Processes that flood the receiver whose turn it is.
struct Floods {
    /// The number of the receiver, from 1; 0 is none.
    turn: &'static AtomicU64,
    _senders: Vec<Child>,
}

impl Floods {
    /// Starts processes that send as fast as they can, without waiting for room in the queue.
    fn start(stage: &Stage, senders: usize, receivers: &[Receiver]) -> io::Result<Self> {
        let Some(turn) = processes::shared_numbers(1)?.first() else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let mut children = Vec::new();
        for _ in 0..senders {
            children.push(Child::fork(|| {
                let _ = sys::stay_on(stage.receiver_cpu);
                let Ok(sockets) =
                    receivers.iter().map(Receiver::connect).collect::<Result<Vec<_>, _>>()
                else {
                    return;
                };
                let mut nonce = 0;
                loop {
                    let turn = usize::try_from(turn.load(Ordering::Relaxed)).unwrap_or(0);
                    let Some(socket) = turn.checked_sub(1).and_then(|at| sockets.get(at))
                    else {
                        thread::sleep(Duration::from_micros(100));
                        continue;
                    };
                    for _ in 0..POLLS {
                        nonce += 1;
                        let frame = frame(std::process::id(), nonce);
                        sys::send(socket.as_fd(), &frame, sys::AT_ONCE);
                    }
                }
            })?);
        }
        Ok(Self { turn, _senders: children })
    }

    fn at(&self, receiver: usize) {
        self.turn.store(receiver as u64 + 1, Ordering::Relaxed);
    }
}

impl Drop for Floods {
    fn drop(&mut self) {
        self.turn.store(0, Ordering::Relaxed);
    }
}

fn take_turns(
    name: &'static str,
    budget: Duration,
    floods: &Floods,
    receivers: &mut [Receiver],
) -> io::Result<()> {
    let end = Instant::now() + budget;
    let mut round = 0;
    while round < 3 || Instant::now() < end {
        for step in 0..receivers.len() {
            // The receiver that is first in this round is last in the next.
            let at = (round + step) % receivers.len();
            let Some(receiver) = receivers.get_mut(at) else { continue };
            floods.at(at);
            receiver
                .take_turn()
                .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        }
        // If one receiver has no value for this round, drop those of the others.
        let rounds = receivers.iter().map(|receiver| receiver.cpu.len()).min().unwrap_or(0);
        for receiver in receivers.iter_mut() {
            receiver.cpu.truncate(rounds);
            receiver.rate.truncate(rounds);
        }
        round += 1;
    }
    Ok(())
}

fn found(name: &'static str, receivers: Vec<Receiver>) -> (Group, Vec<Figure>) {
    let what = name.trim_end_matches("CPU per frame");
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for receiver in receivers {
        let rate = Row::of_samples("", receiver.rate).median();
        let figure = format!("{what}{}", receiver.name);
        figures.push(Figure::new(figure, rate.round(), "frames/s"));
        rows.push(Row::of_rounds(receiver.name, receiver.cpu));
    }
    (Group { name, rows }, figures)
}

/// Floods by one sender, by two, and by one with a longer queue.
pub(crate) fn floods(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let (mut groups, mut all) = (Vec::new(), Vec::new());
    let uses = [(ONE_SENDER, 1, None), (TWO_SENDERS, 2, None), (ROOMY, 1, Some(512))];
    for (name, senders, queue) in uses {
        let bind = || {
            Ok(vec![
                Receiver::bare(BARE, stage.path("bare.sock")?)?,
                Receiver::varta(VARTA, stage.path("varta.sock")?)?,
                Receiver::varta_many(MANY_AT_ONCE, stage.path("many.sock")?)?,
                Receiver::varta_0_2(VARTA_0_2, stage.path("varta-0.2.sock")?)?,
            ])
        };
        let mut receivers = match queue {
            None => bind()?,
            Some(queue) => match processes::with_queue_of(queue, bind) {
                // Only root may do this.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                receivers => receivers?,
            },
        };
        let floods = Floods::start(stage, senders, &receivers)?;
        take_turns(name, plan.budget * 3 / 4, &floods, &mut receivers)?;
        drop(floods);
        let (group, mut figures) = found(name, receivers);
        groups.push(group);
        all.append(&mut figures);
    }
    Ok((groups, all))
}

/// Fills a queue, and then times draining it, without a sender running at the same time.
struct Drain {
    receiver: Receiver,
    socket: UnixDatagram,
    /// The pids to send frames as, in turn. If there are none, this process sends as itself.
    pids: Vec<u32>,
    sent: usize,
}

impl Drain {
    /// Drains of a contender in one turn.
    const TURN: u32 = 16;

    fn new(receiver: Receiver, pids: &[u32]) -> io::Result<Self> {
        let socket = receiver.connect()?;
        Ok(Self { receiver, socket, pids: pids.to_vec(), sent: 0 })
    }

    /// Fills the queue and drains it; returns the nanoseconds per frame.
    fn once(&mut self) -> io::Result<f64> {
        let mut count = 0;
        while self.send() {
            self.sent += 1;
            count += 1;
        }
        if count == 0 {
            return Err(io::Error::other("nothing can be sent"));
        }
        let begun = Instant::now();
        let heard = (self.receiver.receive)(begun + WAIT, count)?;
        let took = begun.elapsed();
        if heard != count {
            return Err(io::Error::other(format!("received {heard} of {count} frames")));
        }
        Ok(took.as_secs_f64() * 1e9 / heard as f64)
    }

    fn send(&self) -> bool {
        let nonce = self.sent as u64 + 1;
        match self.pids.get(self.sent % self.pids.len().max(1)) {
            Some(pid) => send_as(&self.socket, *pid, 0, &frame(*pid, nonce)).is_ok(),
            None => {
                let frame = frame(std::process::id(), nonce);
                sys::send(self.socket.as_fd(), &frame, sys::AT_ONCE)
            }
        }
    }
}

fn drain(
    name: &'static str,
    budget: Duration,
    mut contenders: Vec<Drain>,
) -> io::Result<Findings> {
    // All agents must be known before anything is measured.
    for contender in &mut contenders {
        while contender.sent < 4 * contender.pids.len().max(1) {
            contender.once()?;
        }
    }
    let end = Instant::now() + budget;
    let mut round = 0;
    while round < 3 || Instant::now() < end {
        for step in 0..contenders.len() {
            let at = (round + step) % contenders.len();
            let Some(contender) = contenders.get_mut(at) else { continue };
            let turn = (0..Drain::TURN).map(|_| contender.once());
            let turn = turn.collect::<io::Result<Vec<_>>>()?;
            contender.receiver.cpu.push(Row::of_samples("", turn).median());
        }
        round += 1;
    }
    let row =
        |contender: Drain| Row::of_rounds(contender.receiver.name, contender.receiver.cpu);
    Ok((vec![Group { name, rows: contenders.into_iter().map(row).collect() }], Vec::new()))
}

/// The cost of a frame while no sender runs, so that no cache lines are shared and no process
/// is woken.
pub(crate) fn drained(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let contenders = vec![
        Drain::new(Receiver::bare(BARE, stage.path("bare.sock")?)?, &[])?,
        Drain::new(Receiver::varta(VARTA, stage.path("varta.sock")?)?, &[])?,
        Drain::new(Receiver::varta_many(MANY_AT_ONCE, stage.path("many.sock")?)?, &[])?,
        Drain::new(Receiver::varta_0_2(VARTA_0_2, stage.path("varta-0.2.sock")?)?, &[])?,
    ];
    drain(DRAINED, plan.budget / 2, contenders)
}

/// One agent, and as many as an observer tracks by default. This process sends as each of them
/// in turn, which only root may do, so that frames arrive in the same way for any number of
/// agents.
pub(crate) fn by_agents(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let mut agents = Children::default();
    for _ in 0..CAPACITY {
        agents.0.push(Child::fork(processes::sleep_on)?);
    }
    let pids: Vec<u32> = agents.0.iter().map(Child::pid).collect();
    let first = pids.get(..1).unwrap_or_default();
    let (probe, _other) = UnixDatagram::pair()?;
    if first.iter().any(|first| send_as(&probe, *first, 0, &frame(*first, 1)).is_err()) {
        return Ok((Vec::new(), Vec::new()));
    }
    let contenders = vec![
        Drain::new(Receiver::bare(BARE, stage.path("bare.sock")?)?, first)?,
        Drain::new(Receiver::bare(BARE_MANY, stage.path("bare-many.sock")?)?, &pids)?,
        Drain::new(Receiver::varta(VARTA, stage.path("varta.sock")?)?, first)?,
        Drain::new(Receiver::varta(VARTA_MANY, stage.path("varta-many.sock")?)?, &pids)?,
    ];
    drain(AGENTS, plan.budget, contenders)
}

fn frame(pid: u32, nonce: u64) -> [u8; FRAME_BYTES] {
    let mut wire = [0; FRAME_BYTES];
    Frame::new(Status::Ok, pid, nonce, nonce, 7).encode(&mut wire);
    wire
}
