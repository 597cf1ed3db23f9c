//! By which thresholds the agents are judged again.

use std::time::Duration;

use super::recorded::{Agent, Run, Source};
use crate::platform::clock::nanoseconds;
use crate::rules::{Facts, Rules};

/// What is chosen instead of the thresholds of the run.
#[derive(Debug)]
pub(crate) enum Choice {
    /// One for all agents, or for those of one program.
    One { threshold: Duration, program: Option<String> },
    /// Those of the rules of a file, and one for the agents without a rule; None is the one of
    /// the run.
    Rules { rules: Box<Rules>, default: Option<Duration>, program: Option<String> },
}

/// A threshold, and since when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at_ns: u64,
    pub(crate) threshold_ns: u64,
}

/// An agent was not recorded precisely enough for its new threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooShort {
    /// The agent's place in the run.
    pub(crate) agent: usize,
    pub(crate) threshold_ns: u64,
    /// The shortest threshold by which it can be judged.
    pub(crate) floor_ns: u64,
    pub(crate) at_ns: u64,
}

/// The thresholds of all agents of a run, which are none for an agent that has only tasks.
pub(crate) type Plan = Vec<Vec<Step>>;

impl Choice {
    /// Whether an agent is judged again.
    pub(crate) fn selects(&self, agent: &Agent) -> bool {
        let (Self::One { program, .. } | Self::Rules { program, .. }) = self;
        program.as_deref().is_none_or(|program| program == agent.program())
    }

    /// The threshold of agents that have none of their own.
    pub(crate) fn default_ns(&self, run: &Run) -> u64 {
        match self {
            Self::One { threshold, program: None } => nanoseconds(*threshold),
            Self::One { program: Some(_), .. } => run.default_ns(),
            Self::Rules { default, .. } => default.map_or(run.default_ns(), nanoseconds),
        }
    }

    /// The thresholds of an agent, the first one from its first beat on. Those of agents that are
    /// not selected are as recorded.
    pub(crate) fn steps(&self, run: &Run, agent: &Agent, first_ns: u64) -> Vec<Step> {
        let mut steps = match self {
            _ if !self.selects(agent) => recorded(run, agent, |it| it),
            Self::One { threshold, .. } => {
                let chosen = nanoseconds(*threshold);
                let replace = |(ns, source)| match source {
                    Source::Settings => (chosen, source),
                    Source::Grace => (chosen.max(ns), source),
                    Source::Unwatched | Source::Service => (ns, source),
                };
                recorded(run, agent, replace)
            }
            Self::Rules { rules, .. } => {
                let flags = Duration::from_nanos(self.default_ns(run));
                let own = agent.thresholds.iter();
                let is_service = own.map(|(_, it)| it.source).any(|it| it == Source::Service);
                let (ruled, is_chosen) = ruled(rules, flags, agent, first_ns);
                // If no rule chooses one, a service keeps its own.
                if is_service && !is_chosen { recorded(run, agent, |it| it) } else { ruled }
            }
        };
        for step in &mut steps {
            step.at_ns = step.at_ns.max(first_ns);
        }
        // Of those with one time, the last one counts.
        let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            kept.pop_if(|last| last.at_ns == step.at_ns);
            if kept.last().is_none_or(|last| last.threshold_ns != step.threshold_ns) {
                kept.push(step);
            }
        }
        kept
    }
}

/// The thresholds that an agent had, each replaced.
fn recorded(
    run: &Run,
    agent: &Agent,
    replace: impl Fn((u64, Source)) -> (u64, Source),
) -> Vec<Step> {
    let own = agent.thresholds.iter().map(|(at_ns, it)| (*at_ns, (it.ns, it.source)));
    // The flags apply until it gets a threshold of its own.
    let own_ns = agent.thresholds.first().map_or(u64::MAX, |(at_ns, _)| *at_ns);
    let flags = std::iter::once((0, run.default_ns())).chain(run.defaults.iter().copied());
    let flags = flags.take_while(|(at_ns, _)| *at_ns < own_ns);
    let steps = flags.map(|(at_ns, ns)| (at_ns, (ns, Source::Settings))).chain(own);
    steps.map(|(at_ns, it)| Step { at_ns, threshold_ns: replace(it).0 }).collect()
}

fn known(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

/// The thresholds that an agent gets by rules, and whether a rule chooses one.
fn ruled(rules: &Rules, flags: Duration, agent: &Agent, first_ns: u64) -> (Vec<Step>, bool) {
    let mut steps = vec![Step { at_ns: 0, threshold_ns: nanoseconds(flags) }];
    let mut is_chosen = false;
    // When it got its first rule.
    let mut ruled_ns = None;
    let mut before = None;
    for (index, (at_ns, identity)) in agent.identities.iter().enumerate() {
        let facts = Facts {
            program: &identity.program,
            unit: known(&identity.unit),
            uid: identity.uid,
            container: known(&identity.container),
        };
        let found = rules.find(&facts);
        if found == before {
            continue;
        }
        before = found;
        let at_ns = (*at_ns).max(first_ns);
        let first_ns = *ruled_ns.get_or_insert(at_ns);
        let next = agent.identities.get(index + 1..).unwrap_or_default();
        let until = next.first().map_or(u64::MAX, |(at_ns, _)| *at_ns);
        let mut effect = rules.effect(found, flags, first_ns, at_ns);
        is_chosen |= effect.is_chosen;
        steps.push(Step { at_ns, threshold_ns: nanoseconds(effect.threshold) });
        if let Some(end_ns) = effect.grace_end_ns.filter(|end_ns| *end_ns < until) {
            effect = rules.effect(found, flags, first_ns, end_ns);
            steps.push(Step { at_ns: end_ns, threshold_ns: nanoseconds(effect.threshold) });
        }
    }
    (steps, is_chosen)
}

/// Plans the thresholds of all agents.
///
/// # Errors
///
/// The agent that needs the longest threshold, if one was not recorded precisely enough during
/// the period.
pub(crate) fn plan(run: &Run, choice: &Choice, period: (u64, u64)) -> Result<Plan, TooShort> {
    let mut plan = Vec::with_capacity(run.agents.len());
    let mut worst: Option<TooShort> = None;
    for (index, agent) in run.agents.iter().enumerate() {
        let steps = agent.first_ns.map(|first_ns| choice.steps(run, agent, first_ns));
        let steps = steps.unwrap_or_default();
        if choice.selects(agent) {
            let found = too_short(index, agent, &steps, period);
            worst = worst.into_iter().chain(found).max_by_key(|short| short.floor_ns);
        }
        plan.push(steps);
    }
    worst.map_or(Ok(plan), Err)
}

/// The longest floor of an agent during the period that is longer than its threshold then.
fn too_short(
    index: usize,
    agent: &Agent,
    steps: &[Step],
    (since_ns, until_ns): (u64, u64),
) -> Option<TooShort> {
    let end_ns = agent.exit.map_or(until_ns, |exit| exit.at_ns.min(until_ns));
    let mut worst: Option<TooShort> = None;
    for (place, step) in steps.iter().enumerate() {
        let from_ns = step.at_ns.max(since_ns);
        let to_ns = steps.get(place + 1).map_or(end_ns, |next| next.at_ns.min(end_ns));
        for (place, (at_ns, floor_ns)) in agent.floors.iter().enumerate() {
            let next_ns = agent.floors.get(place + 1).map_or(to_ns, |(at_ns, _)| *at_ns);
            let at_ns = from_ns.max(*at_ns);
            let applies = at_ns < to_ns.min(next_ns);
            let is_worse = worst.is_none_or(|worst| worst.floor_ns < *floor_ns);
            if applies && step.threshold_ns < *floor_ns && is_worse {
                let (threshold_ns, floor_ns) = (step.threshold_ns, *floor_ns);
                worst = Some(TooShort { agent: index, threshold_ns, floor_ns, at_ns });
            }
        }
    }
    worst
}
