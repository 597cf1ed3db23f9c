//! When a command is run: decided in a time that is given, without processes.
//!
//! A run belongs to one agent. It begins with a silence or a crash, and ends when the agent
//! beats again, or, once its process is gone, when the command succeeds. A command that
//! fails is tried again after a wait that doubles, so many times. Starts wait for their
//! time, for the command before them, and for the budget that all agents share.
//!
//! Budget and room are shared by uid, and within a uid by program. A stall that found no room
//! is looked at again when there is some.

mod budget;
mod share;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use varta_observer::{ExitCause, Origin};

use self::budget::Budget;
use self::share::{Place, Places, Share, Turns};
use super::report::{Cause, Ending, Reason, Subject};

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
    /// How long a start after an exit may wait for the budget.
    pub(crate) exit_wait_ns: u64,
    /// Agents that may have a run at once.
    pub(crate) capacity: usize,
    /// Runs that may hold a pidfd at once.
    pub(crate) pidfds: usize,
    pub(crate) for_unconfirmed: bool,
    pub(crate) for_sealed: bool,
    pub(crate) for_plain: bool,
}

/// What is to be done, or noted.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// There is room again for agents that were refused for want of it: those that are still
    /// silent are to be passed to [`Policy::looked_at_again`].
    LookAgain {
        agents: Vec<u64>,
    },
}

#[derive(Debug)]
pub(crate) struct Policy {
    rules: Rules,
    runs: HashMap<u64, Run>,
    /// Starts that wait for their time.
    due: BTreeSet<Place>,
    /// Starts whose time has come, and that wait for the budget.
    waiting: Places,
    /// Both of these.
    planned: Places,
    /// Those of them that hold a pidfd.
    holding: Places,
    /// Those of them whose process is gone.
    exited: BTreeSet<Place>,
    /// Agents whose run has nothing more to start.
    settled: BTreeSet<u64>,
    /// Silent agents that there was no room for.
    overlooked: BTreeSet<u64>,
    budget: Budget,
    turns: Turns,
    /// When a run was last begun for a pid.
    begun: HashMap<u32, u64>,
    /// How many have waited for the budget since it was spent; None while it is not.
    waited: Option<u64>,
    orders: VecDeque<Order>,
}

#[derive(Debug)]
struct Run {
    subject: Subject,
    share: Share,
    /// Of the agent's process, as long as a command may have use for it.
    pidfd: Option<OwnedFd>,
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
            waiting: Places::default(),
            planned: Places::default(),
            holding: Places::default(),
            exited: BTreeSet::new(),
            settled: BTreeSet::new(),
            overlooked: BTreeSet::new(),
            budget: Budget::default(),
            turns: Turns::default(),
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
        for run in self.runs.values_mut() {
            run.stage = Stage::Overtaken;
            run.pidfd = None;
        }
        self.due.clear();
        self.waiting.clear();
        self.planned.clear();
        self.holding.clear();
        self.exited.clear();
        self.settled.clear();
        self.overlooked.clear();
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
            self.decide(now);
        }
        self.orders.pop_front()
    }

    /// When there is something to be done though nothing happens.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        // With too many running, room comes when one ends.
        let room = (!self.waiting.is_empty()).then(|| self.budget.next_room(&self.rules));
        let late = self.exited.first().map(|place| self.rules.too_late(place));
        [due, room.flatten(), late].into_iter().flatten().min()
    }

    /// The process of an agent that has a run, if it can still be signalled.
    pub(crate) fn pidfd(&self, agent: u64) -> Option<BorrowedFd<'_>> {
        Some(self.runs.get(&agent)?.pidfd.as_ref()?.as_fd())
    }

    /// An agent is silent.
    pub(crate) fn stalled(&mut self, now: u64, subject: Subject, pidfd: Option<OwnedFd>) {
        match self.runs.get_mut(&subject.agent).map(|run| (run.stage, run)) {
            Some((Stage::Overtaken, run)) => {
                run.subject = subject;
                run.pidfd = pidfd;
                run.stage = Stage::Again(now);
            }
            // It has not recovered in between, so its run is not over.
            Some(_) => {}
            None => self.begin(now, subject, pidfd),
        }
    }

    /// An agent that there was no room for is still silent. That it was refused has been
    /// said.
    pub(crate) fn looked_at_again(
        &mut self,
        now: u64,
        subject: Subject,
        pidfd: Option<OwnedFd>,
    ) {
        let agent = subject.agent;
        match self.runs.get(&agent).map(|run| (run.stage, run)) {
            Some((Stage::Due(at), run)) if run.pidfd.is_none() && !run.exited => {
                let share = run.share;
                let pidfd = self.with_room(share, agent, pidfd);
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

    /// An agent's process is gone.
    pub(crate) fn exited(&mut self, now: u64, subject: Subject) {
        self.overlooked.remove(&subject.agent);
        let crashed = subject.cause != Cause::Exit(ExitCause::Code(0));
        let Some(run) = self.runs.get_mut(&subject.agent) else {
            if crashed {
                self.begin(now, subject, None);
            }
            return;
        };
        run.exited = true;
        // It leads to nobody any more.
        run.pidfd = None;
        if let Stage::Due(at) = run.stage {
            let place = (at, subject.agent);
            self.holding.remove(run.share, place);
            self.exited.insert(place);
        }
        match run.stage {
            Stage::Due(_) if run.attempts == 0 => {
                if crashed {
                    run.subject = subject;
                } else {
                    self.end(subject, Ending::Exited);
                }
            }
            // The command may have ended the process, so this is no new trouble.
            Stage::Due(_) | Stage::Running => run.subject.cause = subject.cause,
            Stage::Overtaken | Stage::Again(_) => run.stage = Stage::Overtaken,
            Stage::Succeeded => self.end(subject, Ending::Replaced),
            Stage::Failed => drop(self.remove(subject.agent)),
        }
    }

    /// An agent beats again.
    pub(crate) fn recovered(&mut self, agent: u64) {
        self.overlooked.remove(&agent);
        let Some(run) = self.runs.get_mut(&agent) else { return };
        let subject = run.subject;
        match run.stage {
            Stage::Running => {
                run.stage = Stage::Overtaken;
                run.pidfd = None;
                self.orders.push_back(Order::Ended { subject, ending: Ending::Recovered });
            }
            Stage::Overtaken => {}
            Stage::Again(_) => {
                run.stage = Stage::Overtaken;
                run.pidfd = None;
            }
            Stage::Due(_) | Stage::Succeeded | Stage::Failed => {
                self.end(subject, Ending::Recovered);
            }
        }
    }

    /// An agent's command has ended, or could not be started.
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
            Stage::Running => {
                run.stage = Stage::Due(now.saturating_add(self.rules.backoff(run.attempts)));
                self.plan(agent);
            }
            Stage::Again(since) => {
                let pidfd = self.remove(agent).and_then(|run| run.pidfd);
                self.begin(now.max(since), subject, pidfd);
            }
            Stage::Overtaken | Stage::Due(_) | Stage::Succeeded | Stage::Failed => {
                self.remove(agent);
            }
        }
    }

    /// The command that was ordered last has not been started and is not to be.
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
                self.overlook(agent);
            }
            return Err(Reason::Capacity);
        }
        let pidfd = self.with_room(share, agent, pidfd);
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
        let (stage, exited) = (Stage::Due(at), cause != Cause::Stall);
        let run = Run { subject, share, pidfd, attempts: 0, stage, exited };
        self.runs.insert(agent, run);
        self.plan(agent);
        Ok(())
    }

    /// Makes room for one more run, if need be at the cost of a share that has more.
    fn make_room(&mut self, share: Share) -> bool {
        if self.runs.len() < self.rules.capacity {
            return true;
        }
        // An agent that made room for another ends without a word.
        if let Some(settled) = self.settled.pop_first() {
            self.runs.remove(&settled);
            return true;
        }
        self.displace(self.planned.newest_of_larger(share))
    }

    /// The pidfd, if there is room to hold it. A run that is without for want of room is looked
    /// at again.
    fn with_room(
        &mut self,
        share: Share,
        agent: u64,
        pidfd: Option<OwnedFd>,
    ) -> Option<OwnedFd> {
        let pidfd = pidfd?;
        if self.pidfds() < self.rules.pidfds
            || self.displace(self.holding.newest_of_larger(share))
        {
            return Some(pidfd);
        }
        self.overlook(agent);
        None
    }

    /// How many pidfds are held, if each run whose command runs holds one.
    fn pidfds(&self) -> usize {
        self.holding.len() + self.budget.running()
    }

    /// Ends a run that has not started in favour of another.
    fn displace(&mut self, place: Option<Place>) -> bool {
        let Some(run) = place.and_then(|(_, agent)| self.remove(agent)) else { return false };
        if !run.exited {
            self.overlook(run.subject.agent);
        }
        self.orders
            .push_back(Order::Refused { subject: run.subject, reason: Reason::Capacity });
        true
    }

    fn overlook(&mut self, agent: u64) {
        self.overlooked.insert(agent);
        if self.overlooked.len() > self.rules.capacity {
            self.overlooked.pop_first();
        }
    }

    /// Whether so much has become free that it is worth looking at overlooked agents: an
    /// eighth, so that not each run that ends has all of them looked at.
    fn has_room_to_look_again(&self) -> bool {
        let has_room = |used: usize, most: usize| used + (most / 8).max(1) <= most;
        has_room(self.runs.len() - self.settled.len(), self.rules.capacity)
            && has_room(self.pidfds(), self.rules.pidfds)
    }

    /// Nothing more is to be started in a run.
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

    /// Orders one thing that is due, or notes that the budget forbids it.
    fn decide(&mut self, now: u64) {
        self.budget.forget_old(now, &self.rules);
        if let Some((_, agent)) = self.exited.first().copied()
            && self.exited.first().is_some_and(|place| self.rules.too_late(place) <= now)
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
            Some(place) => self.wait_for_budget(place),
            None => self.note_room(),
        }
    }

    /// Says what there is room for again.
    fn note_room(&mut self) {
        if self.waiting.is_empty() {
            let waited = self.waited.take();
            self.orders.extend(waited.map(|waited| Order::BudgetFree { waited }));
        }
        if !self.overlooked.is_empty() && self.has_room_to_look_again() {
            let agents = std::mem::take(&mut self.overlooked).into_iter().collect();
            self.orders.push_back(Order::LookAgain { agents });
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

    fn wait_for_budget(&mut self, place: Place) {
        self.due.remove(&place);
        let Some(run) = self.runs.get(&place.1) else { return };
        self.waiting.insert(run.share, place);
        if self.waited.is_none() {
            self.orders.push_back(Order::BudgetSpent);
        }
        *self.waited.get_or_insert(0) += 1;
        self.orders.push_back(Order::OverBudget { subject: run.subject });
    }

    /// A start is planned, at the time that the run's stage says.
    fn plan(&mut self, agent: u64) {
        let Some(run) = self.runs.get(&agent) else { return };
        let Stage::Due(at) = run.stage else { return };
        let place = (at, agent);
        self.due.insert(place);
        self.planned.insert(run.share, place);
        if run.pidfd.is_some() {
            self.holding.insert(run.share, place);
        }
        if run.exited {
            self.exited.insert(place);
        }
    }

    /// A start is planned no more.
    fn unplan(&mut self, agent: u64) {
        let Some(run) = self.runs.get(&agent) else { return };
        let Stage::Due(at) = run.stage else { return };
        let place = (at, agent);
        self.due.remove(&place);
        self.waiting.remove(run.share, place);
        self.planned.remove(run.share, place);
        self.holding.remove(run.share, place);
        self.exited.remove(&place);
    }
}

impl Rules {
    /// Whether an agent is fit to act on at all.
    fn admit(&self, subject: &Subject) -> Result<(), Reason> {
        match subject.origin {
            Origin::SecureNetwork if !self.for_sealed => Err(Reason::Unauthenticated),
            Origin::Network if !self.for_plain => Err(Reason::Unauthenticated),
            // A command for pid 0 would be about whoever runs it.
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

    /// When a start after an exit has waited for too long.
    fn too_late(&self, (at, _): &Place) -> u64 {
        at.saturating_add(self.exit_wait_ns)
    }

    /// The wait after so many tries.
    fn backoff(&self, tries: u32) -> u64 {
        let doubled = 1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
        self.backoff_ns.saturating_mul(doubled).min(self.backoff_max_ns)
    }
}

#[cfg(test)]
mod tests;
