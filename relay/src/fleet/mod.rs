//! The last known states of the agents of this host.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use varta_history::{CauseMembers, Record};

use crate::message::{self, Message};
use crate::subject;

/// How often the state of an agent to which nothing happens is published again, so that a stream
/// that forgets old messages keeps it.
const REFRESH_NS: u64 = 12 * 60 * 60 * 1_000_000_000;

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Running,
    Stalled,
    /// Its process has ended.
    Exited,
    /// The daemon does not follow it any more.
    Gone,
}

/// The last known state of an agent, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentState {
    /// When it began.
    pub(crate) time: String,
    pub(crate) host: String,
    pub(crate) run: String,
    /// The number of the record that says so.
    pub(crate) seq: u64,
    pub(crate) agent: u64,
    pub(crate) state: State,
    pub(crate) program: String,
    pub(crate) pid: u32,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) unit: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) user_unit: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) container: String,
    /// Why it is silent, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) cause_text: Option<String>,
    /// How its process ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) signal: Option<i32>,
}

/// When and where a record was written.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) time: String,
    pub(crate) wall_ns: u64,
    pub(crate) host: String,
    pub(crate) run: String,
    pub(crate) seq: u64,
    /// It repeats what was known before.
    pub(crate) again: bool,
}

/// An agent that the stream holds a state of, or no longer does.
#[derive(Debug)]
pub(crate) struct Change {
    agent: u64,
    now: Option<AgentState>,
}

/// The agents that are neither exited nor gone, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fleet {
    agents: BTreeMap<u64, AgentState>,
    refreshed_ns: u64,
    /// Agents that may have ended while records were lost.
    doubtful: Option<BTreeSet<u64>>,
}

impl Fleet {
    pub(crate) fn new(agents: Vec<AgentState>) -> Self {
        let agents = agents.into_iter().map(|agent| (agent.agent, agent)).collect();
        Self { agents, ..Self::default() }
    }

    pub(crate) fn agents(&self) -> impl Iterator<Item = &AgentState> {
        self.agents.values()
    }

    /// Applies what a message has changed.
    pub(crate) fn apply(&mut self, change: Change) {
        match change.now {
            Some(state) => self.agents.insert(change.agent, state),
            None => self.agents.remove(&change.agent),
        };
    }

    /// Records were lost: agents that the next segment does not repeat are gone.
    pub(crate) fn records_were_lost(&mut self) {
        self.doubtful = Some(self.agents.keys().copied().collect());
    }

    /// Follows a record, and returns the states to publish.
    pub(crate) fn note(&mut self, origin: &Origin, record: &Record) -> Vec<Message> {
        let mut messages = self.ended_before(origin);
        if origin.again {
            if let (Some(doubtful), Some(agent)) = (&mut self.doubtful, record.agent()) {
                doubtful.remove(&agent);
            }
        } else if let Some(doubtful) = self.doubtful.take() {
            messages.extend(self.gone(origin, doubtful));
        }
        messages.extend(self.renamed(origin, record));
        match record {
            Record::Clock(_) => messages.extend(self.refresh(origin.wall_ns)),
            record if record.task().is_some() => {}
            record => messages.extend(self.next_state(origin, record).map(|state| {
                let living = matches!(state.state, State::Running | State::Stalled);
                let change = Change { agent: state.agent, now: living.then(|| state.clone()) };
                self.apply(Change { agent: state.agent, now: change.now.clone() });
                publish(&state, change)
            })),
        }
        messages
    }

    /// The agents of an earlier run are gone.
    fn ended_before(&mut self, origin: &Origin) -> Vec<Message> {
        let ended = self.agents.values().filter(|agent| agent.run != origin.run);
        let ended: BTreeSet<u64> = ended.map(|agent| agent.agent).collect();
        self.gone(origin, ended)
    }

    /// An agent with a new name has a new subject, and is gone from its old one.
    fn renamed(&mut self, origin: &Origin, record: &Record) -> Vec<Message> {
        match record {
            Record::Agent(body) => {
                let known = self.agents.get(&body.agent);
                let old = known.filter(|known| known.program != body.program);
                self.gone(origin, old.map(|known| known.agent).into_iter().collect())
            }
            _ => Vec::new(),
        }
    }

    fn gone(&mut self, origin: &Origin, agents: BTreeSet<u64>) -> Vec<Message> {
        let states = agents.into_iter().filter_map(|agent| self.agents.remove(&agent));
        let gone = states.map(|mut state| {
            state.time.clone_from(&origin.time);
            (state.state, state.cause, state.cause_text) = (State::Gone, None, None);
            publish(&state, Change { agent: state.agent, now: None })
        });
        gone.collect()
    }

    /// All states again, if it is time for it.
    fn refresh(&mut self, wall_ns: u64) -> Vec<Message> {
        if self.refreshed_ns == 0 {
            self.refreshed_ns = wall_ns;
        }
        if wall_ns.saturating_sub(self.refreshed_ns) < REFRESH_NS {
            return Vec::new();
        }
        self.refreshed_ns = wall_ns;
        let again = |state: &AgentState| {
            publish(state, Change { agent: state.agent, now: Some(state.clone()) })
        };
        self.agents.values().map(again).collect()
    }

    /// The state that a record tells of its agent, if it tells a new one.
    fn next_state(&self, origin: &Origin, record: &Record) -> Option<AgentState> {
        let agent = record.agent()?;
        let known = self.agents.get(&agent);
        if let Record::Agent(body) = record {
            if origin.again && known.is_some() {
                return None;
            }
            let state = if body.stalled { State::Stalled } else { State::Running };
            // What else is new about an agent does not begin a new state.
            let same = known.filter(|known| known.state == state);
            return Some(AgentState {
                time: same.map_or(&origin.time, |known| &known.time).clone(),
                host: origin.host.clone(),
                run: origin.run.clone(),
                seq: origin.seq,
                agent,
                state,
                program: body.program.to_string(),
                pid: if body.pid == 0 { body.claimed_pid } else { body.pid },
                unit: body.unit.to_string(),
                user_unit: body.user_unit.to_string(),
                container: body.container.to_string(),
                cause: same.and_then(|known| known.cause.clone()),
                cause_text: same.and_then(|known| known.cause_text.clone()),
                code: None,
                signal: None,
            });
        }
        let (mut next, seq) = (known?.clone(), origin.seq);
        (next.time, next.seq) = (origin.time.clone(), seq);
        match record {
            Record::Stall(body) => {
                next.state = State::Stalled;
                next.set_cause(body.why.0.as_ref());
            }
            Record::Cause(body) => next.set_cause(body.why.0.as_ref()),
            Record::Recovered(_) => {
                next.state = State::Running;
                next.set_cause(None);
            }
            Record::Exit(body) => {
                next.state = State::Exited;
                (next.code, next.signal) = (body.code, body.signal);
                next.set_cause(body.why.0.as_ref());
            }
            Record::Eviction(_) => next.state = State::Gone,
            _ => return None,
        }
        Some(next)
    }
}

impl AgentState {
    fn set_cause(&mut self, why: Option<&CauseMembers>) {
        self.cause = why.map(|why| why.cause.to_string());
        self.cause_text = why.and_then(|why| why.cause_text.as_ref()).map(ToString::to_string);
    }
}

fn publish(state: &AgentState, change: Change) -> Message {
    Message {
        subject: subject::state(&state.host, &state.program, &state.run, state.agent),
        id: None,
        payload: message::payload(&serde_json::json!(state)),
        change: Some(change),
    }
}

#[cfg(test)]
mod tests;
