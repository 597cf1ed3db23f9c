//! Lets the judge of the daemon decide about recorded silences, in simulated time.
//!
//! Only the beats at both ends of a silence are needed. Between two silences an agent beats often
//! enough, so that it is not judged there: it gets a threshold that it cannot reach.

use std::io;
use std::time::Duration;

use varta::{Frame, Status};
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{Builder, Event, ExitCause, Simulated, Uids, What};

use super::recorded::{Absence, End, Exit, Run, Silence};
use super::thresholds::Step;

/// A decision about an agent, which is given by its place in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) at_ns: u64,
    pub(crate) agent: usize,
    pub(crate) found: Found,
}

/// As the events of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Stall { last_ns: u64 },
    Recovered { silent_ns: u64 },
    Exit { cause: ExitCause, last_status: Status },
}

/// What the simulated observer is told. Of what happens at one time, the first in this order is
/// told first: an observer that was late looks for pauses before it reads beats, reads all beats
/// before it reports exits, and reports exits before it judges silences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Back,
    Beat,
    Threshold,
    Exit,
    Away,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    /// The observer runs again.
    Back(Absence),
    /// The first beat of an agent, and its threshold from then on.
    First(usize, u64),
    /// The last beat before a silence.
    Begin(usize),
    /// The first beat after it.
    End(usize),
    Threshold(usize, u64),
    Exit(usize, Exit),
    /// The silence of the agent is no longer judged.
    Forget(usize),
    /// The observer does not run, and has not read what arrived meanwhile, until then.
    Away(u64),
}

/// An observer that runs again has read within this time what arrived meanwhile.
const READ_NS: u64 = 1_000_000;

/// No silence is that long.
const NEVER: u64 = u64::MAX;

/// Judges the silences of a run. `steps` are the thresholds of each of its agents, which are
/// empty for an agent without a beat of its own; `default_ns` is that of the flags.
pub(crate) fn judge(
    run: &Run,
    default_ns: u64,
    steps: &[Vec<Step>],
) -> io::Result<Vec<Verdict>> {
    let mut actions = actions(run, steps);
    actions.sort_by_key(|(at_ns, order, _)| (*at_ns, *order));
    let mut replay = Replay::new(run, default_ns)?;
    for (at_ns, _, action) in actions {
        replay.judge_before(at_ns);
        replay.act(at_ns, action);
    }
    replay.judge_before(run.end_ns.saturating_add(1));
    Ok(replay.verdicts)
}

fn actions(run: &Run, steps: &[Vec<Step>]) -> Vec<(u64, Order, Action)> {
    let mut actions = Vec::new();
    let silences = run.agents.iter().flat_map(|agent| &agent.silences);
    let mut ends: Vec<u64> = silences.map(|silence| silence.to_ns).collect();
    ends.sort_unstable();
    let mut stalls: Vec<u64> =
        run.agents.iter().flat_map(|agent| &agent.stalls).copied().collect();
    stalls.sort_unstable();
    let mut read_before_ns = 0;
    for absence in &run.absences {
        let Absence { at_ns, away_ns, .. } = *absence;
        // It judges silences once it has read what ended some of them. A Stall shows that it had.
        let stall_ns = stalls.get(stalls.partition_point(|stall_ns| *stall_ns < at_ns));
        let until_ns = at_ns.saturating_add(READ_NS);
        let until_ns = stall_ns.map_or(until_ns, |stall_ns| until_ns.min(*stall_ns));
        let next = ends.partition_point(|end_ns| *end_ns <= until_ns);
        let read_ns = next.checked_sub(1).and_then(|last| ends.get(last).copied());
        let read_ns = read_ns.map_or(at_ns, |read_ns| read_ns.max(at_ns));
        let since_ns = at_ns.saturating_sub(away_ns).max(read_before_ns).min(at_ns);
        read_before_ns = read_ns;
        actions.push((since_ns, Order::Away, Action::Away(read_ns)));
        actions.push((at_ns, Order::Back, Action::Back(*absence)));
    }
    for (index, (agent, steps)) in run.agents.iter().zip(steps).enumerate() {
        if let Some(exit) = agent.exit {
            actions.push((exit.at_ns, Order::Exit, Action::Exit(index, exit)));
        }
        let (Some(first_ns), Some(first)) = (agent.first_ns, steps.first()) else { continue };
        let action = Action::First(index, first.threshold_ns);
        actions.push((first_ns, Order::Beat, action));
        for step in steps.iter().skip(1) {
            let action = Action::Threshold(index, step.threshold_ns);
            actions.push((step.at_ns, Order::Threshold, action));
        }
        // A silence that is not longer than any threshold cannot be a Stall.
        let shortest = steps.iter().map(|step| step.threshold_ns).min();
        let shortest = shortest.unwrap_or(first.threshold_ns);
        for silence in agent.silences.iter().filter(|it| it.length_ns() >= shortest) {
            let Silence { from_ns, to_ns, end } = *silence;
            actions.push((from_ns.max(first_ns), Order::Beat, Action::Begin(index)));
            match end {
                End::Beat => actions.push((to_ns, Order::Beat, Action::End(index))),
                End::Eviction => actions.push((to_ns, Order::Exit, Action::Forget(index))),
                End::Exit | End::Run => {}
            }
        }
        let unjudged = agent.unjudged.iter();
        actions.extend(unjudged.map(|since| (*since, Order::Exit, Action::Forget(index))));
    }
    actions
}

struct Replay {
    observer: Simulated,
    /// Until when the observer judges nothing.
    away_until_ns: u64,
    /// The time of the last action.
    told_ns: u64,
    agents: Vec<Judged>,
    verdicts: Vec<Verdict>,
}

/// An agent in the simulation.
#[derive(Debug, Clone, Copy, Default)]
struct Judged {
    /// Its number there.
    number: u64,
    beats: u64,
    threshold_ns: u64,
    is_silent: bool,
}

impl Replay {
    fn new(run: &Run, default_ns: u64) -> io::Result<Self> {
        let mut observer = Builder::new()
            .uids(Uids::Any)
            .capacity(capacity_for(run.agents.len()))
            .threshold(Duration::from_nanos(default_ns));
        if let Some(ns) = run.pause_after_ns {
            observer = observer.pause_after(Duration::from_nanos(ns));
        }
        let observer = observer.simulate()?;
        let agents = vec![Judged::default(); run.agents.len()];
        Ok(Self { observer, away_until_ns: 0, told_ns: 0, agents, verdicts: Vec::new() })
    }

    /// Decides all that is due before a time, once it is told all that happened before that.
    fn judge_before(&mut self, at_ns: u64) {
        if at_ns > self.told_ns.max(self.away_until_ns) {
            self.judge_all_before(at_ns);
        }
    }

    fn judge_all_before(&mut self, at_ns: u64) {
        while let Some(due) = self.observer.next_deadline().filter(|due| *due < at_ns) {
            self.observer.advance(due);
            self.take_verdicts();
        }
    }

    fn act(&mut self, at_ns: u64, action: Action) {
        self.told_ns = at_ns;
        match action {
            Action::Away(until_ns) => {
                // It has judged what was due when it ran last.
                self.judge_all_before(at_ns.saturating_add(1));
                self.away_until_ns = until_ns;
            }
            Action::Back(Absence { late_ns, away_ns, suspended_ns, .. }) => {
                self.observer.away(at_ns, late_ns, away_ns, suspended_ns);
            }
            Action::First(index, threshold_ns) => {
                self.beat(at_ns, index);
                self.set_threshold(index, threshold_ns);
            }
            Action::Begin(index) => {
                self.beat(at_ns, index);
                self.set_silent(index, true);
            }
            Action::End(index) => {
                self.beat(at_ns, index);
                self.set_silent(index, false);
            }
            Action::Forget(index) => self.set_silent(index, false),
            Action::Threshold(index, threshold_ns) => self.set_threshold(index, threshold_ns),
            Action::Exit(index, Exit { cause, last_status, .. }) => {
                // An agent that never beat itself is not known there.
                self.observer.exit(at_ns, pid_of(index), cause);
                let found = Found::Exit { cause, last_status };
                self.verdicts.push(Verdict { at_ns, agent: index, found });
            }
        }
        self.take_verdicts();
    }

    fn beat(&mut self, at_ns: u64, index: usize) {
        let Some(agent) = self.agents.get_mut(index) else { return };
        agent.beats += 1;
        let (pid, nonce) = (pid_of(index), agent.beats);
        let mut wire = [0; 32];
        Frame::new(Status::Ok, pid, 0, nonce, 0).encode(&mut wire);
        let sender = Sender::Kernel { pid, uid: 0, process: None };
        self.observer.feed(at_ns, &Datagram::new(0, sender, &wire));
        self.take_verdicts();
    }

    fn set_threshold(&mut self, index: usize, threshold_ns: u64) {
        let Some(agent) = self.agents.get_mut(index) else { return };
        agent.threshold_ns = threshold_ns;
        let is_silent = agent.is_silent;
        // The shortest threshold decides what a pause is, whether a silence is judged or not.
        self.observer.set_threshold(agent.number, threshold_ns);
        self.set_silent(index, is_silent);
    }

    /// Sets whether an agent is judged.
    fn set_silent(&mut self, index: usize, is_silent: bool) {
        let Some(agent) = self.agents.get_mut(index) else { return };
        agent.is_silent = is_silent;
        let threshold_ns = if is_silent { agent.threshold_ns } else { NEVER };
        self.observer.set_threshold(agent.number, threshold_ns);
    }

    fn take_verdicts(&mut self) {
        while let Some(Event { observer_ns, about, what, .. }) = self.observer.poll() {
            let Some(about) = about else { continue };
            let index = index_of(about.pid);
            let found = match what {
                What::Stall { last_ns, .. } => Found::Stall { last_ns },
                What::Recovered { silent_ns, .. } => Found::Recovered { silent_ns },
                What::Beat { .. } => {
                    if let Some(agent) = self.agents.get_mut(index) {
                        agent.number = about.agent;
                    }
                    continue;
                }
                _ => continue,
            };
            self.verdicts.push(Verdict { at_ns: observer_ns, agent: index, found });
        }
    }
}

/// A capacity of which one user, to whom all agents belong there, may have this many places: an
/// eighth is kept for others.
const fn capacity_for(agents: usize) -> usize {
    agents.saturating_add(agents / 4).saturating_add(8)
}

/// In the simulation no two agents share a pid. 1 is the first process of a system.
fn pid_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(2)
}

fn index_of(pid: u32) -> usize {
    pid.saturating_sub(2) as usize
}
