//! A judge in simulated time, and an environment that answers from tables.
#![allow(dead_code, reason = "each test program uses only a part")]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use varta::internal::lane::layout::Page;
use varta::secure::{Cipher, Iv, Key, derive_agent_key};
use varta::{Frame, NONCE_TERMINAL, Status, v1};
use varta_observer::judge::{
    Datagram, Depth, Environment, Exits, Found, Judge, Looked, Missing, Namespace, PageIndex,
    Sample, SealedSession, Sender, Settings, Slot,
};
use varta_observer::{Event, ExitCause, Policy, ProgramName, What};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const UID: u32 = 1000;
/// The default threshold of a world.
pub(crate) const THRESHOLD: u64 = 100 * MS;

#[derive(Default)]
pub(crate) struct TestEnvironment {
    pub(crate) exits: Exits,
    pub(crate) namespaces: HashMap<u32, Namespace>,
    pub(crate) causes: HashMap<usize, ExitCause>,
    pub(crate) gone: HashMap<u32, ExitCause>,
    /// When a lookup finds a process in `gone` missing.
    pub(crate) seen_ns: u64,
    /// Pids that have a new owner. Each is reported once.
    pub(crate) replaced: HashSet<u32>,
    /// The sealed sessions that were recorded.
    pub(crate) recorded: Vec<SealedSession>,
    pub(crate) writes: usize,
    /// The error that recording returns.
    pub(crate) recording_error: Option<i32>,
    /// The pages that processes have mapped, by index.
    pub(crate) pages: HashMap<usize, Box<Page>>,
    /// Threads that have ended.
    pub(crate) gone_threads: HashSet<u32>,
    /// What can be read of each process, by pid.
    pub(crate) readings: HashMap<u32, Sample>,
    /// Every call, as text.
    pub(crate) calls: Vec<String>,
}

impl Environment for TestEnvironment {
    fn namespace(&mut self, pid: u32, _claimed_pid: u32) -> Namespace {
        self.calls.push(format!("namespace of {pid}"));
        self.namespaces.get(&pid).copied().unwrap_or(Namespace::Same)
    }

    fn cause(&mut self, slot: Slot) -> ExitCause {
        self.causes.get(&slot.index()).copied().unwrap_or(ExitCause::Unknown)
    }

    fn replaced(&mut self, _slot: Slot, pid: u32, anew: bool) -> bool {
        self.calls.push(format!("replaced {pid}{}", if anew { ", anew" } else { "" }));
        self.replaced.remove(&pid)
    }

    fn look_up(&mut self, _slot: Slot, pid: u32) -> Option<Missing> {
        self.calls.push(format!("look up {pid}"));
        self.gone.get(&pid).map(|cause| Missing { seen_ns: self.seen_ns, cause: *cause })
    }

    fn admitted(&mut self, _: Slot, agent: u64, pid: u32, process: Option<u64>) -> Exits {
        self.calls.push(format!("admitted {agent} pid {pid} process {process:?}"));
        self.exits
    }

    fn identified(&mut self, _: Slot, process: u64) -> Exits {
        self.calls.push(format!("identified {process}"));
        self.exits
    }

    fn record(&mut self, place: usize, session: &SealedSession) -> Result<(), i32> {
        if let Some(errno) = self.recording_error {
            return Err(errno);
        }
        self.writes += 1;
        self.recorded.resize(self.recorded.len().max(place + 1), *session);
        self.recorded.splice(place..=place, [*session]);
        Ok(())
    }

    fn page(&self, page: PageIndex) -> Option<&Page> {
        self.pages.get(&page.index()).map(|page| &**page)
    }

    fn joined(&mut self, slot: Slot, page: PageIndex) {
        self.calls.push(format!("joined {} page {}", slot.index(), page.index()));
    }

    fn page_released(&mut self, page: PageIndex) {
        self.pages.remove(&page.index());
        self.calls.push(format!("page {} released", page.index()));
    }

    fn thread_gone(&mut self, _: Slot, _: u32, thread: u32) -> bool {
        self.gone_threads.contains(&thread)
    }

    fn read_process(
        &mut self,
        _: Slot,
        pid: u32,
        depth: Depth,
        wanted: &[u32],
        sample: &mut Sample,
    ) -> Looked {
        let reading = self.readings.get(&pid);
        let found = match reading {
            Some(reading) => {
                self.calls.push(format!("read {depth:?} of {pid}, threads {wanted:?}"));
                sample.clone_from(reading);
                Found::Read
            }
            None => Found::Hidden,
        };
        Looked { found, spent_ns: 0 }
    }

    fn program(&self, _: Slot) -> Option<ProgramName> {
        Some(ProgramName::from_bytes(b"worker"))
    }

    fn released(&mut self, _: Slot, agent: u64) {
        self.calls.push(format!("released {agent}"));
    }
}

pub(crate) struct World {
    pub(crate) judge: Judge,
    pub(crate) environment: TestEnvironment,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(Policy::same_uid(UID));
        settings.threshold_ns = THRESHOLD;
        change(&mut settings);
        Self { judge: Judge::new(settings), environment: TestEnvironment::default() }
    }

    pub(crate) fn receive(&mut self, now: u64, datagram: &Datagram<'_>) -> Vec<Event> {
        self.judge.hear(now, datagram, &mut self.environment);
        self.events()
    }

    /// A beat of a local process.
    pub(crate) fn local(&mut self, now: u64, pid: u32, nonce: u64) -> Vec<Event> {
        self.receive(now, &Datagram::new(0, process(pid, None), &frame(pid, nonce)))
    }

    /// A beat of a local process with its process number.
    pub(crate) fn numbered(
        &mut self,
        now: u64,
        pid: u32,
        number: u64,
        nonce: u64,
    ) -> Vec<Event> {
        self.receive(now, &Datagram::new(0, process(pid, Some(number)), &frame(pid, nonce)))
    }

    /// A beat over plain UDP.
    pub(crate) fn udp(&mut self, now: u64, from: &str, pid: u32, nonce: u64) -> Vec<Event> {
        let sender = Sender::Network { address: address(from), sealed: false };
        self.receive(now, &Datagram::new(1, sender, &frame(pid, nonce)))
    }

    /// A datagram over secure UDP.
    pub(crate) fn sealed(&mut self, now: u64, from: &str, bytes: &[u8]) -> Vec<Event> {
        let sender = Sender::Network { address: address(from), sealed: true };
        self.receive(now, &Datagram::new(2, sender, bytes))
    }

    pub(crate) fn pause(&mut self, ended_at: u64, amount: u64) {
        self.judge.pause(ended_at, amount);
        assert_eq!(words(&self.events()), ["paused"]);
    }

    /// All verdicts that are due.
    pub(crate) fn judge(&mut self, horizon: u64) -> Vec<Event> {
        let mut events = Vec::new();
        while self.judge.expire(horizon, &mut self.environment) {
            events.extend(self.events());
        }
        events
    }

    /// All events, without the causes of Stalls.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        let mut events: Vec<_> = std::iter::from_fn(|| self.judge.next_event()).collect();
        for event in &mut events {
            if let What::Stall { why, .. } = &mut event.what {
                *why = None;
            }
        }
        events
    }

    pub(crate) fn slot(&self, agent: u64) -> Slot {
        self.judge.find(agent).unwrap()
    }

    pub(crate) fn exited(&mut self, now: u64, agent: u64, cause: ExitCause) -> Vec<Event> {
        let slot = self.slot(agent);
        self.judge.exited(now, slot, cause, &mut self.environment);
        self.events()
    }

    /// Asserts that every datagram was counted.
    pub(crate) fn assert_accounted(&self) {
        let counters = self.judge.counters();
        assert_eq!(counters.settled(), counters.received);
    }
}

pub(crate) fn process(pid: u32, process: Option<u64>) -> Sender {
    Sender::Kernel { pid, uid: UID, process }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Last words if the nonce is the terminal one.
pub(crate) fn frame(pid: u32, nonce: u64) -> [u8; 32] {
    let status = if nonce == NONCE_TERMINAL { Status::Critical } else { Status::Ok };
    frame_of(status, pid, nonce)
}

pub(crate) fn frame_of(status: Status, pid: u32, nonce: u64) -> [u8; 32] {
    let mut wire = [0; 32];
    Frame::new(status, pid, 0, nonce, 0).encode(&mut wire);
    wire
}

pub(crate) fn frame_v1(pid: u32, nonce: u64, payload: u64) -> [u8; 32] {
    let mut wire = [0; 32];
    v1::Frame::new(Status::Ok, pid, 0, nonce, payload).encode(&mut wire);
    wire
}

pub(crate) fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

pub(crate) fn seal(key: &Key, session: u8, counter: u32, frame: &[u8; 32]) -> Vec<u8> {
    let iv = Iv { prefix: [session; 8], counter };
    Cipher::new(key).seal(iv, frame).unwrap().to_vec()
}

pub(crate) fn seal_as(master: &Key, pid: u32, iv: (u8, u32), frame: &[u8; 32]) -> Vec<u8> {
    let iv = Iv { prefix: [iv.0; 8], counter: iv.1 };
    let key = derive_agent_key(master, pid).unwrap();
    Cipher::new(&key).seal_as(pid, iv, frame).unwrap().to_vec()
}

/// The name of each event and the number of its agent: `beat 1`.
pub(crate) fn words(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event.about {
            Some(about) => format!("{} {}", event.what.name(), about.agent),
            None => event.what.name().to_owned(),
        })
        .collect()
}

pub(crate) fn missed(events: &[Event]) -> u64 {
    match events.last().map(|event| event.what) {
        Some(What::Beat { missed, .. }) => missed,
        other => panic!("expected a beat, got {other:?}"),
    }
}

/// Pseudorandom numbers, the same in each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}
