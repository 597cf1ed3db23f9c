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
mod causes;
mod plan;
mod room;
mod rules;
mod share;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use varta_observer::{CauseClass, ExitCause, Task};

use self::budget::Budget;
use self::causes::Delay;
use self::plan::AT_EXIT;
pub(crate) use self::rules::Rules;
use self::share::{Share, Start, Starts, Turns};
use super::report::{Cause, Ending, LateTask, Reason, Subject};
use crate::flags::Trigger;

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
    /// When the stall was reported.
    begun_at: u64,
    /// The first start waits until this time, because the last run was too recent, or something
    /// held the process.
    not_before: u64,
    /// Something outside held the process when its command was about to start.
    was_held: bool,
}

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

    /// An agent's process has exited.
    pub(crate) fn exited(&mut self, now: u64, subject: Subject) {
        self.refused_stalls.remove(&subject.agent);
        let crashed = subject.cause != Cause::Exit(ExitCause::Code(0))
            && self.rules.on(&subject).contains(Trigger::Crash);
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

    /// The command that was ordered last was not started and never will be.
    pub(crate) fn not_started(&mut self, subject: Subject, reason: Reason) {
        self.budget.take_back(subject.agent);
        self.remove(subject.agent);
        self.orders.push_back(Order::Refused { subject, reason });
    }

    fn begin(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        self.begin_after(now, now, subject, pidfd);
    }

    /// Begins a run whose first command does not start before a time.
    fn begin_after(
        &mut self,
        not_before: u64,
        now: u64,
        subject: Subject,
        pidfd: Option<OwnedFd>,
    ) {
        if let Err(reason) = self.try_begin(not_before, now, subject, pidfd) {
            self.orders.push_back(Order::Refused { subject, reason });
        }
    }

    fn try_begin(
        &mut self,
        not_before: u64,
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
        if let Some(until) = debounced.filter(|until| *until > now) {
            self.orders.push_back(Order::Debounced { subject, wait_ns: until - now });
        }
        let mut run = Run {
            subject,
            share,
            pidfd,
            attempts: 0,
            stage: Stage::Due(now),
            exited: cause != Cause::Stall,
            begun_at: now,
            not_before: not_before.max(debounced.unwrap_or(0)),
            was_held: false,
        };
        let at = self.rules.first_start(&run);
        run.stage = Stage::Due(at);
        if self.begun.len() >= self.rules.capacity {
            let window = self.rules.debounce_ns;
            self.begun.retain(|_, begun| begun.saturating_add(window) > now);
        }
        self.begun.insert(pid, at);
        self.runs.insert(agent, run);
        self.plan(agent);
        Ok(())
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
}

#[cfg(test)]
mod tests;
