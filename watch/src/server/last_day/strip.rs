//! What happened to each agent within a day, in one letter for each half hour.

use std::collections::HashMap;

use varta_history::Record;

const PART_NS: u64 = 30 * 60 * 1_000_000_000;
const PARTS: u64 = 48;

/// The days of the agents. All times are those of the wall clock, in nanoseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Days(HashMap<u64, Day>);

#[derive(Debug)]
struct Day {
    first_ns: u64,
    /// The silences that were stalls. The last one may not have ended.
    silences: Vec<(u64, Option<u64>)>,
    gone_ns: Option<u64>,
}

impl Days {
    /// Adds a record, with its time by the wall clock and that of the observer.
    pub(super) fn add(&mut self, wall_ns: u64, observer_ns: u64, record: &Record) {
        if let Record::Agent(agent) = record {
            let day = self.0.entry(agent.agent).or_insert(Day {
                first_ns: wall_ns,
                silences: Vec::new(),
                gone_ns: None,
            });
            // The stall itself may be in a file that is gone.
            if agent.stalled {
                day.silent_since(wall_ns);
            }
            return;
        }
        let Some(day) = record.agent().and_then(|agent| self.0.get_mut(&agent)) else { return };
        match record {
            Record::Stall(stall) if stall.task.is_none() => {
                let silent_ns = observer_ns.saturating_sub(stall.last_ns);
                day.silent_since(wall_ns.saturating_sub(silent_ns));
            }
            Record::Recovered(recovered) if recovered.task.is_none() => day.end(wall_ns),
            Record::Exit(_) | Record::Eviction(_) => {
                day.end(wall_ns);
                day.gone_ns = Some(wall_ns);
            }
            _ => {}
        }
    }

    /// The strips of all agents that were there within the last day. What is older is forgotten.
    pub(super) fn strips(&mut self, now_ns: u64) -> HashMap<u64, String> {
        let end_ns = now_ns.div_ceil(PART_NS).saturating_mul(PART_NS);
        let start_ns = end_ns.saturating_sub(PARTS * PART_NS);
        self.0.retain(|_, day| {
            day.silences.retain(|(_, to_ns)| to_ns.is_none_or(|to_ns| to_ns >= start_ns));
            day.gone_ns.is_none_or(|gone_ns| gone_ns >= start_ns)
        });
        let strip = |day: &Day| {
            let parts = (0..PARTS).map(|part| start_ns + part * PART_NS);
            parts.map(|from_ns| day.letter(from_ns, from_ns + PART_NS)).collect()
        };
        self.0.iter().map(|(agent, day)| (*agent, strip(day))).collect()
    }
}

impl Day {
    fn silent_since(&mut self, from_ns: u64) {
        if self.silences.last().is_none_or(|(_, to_ns)| to_ns.is_some()) {
            self.silences.push((from_ns, None));
        }
    }

    fn end(&mut self, at_ns: u64) {
        if let Some((_, to_ns @ None)) = self.silences.last_mut() {
            *to_ns = Some(at_ns);
        }
    }

    /// The worst that it was in a part of the day, which is about the last thing that happened.
    fn letter(&self, from_ns: u64, to_ns: u64) -> char {
        let is_silent = |(since_ns, until_ns): &(u64, Option<u64>)| {
            *since_ns < to_ns && until_ns.is_none_or(|until_ns| until_ns > from_ns)
        };
        match () {
            () if self.first_ns >= to_ns => '.',
            () if self.silences.iter().any(is_silent) => 's',
            () if self.gone_ns.is_some_and(|gone_ns| gone_ns < to_ns) => 'g',
            () => 'o',
        }
    }
}

#[cfg(test)]
mod tests {
    use varta_history::{Agent, Exit, Recovered, Stall};

    use super::*;

    const HOUR: u64 = 2 * PART_NS;
    const NOON: u64 = 20_000 * 24 * HOUR + 12 * HOUR;

    #[test]
    fn a_strip_has_a_letter_for_each_half_hour_of_the_last_day() {
        let mut days = Days::default();
        let mut add = |wall_ns, record| days.add(wall_ns, 2_000, &record);
        add(NOON - 30 * HOUR, Agent { agent: 1, ..Agent::default() }.into());
        add(NOON - 3 * HOUR, Agent { agent: 2, ..Agent::default() }.into());
        add(NOON - 9 * HOUR, Stall { agent: 1, last_ns: 1_000, ..Stall::default() }.into());
        // A task that is late is no silence of its agent.
        add(NOON - 2 * HOUR, Stall { agent: 2, task: Some(1), ..Stall::default() }.into());
        add(NOON - 8 * HOUR, Recovered { agent: 1, ..Recovered::default() }.into());
        add(NOON - HOUR, Stall { agent: 1, last_ns: 2_000, ..Stall::default() }.into());
        add(NOON - HOUR / 2, Exit { agent: 2, ..Exit::default() }.into());
        let strips = days.strips(NOON);
        let expected = ["o".repeat(29), "s".repeat(3), "o".repeat(14), "ss".into()].concat();
        assert_eq!(strips[&1], expected);
        assert_eq!(strips[&2], [".".repeat(42), "o".repeat(5), "g".into()].concat());
        let later = days.strips(NOON + 24 * HOUR);
        assert_eq!((later.len(), later[&1].as_str()), (1, "s".repeat(48).as_str()));
    }
}
