//! What was seen of each sender over secure UDP, so that nothing counts twice.

use std::hash::RandomState;
use std::net::IpAddr;

use varta::secure::Iv;

use crate::deadline::{Linked, Links, List};
use crate::tracker::{Index, Key};

/// How many session prefixes are remembered of a sender.
const REMEMBERED: usize = 4;

/// What a frame's place in its sender's sessions says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// Of a session that is known, and later than all that was seen of it.
    Later,
    /// Of a session that is known, and not later: a replay.
    Replayed,
    /// Of a session that is not known, or known no longer.
    New,
}

/// A bounded memory of senders. Those of agents that are followed stay; what is known of
/// others is kept as long as nobody needs the room, so that a process that ended is not
/// raised by its own old frames.
#[derive(Debug)]
pub(crate) struct Senders {
    known: Vec<Sender>,
    index: Index,
    bound: usize,
    /// Senders whose agents are followed no longer, longest ago first.
    idle: List,
}

#[derive(Debug, Clone, Copy)]
struct Sender {
    listener: u16,
    address: IpAddr,
    claimed_pid: u32,
    tag: u32,
    prefixes: [[u8; 8]; REMEMBERED],
    /// The highest counter of each.
    counters: [u32; REMEMBERED],
    sessions: u8,
    /// Where the next new session goes.
    oldest: u8,
    idle: bool,
    links: Links,
}

impl Linked for Sender {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Senders {
    pub(crate) fn new(bound: usize, random: &RandomState) -> Self {
        let slots = u32::try_from(bound).unwrap_or(u32::MAX).min(u32::MAX - 8);
        Self {
            known: Vec::with_capacity(slots as usize),
            index: Index::new(slots, random),
            bound: slots as usize,
            idle: List::EMPTY,
        }
    }

    pub(crate) const fn bound(&self) -> usize {
        self.bound
    }

    pub(crate) fn session(&self, key: &Key, tag: u32, iv: Iv) -> Session {
        let Some(sender) = self.find(key, tag).and_then(|sender| self.known.get(sender)) else {
            return Session::New;
        };
        match sender.known().find(|(prefix, _)| *prefix == iv.prefix) {
            None => Session::New,
            Some((_, highest)) if iv.counter > highest => Session::Later,
            Some(_) => Session::Replayed,
        }
    }

    /// Whether this sender can be remembered without forgetting one that is followed.
    pub(crate) fn has_room(&self, key: &Key, tag: u32) -> bool {
        self.known.len() < self.bound
            || self.idle.first().is_some()
            || self.find(key, tag).is_some()
    }

    /// Remembers a frame that was accepted, and that its sender is followed.
    pub(crate) fn remember(&mut self, key: &Key, tag: u32, iv: Iv) {
        let Some(sender) = self.find(key, tag).or_else(|| self.add(key, tag)) else { return };
        self.set_idle(sender, false);
        if let Some(sender) = self.known.get_mut(sender) {
            sender.remember(iv);
        }
    }

    /// Its agent is followed no longer.
    pub(crate) fn release(&mut self, key: &Key, tag: u32) {
        if let Some(sender) = self.find(key, tag) {
            self.set_idle(sender, true);
        }
    }

    fn find(&self, key: &Key, tag: u32) -> Option<usize> {
        let is_it = |at: u32| self.known.get(at as usize).is_some_and(|s| s.key() == *key);
        self.index.find(tag, is_it).map(|at| at as usize)
    }

    fn add(&mut self, key: &Key, tag: u32) -> Option<usize> {
        let Key::Network { listener, address, claimed_pid } = *key else { return None };
        let sender = Sender {
            listener,
            address,
            claimed_pid,
            tag,
            prefixes: [[0; 8]; REMEMBERED],
            counters: [0; REMEMBERED],
            sessions: 0,
            oldest: 0,
            idle: false,
            links: Links::LOOSE,
        };
        let at = if self.known.len() < self.bound {
            self.known.push(sender);
            u32::try_from(self.known.len() - 1).ok()?
        } else {
            let at = self.idle.first()?;
            self.idle.remove(&mut self.known, at);
            let known = self.known.get_mut(at as usize)?;
            self.index.remove(known.tag, at);
            *known = sender;
            at
        };
        self.index.insert(tag, at);
        Some(at as usize)
    }

    fn set_idle(&mut self, sender: usize, idle: bool) {
        let Some(known) = self.known.get_mut(sender) else { return };
        if known.idle == idle {
            return;
        }
        known.idle = idle;
        let Ok(at) = u32::try_from(sender) else { return };
        if idle {
            self.idle.append(&mut self.known, at);
        } else {
            self.idle.remove(&mut self.known, at);
        }
    }
}

impl Sender {
    fn key(&self) -> Key {
        Key::Network {
            listener: self.listener,
            address: self.address,
            claimed_pid: self.claimed_pid,
        }
    }

    fn known(&self) -> impl Iterator<Item = ([u8; 8], u32)> + '_ {
        self.prefixes.into_iter().zip(self.counters).take(self.sessions.into())
    }

    fn remember(&mut self, iv: Iv) {
        let known = self.known().position(|(prefix, _)| prefix == iv.prefix);
        let at = known.unwrap_or_else(|| self.place_for_another());
        if let (Some(prefix), Some(counter)) =
            (self.prefixes.get_mut(at), self.counters.get_mut(at))
        {
            (*prefix, *counter) = (iv.prefix, iv.counter);
        }
    }

    /// A place that was never used, else that of the oldest session.
    fn place_for_another(&mut self) -> usize {
        if usize::from(self.sessions) < REMEMBERED {
            self.sessions += 1;
            return usize::from(self.sessions) - 1;
        }
        let oldest = usize::from(self.oldest);
        self.oldest = (self.oldest + 1) % 4;
        oldest
    }
}
