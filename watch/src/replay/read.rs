//! Puts the records of a run together.

use std::collections::HashMap;

use varta::Status;
use varta_history::{self as history, ClockPair, Record};
use varta_observer::{ExitCause, Origin};

use super::recorded::{
    Absence, Agent, Doubt, End, Exit, Identity, Recorded, Run, Silence, Source,
};

/// Collects the records of one run, in their order.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    run: Run,
    /// Where an agent is in the run, by its number.
    places: HashMap<u64, usize>,
    /// The last beat of the agents that are stalled.
    stalled: HashMap<u64, u64>,
    pauses: Vec<Pause>,
    has_begun: bool,
    has_ended: bool,
}

/// A time in which the observer was away, and by which it extended deadlines.
#[derive(Debug)]
struct Pause {
    since_ns: u64,
    until_ns: u64,
    forgiven_ns: u64,
}

impl Reading {
    /// Adds a record. `again` is whether it only repeats what was recorded before; `clock` is its
    /// time by both clocks.
    pub(crate) fn add(&mut self, clock: ClockPair, again: bool, record: &Record) {
        let at_ns = clock.observer_ns;
        if self.run.clocks.is_empty() {
            self.run.begin_ns = at_ns;
        }
        self.set_clock(clock);
        self.run.end_ns = self.run.end_ns.max(at_ns);
        match record {
            Record::Started(started) => self.begin(at_ns, again, started),
            Record::Stopped(_) => self.has_ended = true,
            Record::Clock(clock) => self.add_unheard(clock),
            Record::Late(late) => self.add_late(at_ns, late),
            Record::Lost(lost) => {
                let count = lost.last.saturating_sub(lost.first).saturating_add(1);
                self.doubt(Doubt::Lost, count);
            }
            Record::Agent(agent) => self.identify(at_ns, again, agent),
            Record::Threshold(threshold) if threshold.task.is_none() => {
                self.set_threshold(at_ns, threshold);
            }
            Record::Floor(floor) => {
                if let Some(agent) = self.agent_mut(floor.agent) {
                    agent.floors.push((at_ns, floor.floor_ns));
                }
            }
            Record::Stall(stall) if stall.task.is_some() => self.doubt(Doubt::Tasks, 1),
            Record::Stall(stall) => {
                if let Some(agent) = self.agent_mut(stall.agent) {
                    agent.stalls.push(at_ns);
                    self.stalled.insert(stall.agent, stall.last_ns);
                }
            }
            Record::Gap(gap) => {
                let from_ns = at_ns.saturating_sub(gap.silent_ns);
                let end = match gap.end.as_deref() {
                    None => End::Beat,
                    Some("exit") => End::Exit,
                    Some("eviction") => End::Eviction,
                    Some(_) => End::Run,
                };
                self.note_unjudged(gap.agent, from_ns, at_ns);
                self.end_silence(gap.agent, from_ns, at_ns, end);
            }
            Record::Recovered(recovered) if recovered.task.is_none() => {
                if let Some(last_ns) = self.stalled.remove(&recovered.agent) {
                    let to_ns = last_ns.saturating_add(recovered.silent_ns);
                    self.end_silence(recovered.agent, last_ns, to_ns, End::Beat);
                }
            }
            Record::Exit(exit) => {
                self.end_silence(exit.agent, exit.last_ns, at_ns, End::Exit);
                if let Some(agent) = self.agent_mut(exit.agent) {
                    agent.exit = Some(exit_of(at_ns, exit));
                }
            }
            Record::Eviction(eviction) => {
                self.end_silence(eviction.agent, eviction.last_ns, at_ns, End::Eviction);
                self.doubt(Doubt::Evictions, 1);
            }
            Record::Recovery(recovery) if recovery.step == "spawned" => {
                if let Some(agent) = self.agent_mut(recovery.agent) {
                    agent.commands.push(at_ns);
                }
            }
            _ => {}
        }
    }

    /// The run, of which nothing more is recorded.
    pub(crate) fn end(mut self) -> Run {
        let end_ns = self.run.end_ns;
        for (agent, last_ns) in std::mem::take(&mut self.stalled) {
            self.end_silence(agent, last_ns, end_ns, End::Run);
        }
        for agent in &mut self.run.agents {
            // What recovery decides is recorded a little later than it happens.
            agent.commands.sort_unstable();
            agent.silences.sort_by_key(|silence| silence.from_ns);
        }
        if !self.has_begun {
            self.doubt(Doubt::Beginning, 1);
        }
        if !self.has_ended {
            self.doubt(Doubt::Unended, 1);
        }
        self.run
    }

    fn begin(&mut self, at_ns: u64, again: bool, started: &history::Started) {
        self.has_begun |= !again;
        if self.run.defaults.is_empty() {
            self.run.defaults.push((at_ns, started.threshold_ns));
            self.run.pause_after_ns = started.pause_after_ns;
            if started.causes {
                self.doubt(Doubt::Causes, 1);
            }
        }
    }

    /// Keeps a pair of clocks whenever they have moved apart.
    fn set_clock(&mut self, clock: ClockPair) {
        let expected = self.run.clocks.last().map(|pair| pair.wall_at(clock.observer_ns));
        if expected != Some(clock.wall_ns) {
            self.run.clocks.push(clock);
        }
    }

    fn add_late(&mut self, at_ns: u64, late: &history::Late) {
        let history::Late { late_ns, away_ns, suspended_ns, forgiven_ns } = *late;
        self.run.absences.push(Absence { at_ns, late_ns, away_ns, suspended_ns });
        if forgiven_ns > 0 {
            let since_ns = at_ns.saturating_sub(away_ns);
            self.pauses.push(Pause { since_ns, until_ns: at_ns, forgiven_ns });
        }
    }

    /// By how much the deadline of a silence was extended that began and was due then: not by a
    /// pause that began later.
    fn forgiven_ns(&self, from_ns: u64, due_ns: u64) -> u64 {
        let within = self.pauses.iter().rev().take_while(|pause| pause.until_ns > from_ns);
        let before = within.filter(|pause| pause.since_ns < due_ns);
        before.map(|pause| pause.forgiven_ns).max().unwrap_or(0)
    }

    fn add_unheard(&mut self, clock: &history::Clock) {
        for (doubt, count) in [
            (Doubt::FullQueue, clock.full_looks),
            (Doubt::RateLimits, clock.rate_limited),
            (Doubt::Refused, clock.refused),
            (Doubt::KernelDrops, clock.kernel_drops),
        ] {
            self.doubt(doubt, count.unwrap_or(0));
        }
    }

    fn doubt(&mut self, doubt: Doubt, count: u64) {
        if count > 0 {
            let counted = self.run.doubts.entry(doubt).or_default();
            *counted = counted.saturating_add(count);
        }
    }

    fn agent_mut(&mut self, number: u64) -> Option<&mut Agent> {
        self.run.agents.get_mut(*self.places.get(&number)?)
    }

    fn identify(&mut self, at_ns: u64, again: bool, record: &history::Agent) {
        let next = self.run.agents.len();
        let place = *self.places.entry(record.agent).or_insert(next);
        if place == next {
            let (number, pid) = (record.agent, record.pid);
            self.run.agents.push(Agent { number, pid, ..Agent::default() });
        }
        let Some(agent) = self.run.agents.get_mut(place) else { return };
        let identity = Identity {
            program: record.program.clone().into_owned(),
            uid: record.uid,
            unit: record.unit.clone().into_owned(),
            container: record.container.clone().into_owned(),
        };
        if agent.identities.last().is_none_or(|(_, last)| *last != identity) {
            agent.identities.push((at_ns, identity));
        }
        if agent.floors.last().is_none_or(|(_, last)| *last != record.floor_ns) {
            agent.floors.push((at_ns, record.floor_ns));
        }
        // Of an agent that is known from earlier, only what comes now is recorded.
        let first_ns = record.first_ns.map(|first_ns| if again { at_ns } else { first_ns });
        agent.first_ns = agent.first_ns.or(first_ns);
        let default_ns = self.run.defaults.last().map(|(_, ns)| *ns);
        if place == next && default_ns != Some(record.threshold_ns) {
            let recorded = Recorded { ns: record.threshold_ns, source: Source::Settings };
            agent.thresholds.push((at_ns, recorded));
        }
        let mut add = |doubt, applies| {
            if applies && !agent.doubts.contains(&doubt) {
                agent.doubts.push(doubt);
            }
        };
        add(Doubt::Network, record.origin != Origin::KernelAttested.name());
        add(Doubt::LateLooks, record.lane);
        add(Doubt::Exits, record.exits.as_deref().is_some_and(|exits| exits != "seen"));
    }

    fn set_threshold(&mut self, at_ns: u64, threshold: &history::Threshold) {
        let ns = threshold.threshold_ns;
        if threshold.agent == 0 {
            return self.run.defaults.push((at_ns, ns));
        }
        let source = match threshold.by.as_ref() {
            "grace" => Source::Grace,
            "unwatched" => Source::Unwatched,
            "service" => Source::Service,
            _ => Source::Settings,
        };
        let Some(agent) = self.agent_mut(threshold.agent) else { return };
        if source == Source::Service && !agent.doubts.contains(&Doubt::Services) {
            agent.doubts.push(Doubt::Services);
        }
        agent.thresholds.push((at_ns, Recorded { ns, source }));
    }

    /// Notes since when a silence should have been a Stall, if it should, but was none: the observer
    /// was late, or was held when it ran and before it judged.
    fn note_unjudged(&mut self, number: u64, from_ns: u64, to_ns: u64) {
        if self.stalled.contains_key(&number) {
            return;
        }
        let default = self.run.defaults.last().copied();
        let Some(agent) = self.agent_mut(number) else { return };
        let own = agent.thresholds.last().map(|(at_ns, it)| (*at_ns, it.ns));
        let Some((since_ns, threshold_ns)) = own.or(default) else { return };
        let due_ns = from_ns.saturating_add(threshold_ns);
        let due_ns = due_ns.saturating_add(self.forgiven_ns(from_ns, due_ns)).max(since_ns);
        if due_ns <= to_ns
            && let Some(agent) = self.agent_mut(number)
        {
            agent.unjudged.push(due_ns);
        }
    }

    /// Adds a silence of an agent, unless it is known already.
    fn end_silence(&mut self, agent: u64, from_ns: u64, to_ns: u64, end: End) {
        let was_stalled = self.stalled.remove(&agent).is_some();
        let Some(agent) = self.agent_mut(agent) else { return };
        let floor_ns = agent.floors.last().map_or(0, |(_, floor_ns)| *floor_ns);
        let silence = Silence { from_ns, to_ns, end };
        let is_recorded = agent.first_ns.is_some_and(|first_ns| first_ns <= from_ns);
        let is_new = agent.silences.last().is_none_or(|last| last.from_ns != from_ns);
        if is_recorded && is_new && (was_stalled || silence.length_ns() > floor_ns) {
            agent.silences.push(silence);
        }
    }
}

fn exit_of(at_ns: u64, exit: &history::Exit) -> Exit {
    let cause = match (exit.code, exit.signal) {
        (Some(code), _) => ExitCause::Code(code),
        (None, Some(signal)) => ExitCause::Signal(signal),
        (None, None) => ExitCause::Unknown,
    };
    Exit { at_ns, cause, last_status: exit.last_status.parse().unwrap_or(Status::Ok) }
}
