//! Room for runs and for pidfds, which all agents share.

use std::os::fd::OwnedFd;

use super::causes::Delay;
use super::share::{Share, Start};
use super::{Order, Policy, Stage};
use crate::recovery::report::{Reason, Subject};

impl Policy {
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
                let _ = self.try_begin(now, now, subject, pidfd);
            }
        }
    }

    /// Makes room for one more run, if necessary at the expense of a share that has more.
    pub(super) fn make_room(&mut self, share: Share) -> bool {
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
    pub(super) fn if_room(
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

    pub(super) fn recheck_later(&mut self, agent: u64) {
        self.refused_stalls.insert(agent);
        if self.refused_stalls.len() > self.rules.capacity {
            self.refused_stalls.pop_first();
        }
    }

    /// Whether enough room is free to check refused agents again: an eighth, so that they are
    /// not all checked after each run that ends.
    pub(super) fn has_room_to_recheck(&self) -> bool {
        let has_room = |used: usize, most: usize| used + (most / 8).max(1) <= most;
        has_room(self.runs.len() - self.settled.len(), self.rules.capacity)
            && has_room(self.pidfds(), self.rules.pidfds)
    }

    /// Marks a run as one that starts no more commands.
    pub(super) fn settle(&mut self, agent: u64, stage: Stage) {
        if let Some(run) = self.runs.get_mut(&agent) {
            run.stage = stage;
            run.pidfd = None;
            self.settled.insert(agent);
        }
    }
}
