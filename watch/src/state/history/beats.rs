//! The beats of agents.

use varta_history::Beats;
use varta_observer::{Event, What};

use super::Collector;
use super::agent::Agent;
use super::last_beats::{Heard, MOST};
use super::minutes::Minutes;

/// How many beats wait until they are added to what is known of their agents.
pub(super) const MOST_WAITING: usize = 512;

impl Collector {
    /// Adds a beat of an agent, which came this long after the one before it, if there was one.
    /// `is_lane` is asked only if a silence is over: whether the agent beats through shared memory,
    /// of which the collector learns only by being told. Returns false if the agent is not known
    /// yet.
    #[inline]
    pub(crate) fn beat(
        &mut self,
        event: &Event,
        since_ns: Option<u64>,
        is_lane: impl FnOnce() -> bool,
    ) -> bool {
        let (Some(about), What::Beat { status, payload, nonce, missed, count }) =
            (&event.about, event.what)
        else {
            return true;
        };
        let missed = u16::try_from(missed).unwrap_or(u16::MAX);
        let at_ns = event.observer_ns;
        let heard = Heard { observer_ns: at_ns, payload, nonce, count, missed, status };
        if since_ns.is_some_and(|since_ns| since_ns <= self.least_floor_ns) {
            self.waiting.push((about.agent, heard));
            if self.waiting.len() == MOST_WAITING {
                self.add_waiting();
            }
            return true;
        }
        self.beat_after_silence(about.agent, heard, is_lane)
    }

    /// Adds a beat that may be the first one, or end a silence.
    #[cold]
    fn beat_after_silence(
        &mut self,
        number: u64,
        heard: Heard,
        is_lane: impl FnOnce() -> bool,
    ) -> bool {
        self.add_waiting();
        let Some(agent) = self.agents.get_mut(&number) else { return false };
        let at_ns = heard.observer_ns;
        let since_ns = note(agent, &mut self.minutes, &heard);
        let floor_ns = agent.rest.floor.ns();
        if self.last_beats.add(number, &mut agent.trail, heard) {
            self.make_room();
        }
        match since_ns {
            None => self.first_beat(at_ns, number),
            Some(since_ns) if since_ns > floor_ns => {
                self.end_silence(at_ns, number, since_ns, is_lane());
            }
            Some(_) => {}
        }
        true
    }

    /// An agent that was known by something else has beaten.
    fn first_beat(&mut self, at_ns: u64, number: u64) {
        if let Some(agent) = self.agents.get_mut(&number)
            && agent.rest.first_ns.is_none()
        {
            agent.rest.first_ns = Some(at_ns);
            self.record_agent(at_ns, number);
        }
    }

    /// Adds the beats that wait, none of which ends a silence. To be called before anything else
    /// is done with an agent.
    #[cold]
    pub(super) fn add_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for (number, heard) in waiting.drain(..) {
            let Some(agent) = self.agents.get_mut(&number) else { continue };
            note(agent, &mut self.minutes, &heard);
            if self.last_beats.add(number, &mut agent.trail, heard) {
                self.make_room();
            }
        }
        self.waiting = waiting;
    }

    /// Makes room for further beats, and keeps those of the old ones that are still needed.
    #[cold]
    fn make_room(&mut self) {
        let agents = &mut self.agents;
        self.last_beats.make_room(agents.len(), |whose, heard| {
            let agent = agents.get_mut(&whose.agent);
            if let Some(agent) = agent.filter(|agent| agent.trail.needs(whose)) {
                let kept = &mut agent.rest.kept;
                if kept.len() == usize::from(MOST) {
                    kept.pop_front();
                }
                kept.push_back(*heard);
            }
        });
    }

    /// Records the last beats of an agent that are not in a record yet.
    pub(super) fn record_beats(&mut self, at_ns: u64, number: u64) {
        let Some(agent) = self.agents.get_mut(&number) else { return };
        let beats = self.last_beats.take(&mut agent.trail, &mut agent.rest.kept);
        if !beats.is_empty() {
            self.push(at_ns, Beats { agent: number, beats });
        }
    }
}

/// Notes a beat of an agent. Returns how long there was none before it.
#[inline]
fn note(agent: &mut Agent, minutes: &mut Minutes, heard: &Heard) -> Option<u64> {
    let at_ns = heard.observer_ns;
    let before_ns = agent.last_ns.replace(at_ns);
    let since_ns = before_ns.map(|last_ns| at_ns.saturating_sub(last_ns));
    minutes.note(agent.program, since_ns, heard.count, heard.missed.into());
    since_ns
}
