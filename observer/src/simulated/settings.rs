//! Settings that change while the observer runs.

use varta::secure::Key;

use super::Simulated;
use crate::policy::Rate;
use crate::slack::Slack;

impl Simulated {
    /// As [`Observer::set_slack`](crate::Observer::set_slack).
    pub fn set_slack(&mut self, slack: &Slack) {
        self.judge.set_slack(slack, &self.environment);
    }

    /// As [`Observer::set_agent_slack`](crate::Observer::set_agent_slack).
    pub fn set_agent_slack(&mut self, agent: u64, slack_ns: Option<u64>) -> bool {
        self.judge.set_agent_slack(agent, slack_ns)
    }

    /// As [`Observer::set_threshold`](crate::Observer::set_threshold), in nanoseconds.
    pub fn set_threshold(&mut self, agent: u64, threshold_ns: u64) -> bool {
        let known = self.judge.set_threshold(agent, threshold_ns);
        self.pause_detector.set_shortest_threshold(self.judge.shortest_threshold());
        known
    }

    /// As [`Observer::set_default_threshold`](crate::Observer::set_default_threshold), in
    /// nanoseconds; 0 counts as 1.
    pub fn set_default_threshold(&mut self, threshold_ns: u64) {
        self.judge.set_default_threshold(threshold_ns);
        self.pause_detector.set_shortest_threshold(self.judge.shortest_threshold());
    }

    /// As [`Observer::set_rates`](crate::Observer::set_rates).
    pub fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) {
        self.judge.set_rates(per_agent, all);
    }

    /// As [`Observer::set_keys`](crate::Observer::set_keys).
    pub fn set_keys(&mut self, shared: Vec<Key>, master: Option<Key>) {
        self.judge.set_keys(&shared, master);
    }

    /// Sets whether the datagrams that are fed from now on are
    /// [fresh](crate::judge::Judge::set_fresh), so that something is learned about their senders.
    pub const fn set_fresh(&mut self, fresh: bool) {
        self.judge.set_fresh(fresh);
    }
}
