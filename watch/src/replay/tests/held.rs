//! A machine that is held again and again, at the worst times.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SEEDS: u64 = 200;

const END_NS: u64 = 60 * SECOND;

const THRESHOLD_NS: u64 = SECOND;

/// While nothing happens, an observer runs this often.
const TICK_NS: u64 = SECOND;

/// An observer that last checked processes this long ago does so before it reads.
const CHECKED_NS: u64 = MS;

/// An observer that does the same steps as that with sockets, and can be held between any two.
struct Held {
    random: Random,
    observer: Simulated,
    history: History,
    now_ns: u64,
    /// When it last found out whether it was late, and which processes had exited.
    checked_ns: u64,
    /// The latest time that the judge knows.
    judged_ns: u64,
    /// What will arrive, the first last.
    inputs: Vec<(u64, Input)>,
    /// Processes that have exited, but may have sent beats that are not read yet.
    exited: Vec<u32>,
    nonces: [u64; 8],
}

impl Held {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let threshold = Duration::from_nanos(THRESHOLD_NS);
        let observer = Builder::new().uids(Uids::Any).threshold(threshold).simulate().unwrap();
        let mut inputs = Vec::new();
        for agent in 0..4 {
            let mut time = random.below(SECOND);
            while time < END_NS {
                inputs.push((time, Input::Beat(agent)));
                time += 150 * MS + random.below(100 * MS);
                if random.one_in(6) {
                    time += random.below(3 * THRESHOLD_NS);
                }
                if random.one_in(60) {
                    inputs.push((time, Input::Exit(agent)));
                    break;
                }
            }
        }
        inputs.sort_by_key(|(at_ns, _)| std::cmp::Reverse(*at_ns));
        let history = History::new(THRESHOLD_NS);
        Self {
            random,
            observer,
            history,
            now_ns: 0,
            checked_ns: 0,
            judged_ns: 0,
            inputs,
            exited: Vec::new(),
            nonces: [0; 8],
        }
    }

    fn run(mut self) -> (Vec<Event>, Run) {
        while self.now_ns < END_NS {
            self.wait();
            self.work();
        }
        let run = self.history.read(self.now_ns);
        (self.history.events, run)
    }

    fn hold(&mut self, one_in: u64) {
        if self.random.one_in(one_in) {
            let longest_ns = match self.random.below(3) {
                0 => 60 * MS,
                1 => THRESHOLD_NS / 2 + 60 * MS,
                _ => 3 * THRESHOLD_NS,
            };
            let began_ns = self.now_ns;
            self.now_ns += self.random.below(longest_ns);
            if self.random.one_in(2) {
                self.hold_agents(began_ns);
            }
        }
    }

    /// Agents that are held with it beat right after that.
    fn hold_agents(&mut self, began_ns: u64) {
        let mut next_ns = self.now_ns;
        for (at_ns, _) in self.inputs.iter_mut().rev() {
            if *at_ns > self.now_ns {
                break;
            }
            if *at_ns > began_ns {
                next_ns += self.random.below(MS);
                *at_ns = next_ns;
            }
        }
        self.inputs.sort_by_key(|(at_ns, _)| std::cmp::Reverse(*at_ns));
    }

    fn wait(&mut self) {
        let tick = self.now_ns + TICK_NS;
        let due = self.observer.next_deadline().map_or(tick, |due| due.min(tick));
        let next = self.inputs.last().map_or(due, |(at_ns, _)| due.min(*at_ns));
        self.now_ns = self.now_ns.max(next);
        self.hold(15);
        self.check(due);
    }

    /// Finds out whether it is late, and which processes have exited.
    fn check(&mut self, due: u64) {
        self.now_ns += self.random.below(4) * 15_000;
        let late_ns = self.now_ns.saturating_sub(due.max(self.checked_ns));
        self.observer.away(self.now_ns, late_ns, self.now_ns - self.checked_ns, 0);
        (self.checked_ns, self.judged_ns) = (self.now_ns, self.now_ns);
        let exits = self.inputs.iter().rev().take_while(|(at_ns, _)| *at_ns <= self.now_ns);
        for (_, input) in exits {
            if let Input::Exit(agent) = input
                && !self.exited.contains(agent)
            {
                self.exited.push(*agent);
            }
        }
        self.history.take(&mut self.observer);
    }

    /// Reads what has arrived, and reports exits and silences, until nothing is left.
    fn work(&mut self) {
        loop {
            self.hold(30);
            if self.now_ns - self.checked_ns > CHECKED_NS {
                self.check(self.checked_ns);
                self.hold(30);
            }
            let has_read = self.read();
            self.hold(30);
            for agent in std::mem::take(&mut self.exited) {
                self.observer.exit(self.judged_ns, agent + 100, ExitCause::Signal(9));
            }
            self.history.take(&mut self.observer);
            let due = self.observer.next_deadline().filter(|due| *due <= self.judged_ns);
            if due.is_some() {
                if self.judged_ns > self.checked_ns {
                    self.check(self.checked_ns);
                    continue;
                }
                self.observer.advance(self.judged_ns);
                self.history.take(&mut self.observer);
            }
            if !has_read && due.is_none() {
                return;
            }
        }
    }

    /// Reads what has arrived. Returns whether there was something.
    fn read(&mut self) -> bool {
        self.judged_ns = self.now_ns;
        let mut has_read = false;
        while let Some((_, input)) = self.inputs.pop_if(|(at_ns, _)| *at_ns <= self.judged_ns) {
            let Input::Beat(agent) = input else {
                // The process may have exited since they were checked.
                if let Input::Exit(agent) = input
                    && !self.exited.contains(&agent)
                {
                    self.check(self.checked_ns);
                    self.exited.push(agent);
                }
                continue;
            };
            has_read = true;
            let pid = agent + 100;
            self.nonces[agent as usize] += 1;
            let mut wire = [0; 32];
            Frame::new(Status::Ok, pid, 0, self.nonces[agent as usize], 0).encode(&mut wire);
            let sender = Sender::Kernel { pid, uid: 0, process: None };
            self.observer.feed(self.judged_ns, &Datagram::new(0, sender, &wire));
        }
        self.history.take(&mut self.observer);
        has_read
    }
}

type ByAgent = BTreeMap<u32, Vec<(u64, Found)>>;

fn by_agent(verdicts: Vec<(u64, u32, Found)>) -> ByAgent {
    let mut all = ByAgent::new();
    for (at_ns, pid, found) in sorted(verdicts) {
        all.entry(pid).or_default().push((at_ns, found));
    }
    all
}

/// A daemon may report a stall later than it is due. All else must be equal.
fn is_equal((again, live): (&(u64, Found), &(u64, Found))) -> bool {
    match live.1 {
        Found::Stall { .. } => again.1 == live.1 && again.0 <= live.0,
        _ => again == live,
    }
}

/// The first decision about each agent that differs.
fn differences(again: &ByAgent, live: &ByAgent) -> Vec<String> {
    let pids: BTreeSet<_> = again.keys().chain(live.keys()).collect();
    let of = |all: &ByAgent, pid| all.get(pid).cloned().unwrap_or_default();
    let differ = pids.into_iter().filter_map(|pid| {
        let (again, live) = (of(again, pid), of(live, pid));
        let place = again.iter().zip(&live).take_while(|pair| is_equal(*pair)).count();
        let (again, live) = (again.get(place), live.get(place));
        let differ = again.is_some() || live.is_some();
        differ.then(|| format!("{pid}: {again:?} instead of {live:?}"))
    });
    differ.collect()
}

#[test]
fn a_replay_at_the_recorded_threshold_equals_a_daemon_that_was_held_at_any_time() {
    let mut decisions = 0;
    for seed in 0..SEEDS {
        let (events, run) = Held::new(seed).run();
        let live = by_agent(verdicts_of(&events));
        let again = by_agent(replayed(&run, THRESHOLD_NS));
        decisions += live.values().map(Vec::len).sum::<usize>();
        assert_eq!(differences(&again, &live), [] as [String; 0], "seed {seed}");
    }
    assert!(decisions > 1_000, "{decisions}");
}
