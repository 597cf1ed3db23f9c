//! Compares the events of a judge and of the naive model of lines over many random steps.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod lane_naive;
mod lane_world;
mod tracker_world;

use std::time::Duration;

use lane_naive::{Line, Naive, Pair, Truth};
use lane_world::*;
use tracker_world::*;
use varta::internal::lane::layout::{Info, NEVER, State, Violation};
use varta::{Promise, Rule};
use varta_observer::{Counters, Ending, ExitCause, Slack, What};

struct Trace {
    world: World,
    naive: Naive,
    processes: Vec<Process>,
    dice: Dice,
    now: u64,
    step: u64,
    next_pid: u32,
    /// Whether the observer wakes up whenever something is due.
    prompt: bool,
    /// What the processes did.
    calls: u64,
    declared: u64,
    beats: u64,
    violations: u64,
}

impl Trace {
    fn run(seed: u64, steps: u64) -> Counters {
        let mut dice = Dice(seed);
        let threshold = [100 * MS, 2_000 * MS, 40 * MS + 1][dice.index(3)];
        let floor = [10 * MS, MS, 7 * MS + 3][dice.index(3)];
        let mut naive = Naive::new(threshold, floor);
        let slack = if dice.one_in(2) { 30 * MS } else { 0 };
        naive.slack.insert("b", slack);
        let world = lane_world(|settings| {
            settings.threshold_ns = threshold;
            settings.floor_ns = floor;
            settings.slack = Slack::new().task("b", Duration::from_nanos(slack));
        });
        let (prompt, now) = (seed % 2 == 0, 1 + (dice.roll() >> 20));
        let (processes, next_pid) = (Vec::new(), 100);
        let (calls, declared, beats, violations, step) = (0, 0, 0, 0, 0);
        let mut trace = Self {
            world,
            naive,
            processes,
            dice,
            now,
            step,
            next_pid,
            prompt,
            calls,
            declared,
            beats,
            violations,
        };
        for step in 0..steps {
            trace.step = step;
            trace.pass_time();
            trace.act();
            trace.compare(seed);
        }
        trace.finish(seed)
    }

    fn pass_time(&mut self) {
        let threshold = self.naive.threshold;
        let then = self.now
            + match self.dice.below(100) {
                0..30 => 0,
                30..60 => self.dice.below(threshold / 50),
                60..98 => self.dice.below(threshold / 4),
                _ => self.dice.below(3 * threshold),
            };
        while self.prompt {
            let judge = &self.world.judge;
            let wake = [judge.next_look(), judge.next_deadline()].into_iter().flatten().min();
            let Some(wake) = wake.filter(|wake| *wake <= then) else { break };
            self.advance(wake.max(self.now));
        }
        self.now = then;
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        let mut events = self.world.events();
        events.extend(self.world.advance(now));
        self.naive.advance(now);
        assert_eq!(short(&events), short(&self.naive.events), "step {}", self.step);
        assert_eq!(events, self.naive.events, "step {}", self.step);
        self.naive.events.clear();
        let judge = &self.world.judge;
        let next = [judge.next_look(), judge.next_deadline()].into_iter().flatten().min();
        let exact = [self.naive.next_look(), self.naive.next_deadline()].into_iter().flatten();
        assert!(next.is_none_or(|next| next > now), "it would wake up too early");
        assert!(exact.min().is_none_or(|exact| next.unwrap() <= exact), "or too late");
    }

    fn act(&mut self) {
        if self.processes.len() < 4 {
            return self.attach();
        }
        let at = self.dice.index(self.processes.len());
        match self.dice.below(200) {
            0..30 => self.beat(at),
            30..110 => self.call(at),
            110..120 => self.end(at),
            120..140 => self.violate(at),
            140..155 => {
                let page = self.processes[at].page;
                self.world.judge.look(self.now, page, &mut self.world.environment);
                self.naive.look(self.now, at);
            }
            155..185 => self.advance(self.now),
            185..189 => self.pause(),
            189..191 => self.exit(at),
            191..193 => self.detach(at),
            193..196 => self.set_threshold(at),
            _ => self.toggle_thread(),
        }
    }

    fn attach(&mut self) {
        self.next_pid += 1;
        self.processes.push(self.world.process(self.now, self.next_pid));
        self.naive.attach(self.now, self.next_pid);
    }

    fn truth(&mut self, at: usize) -> &mut Truth {
        &mut self.naive.truths[at]
    }

    fn beat(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.beat(&self.world, self.now);
        let (nonce, now) = (process.nonce, self.now);
        self.truth(at).beat = Some((nonce, now, nonce));
        self.beats += 1;
    }

    fn call(&mut self, at: usize) {
        let pair = 1 + u32::try_from(self.dice.below(4)).unwrap();
        let known = self.truth(at).pairs.get(&pair).copied();
        match known.filter(|known| known.ended.is_none()) {
            Some(known) => self.renew(at, pair, known),
            None => self.declare(at, pair, known),
        }
    }

    fn declare(&mut self, at: usize, pair: u32, before: Option<Pair>) {
        let never = self.dice.one_in(4);
        let threshold = 1 + self.dice.below(2 * self.naive.threshold);
        let mut cold =
            cold(["a", "b"][self.dice.index(2)], if never { NEVER } else { threshold });
        cold.finest_ns = 1 + self.dice.below(threshold);
        cold.thread = u32::try_from(self.dice.below(4)).unwrap();
        let process = &mut self.processes[at];
        let number = process.declare_as(&self.world, pair, &cold, self.now);
        let line = Line {
            sequence: before.map_or(0, |before| before.line.sequence) + 1,
            at: self.now,
            until: (!never).then_some(self.now + threshold),
            which: Some(Promise::Beat),
            broken: [false; 5],
            idle: false,
            checkpoint: 0,
            payload: 0,
        };
        let declared = Pair {
            number,
            ended: None,
            before: before.and_then(|before| before.ended),
            name: cold.name,
            threshold: (!never).then_some(threshold),
            finest: if never { cold.finest_ns } else { cold.finest_ns.min(threshold) },
            thread: cold.thread,
            violations: 0,
            last: None,
            line,
        };
        self.truth(at).pairs.insert(pair, declared);
        self.declared += 1;
    }

    fn renew(&mut self, at: usize, pair: u32, known: Pair) {
        let dice = &mut self.dice;
        let which = [None, Some(Promise::Beat), Some(Promise::Span), Some(Promise::Progress)]
            .into_iter()
            .chain([Some(Promise::Checkpoint), Some(Promise::Span)]);
        let which = which.collect::<Vec<_>>()[dice.index(6)];
        let until = (!dice.one_in(6)).then(|| self.now + dice.below(self.naive.threshold));
        let mut broken = known.line.broken;
        for place in &mut broken[2..] {
            *place = if *place { !dice.one_in(3) } else { dice.one_in(8) };
        }
        let line = Line {
            sequence: known.line.sequence + 1,
            at: self.now,
            until,
            which,
            broken,
            idle: dice.one_in(5),
            checkpoint: u16::try_from(dice.below(5)).unwrap(),
            payload: u32::try_from(dice.below(3)).unwrap(),
        };
        let set =
            |set: u8, place: u8| set | u8::from(broken[usize::from(place)]) << (place - 1);
        let info = Info {
            which,
            idle: line.idle,
            broken: (1..5).fold(0, set),
            checkpoint: line.checkpoint,
            payload: line.payload,
            ..plain()
        };
        let until = until.unwrap_or(NEVER);
        self.processes[at].call_as(&self.world, pair, self.now, until, info);
        self.truth(at).pairs.insert(pair, Pair { line, ..known });
        self.calls += 1;
    }

    fn live_pair(&mut self, at: usize) -> Option<u32> {
        let pair = 1 + u32::try_from(self.dice.below(4)).unwrap();
        let known = self.truth(at).pairs.get(&pair)?;
        known.ended.is_none().then_some(pair)
    }

    fn end(&mut self, at: usize) {
        let Some(pair) = self.live_pair(at) else { return };
        let failed = self.dice.one_in(2);
        let (state, how) = match failed {
            true => (State::Failed, Ending::Failed),
            false => (State::Closed, Ending::Closed),
        };
        self.processes[at].end(&self.world, pair, state);
        self.truth(at).pairs.get_mut(&pair).unwrap().ended = Some(how);
    }

    fn violate(&mut self, at: usize) {
        let Some(pair) = self.live_pair(at) else { return };
        let (rule, by) = (Rule::ALL[self.dice.index(5)], self.dice.below(100));
        let violation = Violation { rule, from: 0, to: 0, by };
        self.processes[at].violate(&self.world, pair, violation);
        let known = self.truth(at).pairs.get_mut(&pair).unwrap();
        known.violations += 1;
        known.last = Some((rule, by));
        self.violations += 1;
    }

    fn pause(&mut self) {
        let amount = 1 + self.dice.below(self.naive.threshold);
        self.world.judge.pause(self.now, amount);
        self.naive.pause(self.now, amount);
        let what = What::Paused { ns: amount };
        self.naive.events.push(varta_observer::Event {
            observer_ns: self.now,
            what,
            ..varta_observer::Event::NOTHING
        });
    }

    fn exit(&mut self, at: usize) {
        let process = self.processes.remove(at);
        let pid = self.truth(at).pid;
        let mut events = self.world.look(self.now, process.page);
        if let Some(slot) = self.world.judge.find_pid(pid) {
            let environment = &mut self.world.environment;
            self.world.judge.exited(self.now, slot, ExitCause::Code(3), environment);
        }
        // A process that is not listed has its page still.
        events.extend(self.world.events());
        events.extend(self.world.detach(self.now, &process));
        self.naive.exit(self.now, at);
        assert_eq!(events, std::mem::take(&mut self.naive.events), "step {}", self.step);
    }

    fn detach(&mut self, at: usize) {
        let process = self.processes.remove(at);
        let pid = self.truth(at).pid;
        let mut events = self.world.detach(self.now, &process);
        if let Some(slot) = self.world.judge.find_pid(pid) {
            let environment = &mut self.world.environment;
            self.world.judge.exited(self.now, slot, ExitCause::Code(3), environment);
            events.extend(self.world.events());
        }
        self.naive.detach(self.now, at);
        assert_eq!(events, std::mem::take(&mut self.naive.events), "step {}", self.step);
    }

    fn set_threshold(&mut self, at: usize) {
        let threshold = 1 + self.dice.below(2 * self.naive.threshold);
        self.advance(self.now);
        if let Some(agent) = self.naive.set_threshold(at, threshold) {
            assert!(self.world.judge.set_threshold(agent, threshold));
        }
    }

    fn toggle_thread(&mut self) {
        let thread = 1 + u32::try_from(self.dice.below(4)).unwrap();
        if !self.world.environment.gone_threads.remove(&thread) {
            self.world.environment.gone_threads.insert(thread);
        }
        self.naive.gone_threads = self.world.environment.gone_threads.iter().copied().collect();
    }

    fn compare(&mut self, seed: u64) {
        let events = self.world.events();
        let expected = std::mem::take(&mut self.naive.events);
        assert_eq!(short(&events), short(&expected), "seed {seed}, step {}", self.step);
        assert_eq!(events, expected, "seed {seed}, step {}", self.step);
        if self.step % 100 == 0 {
            for at in 0..self.processes.len() {
                let Some((agent, tasks, late)) = self.naive.agent(at) else { continue };
                let slot = self.world.slot(agent);
                let info = self.world.judge.agent(slot, self.now).unwrap();
                assert_eq!((info.tasks, info.tasks_late), (tasks, late), "seed {seed}");
            }
        }
    }

    /// Nothing that was written is lost, except with tasks that ended between two looks.
    fn finish(mut self, seed: u64) -> Counters {
        while !self.processes.is_empty() {
            self.exit(0);
        }
        assert_eq!(self.world.judge.due_page(u64::MAX), None);
        let counters = *self.world.judge.counters();
        assert_eq!(counters.lane_beats, self.beats, "seed {seed}");
        assert!(counters.task_beats <= self.calls + self.declared, "seed {seed}");
        assert!(counters.violations <= self.violations, "seed {seed}");
        assert!(counters.task_beats > self.calls / 2, "{counters:?}");
        assert_eq!((self.world.judge.followed(), self.world.judge.next_look()), (0, None));
        assert_eq!(self.world.judge.next_deadline(), None);
        assert_eq!(self.world.environment.pages.len(), 0);
        counters
    }
}

impl Dice {
    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

#[test]
fn the_judge_agrees_with_the_naive_model_of_lines() {
    let all: Vec<_> = (0..12).map(|seed| Trace::run(seed, 3_000)).collect();
    let total = |of: fn(&Counters) -> u64| all.iter().map(of).sum::<u64>();
    // Traces in which little happens would test little.
    assert!(total(|counters| counters.stalls) > 200);
    assert!(total(|counters| counters.recoveries) > 100);
    assert!(total(|counters| counters.task_stalls) > 2_000);
    assert!(total(|counters| counters.task_recoveries) > 500);
    assert!(total(|counters| counters.tasks_ended) > 1_000);
    assert!(total(|counters| counters.violations) > 1_000);
}
