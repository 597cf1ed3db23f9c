//! The budget: how many commands may start in total, and for a uid that has had none.

use std::collections::{HashMap, VecDeque};

use super::Rules;

type Uid = Option<u32>;

/// The commands that were started in the last window, and those that are running.
#[derive(Debug, Default)]
pub(super) struct Budget {
    started: VecDeque<(u64, Uid)>,
    /// By agent.
    running: HashMap<u64, Uid>,
    /// How many entries each uid has in the two fields above.
    uses: HashMap<Uid, usize>,
}

impl Budget {
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether a command for an agent of this uid may start. When the budget is spent, a uid
    /// without a command in it still gets one, so that the crashes of one user do not block
    /// recovery for others. The total is at most twice the budget.
    pub(super) fn admits(&self, rules: &Rules, uid: Uid) -> bool {
        let within = |most| self.started.len() < most && self.running.len() < most;
        within(rules.budget)
            || !self.uses.contains_key(&uid) && within(rules.budget.saturating_mul(2))
    }

    /// When a waiting start may be admitted even if no command exits.
    pub(super) fn next_room(&self, rules: &Rules) -> Option<u64> {
        self.started.front().map(|(at, _)| at.saturating_add(rules.window_ns))
    }

    /// Forgets the starts before the window that ends now.
    pub(super) fn forget_old(&mut self, now: u64, rules: &Rules) {
        while self.next_room(rules).is_some_and(|over| over <= now) {
            if let Some((_, uid)) = self.started.pop_front() {
                self.unuse(uid);
            }
        }
    }

    pub(super) fn start(&mut self, now: u64, agent: u64, uid: Uid) {
        self.started.push_back((now, uid));
        self.running.insert(agent, uid);
        *self.uses.entry(uid).or_default() += 2;
    }

    pub(super) fn end(&mut self, agent: u64) {
        if let Some(uid) = self.running.remove(&agent) {
            self.unuse(uid);
        }
    }

    /// Reverts the latest start, which did not take start.
    pub(super) fn take_back(&mut self, agent: u64) {
        self.end(agent);
        if let Some((_, uid)) = self.started.pop_back() {
            self.unuse(uid);
        }
    }

    fn unuse(&mut self, uid: Uid) {
        if let Some(uses) = self.uses.get_mut(&uid) {
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&uid);
            }
        }
    }
}
