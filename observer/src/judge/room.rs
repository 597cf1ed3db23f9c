//! Room for new agents, which others may have to leave.

use super::tracker::Room;
use super::{Environment, Judge, Slot};

impl Judge {
    /// Makes room for a new agent of this user (over a network: `None`), or counts that it could
    /// not.
    pub(super) fn make_room<E: Environment>(
        &mut self,
        uid: Option<u32>,
        environment: &mut E,
    ) -> bool {
        let found = self.find_room(uid, environment);
        if !found {
            self.count_without_room(uid);
        }
        found
    }

    /// As [`make_room`](Self::make_room), but counts nothing if there is no room.
    pub(super) fn find_room<E: Environment>(
        &mut self,
        uid: Option<u32>,
        environment: &mut E,
    ) -> bool {
        match self.tracker.room(uid) {
            Room::Free => true,
            Room::Instead(evicted) => {
                self.counters.evictions += 1;
                self.release(evicted, environment);
                true
            }
            Room::None => false,
        }
    }

    /// Counts a datagram of a new agent for which there is no room.
    pub(super) fn count_without_room(&mut self, uid: Option<u32>) {
        self.counters.capacity_exceeded += 1;
        if let Some(uid) = uid {
            self.refused.add(uid);
        }
    }

    /// Stops tracking an agent, and forgets everything about it.
    pub(super) fn release<E: Environment>(&mut self, slot: Slot, environment: &mut E) {
        let agent = self.tracker.about(slot).agent;
        self.release_pages(slot, environment);
        self.forget_silence(slot);
        if let Some(services) = &mut self.services {
            services.forget(slot);
        }
        self.tracker.forget(slot);
        environment.released(slot, agent);
    }
}
