//! How much is done for one agent besides the scheduled looks at its pages, so that one that keeps
//! asking for looks, or keeps breaking and renewing promises, does not keep the observer busy.
//!
//! The times are estimates, and a machine that is slower than the one they are from spends more.
//! They are not measured, because what a wake-up takes depends on what else ran on the CPU before,
//! and one wake-up may serve several agents: an agent would pay for what others do.

use super::PageIndex;
use super::pages::PagedAgent;
use crate::judge::{Judge, Slot};

/// About how long it takes a virtual machine to wake up for a bell, a timer or a connection.
pub(crate) const WAKE_NS: u64 = 40_000;

/// About how long it takes to report what has changed in a pair.
const PAIR_NS: u64 = 3_000;

/// One agent may take 1 % of a CPU: what takes a nanosecond is paid for in this many.
const SHARE: u64 = 100;

/// How far an agent may be in debt: it may cause a hundred wake-ups at once.
const CREDIT_NS: u64 = 400_000_000;

/// How much longer than that a debt is remembered, so that nothing is put off for longer.
const LONGEST_NS: u64 = 100_000_000;

/// What is done for an agent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// A look that the schedule does not contain.
    Wake,
    /// A pair has changed.
    Pair,
}

impl PagedAgent {
    fn charge(&mut self, work: Work, now: u64) {
        let takes = match work {
            Work::Wake => WAKE_NS,
            Work::Pair => PAIR_NS,
        };
        let most = now.saturating_add(CREDIT_NS + LONGEST_NS);
        self.paid_at = self.paid_at.max(now).saturating_add(takes * SHARE).min(most);
    }

    /// The time before which nothing more is done for it; 0 if it has credit.
    fn has_credit_at(&self, now: u64) -> u64 {
        let at = self.paid_at.saturating_sub(CREDIT_NS);
        if at > now { at } else { 0 }
    }
}

impl Judge {
    /// The process of a page asks for a [look](Self::look) at it. Returns whether it gets one;
    /// if it has asked too often, it has to wait for the next scheduled look.
    pub fn rung(&mut self, now: u64, page: PageIndex) -> bool {
        self.now = self.now.max(now);
        let Some(slot) = self.lanes.pages.get(page).and_then(super::pages::Page::slot) else {
            return true;
        };
        let has_credit = self.has_credit_at(slot) == 0;
        self.charge(slot, Work::Wake);
        has_credit
    }

    /// Counts work that is done for an agent.
    pub(super) fn charge(&mut self, slot: Slot, work: Work) {
        let now = self.now;
        if let Some(agent) = self.lanes.pages.agent_mut(slot) {
            agent.charge(work, now);
        }
    }

    /// The time before which nothing is done for the tasks of an agent but scheduled looks; 0 if
    /// it has credit.
    pub(super) fn has_credit_at(&self, slot: Slot) -> u64 {
        self.lanes.pages.agent(slot).map_or(0, |agent| agent.has_credit_at(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_gets_one_percent_of_a_cpu_and_a_hundred_wakeups_at_once() {
        const SECOND: u64 = 1_000_000_000;
        let mut agent = PagedAgent::NEW;
        let mut wakeups = 0;
        for now in (SECOND..2 * SECOND).step_by(50_000) {
            if agent.has_credit_at(now) == 0 {
                agent.charge(Work::Wake, now);
                wakeups += 1;
            }
        }
        assert_eq!(wakeups, 350);
        (0..1_000).for_each(|_| agent.charge(Work::Pair, 2 * SECOND));
        assert_eq!(agent.has_credit_at(2 * SECOND), 2 * SECOND + LONGEST_NS);
        (0..1_000).for_each(|_| agent.charge(Work::Pair, 9 * SECOND));
        assert_eq!(agent.has_credit_at(9 * SECOND), 0, "long ago");
    }
}
