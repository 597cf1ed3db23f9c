//! Changing a judge while it runs. No agent is lost by it.

use varta::secure::Key;

use super::sessions::Sessions;
use super::{Environment, Judge};
use crate::policy::{Limit, Rate};
use crate::slack::Slack;

impl Judge {
    /// Sets the threshold of one agent, counted from its last beat. Returns whether there is
    /// such an agent.
    pub fn set_threshold(&mut self, agent: u64, threshold_ns: u64) -> bool {
        let slot = self.find(agent);
        if let Some(slot) = slot {
            if self.set_host_threshold(slot, Some(threshold_ns)) {
                self.tracker.set_threshold(slot, threshold_ns);
                self.plan_again(Some(slot));
            }
        }
        slot.is_some()
    }

    /// Lets a [service](Self::service) be judged by its own time again, or by that of its
    /// launcher. Other agents keep their threshold.
    pub fn reset_service_threshold(&mut self, agent: u64) {
        if let Some(slot) = self.find(agent) {
            self.set_host_threshold(slot, None);
        }
    }

    /// Changes the threshold of all agents that have none of their own, counted from the last
    /// beat of each, and of future agents. Visits every agent.
    pub fn set_default_threshold(&mut self, threshold_ns: u64) {
        self.tracker.set_default_threshold(threshold_ns);
        self.plan_again(None);
    }

    /// Replaces how late tasks may be. Visits every task.
    pub fn set_slack<E: Environment>(&mut self, slack: &Slack, environment: &E) {
        self.lanes.set_slack(slack, |slot| environment.program(slot));
        self.plan_again(None);
    }

    /// Replaces how late the tasks of one agent may be; `u64::MAX` means that they are never
    /// late. Returns whether there is such an agent.
    pub fn set_agent_slack(&mut self, agent: u64, slack_ns: Option<u64>) -> bool {
        let slot = self.find(agent);
        if let Some(slot) = slot {
            self.lanes.set_own_slack(slot, slack_ns);
            self.plan_again(Some(slot));
        }
        slot.is_some()
    }

    /// Replaces all keys. The sessions that were remembered to detect replays are kept.
    ///
    /// ```
    /// use varta::secure::Key;
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// judge.set_keys(&[Key::from_bytes([7; 32]), Key::from_bytes([8; 32])], None);
    /// ```
    pub fn set_keys(&mut self, shared: &[Key], master: Option<Key>) {
        self.keyring.replace(shared, master);
        self.make_room_for_sessions();
    }

    pub(crate) fn add_shared_key(&mut self, key: &Key) {
        self.keyring.add_shared(key);
        self.make_room_for_sessions();
    }

    pub(crate) fn set_master_key(&mut self, key: Key) {
        self.keyring.set_master(key);
        self.make_room_for_sessions();
    }

    pub(crate) fn has_master_key(&self) -> bool {
        self.keyring.has_master()
    }

    /// Changes how many beats of one agent, and of all agents together, become events. What
    /// was used of the former rates is forgotten. Visits every agent.
    pub fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) {
        self.per_agent = per_agent.map(Limit::new);
        self.global = all.map(Limit::new);
        // Under a slow rate it may take long to make up for a burst; a new rate does not
        // inherit that.
        self.rate_state = 0;
        for slot in self.tracker.slots() {
            *self.tracker.rate_state(slot) = 0;
        }
    }

    /// A judge without keys has no room for sessions until it gets a key. If there is not
    /// enough memory then, each sealed beat is refused and counted (`sender_memory_full`).
    fn make_room_for_sessions(&mut self) {
        if self.sessions.bound() == 0 && self.keyring.holds_any() {
            if let Ok(sessions) = Sessions::new(self.most_sessions, &[], self.tracker.random())
            {
                self.sessions = sessions;
            }
        }
    }
}
