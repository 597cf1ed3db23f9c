//! What can be changed of a judge while it judges. Nobody who is followed is lost by it.

use varta::secure::Key;

use super::Judge;
use super::sessions::Sessions;
use crate::policy::{Limit, Rate};

impl Judge {
    /// Gives an agent a threshold of its own, counted from when it was last heard. Answers
    /// whether there is such an agent.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// assert!(!judge.set_threshold(1, 50_000_000));
    /// ```
    pub fn set_threshold(&mut self, agent: u64, threshold_ns: u64) -> bool {
        let slot = self.find(agent);
        if let Some(slot) = slot {
            self.tracker.set_threshold(slot, threshold_ns);
        }
        slot.is_some()
    }

    /// Changes the threshold of all agents that have none of their own, counted from when
    /// each was last heard, and of those to come. Visits every agent.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// judge.set_default_threshold(30_000_000_000);
    /// assert_eq!(judge.shortest_threshold(), 30_000_000_000);
    /// ```
    pub fn set_default_threshold(&mut self, threshold_ns: u64) {
        self.tracker.set_default_threshold(threshold_ns);
    }

    /// Holds these keys from now on, and no others. What was remembered of sessions against
    /// replays stays.
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

    /// Changes how many beats of one agent, and of all together, become events. What was
    /// used up of the rates before is forgotten. Visits every agent.
    ///
    /// ```
    /// use varta_observer::{Policy, Rate, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// judge.set_rates(Some(Rate { per_second: 100, burst: 20 }), None);
    /// ```
    pub fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) {
        self.per_agent = per_agent.map(Limit::new);
        self.global = all.map(Limit::new);
        // By a slow rate it may take long to get even, and that is no debt by a faster one.
        self.paced = 0;
        for slot in self.tracker.slots() {
            *self.tracker.paced(slot) = 0;
        }
    }

    /// A judge without keys has no room for sessions until it gets one. Where there is not
    /// enough memory, each sealed beat is refused and counted (`sender_memory_full`).
    fn make_room_for_sessions(&mut self) {
        if self.sessions.bound() == 0 && self.keyring.holds_any() {
            if let Ok(sessions) = Sessions::new(self.most_sessions, &[], self.tracker.random())
            {
                self.sessions = sessions;
            }
        }
    }
}
