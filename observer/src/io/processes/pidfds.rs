//! The pidfds of agents.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::{Processes, Stage};
use crate::io::identity::{self, Descriptors, ProcessHandle};
use crate::judge::{Exits, Slot};
use crate::sys::Interest;

/// Marks the token of a pidfd; the tokens of sockets are small.
const PIDFD: u64 = 1 << 63;

impl Processes {
    /// A pidfd of the agent's process for the caller to own: a copy of the one that is held
    /// here, or a new one if it still refers to the same process.
    pub(crate) fn pidfd(&self, slot: Slot, pid: u32) -> io::Result<Option<OwnedFd>> {
        let Some(followed) = self.followed.get(slot.index()) else { return Ok(None) };
        if let Some(handle) = &followed.handle {
            return handle.as_fd().try_clone_to_owned().map(Some);
        }
        if let Some(handle) = self.connected(slot) {
            return Ok(Some(handle.into()));
        }
        let Some(identity) = followed.identity else { return Ok(None) };
        identity::open(self.features, pid, identity).map(|handle| handle.map(OwnedFd::from))
    }

    /// Whether the kernel should send a pidfd with each datagram. That doubles the cost of a
    /// datagram, so it is done only while an agent is not known by number or a pid may have a
    /// new owner, and always if senders may have no pid here.
    pub(crate) fn wants_pidfds(&self, unidentified: usize, followed: usize) -> bool {
        self.features.descriptors == Descriptors::WithDatagram
            && (self.pidless_senders
                || unidentified > 0
                || followed == 0
                || !self.gone.is_empty())
    }

    pub(crate) fn is_pidfd(token: u64) -> bool {
        token & PIDFD != 0
    }

    /// Keeps a descriptor of an agent's process, if `bound` allows one more.
    pub(super) fn keep_pidfd(
        &mut self,
        slot: Slot,
        agent: u64,
        handle: Option<ProcessHandle>,
        bound: usize,
    ) -> Exits {
        self.release_pidfd(slot);
        let Some(followed) = self.followed.get_mut(slot.index()) else { return Exits::Unseen };
        let Some(handle) = handle else { return Exits::LookedUp };
        followed.identity = Some(handle.identity());
        if self.held >= bound {
            return Exits::LookedUp;
        }
        let token = token_of(slot, agent);
        if self.epoll.add(handle.as_fd(), token, Interest::Readable).is_err() {
            return Exits::LookedUp;
        }
        self.held += 1;
        followed.handle = Some(handle);
        followed.stage = Stage::Alive;
        Exits::Reported
    }

    pub(super) fn release_pidfd(&mut self, slot: Slot) {
        let Some(followed) = self.followed.get_mut(slot.index()) else { return };
        if let Some(handle) = followed.handle.take() {
            // A forked child may hold a copy of the pidfd, which would keep it in the epoll
            // set. An error because it is not in the set does no harm.
            let _ = self.epoll.remove(handle.as_fd());
            self.held = self.held.saturating_sub(1);
        }
    }
}

pub(super) fn token_of(slot: Slot, agent: u64) -> u64 {
    PIDFD | (agent & 0x7fff_ffff) << 32 | slot.index() as u64
}

pub(super) fn index_of(token: u64) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "only the lower half is needed")]
    let index = token as u32;
    index as usize
}
