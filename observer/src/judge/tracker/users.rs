//! How many agents each user has, and which of them are stalled, so that one user cannot keep
//! out all others.

use std::cmp::Reverse;
use std::hash::RandomState;

use super::Index;
use crate::judge::deadline::{Linked, Links, List};
use crate::memory::{self, OutOfMemory};

/// The users that have agents.
#[derive(Debug)]
pub(super) struct Users {
    users: Vec<User>,
    by_uid: Index,
    /// Unused entries of `users`.
    free: List,
    count: usize,
    /// By slot: the links in the list of a user's stalled agents.
    stalled: Vec<Stalled>,
    /// How many users there may be.
    most: u32,
}

#[derive(Debug)]
struct User {
    uid: u32,
    agents: usize,
    /// Its stalled agents, longest stalled first.
    stalled: List,
    links: Links,
}

#[derive(Debug, Clone, Copy)]
struct Stalled(Links);

impl Linked for Stalled {
    fn links(&self) -> &Links {
        &self.0
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.0
    }
}

impl Linked for User {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Users {
    /// For at most `most` users, which together have as many agents as there are slots.
    pub(super) fn new(
        slots: u32,
        most: u32,
        random: &RandomState,
    ) -> Result<Self, OutOfMemory> {
        let stalled = if most > 1 { slots as usize } else { 0 };
        Ok(Self {
            users: memory::vector(most as usize)?,
            by_uid: Index::new(most, random)?,
            free: List::EMPTY,
            count: 0,
            stalled: memory::vector(stalled)?,
            most,
        })
    }

    /// Whether there can be more than one user.
    pub(super) const fn several(&self) -> bool {
        self.most > 1
    }

    pub(super) fn agents(&self, uid: u32) -> usize {
        self.find(uid).map_or(0, |user| user.agents)
    }

    /// How many users have agents, counting this one in.
    pub(super) fn count_with(&self, uid: u32) -> usize {
        self.count + usize::from(self.find(uid).is_none())
    }

    /// Among the users that have more agents than `share` and at least one stalled agent,
    /// picks the one with the most agents (the lowest uid if several have as many), and
    /// returns its longest stalled agent.
    pub(super) fn longest_stalled_over(&self, share: usize) -> Option<u32> {
        let qualifies = |user: &&User| user.agents > share && user.stalled.first().is_some();
        self.users
            .iter()
            .filter(qualifies)
            .max_by_key(|user| (user.agents, Reverse(user.uid)))?
            .stalled
            .first()
    }

    /// The user's agent that has been stalled for the longest time.
    pub(super) fn longest_stalled(&self, uid: u32) -> Option<u32> {
        self.find(uid)?.stalled.first()
    }

    pub(super) fn add_agent(&mut self, uid: u32) {
        if !self.several() {
            return;
        }
        if let Some(user) = self.place(uid).and_then(|place| self.users.get_mut(place)) {
            user.agents += 1;
            return;
        }
        let user = User { uid, agents: 1, stalled: List::EMPTY, links: Links::LOOSE };
        let place = match self.free.last() {
            Some(place) => {
                self.free.remove(&mut self.users, place);
                if let Some(free) = self.users.get_mut(place as usize) {
                    *free = user;
                }
                place
            }
            None => {
                self.users.push(user);
                u32::try_from(self.users.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_uid.insert(uid, place);
        self.count += 1;
    }

    pub(super) fn remove_agent(&mut self, uid: u32) {
        let Some(place) = self.place(uid) else { return };
        let Some(user) = self.users.get_mut(place) else { return };
        user.agents -= 1;
        if user.agents == 0 {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            self.by_uid.remove(uid, place);
            self.free.append(&mut self.users, place);
            self.count -= 1;
        }
    }

    pub(super) fn add_stalled(&mut self, uid: u32, slot: u32) {
        let Some(place) = self.place(uid) else { return };
        if self.stalled.len() <= slot as usize {
            self.stalled.resize(slot as usize + 1, Stalled(Links::LOOSE));
        }
        if let Some(user) = self.users.get_mut(place) {
            user.stalled.append(&mut self.stalled, slot);
        }
    }

    pub(super) fn remove_stalled(&mut self, uid: u32, slot: u32) {
        let Some(place) = self.place(uid) else { return };
        if let Some(user) = self.users.get_mut(place) {
            user.stalled.remove(&mut self.stalled, slot);
        }
    }

    fn find(&self, uid: u32) -> Option<&User> {
        self.users.get(self.place(uid)?)
    }

    fn place(&self, uid: u32) -> Option<usize> {
        let is_it =
            |place: u32| self.users.get(place as usize).is_some_and(|user| user.uid == uid);
        self.by_uid.find(uid, is_it).map(|place| place as usize)
    }
}
