//! The silences of agents.

use varta_history::{ClockPair, Floor as FloorRecord, Gap, Text};

use super::{Collector, Identity, Unheard};

impl Collector {
    /// A beat has ended a silence that was longer than the floor.
    #[cold]
    pub(super) fn end_silence(
        &mut self,
        at_ns: u64,
        number: u64,
        silent_ns: u64,
        is_lane: bool,
    ) {
        let Some(agent) = self.agents.get_mut(&number) else { return };
        if agent.rest.recorded_ns == Some(at_ns) {
            return;
        }
        if is_lane {
            // It is heard when it is looked at, not when it beats.
            let identity = Identity { lane: true, ..agent.rest.identity };
            return self.identify(at_ns, &identity, 0, false);
        }
        self.gap(at_ns, number, silent_ns, None);
    }

    /// Records a silence.
    pub(super) fn gap(
        &mut self,
        at_ns: u64,
        number: u64,
        silent_ns: u64,
        end: Option<&'static str>,
    ) {
        let since_ns = at_ns.saturating_sub(silent_ns);
        let forgiven_ns = self.pauses.forgiven_since(since_ns).min(silent_ns);
        let is_last = end.is_some();
        let end = end.map(Text::from);
        self.push(at_ns, Gap { agent: number, silent_ns, forgiven_ns, end });
        if is_last {
            return;
        }
        if let Some(agent) = self.agents.get_mut(&number)
            && agent.rest.floor.note_gap(at_ns)
        {
            let floor_ns = agent.rest.floor.ns();
            self.push(at_ns, FloorRecord { agent: number, floor_ns });
        }
    }

    /// Records the silence of an agent that ends without a beat.
    pub(super) fn last_silence(&mut self, at_ns: u64, number: u64, end: &'static str) {
        let Some(agent) = self.agents.get(&number) else { return };
        let Some(last_ns) = agent.last_ns else { return };
        let silent_ns = at_ns.saturating_sub(last_ns);
        if agent.rest.stalled || silent_ns > agent.rest.floor.ns() {
            self.gap(at_ns, number, silent_ns, Some(end));
        }
    }

    /// Records the last minute, and the silences that have not ended when the observer does.
    pub(crate) fn end_silences(&mut self, pair: ClockPair, unheard: Unheard) {
        let now_ns = pair.observer_ns;
        self.add_waiting();
        self.record_minute(pair, unheard);
        let mut numbers: Vec<_> = self.agents.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.last_silence(now_ns, number, "stop");
        }
    }
}
