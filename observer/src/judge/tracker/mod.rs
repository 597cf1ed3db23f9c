//! The tracked agents and the state of each.

mod early;
mod full;
mod index;
mod info;
mod liveness;
mod notified;
mod paged;
mod pause;
mod record;
mod slot;
mod users;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use varta::Status;

use self::early::Early;
use self::full::Full;
pub(crate) use self::index::Index;
pub use self::info::AgentInfo;
pub(crate) use self::liveness::{Beat, Silence, distance, is_forward};
use self::pause::Pauses;
use self::record::Hot;
pub(crate) use self::record::{Cold, Flags, Key, Kind};
pub use self::slot::{Exits, Slot};
use self::users::Users;
use crate::event::About;
use crate::judge::deadline::{List, Wheel};
use crate::memory::{self, OutOfMemory};

/// Whether there is a slot for a new agent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Room {
    Free,
    /// Only if the agent in this slot is evicted.
    Instead(Slot),
    None,
}

/// Indexes of slots, and of places in a table 1.5 times as large, fit into 32 bits.
pub const MOST: u32 = 1 << 28;

/// If several users are admitted, one of them must leave this part of the capacity to the
/// others.
const RESERVE: usize = 8;

pub(crate) struct Tracker {
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    by_key: Index,
    by_agent: Index,
    random: RandomState,
    wheel: Wheel,
    pauses: Pauses,
    /// The same pauses without the time for which the system was suspended.
    line_pauses: Pauses,
    full: Full,
    users: Users,
    /// When each agent is looked at early, if any is.
    early: Vec<Early>,
    looks_early: bool,
    free: List,
    /// The agents that may be evicted, longest gone first.
    gone_local: List,
    gone_network: List,
    capacity: usize,
    /// The places that tasks take.
    reserved: usize,
    followed: usize,
    most_network: usize,
    network: usize,
    awaiting_number: usize,
    next_agent: u64,
    threshold_ns: u64,
    shortest_ns: u64,
}

impl Tracker {
    /// For at most this many agents of at most this many users.
    pub(crate) fn new(
        capacity: usize,
        users: usize,
        threshold_ns: u64,
    ) -> Result<Self, OutOfMemory> {
        let threshold_ns = threshold_ns.max(1);
        let random = RandomState::new();
        let slots = u32::try_from(capacity).unwrap_or(MOST).clamp(1, MOST);
        let capacity = slots as usize;
        let users = u32::try_from(users).unwrap_or(slots).clamp(1, slots);
        Ok(Self {
            hot: memory::vector(capacity)?,
            cold: memory::vector(capacity)?,
            by_key: Index::new(slots, &random)?,
            by_agent: Index::new(slots, &random)?,
            users: Users::new(slots, users, &random)?,
            random,
            wheel: Wheel::new(capacity)?,
            pauses: Pauses::default(),
            line_pauses: Pauses::default(),
            full: Full::default(),
            early: Vec::new(),
            looks_early: false,
            free: List::EMPTY,
            gone_local: List::EMPTY,
            gone_network: List::EMPTY,
            capacity,
            reserved: 0,
            followed: 0,
            most_network: capacity / 2,
            network: 0,
            awaiting_number: 0,
            next_agent: 1,
            threshold_ns,
            shortest_ns: threshold_ns,
        })
    }

    /// The index tag of a key.
    #[inline]
    pub(crate) fn tag(&self, key: &Key) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "part of a hash is still a hash")]
        match key {
            Key::Pid(pid) => *pid,
            Key::Process(_) | Key::Network { .. } => self.random.hash_one(key) as u32,
        }
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key, tag: u32) -> Option<Slot> {
        self.by_key.find(tag, |slot| self.is(Slot(slot), key)).map(Slot)
    }

    pub(crate) fn find_agent(&self, agent: u64) -> Option<Slot> {
        let is_it = |slot| self.hot(Slot(slot)).agent == agent;
        self.by_agent.find(agent_tag(agent), is_it).map(Slot)
    }

    /// Whether there is room for an agent of this user, or (`None`) over a network.
    pub(crate) fn room(&self, uid: Option<u32>) -> Room {
        let full = self.is_full();
        let evicted = match uid {
            None if self.network >= self.most_network => self.gone_network.first(),
            Some(uid)
                if self.users.several() && self.users.agents(uid) >= self.most_of_one() =>
            {
                let gone = |slot: &u32| self.has(Slot(*slot), Flags::GONE);
                self.users.longest_stalled(uid).filter(gone)
            }
            _ if !full => return Room::Free,
            None => self.longest_gone(),
            Some(uid) => self.longest_gone().or_else(|| self.stalled_of_user_over_share(uid)),
        };
        evicted.map_or(Room::None, |slot| Room::Instead(Slot(slot)))
    }

    /// How many agents one user may have.
    const fn most_of_one(&self) -> usize {
        self.capacity - self.capacity / RESERVE
    }

    /// A stalled agent of a user that has more than an equal share, if this user has less.
    fn stalled_of_user_over_share(&self, uid: u32) -> Option<u32> {
        let share = self.capacity / self.users.count_with(uid);
        let below = self.users.several() && self.users.agents(uid) < share;
        below.then(|| self.users.longest_stalled_over(share)).flatten()
    }

    /// Tracks a new agent, which has not beaten yet. There must be room.
    pub(crate) fn follow(&mut self, key: &Key, tag: u32, kind: Kind, cold: Cold) -> Slot {
        let slot = self.take_free();
        let agent = self.next_agent;
        self.next_agent += 1;
        self.followed += 1;
        let (pid, listener) = match *key {
            Key::Pid(pid) => (pid, 0),
            Key::Process(_) => (cold.claimed_pid(), 0),
            Key::Network { listener, claimed_pid, .. } => {
                self.network += 1;
                (claimed_pid, listener)
            }
        };
        let mut flags = Flags::NONE;
        match kind {
            Kind::Network(_) => flags.set(Flags::UNSEEN, true),
            Kind::Process => flags.set(Flags::NUMBERED, true),
            Kind::Pid => {
                flags.set(Flags::UNCONFIRMED, true);
                flags.set(Flags::ALIASED, cold.claimed_pid() != pid);
                self.awaiting_number += 1;
            }
            Kind::Free => {}
        }
        *self.hot_mut(slot) = Hot { agent, pid, listener, flags, kind, ..Hot::FREE };
        *self.cold_mut(slot) = cold;
        let local = !matches!(kind, Kind::Network(_));
        if local {
            self.users.add_agent(cold.uid());
        }
        self.begin_early(slot, local);
        self.by_key.insert(tag, slot.0);
        self.by_agent.insert(agent_tag(agent), slot.0);
        slot
    }

    /// Stops tracking an agent.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.leave_lists(slot);
        self.unlist(slot);
        if !self.hot(slot).is_network() {
            self.users.remove_agent(self.cold(slot).uid());
        }
        let key = self.key(slot);
        let hot = *self.hot(slot);
        self.by_key.remove(self.tag(&key), slot.0);
        self.by_agent.remove(agent_tag(hot.agent), slot.0);
        self.followed -= 1;
        self.network -= usize::from(hot.is_network());
        self.awaiting_number -= usize::from(awaits_number(&hot));
        *self.hot_mut(slot) = Hot::FREE;
        self.free.append(&mut self.hot, slot.0);
    }

    /// Changes the key of a network agent, unless another agent has the new key.
    pub(crate) fn relocate(&mut self, slot: Slot, key: &Key, tag: u32, address: IpAddr) {
        let Key::Network { listener, .. } = *key else { return };
        if self.find(key, tag).is_some() {
            return;
        }
        let before = self.key(slot);
        self.by_key.remove(self.tag(&before), slot.0);
        self.hot_mut(slot).listener = listener;
        self.cold_mut(slot).set_address(address);
        self.by_key.insert(tag, slot.0);
    }

    /// Sets whether it may be a different process than it seems to be.
    pub(crate) fn set_unconfirmed(&mut self, slot: Slot, unconfirmed: bool) {
        self.hot_mut(slot).flags.set(Flags::UNCONFIRMED, unconfirmed);
    }

    // Out of line it is returned in memory, field by field, and copied at once in larger parts, for
    // which the CPU must wait.
    #[inline(always)]
    pub(crate) fn about(&self, slot: Slot) -> About {
        self.hot(slot).about(self.cold(slot))
    }

    /// Sets the number of an agent's process.
    pub(crate) fn set_process(&mut self, slot: Slot, process: u64, confirmed: bool) {
        self.cold_mut(slot).set_process(process);
        self.awaiting_number -= usize::from(awaits_number(self.hot(slot)));
        let flags = &mut self.hot_mut(slot).flags;
        flags.set(Flags::NUMBERED, true);
        flags.set(Flags::UNCONFIRMED, !confirmed);
    }

    pub(crate) fn is_followed(&self, slot: Slot) -> bool {
        self.hot.get(slot.index()).is_some_and(|hot| hot.kind != Kind::Free)
    }

    #[inline]
    pub(crate) fn has(&self, slot: Slot, flag: Flags) -> bool {
        self.hot(slot).flags.has(flag)
    }

    /// Whether it has not beaten yet.
    pub(crate) fn is_new(&self, slot: Slot) -> bool {
        self.hot(slot).beats == 0
    }

    pub(crate) fn status(&self, slot: Slot) -> Status {
        self.hot(slot).status
    }

    /// The number of the process, if it is known.
    pub(crate) fn process(&self, slot: Slot) -> Option<u64> {
        self.has(slot, Flags::NUMBERED).then(|| self.cold(slot).process())
    }

    /// The state of its rate limit.
    pub(crate) fn rate_state(&mut self, slot: Slot) -> &mut u64 {
        &mut self.cold_mut(slot).rate_state
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) const fn followed(&self) -> usize {
        self.followed
    }

    pub(crate) const fn awaiting_number(&self) -> usize {
        self.awaiting_number
    }

    pub(crate) const fn random(&self) -> &RandomState {
        &self.random
    }

    pub(crate) fn key(&self, slot: Slot) -> Key {
        let (hot, cold) = (self.hot(slot), self.cold(slot));
        match hot.kind {
            Kind::Pid | Kind::Free => Key::Pid(hot.pid),
            Kind::Process => Key::Process(cold.process()),
            Kind::Network(_) => Key::Network {
                listener: hot.listener,
                address: cold.address(),
                claimed_pid: hot.pid,
            },
        }
    }

    fn is(&self, slot: Slot, key: &Key) -> bool {
        let hot = self.hot(slot);
        match (hot.kind, *key) {
            (Kind::Pid, Key::Pid(pid)) => hot.pid == pid,
            (Kind::Process, Key::Process(process)) => self.cold(slot).process() == process,
            (Kind::Network(_), Key::Network { listener, address, claimed_pid }) => {
                hot.pid == claimed_pid
                    && hot.listener == listener
                    && self.cold(slot).is_from(address)
            }
            _ => false,
        }
    }

    fn longest_gone(&self) -> Option<u32> {
        let since = |slot: &u32| {
            let hot = self.hot(Slot(*slot));
            (hot.links.deadline, hot.agent)
        };
        let both = [self.gone_local.first(), self.gone_network.first()];
        both.into_iter().flatten().min_by_key(since)
    }

    /// The slot that was used last, whose memory is still cached, or one that was never used.
    fn take_free(&mut self) -> Slot {
        if let Some(slot) = self.free.last() {
            self.free.remove(&mut self.hot, slot);
            return Slot(slot);
        }
        let slot = u32::try_from(self.hot.len()).unwrap_or(u32::MAX);
        self.hot.push(Hot::FREE);
        self.cold.push(Cold::NONE);
        Slot(slot)
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "slot numbers come from this table")]
    fn hot(&self, slot: Slot) -> &Hot {
        &self.hot[slot.index()]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "slot numbers come from this table")]
    fn hot_mut(&mut self, slot: Slot) -> &mut Hot {
        &mut self.hot[slot.index()]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "slot numbers come from this table")]
    fn cold(&self, slot: Slot) -> &Cold {
        &self.cold[slot.index()]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "slot numbers come from this table")]
    fn cold_mut(&mut self, slot: Slot) -> &mut Cold {
        &mut self.cold[slot.index()]
    }
}

/// Whether it is not known which process has the pid.
const fn is_unnumbered(hot: &Hot) -> bool {
    matches!(hot.kind, Kind::Pid) && !hot.flags.has(Flags::NUMBERED)
}

/// Whether its process number is still to come: an agent that is stalled may never beat again.
const fn awaits_number(hot: &Hot) -> bool {
    is_unnumbered(hot) && !hot.flags.has(Flags::STALLED)
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half differs often enough")]
const fn agent_tag(agent: u64) -> u32 {
    agent as u32
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("followed", &self.followed)
            .field("capacity", &self.capacity)
            .field("wheel", &self.wheel)
            .finish_non_exhaustive()
    }
}
