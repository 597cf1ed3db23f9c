//! When commands start: at a time, or once the budget has room.

use super::share::Start;
use super::{Order, Policy, Stage};
use crate::recovery::report::Reason;

/// A start that waits for the exit of the process.
pub(super) const AT_EXIT: u64 = u64::MAX;

impl Policy {
    /// Returns when there is something to do without further input.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        // If too many commands are running, the exit of one makes room.
        let room = (!self.waiting.is_empty()).then(|| self.budget.next_room(&self.rules));
        let late = self.exited.first().map(|start| self.rules.too_late(start));
        [due, room.flatten(), late].into_iter().flatten().min()
    }

    /// Orders one thing that is due, or reports that it has to wait for the budget.
    pub(super) fn decide(&mut self, now: u64) {
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

    pub(super) fn plan_at(&mut self, agent: u64, at: u64) {
        self.unplan(agent);
        if let Some(run) = self.runs.get_mut(&agent) {
            run.stage = Stage::Due(at);
        }
        self.plan(agent);
    }

    /// Adds a start at the time in the run's stage.
    pub(super) fn plan(&mut self, agent: u64) {
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
    pub(super) fn unplan(&mut self, agent: u64) {
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
