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
    /// When it was first seen to beat, and how many beats it had made then.
    since: u64,
    began: u64,
    /// After how many beats its program is identified again.
    identify_at: u64,
    /// How many beats it had made when its threads were learned.
    beats: u64,
    pub(super) learned: Learned,
}

impl Known {
    const NOTHING: Self = Self {
        agent: 0,
        since: 0,
        began: 0,
        identify_at: 0,
        beats: 0,
        learned: Learned::NOTHING,
    };
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
    /// empty queues, these are the first that it read since, and it is not late. Only then is it
    /// known that an agent has beaten since the last look at it, and something can be learned
    /// from another look.
    pub const fn set_fresh(&mut self, fresh: bool) {
        self.fresh = fresh && self.causes.is_some();
    }

    /// An agent has just beaten: looks at it, if there is something to learn.
    #[cold]
    pub(in crate::judge) fn learn<E: Environment>(
        &mut self,
        slot: Slot,
        fresh: bool,
        environment: &mut E,
    ) {
        let (now, beats) = (self.now, self.tracker.count(slot));
        let agent = self.tracker.about(slot).agent;
        let Some(causes) = self.causes.as_deref_mut() else { return };
        causes.meet(slot, agent, beats, now);
        let depth = match fresh && causes.wants_look(slot, agent, beats, now) {
            true => Depth::Schedule,
            false if causes.wants_program(slot, beats) => Depth::Program,
            false => return,
        };
        let allowed = causes.budget.allows_learning(now);
        if !allowed || !self.read_part(slot, depth, environment) {
            return;
        }
        if let Some(causes) = self.causes.as_deref_mut() {
            causes.identify(slot, beats);
            if depth == Depth::Schedule {
                causes.learn(slot, agent, beats, now);
            }
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
                (pupil.agent, pupil.looked_at) = (0, 0);
            }
        }
    }
}

impl Causes {
    /// What was learned of the agent in this slot, which has beaten this often, the last time at
    /// `last_ns`.
    pub(super) fn learned(&self, slot: Slot, agent: u64, beats: u64, last_ns: u64) -> Learned {
        let Some(known) = self.known(slot).filter(|known| known.agent == agent) else {
            return Learned::NOTHING;
        };
        let mut learned = known.learned;
        if !learned.done {
            let pupil = self.pupils.get(slot.index() % MOST_LEARNERS);
            if let Some(pupil) = pupil.filter(|pupil| pupil.agent == agent) {
                learned = pupil.learner.result(learned.executable);
            }
        }
        let intervals = beats.saturating_sub(known.began).max(1);
        learned.beats = beats;
        learned.interval_ns = last_ns.saturating_sub(known.since) / intervals;
        learned
    }

    fn known(&self, slot: Slot) -> Option<&Known> {
        self.known.get(slot.index())
    }

    /// The threads that must be read if they still exist.
    pub(super) fn wanted(
        &self,
        slot: Slot,
        told: Option<u32>,
    ) -> ([u32; MOST_LEARNED + 1], usize) {
        let mut wanted = [0; MOST_LEARNED + 1];
        let learned = self.known(slot).map(|known| known.learned.threads()).unwrap_or_default();
        let threads = learned.iter().map(|learned| learned.thread);
        let mut count = 0;
        for (place, thread) in wanted.iter_mut().zip(told.into_iter().chain(threads)) {
            *place = thread;
            count += 1;
        }
        (wanted, count)
    }

    /// Begins to know an agent, if it is not known yet.
    fn meet(&mut self, slot: Slot, agent: u64, beats: u64, now: u64) {
        while self.known.len() <= slot.index() {
            // It stays within the allocated capacity.
            self.known.push(Known::NOTHING);
        }
        if let Some(known) = self.known.get_mut(slot.index()) {
            if known.agent != agent {
                *known = Known { agent, since: now, began: beats, ..Known::NOTHING };
            }
        }
    }

    /// Whether the program of an agent is to be identified: at its first beats, and then ever
    /// less often.
    fn wants_program(&self, slot: Slot, beats: u64) -> bool {
        self.known(slot).is_some_and(|known| beats >= known.identify_at)
    }

    fn identify(&mut self, slot: Slot, beats: u64) {
        let Some(known) = self.known.get_mut(slot.index()) else { return };
        known.learned.executable = self.now.process.executable.or(known.learned.executable);
        let since_began = beats.saturating_sub(known.began);
        known.identify_at = beats.saturating_add(since_began.max(1));
    }

    fn wants_look(&mut self, slot: Slot, agent: u64, beats: u64, now: u64) -> bool {
        let Some(known) = self.known(slot).copied() else { return false };
        if known.learned.done && beats < known.beats.saturating_add(LEARN_AGAIN) {
            return false;
        }
        let place = slot.index() % MOST_LEARNERS;
        while self.pupils.len() <= place {
            self.pupils.push(Pupil { agent: 0, looked_at: 0, learner: Learner::NEW });
        }
        let Some(pupil) = self.pupils.get_mut(place) else { return false };
        if pupil.agent == agent && pupil.looked_at != 0 {
            if now <= pupil.looked_at {
                // It was made before the look, but was read after it.
                pupil.learner.had_made(beats);
            }
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
        pupil.looked_at = now.max(1);
        if pupil.learner.look(&self.now, beats) {
            pupil.looked_at = 0;
            known.beats = beats;
            known.learned = pupil.learner.result(known.learned.executable);
        }
    }
}
