//! When agents that beat are looked at, to learn about them.

use super::Causes;
use super::learned::{Learned, Learner, MOST_LEARNED};
use super::reading::Depth;
use crate::judge::{Environment, Judge, Slot};

/// At most this many agents are learned at the same time.
pub(super) const MOST_LEARNERS: usize = 256;

/// After this many beats an agent is learned again, so that one in 64 is looked at.
const LEARN_AGAIN: u64 = 512;

/// A place for learning is taken from an agent that has not been looked at for this long.
const GIVE_UP_NS: u64 = 10_000_000_000;

/// What is known of an agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The number of the agent.
    agent: u64,
    /// How many beats it had made when that was learned.
    beats: u64,
    pub(super) learned: Learned,
}

impl Known {
    const NOTHING: Self = Self { agent: 0, beats: 0, learned: Learned::NOTHING };
}

/// An agent that is being learned.
#[derive(Debug, Clone)]
pub(super) struct Pupil {
    agent: u64,
    looked_at: u64,
    learner: Learner,
}

impl Judge {
    /// Sets whether the datagrams that are passed from now on are fresh: the host waited with
    /// empty queues, was woken by this one, and is not late. Only then is an agent in the state
    /// in which it beats, and something can be learned from a look at it.
    pub const fn set_fresh(&mut self, fresh: bool) {
        self.fresh = fresh && self.causes.is_some();
    }

    /// An agent has just beaten: looks at it, if there is something to learn.
    #[cold]
    pub(in crate::judge) fn learn<E: Environment>(&mut self, slot: Slot, environment: &mut E) {
        let (now, beats) = (self.now, self.tracker.count(slot));
        let agent = self.tracker.about(slot).agent;
        let Some(causes) = self.causes.as_deref_mut() else { return };
        if !causes.wants_look(slot, agent, beats, now)
            || !self.read_part(slot, Depth::Schedule, environment)
        {
            return;
        }
        if let Some(causes) = self.causes.as_deref_mut() {
            causes.learn(slot, agent, beats, now);
        }
    }

    /// The agent may run another program now: forgets what was learned.
    #[cold]
    pub(in crate::judge) fn unlearn(&mut self, slot: Slot) {
        if let Some(causes) = self.causes.as_deref_mut() {
            if let Some(known) = causes.known.get_mut(slot.index()) {
                *known = Known::NOTHING;
            }
            if let Some(pupil) = causes.pupils.get_mut(slot.index() % MOST_LEARNERS) {
                pupil.looked_at = 0;
            }
        }
    }
}

impl Causes {
    /// What was learned of the agent in this slot.
    pub(super) fn learned(&self, slot: Slot) -> Learned {
        self.known.get(slot.index()).map_or(Learned::NOTHING, |known| known.learned)
    }

    /// The threads that must be read if they still exist.
    pub(super) fn wanted(
        &self,
        slot: Slot,
        told: Option<u32>,
    ) -> ([u32; MOST_LEARNED + 1], usize) {
        let mut wanted = [0; MOST_LEARNED + 1];
        let known = self.known.get(slot.index());
        let learned = known.map(|known| known.learned.threads()).unwrap_or_default();
        let threads = learned.iter().map(|learned| learned.thread);
        let mut count = 0;
        for (place, thread) in wanted.iter_mut().zip(told.into_iter().chain(threads)) {
            *place = thread;
            count += 1;
        }
        (wanted, count)
    }

    fn wants_look(&mut self, slot: Slot, agent: u64, beats: u64, now: u64) -> bool {
        while self.known.len() <= slot.index() {
            // It stays within the allocated capacity.
            self.known.push(Known::NOTHING);
        }
        let Some(known) = self.known.get_mut(slot.index()) else { return false };
        if known.agent != agent {
            *known = Known { agent, ..Known::NOTHING };
        }
        if known.learned.done && beats < known.beats.saturating_add(LEARN_AGAIN) {
            return false;
        }
        let place = slot.index() % MOST_LEARNERS;
        while self.pupils.len() <= place {
            self.pupils.push(Pupil { agent: 0, looked_at: 0, learner: Learner::NEW });
        }
        let Some(pupil) = self.pupils.get_mut(place) else { return false };
        if pupil.agent == agent && pupil.looked_at != 0 {
            return now >= pupil.looked_at.saturating_add(super::learned::APART_NS);
        }
        let is_free = pupil.looked_at == 0 || now > pupil.looked_at.saturating_add(GIVE_UP_NS);
        if is_free {
            *pupil = Pupil { agent, looked_at: 0, learner: Learner::NEW };
        }
        is_free
    }

    fn learn(&mut self, slot: Slot, agent: u64, beats: u64, now: u64) {
        let Some(pupil) = self.pupils.get_mut(slot.index() % MOST_LEARNERS) else { return };
        let Some(known) = self.known.get_mut(slot.index()) else { return };
        if pupil.agent != agent {
            return;
        }
        let executable = self.now.process.executable.or(known.learned.executable);
        known.learned.executable = executable;
        pupil.looked_at = now.max(1);
        if pupil.learner.look(&self.now, beats) {
            pupil.looked_at = 0;
            (known.beats, known.learned) = (beats, pupil.learner.result(executable));
        }
    }
}
