//! The beats of agents.

use varta_history::Beats;
use varta_observer::{Event, What};

use super::Collector;
use super::last_beats::{Heard, MOST};

impl Collector {
    /// Adds a beat of an agent. `is_lane` is asked only if a silence is over: whether the agent
    /// beats through shared memory, of which the collector learns only by being told.
    /// Returns false if the agent is not known yet.
    #[inline]
    pub(crate) fn beat(&mut self, event: &Event, is_lane: impl FnOnce() -> bool) -> bool {
        let (Some(about), What::Beat { status, payload, nonce, missed, count }) =
            (&event.about, event.what)
        else {
            return true;
        };
        let Some(agent) = self.agents.get_mut(&about.agent) else { return false };
        let at_ns = event.observer_ns;
        let since_ns = agent.beat(at_ns);
        let floor_ns = agent.floor.ns();
        self.minutes.note(agent.program, since_ns, count, missed);
        let missed = u16::try_from(missed).unwrap_or(u16::MAX);
        let heard = Heard { observer_ns: at_ns, payload, nonce, count, missed, status };
        if self.last_beats.add(about.agent, &mut agent.trail, heard) {
            self.make_room();
        }
        match since_ns {
            None => self.first_beat(at_ns, about.agent),
            Some(since_ns) if since_ns > floor_ns => {
                self.end_silence(at_ns, about.agent, since_ns, is_lane());
            }
            Some(_) => {}
        }
        true
    }

    /// An agent that was known by something else has beaten.
    #[cold]
    fn first_beat(&mut self, at_ns: u64, number: u64) {
        if let Some(agent) = self.agents.get_mut(&number)
            && agent.rest.first_ns.is_none()
        {
            agent.rest.first_ns = Some(at_ns);
            self.record_agent(at_ns, number);
        }
    }

    /// Makes room for further beats, and keeps those of the old ones that are still needed.
    #[cold]
    fn make_room(&mut self) {
        let agents = &mut self.agents;
        self.last_beats.make_room(agents.len(), |place| {
            let agent = agents.get_mut(&place.agent);
            if let Some(agent) = agent.filter(|agent| agent.trail.needs(place)) {
                let kept = &mut agent.rest.kept;
                if kept.len() == usize::from(MOST) {
                    kept.pop_front();
                }
                kept.push_back(place.heard);
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
