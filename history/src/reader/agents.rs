//! What is known about the agents of a run at a place in its history.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::record::{Agent, Record};

/// How many agents are remembered after their end: records about it may follow.
const MOST_GONE: usize = 1024;

/// The agents of a run, as far as a reader has come. An agent is known for a while after its end.
#[derive(Debug, Default)]
pub struct Agents {
    all: HashMap<u64, Known>,
    gone: VecDeque<u64>,
}

/// What is known about an agent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Known {
    /// The last record about it, with the threshold, the floor and the stall that later records
    /// reported.
    pub agent: Agent,
    /// Its tasks that have not ended, by number: the name and the threshold.
    pub tasks: BTreeMap<u32, (String, u64)>,
    /// Whether its process has ended, or the observer has forgotten it.
    pub gone: bool,
}

impl Agents {
    /// An agent by its number.
    #[must_use]
    pub fn get(&self, agent: u64) -> Option<&Known> {
        self.all.get(&agent)
    }

    /// All agents that have not ended.
    pub fn living(&self) -> impl Iterator<Item = &Known> {
        self.all.values().filter(|known| !known.gone)
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.gone.clear();
    }

    pub(super) fn apply(&mut self, record: &Record, observer_ns: u64) {
        if let Record::Agent(agent) = record {
            self.all.entry(agent.agent).or_default().agent = agent.clone();
            return;
        }
        let Some(known) = record.agent().and_then(|agent| self.all.get_mut(&agent)) else {
            return;
        };
        match record {
            Record::Threshold(threshold) => match threshold.task {
                None => known.agent.threshold_ns = threshold.threshold_ns,
                Some(task) => {
                    if let Some((_, threshold_ns)) = known.tasks.get_mut(&task) {
                        *threshold_ns = threshold.threshold_ns;
                    }
                }
            },
            Record::Floor(floor) => known.agent.floor_ns = floor.floor_ns,
            Record::Task(task) => {
                let name = task.task_name.clone().into_owned();
                known.tasks.insert(task.task, (name, task.threshold_ns));
            }
            Record::Ended(ended) => {
                known.tasks.remove(&ended.task);
            }
            Record::Stall(stall) if stall.task.is_none() => {
                known.agent.stalled = true;
                known.agent.last_ns = Some(stall.last_ns);
            }
            Record::Recovered(recovered) if recovered.task.is_none() => {
                known.agent.stalled = false;
                known.agent.last_ns = Some(observer_ns);
            }
            Record::Exit(_) | Record::Eviction(_) if !known.gone => {
                known.gone = true;
                self.gone.push_back(known.agent.agent);
                if self.gone.len() > MOST_GONE
                    && let Some(oldest) = self.gone.pop_front()
                {
                    self.all.remove(&oldest);
                }
            }
            _ => {}
        }
    }
}
