//! Compares the events of a judge and of the naive model over a million random steps.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod tracker_naive;
mod tracker_world;

use tracker_naive::{Frame, Key, Naive};
use tracker_world::*;
use varta::{NONCE_TERMINAL, Status};
use varta_observer::judge::{Datagram, Exits, Sender};
use varta_observer::{Counters, ExitCause, Rate, Uids};

const EXITS: [Exits; 3] = [Exits::Reported, Exits::LookedUp, Exits::Unseen];

struct Trace {
    world: World,
    naive: Naive,
    dice: Dice,
    now: u64,
    step: u64,
    wild: bool,
    /// The initial threshold, which sets the pace of time.
    pace: u64,
    causes: bool,
}

impl Dice {
    fn rate(&mut self) -> Option<Rate> {
        let per_second = 1 + u32::try_from(self.below(40)).unwrap();
        self.one_in(3).then_some(Rate { per_second, burst: per_second.div_ceil(9) })
    }
}

impl Trace {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let capacity = [24, 64, 2, 8, 200, 24, 64, 1][usize::try_from(seed % 8).unwrap()];
        let threshold =
            [100 * MS, 2000 * MS, 40 * MS + 1][usize::try_from(dice.below(3)).unwrap()];
        let mut naive = Naive::new(capacity, threshold);
        (naive.per_agent, naive.global) = (dice.rate(), dice.rate());
        // There are 42 possible sessions.
        let most_sessions = if dice.one_in(3) { 64 } else { 1 + dice.below(40) };
        naive.session_bound = usize::try_from(most_sessions).unwrap();
        naive.exits = EXITS[usize::try_from(dice.below(3)).unwrap()];
        naive.several_users = dice.one_in(2);
        let causes = seed % 3 == 1;
        let mut world = World::with(|settings| {
            settings.capacity = capacity;
            settings.threshold_ns = threshold;
            settings.senders = Some(naive.session_bound);
            settings.policy.namespaces = true;
            if naive.several_users {
                settings.policy.uids = Uids::Any;
            }
            settings.policy.per_agent = naive.per_agent;
            settings.policy.global = naive.global;
            settings.shared_keys = vec![key(1)];
            // To look for causes changes no verdict.
            settings.causes = causes;
        });
        world.environment.exits = naive.exits;
        let (now, wild) = (start_time(seed), seed % 4 == 3);

        Self { world, naive, dice, now, step: 0, wild, pace: threshold, causes }
    }

    fn run(seed: u64, steps: u64) -> Counters {
        let mut trace = Self::new(seed);
        for step in 0..steps {
            trace.step = step;
            trace.pass_time();
            trace.act();
            let events = trace.world.events();
            assert_eq!(events, trace.naive.events, "seed {seed}, step {step}");
            trace.naive.events.clear();
            trace.world.environment.calls.clear();
            if step % 1000 == 0 {
                trace.compare(seed);
            }
        }
        trace.compare(seed);
        trace.naive.counters
    }

    fn pass_time(&mut self) {
        let threshold = self.pace;
        self.now += match self.dice.below(1000) {
            0..500 => 0,
            500..800 => self.dice.below(1000),
            800..990 => self.dice.below(threshold / 20),
            990..999 => self.dice.below(threshold),
            _ => self.dice.below(30 * threshold),
        };
    }

    fn act(&mut self) {
        match self.dice.below(100) {
            0..35 => self.local(),
            35..47 => self.plain(),
            47..55 => self.sealed(),
            55..80 => self.judge(true),
            80..86 => self.judge(false),
            86..90 => self.full(),
            90..92 => self.pause(),
            92..94 => self.exit(),
            94..96 => self.exiting(),
            96..97 => self.set_exits(),
            97..98 => self.set_threshold(),
            98..99 if self.dice.one_in(20) => self.set_default_threshold(),
            99..100 if self.dice.one_in(20) => self.set_rates(),
            _ => self.toggle_liveness(),
        }
    }

    fn nonce(&mut self) -> u64 {
        match self.dice.below(40) {
            0 => NONCE_TERMINAL,
            // Large jumps are for some traces only, because they would hide all others.
            1 if self.wild => self.dice.roll() % NONCE_TERMINAL,
            2 if self.wild => NONCE_TERMINAL - 1 - self.dice.below(3),
            3 => self.dice.below(3),
            _ => self.step / 7 + self.dice.below(4),
        }
    }

    fn frame(&mut self, claimed: u32) -> (Frame, [u8; 32]) {
        let nonce = self.nonce();
        let status = match self.dice.below(4) {
            _ if nonce == NONCE_TERMINAL => Status::Critical,
            0 => Status::Degraded,
            _ => Status::Ok,
        };
        (Frame { status, claimed, nonce, iv: None }, frame_of(status, claimed, nonce))
    }

    fn pid(&mut self) -> u32 {
        let count = (self.naive.capacity * 3 / 2).max(4) as u64;
        100 + u32::try_from(self.dice.below(count)).unwrap()
    }

    fn local(&mut self) {
        let pid = match self.dice.below(64) {
            0..8 => 0,
            8 => 1,
            _ => self.pid(),
        };
        let number = match self.dice.below(4) {
            0 => Some(self.step / 4000 + u64::from(pid)),
            1 if pid == 0 => Some(self.dice.below(6)),
            _ => None,
        };
        let claimed = match pid {
            0 => 1 + u32::try_from(number.unwrap_or(0) % 2).unwrap(),
            _ if self.dice.one_in(100) => 1,
            pid if self.dice.one_in(50) => pid + 1,
            pid => pid,
        };
        let (frame, bytes) = self.frame(claimed);
        let user =
            if self.naive.several_users { u64::from(pid) + number.unwrap_or(0) } else { 0 };
        let uid = UID + u32::try_from(user % 7 % 3).unwrap();
        let sender = Sender::Kernel { pid, uid, process: number };
        self.receive(&Datagram::new(0, sender, &bytes));
        self.naive.receive_local(self.now, pid, uid, number, &frame);
    }

    fn address(&mut self) -> [u8; 4] {
        [[127, 0, 0, 1], [10, 0, 0, 1], [10, 0, 0, 2]]
            [usize::try_from(self.dice.below(3)).unwrap()]
    }

    fn plain(&mut self) {
        let (address, pid) = (self.address(), self.pid());
        let (frame, bytes) = self.frame(pid);
        let sender = Sender::Network { address: address.into(), sealed: false };
        self.receive(&Datagram::new(1, sender, &bytes));
        self.naive.receive_network(self.now, 1, address, &frame);
    }

    fn sealed(&mut self) {
        let (address, pid) = (self.address(), 100 + u32::try_from(self.dice.below(6)).unwrap());
        let (mut frame, bytes) = self.frame(pid);
        let session = u8::try_from(self.dice.below(7)).unwrap();
        let counter = u32::try_from(self.step / 50 + self.dice.below(20)).unwrap();
        frame.iv = Some(([session; 8], counter));
        let bytes = seal(&key(1), session, counter, &bytes);
        let sender = Sender::Network { address: address.into(), sealed: true };
        self.receive(&Datagram::new(2, sender, &bytes));
        self.naive.receive_network(self.now, 2, address, &frame);
    }

    fn receive(&mut self, datagram: &Datagram<'_>) {
        self.world.judge.hear(self.now, datagram, &mut self.world.environment);
    }

    fn judge(&mut self, to_the_end: bool) {
        if to_the_end {
            return self.finish(self.now);
        }
        let more = self.naive.judge(self.now);
        assert_eq!(self.world.judge.expire(self.now, &mut self.world.environment), more);
    }

    fn finish(&mut self, horizon: u64) {
        let mut events = self.world.events();
        while self.world.judge.expire(horizon, &mut self.world.environment) {
            events.extend(self.world.events());
        }
        while self.naive.judge(horizon) {}
        assert_eq!(events, self.naive.events, "step {}", self.step);
        self.naive.events.clear();
        let (next, exact) = (self.world.judge.next_deadline(), self.naive.next_deadline());
        assert!(next.is_none_or(|next| next > horizon), "it would wake up too early");
        let late = exact.is_some_and(|exact| next.is_none_or(|next| next > exact));
        assert!(!late, "it would wake up too late");
        assert!(
            self.causes || next.is_some() == exact.is_some(),
            "it would wake up for nothing"
        );
    }

    fn full(&mut self) {
        let full = self.dice.one_in(3);
        self.world.judge.looked(self.now, full);
        self.naive.looked(self.now, full);
        if self.dice.one_in(3) {
            self.world.judge.kernel_dropped(1);
            self.naive.kernel_dropped(self.now);
        }
    }

    fn pause(&mut self) {
        let amount = match self.dice.below(3) {
            0 => 1 + self.dice.below(70_000),
            _ => 1 + self.dice.below(2 * self.naive.threshold),
        };
        self.world.judge.pause(self.now, amount);
        self.naive.pause(self.now, amount);
    }

    /// An agent that is followed.
    fn any_agent(&mut self) -> Option<u64> {
        let count = self.naive.agents.len() as u64;
        if count == 0 {
            return None;
        }
        let at = usize::try_from(self.dice.below(count)).unwrap();
        Some(self.naive.agents[at].id)
    }

    fn exit(&mut self) {
        let Some(id) = self.any_agent() else { return };
        let slot = self.world.slot(id);
        self.world.judge.exited(
            self.now,
            slot,
            ExitCause::Code(3),
            &mut self.world.environment,
        );
        let at = self.naive.by_id(id);
        self.naive.exit(self.now, at, ExitCause::Code(3));
    }

    fn any_local_agent(&mut self) -> Option<(u64, usize)> {
        let id = self.any_agent()?;
        let at = self.naive.by_id(id);
        let local = !matches!(self.naive.agents[at].key, Key::Network { .. });
        local.then_some((id, at))
    }

    fn exiting(&mut self) {
        let Some((id, at)) = self.any_local_agent() else { return };
        self.world.judge.exiting(self.world.slot(id));
        self.naive.exiting(at);
    }

    fn set_exits(&mut self) {
        let Some((id, at)) = self.any_local_agent() else { return };
        let exits = EXITS[usize::try_from(self.dice.below(3)).unwrap()];
        self.world.judge.set_exits(self.world.slot(id), exits);
        self.naive.set_exits(at, exits);
    }

    fn set_threshold(&mut self) {
        let Some(id) = self.any_agent() else { return };
        let threshold = 1 + self.dice.below(3 * self.naive.threshold);
        assert!(self.world.judge.set_threshold(id, threshold));
        let at = self.naive.by_id(id);
        self.naive.set_threshold(at, threshold);
    }

    fn set_default_threshold(&mut self) {
        // Near the initial one, so that it still matches the pace of time.
        let threshold = self.pace / 4 + self.dice.below(2 * self.pace);
        self.world.judge.set_default_threshold(threshold);
        self.naive.set_default_threshold(threshold);
        let own = self.naive.agents.iter().filter_map(|agent| agent.threshold);
        let shortest = own.chain([threshold]).min().unwrap();
        assert_eq!(self.world.judge.shortest_threshold(), shortest);
    }

    fn set_rates(&mut self) {
        let (per_agent, all) = (self.dice.rate(), self.dice.rate());
        self.world.judge.set_rates(per_agent, all);
        self.naive.set_rates(per_agent, all);
    }

    /// Changes what a lookup of a process finds.
    fn toggle_liveness(&mut self) {
        let pid = self.pid();
        if self.naive.dead.remove(&pid) {
            self.world.environment.gone.remove(&pid);
        } else {
            self.naive.dead.insert(pid);
            self.world.environment.gone.insert(pid, ExitCause::Signal(9));
        }
        let seen = self.now + self.dice.below(self.pace / 10);
        (self.naive.seen_ns, self.world.environment.seen_ns) = (seen, seen);
        let pid = self.pid();
        self.naive.replaced.insert(pid);
        self.world.environment.replaced.insert(pid);
    }

    fn compare(&self, seed: u64) {
        let (step, judge) = (self.step, &self.world.judge);
        let mut counters = *judge.counters();
        (counters.cause_looks, counters.cause_refused) = (0, 0);
        assert_eq!(counters, self.naive.counters, "seed {seed}, step {step}");
        assert_eq!(judge.counters().settled(), judge.counters().received);
        let mut agents: Vec<_> = judge.agents(self.now).map(|(_, agent)| agent).collect();
        agents.sort_by_key(|agent| agent.agent);
        assert_eq!(agents.len(), judge.followed());
        assert_eq!(agents.len(), self.naive.agents.len());
        let mut expected: Vec<_> = self.naive.agents.iter().collect();
        expected.sort_by_key(|agent| agent.id);
        for (agent, expected) in agents.iter().zip(expected) {
            assert_eq!(
                (agent.agent, agent.last_ns, agent.stalled, agent.beats),
                (expected.id, expected.last, expected.stalled, expected.beats),
                "seed {seed}, step {step}"
            );
            assert_eq!(agent.missed, expected.missed.min(u32::MAX.into()));
            if let Key::Network { address, .. } = expected.key {
                assert_eq!(agent.address, Some(address.into()), "seed {seed}, step {step}");
            }
        }
    }
}

/// The start of a trace, which is not always 0.
fn start_time(seed: u64) -> u64 {
    Dice(seed ^ 1).roll() >> (seed % 5 * 12 + 2)
}

fn run(seeds: std::ops::Range<u64>) {
    let all: Vec<_> = seeds.map(|seed| Trace::run(seed, 50_000)).collect();
    let total = |of: fn(&Counters) -> u64| all.iter().map(of).sum::<u64>();
    // Traces in which little happens would test little.
    assert!(total(|counters| counters.stalls) > 10_000);
    assert!(total(|counters| counters.recoveries) > 10_000);
    assert!(total(|counters| counters.exits) > 10_000);
    assert!(total(|counters| counters.stalls_deaf) > 1_000);
    assert!(total(|counters| counters.evictions) > 1_000);
    assert!(total(|counters| counters.replays) > 100);
    assert!(total(|counters| counters.rate_limited_agent) > 1_000);
    assert!(total(|counters| counters.rate_limited_global) > 1_000);
    assert!(total(|counters| counters.sender_memory_full) > 1_000);
}

#[test]
fn the_judge_agrees_with_the_naive_model() {
    run(0..10);
}

#[test]
fn the_judge_agrees_with_the_naive_model_for_more_seeds() {
    run(10..20);
}
