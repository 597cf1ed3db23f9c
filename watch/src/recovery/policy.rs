//! When a command is run: decided in a time that is given, without processes.
//!
//! A run belongs to one agent. It begins with a silence or a crash, and ends when the agent
//! beats again, or, once its process is gone, when the command succeeds. A command that
//! fails is tried again after a wait that doubles, so many times. Starts wait for their
//! time, for the command before them, and for the budget that all agents share.

use std::collections::{BTreeSet, HashMap, VecDeque};

use varta_observer::{ExitCause, Origin};

use super::decision::{Cause, Ending, Reason, Subject};

/// The rules, times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Least time between two runs for one pid.
    pub(crate) debounce_ns: u64,
    /// Tries of one run.
    pub(crate) tries: u32,
    /// Wait before the second try.
    pub(crate) backoff_ns: u64,
    /// Longest wait between two tries.
    pub(crate) backoff_max_ns: u64,
    /// Starts in a window, and commands at once.
    pub(crate) budget: usize,
    pub(crate) window_ns: u64,
    /// Agents that may have a run at once.
    pub(crate) capacity: usize,
    pub(crate) for_unconfirmed: bool,
    pub(crate) for_sealed: bool,
    pub(crate) for_plain: bool,
}

/// What is to be done, or noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start the command; [`Policy::ended`] is to be told how it went.
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
    /// The budget is spent. Said once, until there is room again for all.
    BudgetSpent,
    /// All that waited for the budget have been started or need it no more.
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
}

#[derive(Debug)]
pub(crate) struct Policy {
    rules: Rules,
    runs: HashMap<u64, Run>,
    /// Starts that wait for their time: when, and for which agent.
    due: BTreeSet<(u64, u64)>,
    /// Starts whose time has come, and that wait for the budget.
    waiting: BTreeSet<(u64, u64)>,
    /// The starts of the last window.
    started: VecDeque<u64>,
    running: usize,
    /// When a run was last begun for a pid.
    begun: HashMap<u32, u64>,
    /// How many have waited for the budget since it was spent; None while it is not.
    waited: Option<u64>,
    orders: VecDeque<Order>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    subject: Subject,
    attempts: u32,
    stage: Stage,
    /// The process is gone.
    exited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A start is due at that time.
    Due(u64),
    Running,
    /// The agent beats again, while the command is still running.
    Overtaken,
    /// As before, and then it fell silent again: a new run begins at that time, when the
    /// command is through.
    Again(u64),
    /// The command has succeeded; now it is the agent's turn.
    Succeeded,
    /// Nothing more is tried.
    Failed,
}

impl Policy {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            runs: HashMap::new(),
            due: BTreeSet::new(),
            waiting: BTreeSet::new(),
            started: VecDeque::new(),
            running: 0,
            begun: HashMap::new(),
            waited: None,
            orders: VecDeque::new(),
        }
    }

    /// Recovery is turned off: what runs goes on to its end, and nothing follows it. When it is
    /// turned on again, what has been started still counts.
    pub(crate) fn rest(&mut self) {
        let runs = |stage| matches!(stage, Stage::Running | Stage::Overtaken | Stage::Again(_));
        self.runs.retain(|_, run| runs(run.stage));
        self.runs.values_mut().for_each(|run| run.stage = Stage::Overtaken);
        self.due.clear();
        self.waiting.clear();
        self.orders.clear();
        self.waited = None;
    }

    /// From now on other rules; what runs goes on.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The next thing to be done at this time.
    pub(crate) fn next(&mut self, now: u64) -> Option<Order> {
        if self.orders.is_empty() {
            self.start_due(now);
        }
        self.orders.pop_front()
    }

    /// When there is something to be done though nothing happens.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        // With too many running, room comes when one ends.
        let room = (!self.waiting.is_empty() && self.running < self.rules.budget).then(|| {
            let first =
                self.started.front().filter(|_| self.started.len() >= self.rules.budget);
            first.map_or(0, |at| at.saturating_add(self.rules.window_ns))
        });
        due.into_iter().chain(room).min()
    }

    /// An agent is silent.
    pub(crate) fn stalled(&mut self, now: u64, subject: Subject) {
        match self.runs.get_mut(&subject.agent).map(|run| (run.stage, run)) {
            Some((Stage::Overtaken, run)) => {
                run.subject = subject;
                run.stage = Stage::Again(now);
            }
            // It has not recovered in between, so its run is not over.
            Some(_) => {}
            None => self.begin(now, subject, false),
        }
    }

    /// An agent's process is gone.
    pub(crate) fn exited(&mut self, now: u64, subject: Subject) {
        let crashed = subject.cause != Cause::Exit(ExitCause::Code(0));
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            if crashed {
                self.begin(now, subject, true);
            }
            return;
        };
        run.exited = true;
        match run.stage {
            Stage::Due(at) if run.attempts == 0 => {
                if crashed {
                    run.subject = subject;
                } else {
                    self.unplan(at, subject.agent);
                    self.end(subject, Ending::Exited);
                }
            }
            // The command may have ended the process, so this is no new trouble.
            Stage::Due(_) | Stage::Running => run.subject.cause = subject.cause,
            Stage::Overtaken | Stage::Again(_) => run.stage = Stage::Overtaken,
            Stage::Succeeded => self.end(subject, Ending::Replaced),
            Stage::Failed => {
                self.runs.remove(&subject.agent);
            }
        }
    }

    /// An agent beats again.
    pub(crate) fn recovered(&mut self, agent: u64) {
        let Some(run) = self.runs.get_mut(&agent) else { return };
        let subject = run.subject;
        match run.stage {
            Stage::Running => {
                run.stage = Stage::Overtaken;
                self.orders.push_back(Order::Ended { subject, ending: Ending::Recovered });
            }
            Stage::Overtaken => {}
            Stage::Again(_) => run.stage = Stage::Overtaken,
            Stage::Due(at) => {
                self.unplan(at, agent);
                self.end(subject, Ending::Recovered);
            }
            Stage::Succeeded | Stage::Failed => self.end(subject, Ending::Recovered),
        }
    }

    /// An agent's command has ended, or could not be started.
    pub(crate) fn ended(&mut self, now: u64, agent: u64, success: bool) {
        self.running = self.running.saturating_sub(1);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        let subject = run.subject;
        match run.stage {
            Stage::Running if success && run.exited => self.end(subject, Ending::Replaced),
            Stage::Running if success => run.stage = Stage::Succeeded,
            Stage::Running if run.attempts >= self.rules.tries => {
                run.stage = Stage::Failed;
                let (tries, exited) = (run.attempts, run.exited);
                self.orders.push_back(Order::GaveUp { subject, tries });
                if exited {
                    self.runs.remove(&agent);
                }
            }
            Stage::Running => {
                let at = now.saturating_add(self.rules.backoff(run.attempts));
                run.stage = Stage::Due(at);
                self.due.insert((at, agent));
            }
            Stage::Again(since) => {
                self.runs.remove(&agent);
                self.begin(now.max(since), subject, false);
            }
            Stage::Overtaken | Stage::Due(_) | Stage::Succeeded | Stage::Failed => {
                self.runs.remove(&agent);
            }
        }
    }

    fn begin(&mut self, now: u64, subject: Subject, exited: bool) {
        if let Some(reason) = self.refuses(&subject) {
            self.orders.push_back(Order::Refused { subject, reason });
            return;
        }
        let pid = subject.shown_pid();
        let debounced =
            self.begun.get(&pid).map(|at| at.saturating_add(self.rules.debounce_ns));
        let at = debounced.unwrap_or(now).max(now);
        if at > now {
            self.orders.push_back(Order::Debounced { subject, wait_ns: at - now });
        }
        if self.begun.len() >= self.rules.capacity {
            let window = self.rules.debounce_ns;
            self.begun.retain(|_, begun| begun.saturating_add(window) > now);
        }
        self.begun.insert(pid, at);
        let stage = Stage::Due(at);
        let run = Run { subject, attempts: 0, stage, exited };
        self.runs.insert(subject.agent, run);
        self.due.insert((at, subject.agent));
    }

    fn refuses(&mut self, subject: &Subject) -> Option<Reason> {
        let rules = &self.rules;
        match subject.origin {
            Origin::SecureNetwork if !rules.for_sealed => return Some(Reason::Unauthenticated),
            Origin::Network if !rules.for_plain => return Some(Reason::Unauthenticated),
            // A command for pid 0 would be about whoever runs it.
            Origin::KernelAttested if subject.pid == 0 => return Some(Reason::CrossNamespace),
            Origin::KernelAttested if subject.unconfirmed && !rules.for_unconfirmed => {
                return Some(Reason::Unconfirmed);
            }
            _ => {}
        }
        if self.runs.len() >= rules.capacity {
            // An agent that made room for another ends without a word.
            self.runs.retain(|_, run| !matches!(run.stage, Stage::Succeeded | Stage::Failed));
        }
        (self.runs.len() >= rules.capacity).then_some(Reason::Capacity)
    }

    fn end(&mut self, subject: Subject, ending: Ending) {
        self.runs.remove(&subject.agent);
        self.orders.push_back(Order::Ended { subject, ending });
    }

    /// Orders the first start that is due, or notes that the budget forbids it.
    fn start_due(&mut self, now: u64) {
        while self
            .started
            .front()
            .is_some_and(|at| at.saturating_add(self.rules.window_ns) <= now)
        {
            self.started.pop_front();
        }
        let room = self.started.len() < self.rules.budget && self.running < self.rules.budget;
        let first = match self.waiting.first().filter(|_| room) {
            Some(first) => Some(*first),
            None => self.due.first().copied().filter(|(at, _)| *at <= now),
        };
        match first {
            Some((at, agent)) if room => self.start(now, at, agent),
            Some((at, agent)) => self.wait_for_budget(at, agent),
            None if self.waiting.is_empty() => {
                let waited = self.waited.take();
                self.orders.extend(waited.map(|waited| Order::BudgetFree { waited }));
            }
            None => {}
        }
    }

    fn start(&mut self, now: u64, at: u64, agent: u64) {
        self.unplan(at, agent);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        run.stage = Stage::Running;
        run.attempts += 1;
        self.started.push_back(now);
        self.running += 1;
        self.orders.push_back(Order::Start { subject: run.subject, attempt: run.attempts });
    }

    fn wait_for_budget(&mut self, at: u64, agent: u64) {
        self.unplan(at, agent);
        self.waiting.insert((at, agent));
        if self.waited.is_none() {
            self.orders.push_back(Order::BudgetSpent);
        }
        *self.waited.get_or_insert(0) += 1;
        let run = self.runs.get(&agent);
        self.orders.extend(run.map(|run| Order::OverBudget { subject: run.subject }));
    }

    /// A start is planned no more.
    fn unplan(&mut self, at: u64, agent: u64) {
        if !self.due.remove(&(at, agent)) {
            self.waiting.remove(&(at, agent));
        }
    }
}

impl Rules {
    /// The wait after so many tries.
    fn backoff(&self, tries: u32) -> u64 {
        let doubled = 1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
        self.backoff_ns.saturating_mul(doubled).min(self.backoff_max_ns)
    }
}

#[cfg(test)]
mod tests;
