//! The queries of a judge.

use super::tracker::Flags;
use super::{AgentInfo, AgentKey, Flood, Judge, SealedSession, Slot, UidCounts};
use crate::counters::Counters;

impl Judge {
    /// When to call [`expire`](Self::expire). It is never later than the next deadline, and it
    /// may be too early, at most four times for a deadline within 18 minutes. Pages are due for
    /// looks of their own ([`next_look`](Self::next_look)).
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let services = self.services.as_ref().and_then(|services| services.next_deadline());
        let deadlines = [
            self.tracker.next_deadline(),
            self.lanes.next_deadline(),
            self.next_look_again(),
            services,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The shortest threshold of any agent since the default threshold was last set.
    #[must_use]
    pub const fn shortest_threshold(&self) -> u64 {
        self.tracker.shortest_threshold()
    }

    /// The slot of an agent.
    #[must_use]
    pub fn find(&self, agent: u64) -> Option<Slot> {
        self.tracker.find_agent(agent)
    }

    /// The slot of the agent that has this pid according to the kernel.
    #[must_use]
    pub fn find_pid(&self, pid: u32) -> Option<Slot> {
        let key = AgentKey::Pid(pid);
        self.tracker.find(&key, self.tracker.tag(&key))
    }

    /// The state of the agent in this slot.
    #[must_use]
    pub fn agent(&self, slot: Slot, now: u64) -> Option<AgentInfo> {
        let mut info = self.tracker.info(slot, now)?;
        if self.tracker.has(slot, Flags::PAGED) {
            (info.tasks, info.tasks_late) = self.lanes.tasks_of(slot);
        }
        if let Some(last_ping) = self.last_ping(slot) {
            info.last_ns = info.last_ns.max(last_ping);
            info.age_ns = now.saturating_sub(info.last_ns);
            info.stalled |= self.is_late(slot);
        }
        Some(info)
    }

    /// All tracked agents, in no particular order.
    pub fn agents(&self, now: u64) -> impl Iterator<Item = (Slot, AgentInfo)> + '_ {
        self.tracker.slots().filter_map(move |slot| Some((slot, self.agent(slot, now)?)))
    }

    /// How many agents are tracked.
    #[must_use]
    pub const fn followed(&self) -> usize {
        self.tracker.followed()
    }

    /// How many tracked agents are known by a pid alone and are not stalled. While there is
    /// one, it is worth having datagrams carry the numbers of processes.
    #[must_use]
    pub const fn unidentified(&self) -> usize {
        self.tracker.awaiting_number()
    }

    /// All counters.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The sealed sessions whose recorded counter is higher than the last accepted one, with
    /// their places. An observer that shuts down in an orderly way records these, so that the
    /// next one does not refuse beats that were never received.
    pub fn sessions_ahead(&self) -> impl Iterator<Item = (usize, SealedSession)> + '_ {
        self.sessions.ahead()
    }

    /// What has filled the queues since the last call, and who sent it.
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

    /// The users whose new agents were refused since the last call because there was no room.
    pub fn drain_refused(&mut self) -> UidCounts {
        std::mem::take(&mut self.refused)
    }

    /// How many agents were evicted since the last call.
    pub const fn drain_evictions(&mut self) -> u64 {
        let since = self.counters.evictions - self.evictions_seen;
        self.evictions_seen = self.counters.evictions;
        since
    }

    /// How many datagrams of new agents were refused since the last call because there was no
    /// room.
    pub const fn drain_capacity_exceeded(&mut self) -> u64 {
        let since = self.counters.capacity_exceeded - self.capacity_exceeded_seen;
        self.capacity_exceeded_seen = self.counters.capacity_exceeded;
        since
    }
}
