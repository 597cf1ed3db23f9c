//! What a judge can be asked and told besides.

use super::{AgentInfo, AgentKey, Exits, Flood, Judge, SealedSession, Slot, UidCounts};
use crate::counters::Counters;

impl Judge {
    /// When [`expire`](Self::expire) is worth calling: never later than the next deadline,
    /// and too early at most four times for a deadline within 18 minutes.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).next_deadline(), None);
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.tracker.next_deadline()
    }

    /// The shortest threshold there is, or was since the default was set last.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// assert_eq!(judge.shortest_threshold(), 2_000_000_000);
    /// ```
    #[must_use]
    pub const fn shortest_threshold(&self) -> u64 {
        self.tracker.shortest_threshold()
    }

    /// Changes how the end of a local agent will be known.
    ///
    /// ```
    /// # use varta_observer::judge::{Exits, Judge, Slot};
    /// # fn shown(judge: &mut Judge, slot: Slot) {
    /// judge.set_exits(slot, Exits::LookedUp); // its pidfd was given up
    /// # }
    /// ```
    pub fn set_exits(&mut self, slot: Slot, exits: Exits) {
        if self.tracker.is_followed(slot) {
            self.tracker.set_exits(slot, exits);
        }
    }

    /// Says the number of a local agent's process, found otherwise than by a datagram's
    /// own word, so that it stays unconfirmed until a datagram brings the same number.
    ///
    /// ```
    /// # use varta_observer::judge::{Judge, Slot};
    /// # fn shown(judge: &mut Judge, slot: Slot) {
    /// judge.set_process(slot, 77);
    /// # }
    /// ```
    pub fn set_process(&mut self, slot: Slot, process: u64) {
        if self.tracker.is_followed(slot) {
            self.tracker.set_process(slot, process, false);
        }
    }

    /// Where an agent is kept.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).find(1), None);
    /// ```
    #[must_use]
    pub fn find(&self, agent: u64) -> Option<Slot> {
        self.tracker.find_agent(agent)
    }

    /// Where the agent is kept that the kernel says has this pid.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).find_pid(4321), None);
    /// ```
    #[must_use]
    pub fn find_pid(&self, pid: u32) -> Option<Slot> {
        let key = AgentKey::Pid(pid);
        self.tracker.find(&key, self.tracker.tag(&key))
    }

    /// How the agent in this slot stands.
    ///
    /// ```
    /// # use varta_observer::judge::{Judge, Slot};
    /// # fn shown(judge: &Judge, slot: Slot, now: u64) {
    /// if let Some(agent) = judge.agent(slot, now) {
    ///     println!("{} has beaten {} times", agent.pid, agent.beats);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn agent(&self, slot: Slot, now: u64) -> Option<AgentInfo> {
        self.tracker.info(slot, now)
    }

    /// All that are followed, in no order that means anything.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// assert_eq!(judge.agents(0).count(), 0);
    /// ```
    pub fn agents(&self, now: u64) -> impl Iterator<Item = (Slot, AgentInfo)> + '_ {
        self.tracker.slots().filter_map(move |slot| Some((slot, self.tracker.info(slot, now)?)))
    }

    /// How many are followed.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).followed(), 0);
    /// ```
    #[must_use]
    pub const fn followed(&self) -> usize {
        self.tracker.followed()
    }

    /// How many of them are known by a pid alone and are not stalled. While there is one, it
    /// is worth having datagrams bring the numbers of processes.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).unidentified(), 0);
    /// ```
    #[must_use]
    pub const fn unidentified(&self) -> usize {
        self.tracker.awaiting_number()
    }

    /// What was counted so far.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// assert_eq!(judge.counters().settled(), judge.counters().received);
    /// ```
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The sealed sessions of which a higher counter is recorded than was accepted, with
    /// their places: an observer that ends in order records these, so that the next one
    /// refuses no beat that was never heard.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// assert_eq!(judge.sessions_ahead().count(), 0);
    /// ```
    pub fn sessions_ahead(&self) -> impl Iterator<Item = (usize, SealedSession)> + '_ {
        self.sessions.ahead()
    }

    /// Counts datagrams that the kernel dropped at a network socket. Beats may be among them,
    /// so Stalls of network agents are put off, as after a [look](Self::looked) that found a
    /// queue full.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// judge.kernel_dropped(3);
    /// assert_eq!(judge.counters().kernel_drops, 3);
    /// ```
    pub fn kernel_dropped(&mut self, datagrams: u64) {
        self.counters.kernel_drops += datagrams;
        if datagrams > 0 {
            self.tracker.dropped(self.now);
        }
    }

    /// What has filled the queues since this was asked last, and who sent it.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(0)));
    /// judge.looked(0, true);
    /// assert_eq!(judge.drain_flood().full_looks, 1);
    /// assert_eq!(judge.drain_flood().full_looks, 0);
    /// ```
    pub fn drain_flood(&mut self) -> Flood {
        std::mem::take(&mut self.flood)
    }

    /// The users whose newcomers found no room since this was asked last.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert!(Judge::new(Settings::new(Policy::same_uid(0))).drain_refused().is_empty());
    /// ```
    pub fn drain_refused(&mut self) -> UidCounts {
        std::mem::take(&mut self.refused)
    }

    /// How many agents made room since this was asked last.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).drain_evictions(), 0);
    /// ```
    pub const fn drain_evictions(&mut self) -> u64 {
        let since = self.counters.evictions - self.evictions_seen;
        self.evictions_seen = self.counters.evictions;
        since
    }

    /// How many datagrams of newcomers found no room since this was asked last.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(0))).drain_capacity_exceeded(), 0);
    /// ```
    pub const fn drain_capacity_exceeded(&mut self) -> u64 {
        let since = self.counters.capacity_exceeded - self.capacity_exceeded_seen;
        self.capacity_exceeded_seen = self.counters.capacity_exceeded;
        since
    }
}
