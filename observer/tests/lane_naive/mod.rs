//! A naive model of how lines are judged: lists that are scanned for each decision. It was
//! written independently of the code under test, and it reads the state of the simulated
//! processes instead of their lines.

use std::collections::HashMap;

use varta::{Promise, Rule, Status, TaskName};
use varta_observer::{About, Ending, Event, ExitCause, Late, Origin, Task as TaskOf, What};

/// What a call of a task leaves in its line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) sequence: u64,
    pub(crate) at: u64,
    pub(crate) until: Option<u64>,
    pub(crate) which: Option<Promise>,
    pub(crate) broken: [bool; 5],
    pub(crate) idle: bool,
    pub(crate) checkpoint: u16,
    pub(crate) payload: u32,
}

/// The pair of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) number: u32,
    /// How the task ended, if it did.
    pub(crate) ended: Option<Ending>,
    /// How the one before ended.
    pub(crate) before: Option<Ending>,
    pub(crate) name: TaskName,
    pub(crate) threshold: Option<u64>,
    pub(crate) finest: u64,
    pub(crate) thread: u32,
    pub(crate) violations: u32,
    pub(crate) last: Option<(Rule, u64)>,
    pub(crate) line: Line,
}

/// A process as it is.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) pid: u32,
    /// The sequence, time and nonce of its last beat.
    pub(crate) beat: Option<(u64, u64, u64)>,
    pub(crate) pairs: HashMap<u32, Pair>,
}

struct Task {
    number: u32,
    own: u32,
    name: TaskName,
    finest: u64,
    threshold: Option<u64>,
    slack: u64,
    line: Line,
    due: HashMap<u8, u64>,
    stalled: Vec<u8>,
    pardon: Option<u64>,
    violations: u32,
    place: u16,
    label: u16,
    thread: u32,
    /// Whether it has a timer.
    timed: bool,
}

pub(crate) struct Follower {
    /// The number of the agent, once it is listed.
    agent: Option<u64>,
    nonce: u64,
    sequence: u64,
    beaten: bool,
    last: u64,
    stalled: bool,
    pardon: Option<u64>,
    timed: bool,
    threshold: Option<u64>,
    next_task: u32,
    tasks: Vec<(u32, Task)>,
    sequences: HashMap<u32, u64>,
    gone: HashMap<u32, u32>,
    period: u64,
    next_look: u64,
    /// The order in which pages got their period.
    order: u64,
}

pub(crate) struct Naive {
    pub(crate) threshold: u64,
    pub(crate) floor: u64,
    pub(crate) slack: HashMap<&'static str, u64>,
    pub(crate) truths: Vec<Truth>,
    pub(crate) followers: Vec<Follower>,
    pub(crate) gone_threads: Vec<u32>,
    pauses: Vec<(u64, u64)>,
    /// When the pages of each period are looked at next.
    sweeps: HashMap<u64, u64>,
    next_agent: u64,
    order: u64,
    now: u64,
    pub(crate) events: Vec<Event>,
}

const PERIODS: [u64; 10] = [1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 6000, 8000];

impl Naive {
    pub(crate) fn new(threshold: u64, floor: u64) -> Self {
        Self {
            threshold,
            floor,
            slack: HashMap::new(),
            truths: Vec::new(),
            followers: Vec::new(),
            gone_threads: Vec::new(),
            pauses: Vec::new(),
            sweeps: HashMap::new(),
            next_agent: 1,
            order: 0,
            now: 0,
            events: Vec::new(),
        }
    }

    pub(crate) fn attach(&mut self, now: u64, pid: u32) {
        self.truths.push(Truth { pid, ..Truth::default() });
        self.followers.push(Follower {
            agent: None,
            nonce: 0,
            sequence: 0,
            beaten: false,
            last: 0,
            stalled: false,
            pardon: None,
            timed: false,
            threshold: None,
            next_task: 1,
            tasks: Vec::new(),
            sequences: HashMap::new(),
            gone: HashMap::new(),
            period: 0,
            next_look: 0,
            order: 0,
        });
        let at = self.followers.len() - 1;
        self.look(now, at);
    }

    fn emit(&mut self, at: usize, task: Option<(u32, TaskName)>, what: What) {
        let (pid, agent) = (self.truths[at].pid, self.followers[at].agent.unwrap());
        let origin = Origin::KernelAttested;
        let about = Some(About { agent, pid, claimed_pid: pid, origin });
        let task = task.map(|(number, name)| TaskOf { number, name, done: 0 });
        self.events.push(Event { observer_ns: self.now, about, task, what });
    }

    fn list(&mut self, at: usize) {
        if self.followers[at].agent.is_none() {
            self.followers[at].agent = Some(self.next_agent);
            self.next_agent += 1;
        }
    }

    pub(crate) fn look(&mut self, now: u64, at: usize) {
        self.now = now;
        self.read_process(at);
        let mut pairs: Vec<u32> = self.truths[at].pairs.keys().copied().collect();
        pairs.sort_unstable();
        for pair in pairs {
            self.read_task(at, pair);
        }
        self.unlist(at);
        self.choose_period(at);
        let follower = &mut self.followers[at];
        follower.next_look = (now / follower.period + 1) * follower.period;
        self.set_timers(at);
    }

    fn choose_period(&mut self, at: usize) {
        let finest = self.followers[at].tasks.iter().map(|(_, task)| task.finest);
        let half = finest.chain([self.threshold_of(at)]).min().unwrap() / 2;
        let mut period = self.floor;
        let mut decade = 1;
        while decade < 1 << 40 {
            for digits in PERIODS {
                let longer = digits * decade / 1000;
                if digits * decade % 1000 == 0 && longer <= half && longer > period {
                    period = longer;
                }
            }
            decade *= 10;
        }
        if self.followers[at].period != period {
            self.order += 1;
            let next = (self.now / period + 1) * period;
            if self.followers.iter().all(|other| other.period != period) {
                self.sweeps.insert(period, next);
            }
            let follower = &mut self.followers[at];
            (follower.period, follower.order) = (period, self.order);
            follower.next_look = next;
        }
    }

    fn threshold_of(&self, at: usize) -> u64 {
        self.followers[at].threshold.unwrap_or(self.threshold)
    }

    pub(crate) fn set_threshold(&mut self, at: usize, threshold: u64) -> Option<u64> {
        let agent = self.followers[at].agent?;
        self.followers[at].threshold = Some(threshold);
        self.choose_period(at);
        self.set_timers(at);
        Some(agent)
    }

    fn set_timers(&mut self, at: usize) {
        if self.followers[at].agent.is_none() {
            return;
        }
        let next = self.followers[at].next_look;
        self.followers[at].timed = self.process_due(at).is_some_and(|due| due < next);
        for index in 0..self.followers[at].tasks.len() {
            let task = &mut self.followers[at].tasks[index].1;
            task.timed = task.next().is_some_and(|due| due < next);
        }
    }

    fn process_due(&self, at: usize) -> Option<u64> {
        let follower = &self.followers[at];
        (follower.beaten && !follower.stalled)
            .then(|| follower.last + self.threshold_of(at) + follower.pardon.unwrap_or(0))
    }

    fn read_process(&mut self, at: usize) {
        let Some((sequence, when, nonce)) = self.truths[at].beat else { return };
        if self.followers[at].sequence == sequence {
            return;
        }
        self.list(at);
        let follower = &mut self.followers[at];
        let count = u32::try_from(nonce - follower.nonce).unwrap();
        (follower.sequence, follower.nonce) = (sequence, nonce);
        let silent = (follower.stalled && when > follower.last).then(|| when - follower.last);
        if when > follower.last || !follower.beaten {
            (follower.last, follower.pardon, follower.stalled) = (when, None, false);
        }
        follower.beaten = true;
        if let Some(silent_ns) = silent {
            self.emit(at, None, What::Recovered { silent_ns, promise: Promise::Beat });
        }
        let (status, payload) = (Status::Ok, 0);
        self.emit(at, None, What::Beat { status, payload, nonce, missed: 0, count });
    }

    fn read_task(&mut self, at: usize, pair: u32) {
        let Some(truth) = self.truths[at].pairs.get(&pair).copied() else { return };
        let seen = self.followers[at].sequences.get(&pair).copied().unwrap_or(0);
        let known = self.followers[at].tasks.iter().position(|(known, _)| *known == pair);
        if let Some(known) = known {
            if self.followers[at].tasks[known].1.own != truth.number {
                self.end(at, known, truth.before.unwrap());
            } else {
                self.renew(at, known, &truth, seen);
                if let Some(how) = truth.ended {
                    self.end(at, known, how);
                }
                return;
            }
        }
        let revived = self.followers[at].gone.get(&pair) == Some(&truth.number);
        if truth.ended.is_some() || revived && seen == truth.line.sequence {
            return;
        }
        self.list(at);
        let slack = self.slack.get(truth.name.as_str()).copied().unwrap_or(0);
        let follower = &mut self.followers[at];
        let number = follower.next_task;
        follower.next_task += 1;
        let mut task = Task {
            number,
            own: truth.number,
            name: truth.name,
            finest: truth.finest,
            threshold: truth.threshold,
            slack,
            line: truth.line,
            due: HashMap::new(),
            stalled: Vec::new(),
            pardon: None,
            violations: if revived { truth.violations } else { 0 },
            place: 0,
            label: 0,
            thread: truth.thread,
            timed: false,
        };
        task.take(truth.line);
        follower.sequences.insert(pair, truth.line.sequence);
        follower.tasks.push((pair, task));
        follower.tasks.sort_by_key(|(pair, _)| *pair);
        let name = Some((number, truth.name));
        let threshold_ns = truth.threshold.unwrap_or(u64::MAX);
        self.emit(at, name, What::Task { threshold_ns });
        let calls = truth.line.sequence - seen - u64::from(!revived);
        self.report_calls(at, name, &truth.line, calls);
        let known = self.followers[at].tasks.iter().position(|(known, _)| *known == pair);
        self.report_violations(at, known.unwrap(), &truth);
    }

    fn renew(&mut self, at: usize, known: usize, truth: &Pair, seen: u64) {
        let (pair, task) = &mut self.followers[at].tasks[known];
        let (pair, name) = (*pair, Some((task.number, task.name)));
        if truth.line.sequence != seen {
            let dues = task.due.clone();
            task.thread = truth.thread;
            let kept =
                |promise: &u8| *promise == 1 || !truth.line.broken[usize::from(*promise)];
            let mut recovered: Vec<_> = task.stalled.iter().copied().filter(kept).collect();
            recovered.sort_unstable();
            task.stalled.retain(|promise| !kept(promise));
            task.take(truth.line);
            self.followers[at].sequences.insert(pair, truth.line.sequence);
            for promise in recovered {
                let silent_ns = truth.line.at - dues[&promise];
                let promise = Promise::from_byte(promise).unwrap();
                self.emit(at, name, What::Recovered { silent_ns, promise });
            }
            self.report_calls(at, name, &truth.line, truth.line.sequence - seen);
        }
        self.report_violations(at, known, truth);
    }

    fn report_calls(
        &mut self,
        at: usize,
        name: Option<(u32, TaskName)>,
        line: &Line,
        calls: u64,
    ) {
        if calls > 0 {
            let (status, payload) = (Status::Ok, line.payload.into());
            let count = u32::try_from(calls).unwrap();
            self.emit(at, name, What::Beat { status, payload, nonce: 0, missed: 0, count });
        }
    }

    fn report_violations(&mut self, at: usize, known: usize, truth: &Pair) {
        let task = &mut self.followers[at].tasks[known].1;
        let count = truth.violations - task.violations;
        task.violations = truth.violations;
        if let Some((rule, by)) = truth.last.filter(|_| count > 0) {
            let name = Some((task.number, task.name));
            self.emit(at, name, What::Violation { rule, count, from: 0, to: 0, by });
        }
    }

    fn end(&mut self, at: usize, known: usize, how: Ending) {
        let (pair, task) = self.followers[at].tasks.remove(known);
        if how == Ending::ThreadGone {
            self.followers[at].gone.insert(pair, task.own);
        }
        self.emit(at, Some((task.number, task.name)), What::Ended { how });
    }

    fn unlist(&mut self, at: usize) {
        let follower = &mut self.followers[at];
        if !follower.beaten && follower.tasks.is_empty() {
            (follower.agent, follower.threshold, follower.next_task) = (None, None, 1);
        }
    }

    pub(crate) fn pause(&mut self, now: u64, amount: u64) {
        self.now = now;
        self.pauses.push((now, amount));
    }

    /// The longest part of a pause in the silence since then.
    fn pardon(&self, last: u64) -> Option<u64> {
        let within = self.pauses.iter().filter(|(ended, _)| *ended > last);
        within.map(|(ended, amount)| (*amount).min(ended - last)).max()
    }

    /// The pages that are due are looked at, and then all verdicts are found.
    pub(crate) fn advance(&mut self, now: u64) {
        self.now = now;
        let mut due: Vec<usize> = (0..self.followers.len()).collect();
        due.retain(|at| self.followers[*at].next_look <= now);
        // Those with one period are looked at together.
        due.sort_by_key(|at| {
            let follower = &self.followers[*at];
            (self.sweeps[&follower.period], follower.period, follower.order)
        });
        for (period, next) in &mut self.sweeps {
            if *next <= now {
                *next = (now / period + 1) * period;
            }
        }
        for at in due {
            self.look(now, at);
        }
        while self.judge(now) {}
    }

    fn judge(&mut self, now: u64) -> bool {
        // Due lines, of which the first one is due first, or was heard first.
        let mut lines: Vec<(u64, u64, u64, u32, usize)> = Vec::new();
        for (at, follower) in self.followers.iter().enumerate() {
            let Some(agent) = follower.agent else { continue };
            if let Some(due) = self.process_due(at).filter(|_| follower.timed) {
                lines.push((due, follower.last, agent, 0, at));
            }
            for (pair, task) in &follower.tasks {
                if let Some(due) = task.next().filter(|_| task.timed) {
                    lines.push((due, task.line.at, agent, *pair, at));
                }
            }
        }
        let Some((_, last, _, pair, at)) = lines.into_iter().filter(|line| line.0 <= now).min()
        else {
            return false;
        };
        let pardon = self.pardon(last);
        if pair == 0 {
            if let (None, Some(_)) = (self.followers[at].pardon, pardon) {
                self.followers[at].pardon = pardon;
                return true;
            }
            let before = self.process_due(at);
            self.read_process(at);
            if self.process_due(at) != before {
                let next = self.followers[at].next_look;
                self.followers[at].timed = self.process_due(at).unwrap() < next;
                return true;
            }
            let follower = &mut self.followers[at];
            follower.stalled = true;
            let (last_nonce, last_ns) = (follower.nonce, follower.last);
            self.emit(
                at,
                None,
                What::Stall { last_nonce, last_ns, deaf: false, late: None, why: None },
            );
            return true;
        }
        let index = |naive: &Self| {
            naive.followers[at].tasks.iter().position(|(known, _)| *known == pair)
        };
        let known = index(self).unwrap();
        let task = &mut self.followers[at].tasks[known].1;
        if let (None, Some(_)) = (task.pardon, pardon) {
            task.pardon = pardon;
            return true;
        }
        let (own, before) = (task.own, task.next());
        self.read_task(at, pair);
        if let Some(known) = index(self) {
            let task = &self.followers[at].tasks[known].1;
            if (task.own, task.next()) == (own, before) {
                self.verdict(at, known, now);
            }
        }
        self.unlist(at);
        self.choose_period(at);
        self.set_timers(at);
        true
    }

    fn verdict(&mut self, at: usize, known: usize, now: u64) {
        let task = &mut self.followers[at].tasks[known].1;
        let Some((promise, due)) = task.overdue(now) else { return };
        let found = task.line.broken[usize::from(promise)];
        let name = Some((task.number, task.name));
        let last_ns = task.line.at;
        let checkpoint = if promise == 2 { task.label } else { task.place };
        if !found && self.gone_threads.contains(&task.thread) {
            return self.end(at, known, Ending::ThreadGone);
        }
        task.stalled.push(promise);
        let promise = Promise::from_byte(promise).unwrap();
        let late = Some(Late { promise, due_ns: due, checkpoint });
        self.emit(
            at,
            name,
            What::Stall { last_nonce: 0, last_ns, deaf: false, late, why: None },
        );
    }

    pub(crate) fn exit(&mut self, now: u64, at: usize) -> Option<u64> {
        self.look(now, at);
        let agent = self.followers[at].agent;
        if agent.is_some() {
            self.emit_exit(at);
        }
        self.remove(at);
        agent
    }

    fn emit_exit(&mut self, at: usize) {
        let (cause, last_status) = (ExitCause::Code(3), Status::Ok);
        self.emit(at, None, What::Exit { cause, last_status });
    }

    pub(crate) fn detach(&mut self, now: u64, at: usize) {
        self.look(now, at);
        while !self.followers[at].tasks.is_empty() {
            self.end(at, 0, Ending::Detached);
        }
        self.unlist(at);
        if self.followers[at].agent.is_some() {
            self.emit_exit(at);
        }
        self.remove(at);
    }

    fn remove(&mut self, at: usize) {
        self.followers.remove(at);
        self.truths.remove(at);
    }

    /// When the next line with a timer is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let processes = (0..self.followers.len()).filter(|at| self.followers[*at].timed);
        let tasks = self.followers.iter().flat_map(|follower| &follower.tasks);
        let tasks = tasks.filter(|(_, task)| task.timed).filter_map(|(_, task)| task.next());
        processes.filter_map(|at| self.process_due(at)).chain(tasks).min()
    }

    pub(crate) fn next_look(&self) -> Option<u64> {
        self.followers.iter().map(|follower| follower.next_look).min()
    }

    pub(crate) fn agent(&self, at: usize) -> Option<(u64, u32, u32)> {
        let follower = &self.followers[at];
        let count = |count: usize| u32::try_from(count).unwrap();
        let late = follower.tasks.iter().filter(|(_, task)| !task.stalled.is_empty()).count();
        Some((follower.agent?, count(follower.tasks.len()), count(late)))
    }
}

impl Task {
    fn take(&mut self, line: Line) {
        let mut due = HashMap::new();
        for promise in 2..=4_u8 {
            if line.broken[usize::from(promise)] {
                let known = self.due.get(&promise).copied().filter(|due| *due <= line.at);
                due.insert(promise, known.unwrap_or(line.at));
            }
        }
        if let (false, Some(threshold)) = (line.idle, self.threshold) {
            due.insert(1, line.at + threshold);
        }
        if let (Some(which), Some(until)) = (line.which, line.until) {
            if !line.broken[which as usize] {
                due.insert(which as u8, until);
            }
        }
        (self.line, self.due, self.pardon) = (line, due, None);
        if line.which == Some(Promise::Span) {
            self.label = line.checkpoint;
        } else {
            self.place = line.checkpoint;
        }
        if !self.due.contains_key(&2) {
            self.label = 0;
        }
    }

    fn limit(&self, promise: u8, due: u64) -> u64 {
        let found = self.line.broken[usize::from(promise)];
        due + self.slack + if found { 0 } else { self.pardon.unwrap_or(0) }
    }

    fn open(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        let open = self.due.iter().filter(|(promise, _)| !self.stalled.contains(promise));
        open.map(|(promise, due)| (*promise, *due))
    }

    fn next(&self) -> Option<u64> {
        self.open().map(|(promise, due)| self.limit(promise, due)).min()
    }

    fn overdue(&self, now: u64) -> Option<(u8, u64)> {
        let overdue = self.open().filter(|(promise, due)| self.limit(*promise, *due) <= now);
        overdue.min_by_key(|(promise, due)| (*due, *promise))
    }
}
