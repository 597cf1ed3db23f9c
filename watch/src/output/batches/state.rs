//! The state that each new file of the history begins with.

use std::collections::BTreeMap;

use varta_history::{Agent, Expected, Record, Started, Task, Threshold};

/// What all records so far add up to. A new segment begins with it, because the older ones may
/// have been removed.
#[derive(Debug, Default)]
pub(super) struct State {
    started: Option<(u64, Started)>,
    /// By agent: the default has the number 0. An agent has one if it was changed.
    thresholds: BTreeMap<u64, (u64, Threshold)>,
    agents: BTreeMap<u64, (u64, Agent)>,
    tasks: BTreeMap<(u64, u32), (u64, Task)>,
    missing: BTreeMap<String, (u64, Expected)>,
}

impl State {
    pub(super) fn apply(&mut self, at_ns: u64, record: &Record) {
        match record {
            Record::Started(started) => self.started = Some((at_ns, started.clone())),
            Record::Agent(agent) => {
                self.agents.insert(agent.agent, (at_ns, agent.clone()));
            }
            Record::Threshold(threshold) if threshold.task.is_none() => {
                let number = threshold.agent;
                self.thresholds.insert(number, (at_ns, threshold.clone()));
                self.change(number, |agent| agent.threshold_ns = threshold.threshold_ns);
            }
            Record::Floor(floor) => {
                self.change(floor.agent, |agent| agent.floor_ns = floor.floor_ns);
            }
            Record::Stall(stall) if stall.task.is_none() => {
                self.change(stall.agent, |agent| {
                    (agent.stalled, agent.last_ns) = (true, Some(stall.last_ns));
                });
            }
            Record::Recovered(recovered) if recovered.task.is_none() => {
                self.change(recovered.agent, |agent| {
                    (agent.stalled, agent.last_ns) = (false, Some(at_ns));
                });
            }
            Record::Gap(gap) => self.change(gap.agent, |agent| agent.last_ns = Some(at_ns)),
            Record::Task(task) => {
                self.tasks.insert((task.agent, task.task), (at_ns, task.clone()));
            }
            Record::Ended(ended) => {
                self.tasks.remove(&(ended.agent, ended.task));
            }
            Record::Exit(exit) => self.forget(exit.agent),
            Record::Eviction(eviction) => self.forget(eviction.agent),
            Record::Missing(expected) => {
                let program = expected.program.to_string();
                self.missing.insert(program, (at_ns, expected.clone()));
            }
            Record::Present(expected) => {
                self.missing.remove(expected.program.as_ref());
            }
            _ => {}
        }
    }

    fn change(&mut self, agent: u64, change: impl FnOnce(&mut Agent)) {
        if let Some((_, agent)) = self.agents.get_mut(&agent) {
            change(agent);
        }
    }

    fn forget(&mut self, agent: u64) {
        self.agents.remove(&agent);
        self.thresholds.remove(&agent);
        self.tasks.retain(|(of, _), _| *of != agent);
    }

    /// The state as records, with the times of what they repeat.
    pub(super) fn records(&self) -> Vec<(u64, Record)> {
        fn each<T: Clone + Into<Record>>((at_ns, body): &(u64, T)) -> (u64, Record) {
            (*at_ns, body.clone().into())
        }
        let started = self.started.iter().map(each);
        let agents = self.agents.values().map(each);
        let thresholds = self.thresholds.values().map(each);
        let tasks = self.tasks.values().map(each);
        let missing = self.missing.values();
        let missing = missing.map(|(at_ns, one)| (*at_ns, Record::Missing(one.clone())));
        started.chain(agents).chain(thresholds).chain(tasks).chain(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use varta_history::{Ended, Exit, Floor, Gap};

    use super::*;

    #[test]
    fn a_segment_begins_with_what_lives_as_it_is_now() {
        let mut state = State::default();
        let agent = |agent| Agent { agent, threshold_ns: 8, floor_ns: 2, ..Agent::default() };
        let task = |agent, task| Task { agent, task, ..Task::default() };
        let expected = Expected { program: "ingest".into(), count: 2, there: 1 };
        for (at_ns, record) in [
            (0, Started::default().into()),
            (1, agent(1).into()),
            (2, agent(2).into()),
            (3, task(1, 7).into()),
            (3, task(2, 8).into()),
            (3, task(2, 9).into()),
            (4, Threshold { agent: 2, threshold_ns: 16, ..Threshold::default() }.into()),
            (4, Threshold { agent: 0, threshold_ns: 4, ..Threshold::default() }.into()),
            (4, Floor { agent: 2, floor_ns: 4 }.into()),
            (5, Ended { agent: 2, task: 8, ..Ended::default() }.into()),
            (6, Gap { agent: 2, silent_ns: 5, ..Gap::default() }.into()),
            (6, Threshold { agent: 1, threshold_ns: 9, ..Threshold::default() }.into()),
            (7, Exit { agent: 1, ..Exit::default() }.into()),
            (8, Record::Missing(expected.clone())),
        ] {
            state.apply(at_ns, &record);
        }
        let changed = Agent { threshold_ns: 16, floor_ns: 4, last_ns: Some(6), ..agent(2) };
        let expected: [(u64, Record); 6] = [
            (0, Started::default().into()),
            (2, changed.into()),
            (4, Threshold { agent: 0, threshold_ns: 4, ..Threshold::default() }.into()),
            (4, Threshold { agent: 2, threshold_ns: 16, ..Threshold::default() }.into()),
            (3, task(2, 9).into()),
            (8, Record::Missing(expected)),
        ];
        assert_eq!(state.records(), expected);
    }
}
