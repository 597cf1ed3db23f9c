//! A naive model of the judge: a list of agents that is scanned for each decision. It was
//! written independently of the code under test.

use std::cmp::Reverse;
use std::collections::HashSet;

use varta::{DecodeError, NONCE_TERMINAL, Promise, Status};
use varta_observer::judge::Exits;
use varta_observer::{About, Counters, Event, ExitCause, Origin, Rate, What};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Pid(u32),
    Process(u64),
    Network { listener: u16, address: [u8; 4], claimed: u32 },
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) id: u64,
    pub(crate) key: Key,
    claimed: u32,
    sealed: bool,
    pub(crate) last: u64,
    nonce: Option<u64>,
    terminal: bool,
    status: Status,
    pub(crate) stalled: bool,
    pardon: Option<u64>,
    pub(crate) threshold: Option<u64>,
    exits: Exits,
    exiting: bool,
    /// A lookup did not find the process. Its queued datagrams still count.
    missing: bool,
    number: Option<u64>,
    pub(crate) beats: u64,
    pub(crate) missed: u64,
    /// When it is judged next; `None` means never.
    due: Option<u64>,
    /// When it counted as gone, and its position in that order.
    gone: Option<(u64, u64)>,
    /// Whether its Stall was put off.
    deferred: bool,
    uid: u32,
    /// Its position in the order of stalls, while that may matter for eviction.
    stalled_as: Option<u64>,
    level: Level,
}

/// A leaky bucket, which empties with time.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    filled: u64,
    at: u64,
}

impl Level {
    fn now(self, now: u64) -> u64 {
        self.filled.saturating_sub(now - self.at)
    }

    fn fits(self, rate: Option<Rate>, now: u64) -> bool {
        rate.is_none_or(|rate| {
            self.now(now)
                <= (u64::from(rate.burst) - 1) * (1_000_000_000 / u64::from(rate.per_second))
        })
    }

    fn fill(&mut self, rate: Option<Rate>, now: u64) {
        let drop = rate.map_or(0, |rate| 1_000_000_000 / u64::from(rate.per_second));
        *self = Self { filled: self.now(now) + drop, at: now };
    }
}

/// A sealed session. It is never forgotten.
#[derive(Debug, Clone)]
struct Session {
    pid: u32,
    prefix: [u8; 8],
    highest: u32,
    /// The agent that it belongs to.
    agent: u64,
}

pub(crate) struct Naive {
    pub(crate) capacity: usize,
    pub(crate) threshold: u64,
    pub(crate) per_agent: Option<Rate>,
    pub(crate) global: Option<Rate>,
    pub(crate) session_bound: usize,
    /// Whether agents of several users are admitted.
    pub(crate) several_users: bool,
    pub(crate) exits: Exits,
    /// Pids that a lookup does not find.
    pub(crate) dead: HashSet<u32>,
    /// The time of such a lookup.
    pub(crate) seen_ns: u64,
    /// Pids that have a new owner. The host reports each once.
    pub(crate) replaced: HashSet<u32>,
    pub(crate) agents: Vec<Agent>,
    sessions: Vec<Session>,
    pauses: Vec<(u64, u64)>,
    /// When beats were last likely to be lost: at Unix sockets and over the network.
    deaf: [u64; 2],
    /// The share of recent time in which a queue was full, in units of 2^-32, and the time of
    /// the last check.
    share: u128,
    looked_at: u64,
    level: Level,
    next: u64,
    order: u64,
    pub(crate) counters: Counters,
    pub(crate) events: Vec<Event>,
}

pub(crate) struct Frame {
    pub(crate) status: Status,
    pub(crate) claimed: u32,
    pub(crate) nonce: u64,
    /// The prefix and the counter of a sealed frame.
    pub(crate) iv: Option<([u8; 8], u32)>,
}

const M: u128 = NONCE_TERMINAL as u128;

fn distance(from: u64, to: u64) -> u64 {
    u64::try_from((u128::from(to) + M - u128::from(from)) % M).unwrap()
}

fn forward(distance: u64) -> bool {
    (1..1 << 63).contains(&distance)
}

impl Naive {
    pub(crate) fn new(capacity: usize, threshold: u64) -> Self {
        Self {
            capacity,
            threshold,
            per_agent: None,
            global: None,
            session_bound: usize::MAX,
            several_users: false,
            exits: Exits::Reported,
            dead: HashSet::new(),
            seen_ns: 0,
            replaced: HashSet::new(),
            agents: Vec::new(),
            sessions: Vec::new(),
            pauses: Vec::new(),
            deaf: [0; 2],
            share: 0,
            looked_at: 0,
            level: Level::default(),
            next: 1,
            order: 0,
            counters: Counters::default(),
            events: Vec::new(),
        }
    }

    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        self.agents.iter().position(|agent| agent.key == key)
    }

    pub(crate) fn by_id(&self, id: u64) -> usize {
        self.agents.iter().position(|agent| agent.id == id).unwrap()
    }

    fn emit(&mut self, now: u64, agent: Option<usize>, what: What) {
        let about = agent.map(|at| self.agents[at].about());
        self.events.push(Event { observer_ns: now, about, task: None, what });
    }

    pub(crate) fn receive_local(
        &mut self,
        now: u64,
        pid: u32,
        uid: u32,
        number: Option<u64>,
        frame: &Frame,
    ) {
        self.counters.received += 1;
        let key = match (pid, number) {
            (0, Some(number)) => Key::Process(number),
            (0, None) => {
                self.counters.namespace_refused += 1;
                return;
            }
            _ => Key::Pid(pid),
        };
        let mut known = self.find(key);
        if let Some(at) = known {
            let agent = &self.agents[at];
            let other = match (agent.number, number) {
                (Some(was), Some(is)) => was != is,
                _ if agent.exiting => true,
                _ => {
                    let goes_on = frame.nonce != NONCE_TERMINAL
                        && agent.nonce.is_some_and(|last| forward(distance(last, frame.nonce)));
                    let asked = !goes_on || number.is_some() || agent.exits == Exits::LookedUp;
                    asked && self.replaced.remove(&pid)
                }
            };
            if other {
                self.exit(now, at, ExitCause::Unknown);
                known = None;
            }
        }
        let named = known.map_or(pid, |at| self.agents[at].claimed);
        if frame.claimed != named && (known.is_some() || pid != 0) {
            let (claimed_pid, true_pid) = (frame.claimed, pid);
            if claimed_pid == 1 {
                self.counters.bad_pid += 1;
                self.emit(now, None, What::Decode(DecodeError::BadPid(1)));
            } else {
                self.counters.auth_failures += 1;
                self.emit(now, None, What::AuthFailure { claimed_pid, true_pid });
            }
            return;
        }
        let at = match known {
            Some(at) => {
                if self.agents[at].number.is_none() && number.is_some() {
                    self.agents[at].number = number;
                    self.set_exits(at, self.exits);
                }
                at
            }
            None => {
                if !self.make_room(Some(uid)) {
                    return;
                }
                let exits = self.exits;
                self.follow(key, frame.claimed, false, exits, (uid, number))
            }
        };
        self.accept(now, at, frame);
    }

    pub(crate) fn receive_network(
        &mut self,
        now: u64,
        listener: u16,
        address: [u8; 4],
        frame: &Frame,
    ) {
        self.counters.received += 1;
        self.counters.open_attempts += u64::from(frame.iv.is_some());
        if address[0] == 127 && self.find(Key::Pid(frame.claimed)).is_some() {
            self.counters.origin_conflicts += 1;
            return;
        }
        let key = Key::Network { listener, address, claimed: frame.claimed };
        let here = self.find(key);
        let session = frame.iv.and_then(|(prefix, _)| {
            let is_it = |it: &Session| it.pid == frame.claimed && it.prefix == prefix;
            self.sessions.iter().position(is_it)
        });
        let (known, forward) = match session {
            Some(at) => {
                let session = &self.sessions[at];
                let owner = self.agents.iter().position(|agent| agent.id == session.agent);
                (owner.or(here), frame.iv.is_some_and(|(_, counter)| counter > session.highest))
            }
            None => {
                let forward = here.is_none_or(|at| {
                    let agent = &self.agents[at];
                    agent.stalled
                        || frame.nonce == NONCE_TERMINAL
                        || agent.nonce.is_none_or(|last| forward(distance(last, frame.nonce)))
                });
                (here, forward)
            }
        };
        if !forward {
            self.counters.replays += 1;
            return;
        }
        let newcomer = known.is_none();
        if newcomer && !self.level.fits(self.global, now) {
            self.counters.rate_limited_global += 1;
            return;
        }
        let sealed = frame.iv.is_some();
        if sealed && session.is_none() && self.sessions.len() >= self.session_bound {
            self.counters.sender_memory_full += 1;
            return;
        }
        if newcomer && !self.make_room(None) {
            return;
        }
        let at = known.unwrap_or_else(|| {
            self.follow(key, frame.claimed, sealed, Exits::Unseen, (0, None))
        });
        // It is found at its latest address, unless another agent is.
        if self.find(key).is_none() {
            self.agents[at].key = key;
        }
        if let Some((prefix, highest)) = frame.iv {
            let (pid, agent) = (frame.claimed, self.agents[at].id);
            let updated = Session { pid, prefix, highest, agent };
            match session {
                Some(at) => self.sessions[at] = updated,
                None => self.sessions.push(updated),
            }
        }
        self.accept(now, at, frame);
    }

    fn follow(
        &mut self,
        key: Key,
        claimed: u32,
        sealed: bool,
        exits: Exits,
        (uid, number): (u32, Option<u64>),
    ) -> usize {
        self.agents.push(Agent {
            id: self.next,
            key,
            claimed,
            sealed,
            last: 0,
            nonce: None,
            terminal: false,
            status: Status::Ok,
            stalled: false,
            pardon: None,
            threshold: None,
            exits,
            exiting: false,
            missing: false,
            number,
            beats: 0,
            missed: 0,
            due: None,
            gone: None,
            deferred: false,
            uid,
            stalled_as: None,
            level: Level::default(),
        });
        self.next += 1;
        self.agents.len() - 1
    }

    fn accept(&mut self, now: u64, at: usize, frame: &Frame) {
        let threshold = self.threshold_of(at);
        let (per_agent, global) = (self.per_agent, self.global);
        let agent = &mut self.agents[at];
        let exempt = agent.stalled || agent.beats == 0;
        let own = exempt || agent.level.fits(per_agent, now);
        let all = exempt || self.level.fits(global, now);
        if own && all {
            agent.level.fill(per_agent, now);
            self.level.fill(global, now);
        }
        let mut missed = 0;
        if frame.nonce != NONCE_TERMINAL {
            let distance = agent.nonce.map(|last| distance(last, frame.nonce));
            match distance {
                Some(distance) if forward(distance) => missed = distance - 1,
                Some(_) => self.counters.not_forward += 1,
                None => {}
            }
            agent.nonce = Some(frame.nonce);
        }
        self.counters.missed = self.counters.missed.saturating_add(missed);
        let recovered = agent.stalled.then(|| now - agent.last);
        agent.terminal = frame.nonce == NONCE_TERMINAL;
        agent.last = now;
        agent.status = frame.status;
        agent.beats += 1;
        agent.missed = agent.missed.saturating_add(missed);
        agent.stalled = false;
        agent.pardon = None;
        agent.gone = None;
        agent.deferred = false;
        agent.stalled_as = None;
        agent.due = match agent.due {
            due if agent.exiting || agent.missing => due,
            _ => Some(now.saturating_add(threshold)),
        };
        if !own {
            self.counters.rate_limited_agent += 1;
            return;
        }
        if !all {
            self.counters.rate_limited_global += 1;
            return;
        }
        if let Some(silent_ns) = recovered {
            self.counters.recoveries += 1;
            self.emit(now, Some(at), What::Recovered { silent_ns, promise: Promise::Beat });
        }
        self.counters.beats += 1;
        let (status, nonce) = (frame.status, frame.nonce);
        self.emit(now, Some(at), What::Beat { status, payload: 0, nonce, missed, count: 1 });
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.agents.iter().filter_map(|agent| agent.due).min()
    }

    /// Emits the next verdict. Returns false if none is due.
    pub(crate) fn judge(&mut self, horizon: u64) -> bool {
        loop {
            let due = |at: &usize| {
                let agent = &self.agents[*at];
                agent.due.filter(|due| *due <= horizon).map(|due| (due, agent.last, agent.id))
            };
            let Some(at) =
                (0..self.agents.len()).filter(|at| due(at).is_some()).min_by_key(|at| due(at))
            else {
                return false;
            };
            let ten = self.threshold_of(at).saturating_mul(10);
            let (longest, gone_at) = (self.longest_pause(at), self.gone_at(at));
            let (was_due, deaf_at) = (self.was_due(at), self.deaf_of(at));
            let quiet_again = deaf_at.saturating_add(self.threshold_of(at));
            let agent = &mut self.agents[at];
            if let (false, None, Some(amount)) = (agent.missing, agent.pardon, longest) {
                agent.pardon = Some(amount);
                agent.due = agent.due.map(|due| due.saturating_add(amount));
                continue;
            }
            if let (Exits::LookedUp, Key::Pid(pid)) = (agent.exits, agent.key) {
                let dead = self.dead.contains(&pid);
                if dead && !agent.missing && self.seen_ns > horizon {
                    (agent.missing, agent.due) = (true, Some(self.seen_ns));
                    continue;
                }
                if dead || agent.missing {
                    let cause = if dead { ExitCause::Signal(9) } else { ExitCause::Unknown };
                    self.exit(horizon, at, cause);
                    return true;
                }
            }
            if agent.stalled {
                if agent.exits == Exits::LookedUp {
                    agent.due = Some(horizon.saturating_add(ten));
                } else {
                    self.order += 1;
                    agent.gone = agent.due.map(|due| (due, self.order));
                    agent.due = None;
                }
                continue;
            }
            if agent.terminal && matches!(agent.key, Key::Network { .. }) {
                self.exit(horizon, at, ExitCause::Unknown);
                return true;
            }
            let until = quiet_again.min(was_due.saturating_add(ten));
            if until > horizon {
                (agent.deferred, agent.due) = (true, Some(until));
                continue;
            }
            let deaf = deaf_at >= was_due;
            self.order += 1;
            agent.stalled = true;
            agent.stalled_as = Some(self.order);
            agent.due = match agent.exits {
                Exits::Reported => None,
                _ => Some(gone_at),
            };
            self.counters.stalls += 1;
            self.counters.stalls_deaf += u64::from(deaf);
            let (last_nonce, last_ns) = (agent.nonce.unwrap_or(0), agent.last);
            self.emit(
                horizon,
                Some(at),
                What::Stall { last_nonce, last_ns, deaf, late: None, why: None },
            );
            return true;
        }
    }

    pub(crate) fn looked(&mut self, now: u64, full: bool) {
        self.counters.full_looks += u64::from(full);
        let (recent, since) =
            (u128::from(self.threshold / 4), u128::from(now - self.looked_at));
        self.share *= recent;
        self.share += if full { since << 32 } else { 0 };
        self.share /= recent + since;
        self.looked_at = now;
        if full && self.share * 16 >= 1 << 32 {
            self.deaf[0] = now;
        }
    }

    pub(crate) fn kernel_dropped(&mut self, now: u64) {
        self.counters.kernel_drops += 1;
        self.deaf[1] = now;
    }

    fn deaf_of(&self, at: usize) -> u64 {
        self.deaf[usize::from(matches!(self.agents[at].key, Key::Network { .. }))]
    }

    pub(crate) fn pause(&mut self, now: u64, amount: u64) {
        self.pauses.push((now, amount));
        self.counters.pauses += 1;
        self.emit(now, None, What::Paused { ns: amount });
    }

    pub(crate) fn exit(&mut self, now: u64, at: usize, cause: ExitCause) {
        self.counters.exits += 1;
        let last_status = self.agents[at].status;
        self.emit(now, Some(at), What::Exit { cause, last_status });
        self.remove(at);
    }

    pub(crate) fn exiting(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        (agent.exiting, agent.due, agent.gone) = (true, None, None);
        agent.stalled_as = None;
    }

    pub(crate) fn set_threshold(&mut self, at: usize, threshold: u64) {
        self.agents[at].threshold = Some(threshold);
        self.follow_threshold(at);
    }

    pub(crate) fn set_default_threshold(&mut self, threshold: u64) {
        self.threshold = threshold;
        for at in 0..self.agents.len() {
            if self.agents[at].threshold.is_none() {
                self.follow_threshold(at);
            }
        }
    }

    pub(crate) fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) {
        (self.per_agent, self.global) = (per_agent, all);
        self.level = Level::default();
        self.agents.iter_mut().for_each(|agent| agent.level = Level::default());
    }

    fn follow_threshold(&mut self, at: usize) {
        let (threshold, was_due) = (self.threshold_of(at), self.was_due(at));
        let agent = &mut self.agents[at];
        if agent.missing {
            return;
        }
        if !agent.exiting && !agent.stalled {
            let due = agent.last.saturating_add(threshold);
            agent.due = Some(due.saturating_add(agent.pardon.unwrap_or(0)));
            if agent.deferred {
                agent.due = Some(was_due);
            }
        }
        self.set_exits(at, self.agents[at].exits);
    }

    pub(crate) fn set_exits(&mut self, at: usize, exits: Exits) {
        let gone_at = self.gone_at(at);
        let agent = &mut self.agents[at];
        (agent.exits, agent.missing) = (exits, false);
        if agent.stalled && !agent.exiting {
            agent.gone = None;
            agent.due = (exits != Exits::Reported).then_some(gone_at);
        }
    }

    /// When its silence, less a pause that was given back, has lasted ten thresholds.
    fn gone_at(&self, at: usize) -> u64 {
        self.silent_for(at, self.threshold_of(at).saturating_mul(10))
    }

    /// When its silence, less such a pause, has lasted its threshold.
    fn was_due(&self, at: usize) -> u64 {
        self.silent_for(at, self.threshold_of(at))
    }

    fn silent_for(&self, at: usize, time: u64) -> u64 {
        let agent = &self.agents[at];
        let pardon = agent.pardon.and_then(|_| self.longest_pause(at)).unwrap_or(0);
        agent.last.saturating_add(time).saturating_add(pardon)
    }

    /// The longest pause that ended within its silence.
    fn longest_pause(&self, at: usize) -> Option<u64> {
        let within = |(ended_at, _): &&(u64, u64)| *ended_at > self.agents[at].last;
        self.pauses.iter().filter(within).map(|(_, amount)| *amount).max()
    }

    fn threshold_of(&self, at: usize) -> u64 {
        self.agents[at].threshold.unwrap_or(self.threshold)
    }

    /// Finds room for a new agent: there is room, this agent can be evicted, or there is none.
    /// A local agent has a uid.
    fn find_room(&self, uid: Option<u32>) -> Result<Option<usize>, ()> {
        let network = uid.is_none();
        let is_network = |at: &usize| matches!(self.agents[*at].key, Key::Network { .. });
        let all = 0..self.agents.len();
        let of = |uid: u32| move |agent: &&Agent| agent.uid == uid && !agent.is_network();
        let count = |uid: u32| self.agents.iter().filter(of(uid)).count();
        let longest_stalled = |uid: u32| {
            let stalled = |at: &usize| {
                let agent = &self.agents[*at];
                of(uid)(&agent) && agent.stalled_as.is_some()
            };
            all.clone().filter(stalled).min_by_key(|at| self.agents[*at].stalled_as)
        };
        if let Some(uid) = uid.filter(|_| self.several_users) {
            if count(uid) >= self.capacity - self.capacity / 8 {
                let gone = |at: &usize| self.agents[*at].gone.is_some();
                return longest_stalled(uid).filter(gone).map(Some).ok_or(());
            }
        }
        let crowded = network && all.clone().filter(is_network).count() >= self.capacity / 2;
        if !crowded && self.agents.len() < self.capacity {
            return Ok(None);
        }
        let gone = |at: &usize| self.agents[*at].gone;
        // Of each half the agent that was found gone first; of those two the one that is gone
        // longer.
        let first_of = |half: bool| {
            all.clone()
                .filter(|at| is_network(at) == half && gone(at).is_some())
                .min_by_key(|at| gone(at).map(|(_, order)| order))
        };
        let local = if crowded { None } else { first_of(false) };
        let longest = [local, first_of(true)]
            .into_iter()
            .flatten()
            .min_by_key(|at| gone(at).map(|(due, _)| (due, self.agents[*at].id)));
        let beyond_its_share = || {
            let uid = uid.filter(|_| self.several_users)?;
            let local = self.agents.iter().filter(|agent| !agent.is_network());
            let others: HashSet<u32> =
                local.map(|agent| agent.uid).filter(|other| *other != uid).collect();
            let share = self.capacity / (others.len() + 1);
            let mut most: Vec<u32> = others
                .into_iter()
                .filter(|other| count(*other) > share && longest_stalled(*other).is_some())
                .collect();
            most.sort_by_key(|other| (count(*other), Reverse(*other)));
            (count(uid) < share).then(|| longest_stalled(*most.last()?)).flatten()
        };
        longest.or_else(beyond_its_share).map(Some).ok_or(())
    }

    fn make_room(&mut self, uid: Option<u32>) -> bool {
        match self.find_room(uid) {
            Ok(None) => true,
            Ok(Some(at)) => {
                self.counters.evictions += 1;
                self.remove(at);
                true
            }
            Err(()) => {
                self.counters.capacity_exceeded += 1;
                false
            }
        }
    }

    fn remove(&mut self, at: usize) {
        self.agents.remove(at);
        self.order += 1;
    }
}

impl Agent {
    fn is_network(&self) -> bool {
        matches!(self.key, Key::Network { .. })
    }

    fn about(&self) -> About {
        About {
            agent: self.id,
            pid: if let Key::Pid(pid) = self.key { pid } else { 0 },
            claimed_pid: self.claimed,
            origin: match (self.key, self.sealed) {
                (Key::Network { .. }, true) => Origin::SecureNetwork,
                (Key::Network { .. }, false) => Origin::Network,
                _ => Origin::KernelAttested,
            },
        }
    }
}
