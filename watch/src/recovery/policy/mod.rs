//! Decides when to run a command, without a clock and without processes.
//!
//! A run belongs to one agent. It begins with a stall or a crash, and ends when the agent beats
//! again or, once its process has exited, when the command succeeds. A failing command is
//! retried a limited number of times, after a wait that doubles each time. A start waits until
//! it is due, until the previous command has exited, and for the budget that all agents share.
//!
//! The cause of a stall decides too. For a process that something outside holds, such as a
//! debugger, a frozen control group or the load of others, no command is started until that ends.
//! For one that waits in the kernel, it starts after three thresholds and is not retried before
//! the process has exited.
//!
//! A run may also begin with the stall of a task, and then it ends when that task keeps its
//! promise again. While an agent has a run, further late tasks start none; a stall of the whole
//! process is more serious, and replaces a run for a task.
//!
//! Budget and capacity are shared by uid, and within a uid by program. A stall that is refused
//! for lack of capacity is checked again when there is some.

mod budget;
mod share;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use varta_observer::{CauseClass, ExitCause, Origin, Task};

use self::budget::Budget;
use self::share::{Share, Start, Starts, Turns};
use super::report::{Cause, Ending, LateTask, Reason, Subject};
use crate::flags::{Trigger, Triggers};

/// The rules. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Minimum time between two runs for one pid.
    pub(crate) debounce_ns: u64,
    /// Maximum number of tries in one run.
    pub(crate) tries: u32,
    /// Wait before the second try.
    pub(crate) backoff_ns: u64,
    /// Maximum wait between two tries.
    pub(crate) backoff_max_ns: u64,
    /// Maximum number of starts in a window, and of commands at once.
    pub(crate) budget: usize,
    pub(crate) window_ns: u64,
    /// Maximum time that a start after an exit may wait for the budget.
    pub(crate) exit_wait_ns: u64,
    /// Maximum number of agents with a run.
    pub(crate) capacity: usize,
    /// Maximum number of runs that hold a pidfd.
    pub(crate) pidfds: usize,
    /// What begins a run.
    pub(crate) on: Triggers,
    pub(crate) for_unconfirmed: bool,
    pub(crate) for_sealed: bool,
    pub(crate) for_plain: bool,
}

/// Something to do or to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start the command. Report the outcome with [`Policy::ended`] or [`Policy::not_started`].
    Start {
        subject: Subject,
        attempt: u32,
    },
    Refused {
        subject: Subject,
        reason: Reason,
    },
    Debounced {
        subject: Subject,
        wait_ns: u64,
    },
    /// This start waits for the budget.
    OverBudget {
        subject: Subject,
    },
    /// The budget is spent. Ordered once, until no start waits for it any more.
    BudgetSpent,
    /// No start waits for the budget any more.
    BudgetFree {
        waited: u64,
    },
    GaveUp {
        subject: Subject,
        tries: u32,
    },
    Ended {
        subject: Subject,
        ending: Ending,
    },
    /// There is capacity again for agents that were refused for lack of it. Pass those that
    /// are still stalled to [`Policy::still_stalled`].
    Recheck {
        agents: Vec<u64>,
    },
}

/// Decides which commands to run, and when.
///
/// - Input: what happens to agents ([`stalled`](Self::stalled), [`exited`](Self::exited),
///   [`recovered`](Self::recovered), [`task_ended`](Self::task_ended),
///   [`still_stalled`](Self::still_stalled)) and to commands
///   ([`ended`](Self::ended), [`not_started`](Self::not_started)).
/// - Time: `now` in nanoseconds, on any clock that never goes back. [`next_due`](Self::next_due)
///   returns when there is something to do without further input.
/// - Output: [`next`](Self::next) returns one [`Order`] at a time. It does no I/O, and owns
///   nothing but the pidfds that it was given.
/// - Order of calls: after any input, and whenever `next_due` has passed, call `next` until it
///   returns None. Each [`Order::Start`] needs one call of `ended` or, before the next call of
///   `next`, of `not_started`.
#[derive(Debug)]
pub(crate) struct Policy {
    rules: Rules,
    runs: HashMap<u64, Run>,
    /// Starts that are not due yet.
    due: BTreeSet<Start>,
    /// Starts that are due and wait for the budget.
    waiting: Starts,
    /// All starts that are in `due` or `waiting`.
    planned: Starts,
    /// Those of `planned` that hold a pidfd.
    holding: Starts,
    /// Those of `planned` whose process has exited.
    exited: BTreeSet<Start>,
    /// Agents whose run will start no more commands.
    settled: BTreeSet<u64>,
    /// Stalled agents that were refused for lack of capacity.
    refused_stalls: BTreeSet<u64>,
    budget: Budget,
    turns: Turns,
    /// When the last run for each pid began.
    begun: HashMap<u32, u64>,
    /// How many starts have waited since the budget was spent. None while it is not spent.
    waited: Option<u64>,
    orders: VecDeque<Order>,
}

#[derive(Debug)]
struct Run {
    subject: Subject,
    share: Share,
    /// The agent's process, as long as a command may need it.
    pidfd: Option<OwnedFd>,
    attempts: u32,
    stage: Stage,
    /// The process has exited.
    exited: bool,
    /// When the stall was reported, and how long the agent had been silent then, which is its
    /// threshold.
    begun_at: u64,
    threshold_ns: u64,
    /// The first start waits until this time, because the last run was too recent.
    not_before: u64,
}

/// A start that waits for the exit of the process.
const AT_EXIT: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A start is due at this time.
    Due(u64),
    Running,
    /// The agent beats again, but the command is still running.
    Recovered,
    /// As before, and then the agent stalled again at this time. A new run begins when the
    /// command has exited.
    StalledAgain(u64),
    /// The command has succeeded, and the agent has not beaten yet.
    Succeeded,
    /// The last try has failed.
    Failed,
}

impl Policy {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            runs: HashMap::new(),
            due: BTreeSet::new(),
            waiting: Starts::default(),
            planned: Starts::default(),
            holding: Starts::default(),
            exited: BTreeSet::new(),
            settled: BTreeSet::new(),
            refused_stalls: BTreeSet::new(),
            budget: Budget::default(),
            turns: Turns::default(),
            begun: HashMap::new(),
            waited: None,
            orders: VecDeque::new(),
        }
    }

    /// Turns recovery off. Running commands continue, but nothing follows them. They still count
    /// for the budget when recovery is turned on again.
    pub(crate) fn suspend(&mut self) {
        let is_running =
            |stage| matches!(stage, Stage::Running | Stage::Recovered | Stage::StalledAgain(_));
        self.runs.retain(|_, run| is_running(run.stage));
        for run in self.runs.values_mut() {
            run.stage = Stage::Recovered;
            run.pidfd = None;
        }
        self.due.clear();
        self.waiting.clear();
        self.planned.clear();
        self.holding.clear();
        self.exited.clear();
        self.settled.clear();
        self.refused_stalls.clear();
        self.orders.clear();
        self.waited = None;
    }

    /// Changes the rules. Running commands continue.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Returns the next thing to do at this time.
    pub(crate) fn next(&mut self, now: u64) -> Option<Order> {
        if self.orders.is_empty() {
            self.decide(now);
        }
        self.orders.pop_front()
    }

    /// Returns when there is something to do without further input.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        // If too many commands are running, the exit of one makes room.
        let room = (!self.waiting.is_empty()).then(|| self.budget.next_room(&self.rules));
        let late = self.exited.first().map(|start| self.rules.too_late(start));
        [due, room.flatten(), late].into_iter().flatten().min()
    }

    /// Returns the process of an agent that has a run, if it can still be signalled.
    pub(crate) fn pidfd(&self, agent: u64) -> Option<BorrowedFd<'_>> {
        Some(self.runs.get(&agent)?.pidfd.as_ref()?.as_fd())
    }

    /// An agent or one of its tasks has stalled.
    pub(crate) fn stalled(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        match self.rules.delay(&subject) {
            Delay::Thresholds(_) => {}
            Delay::Held => return self.hold(subject),
            Delay::NotWanted => return,
        }
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            return self.begin(now, subject, pidfd);
        };
        let replaces = subject.task.is_none() && run.subject.task.is_some() && !run.exited;
        match run.stage {
            Stage::Recovered => {
                run.subject = subject;
                run.pidfd = pidfd;
                run.stage = Stage::StalledAgain(now);
            }
            // It has not recovered since its run began, so that run goes on.
            _ if !replaces => {}
            Stage::Due(_) | Stage::StalledAgain(_) => run.subject = subject,
            Stage::Running => {
                run.subject = subject;
                run.pidfd = pidfd;
                run.stage = Stage::StalledAgain(now);
            }
            Stage::Succeeded | Stage::Failed => {
                self.remove(subject.agent);
                self.begin(now, subject, pidfd);
            }
        }
    }

    /// The cause of a stall has changed, or was found out.
    pub(crate) fn explained(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        let delay = self.rules.delay(&subject);
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            return self.stalled(now, subject, pidfd);
        };
        if run.exited || run.subject.task != subject.task {
            return;
        }
        run.subject.why = subject.why;
        let Stage::Due(at) = run.stage else { return };
        match delay {
            Delay::Thresholds(count) if run.attempts == 0 || at == AT_EXIT => {
                let wait = run.threshold_ns.saturating_mul(count);
                let due = run.begun_at.saturating_add(wait).max(run.not_before).max(now);
                self.plan_at(subject.agent, due);
            }
            Delay::Thresholds(_) => {}
            Delay::Held => self.hold(subject),
            Delay::NotWanted => drop(self.remove(subject.agent)),
        }
    }

    /// Starts nothing for an agent that something outside holds.
    fn hold(&mut self, subject: Subject) {
        // A command that runs for it already continues.
        let is_running = |run: &Run| !matches!(run.stage, Stage::Due(_));
        if !self.runs.get(&subject.agent).is_some_and(is_running) {
            self.remove(subject.agent);
        }
        self.orders.push_back(Order::Refused { subject, reason: Reason::Held });
    }

    /// Just before its command would start, the process was found to be held from outside. It is
    /// looked at again after this time.
    pub(crate) fn put_off(&mut self, now: u64, agent: u64) {
        self.budget.take_back(agent);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        run.attempts = run.attempts.saturating_sub(1);
        let wait = run.threshold_ns.max(self.rules.debounce_ns);
        self.plan_at(agent, now.saturating_add(wait));
    }

    fn plan_at(&mut self, agent: u64, at: u64) {
        self.unplan(agent);
        if let Some(run) = self.runs.get_mut(&agent) {
            run.stage = Stage::Due(at);
        }
        self.plan(agent);
    }

    /// An agent that was refused for lack of capacity is still stalled. A second refusal is not
    /// reported again.
    pub(crate) fn still_stalled(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        if !matches!(self.rules.delay(&subject), Delay::Thresholds(_)) {
            return;
        }
        let agent = subject.agent;
        match self.runs.get(&agent).map(|run| (run.stage, run)) {
            Some((Stage::Due(at), run)) if run.pidfd.is_none() && !run.exited => {
                let share = run.share;
                let pidfd = self.if_room(share, agent, pidfd);
                if let Some(run) = self.runs.get_mut(&agent).filter(|_| pidfd.is_some()) {
                    run.pidfd = pidfd;
                    self.holding.insert(share, (at, agent));
                }
            }
            Some(_) => {}
            None => {
                let _ = self.try_begin(now, subject, pidfd);
            }
        }
    }

    /// An agent's process has exited.
    pub(crate) fn exited(&mut self, now: u64, subject: Subject) {
        self.refused_stalls.remove(&subject.agent);
        let crashed = subject.cause != Cause::Exit(ExitCause::Code(0))
            && self.rules.on.contains(Trigger::Crash);
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            if crashed {
                self.begin(now, subject, None);
            }
            return;
        };
        if run.stage == Stage::Due(AT_EXIT) {
            self.plan_at(subject.agent, now);
        }
        let Some(run) = self.runs.get_mut(&subject.agent) else { return };
        run.exited = true;
        // There is no process left to signal.
        run.pidfd = None;
        if let Stage::Due(at) = run.stage {
            let start = (at, subject.agent);
            self.holding.remove(run.share, start);
            self.exited.insert(start);
        }
        match run.stage {
            Stage::Due(_) if run.attempts == 0 => {
                if crashed {
                    run.subject = subject;
                } else {
                    self.end(subject, Ending::Exited);
                }
            }
            // The command may have ended the process, so this is not a new failure.
            Stage::Due(_) | Stage::Running => run.subject.cause = subject.cause,
            Stage::Recovered | Stage::StalledAgain(_) => run.stage = Stage::Recovered,
            Stage::Succeeded => self.end(subject, Ending::Replaced),
            Stage::Failed => drop(self.remove(subject.agent)),
        }
    }

    /// An agent beats again, or one of its tasks keeps its promise again.
    pub(crate) fn recovered(&mut self, agent: u64, late: Option<LateTask>) {
        if late.is_none() {
            self.refused_stalls.remove(&agent);
        }
        self.is_well(agent, |subject| subject.task == late, Ending::Recovered);
    }

    /// A task has ended, while its process continues.
    pub(crate) fn task_ended(&mut self, agent: u64, task: Task) {
        let is_for = |subject: &Subject| subject.task.is_some_and(|late| late.task == task);
        self.is_well(agent, is_for, Ending::TaskEnded);
    }

    /// Ends the run of an agent, if it is for what does not need it any more.
    fn is_well(&mut self, agent: u64, is_for: impl Fn(&Subject) -> bool, ending: Ending) {
        let run = self.runs.get_mut(&agent).filter(|run| is_for(&run.subject));
        let Some(run) = run else { return };
        let subject = run.subject;
        match run.stage {
            Stage::Running => {
                run.stage = Stage::Recovered;
                run.pidfd = None;
                self.orders.push_back(Order::Ended { subject, ending });
            }
            Stage::Recovered => {}
            Stage::StalledAgain(_) => {
                run.stage = Stage::Recovered;
                run.pidfd = None;
            }
            Stage::Due(_) | Stage::Succeeded | Stage::Failed => self.end(subject, ending),
        }
    }

    /// An agent's command has exited, or could not be started.
    pub(crate) fn ended(&mut self, now: u64, agent: u64, success: bool) {
        self.budget.end(agent);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        let subject = run.subject;
        match run.stage {
            Stage::Running if success && run.exited => self.end(subject, Ending::Replaced),
            Stage::Running if success => self.settle(agent, Stage::Succeeded),
            Stage::Running if run.attempts >= self.rules.tries => {
                let (tries, exited) = (run.attempts, run.exited);
                self.orders.push_back(Order::GaveUp { subject, tries });
                if exited {
                    self.remove(agent);
                } else {
                    self.settle(agent, Stage::Failed);
                }
            }
            Stage::Running if !run.exited && self.rules.delay(&subject) == Delay::Held => {
                self.hold_after_try(subject);
            }
            Stage::Running => {
                let in_kernel = subject.stall_cause().class() == CauseClass::Kernel;
                run.stage = Stage::Due(match in_kernel && !run.exited {
                    true => AT_EXIT,
                    false => now.saturating_add(self.rules.backoff(run.attempts)),
                });
                self.plan(agent);
            }
            Stage::StalledAgain(since) => {
                let pidfd = self.remove(agent).and_then(|run| run.pidfd);
                self.begin(now.max(since), subject, pidfd);
            }
            Stage::Recovered | Stage::Due(_) | Stage::Succeeded | Stage::Failed => {
                self.remove(agent);
            }
        }
    }

    /// The command has failed, and by now something outside holds the process.
    fn hold_after_try(&mut self, subject: Subject) {
        self.remove(subject.agent);
        self.orders.push_back(Order::Refused { subject, reason: Reason::Held });
    }

    /// The command that was ordered last was not started and never will be.
    pub(crate) fn not_started(&mut self, subject: Subject, reason: Reason) {
        self.budget.take_back(subject.agent);
        self.remove(subject.agent);
        self.orders.push_back(Order::Refused { subject, reason });
    }

    fn begin(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        if let Err(reason) = self.try_begin(now, subject, pidfd) {
            self.orders.push_back(Order::Refused { subject, reason });
        }
    }

    fn try_begin(
        &mut self,
        now: u64,
        subject: Subject,
        pidfd: Option<OwnedFd>,
    ) -> Result<(), Reason> {
        self.rules.admit(&subject)?;
        let Subject { agent, cause, .. } = subject;
        let share = Share::of(&subject);
        if !self.make_room(share) {
            if cause == Cause::Stall {
                self.recheck_later(agent);
            }
            return Err(Reason::Capacity);
        }
        let pidfd = self.if_room(share, agent, pidfd);
        let pid = subject.shown_pid();
        let debounced =
            self.begun.get(&pid).map(|at| at.saturating_add(self.rules.debounce_ns));
        let not_before = debounced.unwrap_or(now).max(now);
        if not_before > now {
            self.orders.push_back(Order::Debounced { subject, wait_ns: not_before - now });
        }
        let threshold_ns = subject.silent_ns;
        let wait = match self.rules.delay(&subject) {
            Delay::Thresholds(count) => threshold_ns.saturating_mul(count),
            // An exit.
            Delay::Held | Delay::NotWanted => 0,
        };
        let at = not_before.max(now.saturating_add(wait));
        if self.begun.len() >= self.rules.capacity {
            let window = self.rules.debounce_ns;
            self.begun.retain(|_, begun| begun.saturating_add(window) > now);
        }
        self.begun.insert(pid, at);
        let (stage, exited) = (Stage::Due(at), cause != Cause::Stall);
        let run = Run {
            subject,
            share,
            pidfd,
            attempts: 0,
            stage,
            exited,
            begun_at: now,
            threshold_ns,
            not_before,
        };
        self.runs.insert(agent, run);
        self.plan(agent);
        Ok(())
    }

    /// Makes room for one more run, if necessary at the expense of a share that has more.
    fn make_room(&mut self, share: Share) -> bool {
        if self.runs.len() < self.rules.capacity {
            return true;
        }
        // Ending a settled run is not reported.
        if let Some(settled) = self.settled.pop_first() {
            self.runs.remove(&settled);
            return true;
        }
        self.displace(self.planned.newest_of_larger(share))
    }

    /// Returns the pidfd if there is room to hold it. Otherwise the agent is checked again when
    /// there is.
    fn if_room(&mut self, share: Share, agent: u64, pidfd: Option<OwnedFd>) -> Option<OwnedFd> {
        let pidfd = pidfd?;
        if self.pidfds() < self.rules.pidfds
            || self.displace(self.holding.newest_of_larger(share))
        {
            return Some(pidfd);
        }
        self.recheck_later(agent);
        None
    }

    /// The number of pidfds held, counting one for each running command.
    fn pidfds(&self) -> usize {
        self.holding.len() + self.budget.running()
    }

    /// Ends a run that has not started, to make room for another.
    fn displace(&mut self, start: Option<Start>) -> bool {
        let Some(run) = start.and_then(|(_, agent)| self.remove(agent)) else { return false };
        if !run.exited {
            self.recheck_later(run.subject.agent);
        }
        self.orders
            .push_back(Order::Refused { subject: run.subject, reason: Reason::Capacity });
        true
    }

    fn recheck_later(&mut self, agent: u64) {
        self.refused_stalls.insert(agent);
        if self.refused_stalls.len() > self.rules.capacity {
            self.refused_stalls.pop_first();
        }
    }

    /// Whether enough room is free to check refused agents again: an eighth, so that they are
    /// not all checked after each run that ends.
    fn has_room_to_recheck(&self) -> bool {
        let has_room = |used: usize, most: usize| used + (most / 8).max(1) <= most;
        has_room(self.runs.len() - self.settled.len(), self.rules.capacity)
            && has_room(self.pidfds(), self.rules.pidfds)
    }

    /// Marks a run as one that starts no more commands.
    fn settle(&mut self, agent: u64, stage: Stage) {
        if let Some(run) = self.runs.get_mut(&agent) {
            run.stage = stage;
            run.pidfd = None;
            self.settled.insert(agent);
        }
    }

    fn end(&mut self, subject: Subject, ending: Ending) {
        self.remove(subject.agent);
        self.orders.push_back(Order::Ended { subject, ending });
    }

    fn remove(&mut self, agent: u64) -> Option<Run> {
        self.settled.remove(&agent);
        self.unplan(agent);
        self.runs.remove(&agent)
    }

    /// Orders one thing that is due, or reports that it has to wait for the budget.
    fn decide(&mut self, now: u64) {
        self.budget.forget_old(now, &self.rules);
        if let Some((_, agent)) = self.exited.first().copied()
            && self.exited.first().is_some_and(|start| self.rules.too_late(start) <= now)
        {
            let run = self.remove(agent);
            let reason = Reason::WaitedTooLong;
            self.orders.extend(run.map(|run| Order::Refused { subject: run.subject, reason }));
            return;
        }
        let admits = |uid| self.budget.admits(&self.rules, uid);
        if let Some((_, agent)) = self.waiting.next(&self.turns, admits) {
            return self.start(now, agent);
        }
        match self.due.first().copied().filter(|(at, _)| *at <= now) {
            Some((_, agent))
                if self.runs.get(&agent).is_some_and(|run| admits(run.share.uid)) =>
            {
                self.start(now, agent);
            }
            Some(start) => self.wait_for_budget(start),
            None => self.report_room(),
        }
    }

    /// Reports that there is room again.
    fn report_room(&mut self) {
        if self.waiting.is_empty() {
            let waited = self.waited.take();
            self.orders.extend(waited.map(|waited| Order::BudgetFree { waited }));
        }
        if !self.refused_stalls.is_empty() && self.has_room_to_recheck() {
            let agents = std::mem::take(&mut self.refused_stalls).into_iter().collect();
            self.orders.push_back(Order::Recheck { agents });
        }
    }

    fn start(&mut self, now: u64, agent: u64) {
        self.unplan(agent);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        run.stage = Stage::Running;
        run.attempts += 1;
        self.budget.start(now, agent, run.share.uid);
        self.turns.note(run.share);
        self.orders.push_back(Order::Start { subject: run.subject, attempt: run.attempts });
    }

    fn wait_for_budget(&mut self, start: Start) {
        self.due.remove(&start);
        let Some(run) = self.runs.get(&start.1) else { return };
        self.waiting.insert(run.share, start);
        if self.waited.is_none() {
            self.orders.push_back(Order::BudgetSpent);
        }
        *self.waited.get_or_insert(0) += 1;
        self.orders.push_back(Order::OverBudget { subject: run.subject });
    }

    /// Adds a start at the time in the run's stage.
    fn plan(&mut self, agent: u64) {
        let Some(run) = self.runs.get(&agent) else { return };
        let Stage::Due(at) = run.stage else { return };
        let start = (at, agent);
        self.due.insert(start);
        self.planned.insert(run.share, start);
        if run.pidfd.is_some() {
            self.holding.insert(run.share, start);
        }
        if run.exited {
            self.exited.insert(start);
        }
    }

    /// Removes a start.
    fn unplan(&mut self, agent: u64) {
        let Some(run) = self.runs.get(&agent) else { return };
        let Stage::Due(at) = run.stage else { return };
        let start = (at, agent);
        self.due.remove(&start);
        self.waiting.remove(run.share, start);
        self.planned.remove(run.share, start);
        self.holding.remove(run.share, start);
        self.exited.remove(&start);
    }
}

/// When a command starts for a stall, by its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delay {
    /// After this many more thresholds.
    Thresholds(u64),
    /// Something outside holds the process: not before that ends.
    Held,
    /// Never.
    NotWanted,
}

impl Rules {
    /// When a command starts for this subject, if it has stalled.
    fn delay(&self, subject: &Subject) -> Delay {
        if subject.cause != Cause::Stall {
            return Delay::Thresholds(0);
        }
        let cause = subject.stall_cause();
        let is_wanted = match subject.task {
            Some(_) => self.on.contains(Trigger::LateTask),
            None => self.on.has_stalls(),
        };
        if !is_wanted {
            return Delay::NotWanted;
        }
        // Named explicitly, it is wanted even so.
        if self.on.has(cause) || subject.task.is_some() && !subject.is_held() {
            return Delay::Thresholds(match cause.class() {
                CauseClass::Kernel => 2,
                CauseClass::Unknown if subject.awaits_reading() => 1,
                _ => 0,
            });
        }
        if subject.is_held() { Delay::Held } else { Delay::NotWanted }
    }

    /// Checks whether a command may be run for an agent at all.
    fn admit(&self, subject: &Subject) -> Result<(), Reason> {
        match subject.origin {
            Origin::SecureNetwork if !self.for_sealed => Err(Reason::Unauthenticated),
            Origin::Network if !self.for_plain => Err(Reason::Unauthenticated),
            // To kill(2), pid 0 means the caller's own process group.
            Origin::KernelAttested if subject.pid == 0 => Err(Reason::CrossNamespace),
            Origin::KernelAttested | Origin::SecureNetwork
                if subject.unconfirmed && !self.for_unconfirmed =>
            {
                Err(Reason::Unconfirmed)
            }
            _ if subject.deaf => Err(Reason::Deaf),
            _ => Ok(()),
        }
    }

    /// When a start after an exit has waited too long.
    fn too_late(&self, (at, _): &Start) -> u64 {
        at.saturating_add(self.exit_wait_ns)
    }

    /// The wait after this many tries.
    fn backoff(&self, tries: u32) -> u64 {
        let doubled = 1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
        self.backoff_ns.saturating_mul(doubled).min(self.backoff_max_ns)
    }
}

#[cfg(test)]
mod tests;
