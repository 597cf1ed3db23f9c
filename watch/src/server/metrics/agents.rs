//! The metrics of each agent.
//!
//! All families are written at the same time, each to its own text, so that each agent is
//! accessed only once. A scrape of ten thousand agents has a hundred thousand lines, and its
//! cost is that of the memory accesses.

use std::cmp::max_by_key;

use varta::Status;
use varta_observer::{AgentInfo, Origin};

use super::exposition::{Exposition, Format, push_label, push_numbered};
use super::label_limit::LabelLimit;
use crate::state::Snapshot;
use crate::state::histogram::INTERVALS;
use crate::state::stats::{AgentStats, shown_pid};

/// Maximum number of agents with label sets of their own.
const MOST_AGENTS: usize = 10_000;

/// Maximum number of agents with their own histogram of beat intervals, of fifteen samples each.
const MOST_INTERVALS: usize = 1_000;

/// The labels for the sum of the agents without labels of their own. Agents are numbered from
/// 1, and no pid is 0.
const OTHERS: &str = "program=\"\",agent=\"0\"";
const OTHER_PIDS: &str = "pid=\"0\"";

/// The approximate length of a line.
const LINE: usize = 80;

/// The agents with label sets of their own, which stay the same from scrape to scrape.
#[derive(Debug)]
pub(crate) struct Listed {
    agents: LabelLimit,
    intervals: LabelLimit,
}

impl Default for Listed {
    fn default() -> Self {
        Self {
            agents: LabelLimit::new(MOST_AGENTS),
            intervals: LabelLimit::new(MOST_INTERVALS),
        }
    }
}

/// A current or exited agent.
struct Row<'a> {
    agent: u64,
    stats: &'a AgentStats,
    current: Option<&'a AgentInfo>,
    /// Whether its beat intervals have a histogram of their own.
    intervals: bool,
}

pub(super) fn write(snapshot: &Snapshot, listed: &mut Listed, format: Format) -> Vec<String> {
    let agents = snapshot.agents().into_iter();
    let mut all: Vec<_> = agents.map(|it| (it.info.agent, it.stats, Some(it.info))).collect();
    all.extend(snapshot.departed.iter().map(|it| (it.agent, &it.stats, None)));
    // The current agents are in order already, so this is fast.
    all.sort_by_key(|(agent, _, _)| *agent);
    let present: Vec<_> = all.iter().map(|(agent, _, _)| *agent).collect();
    let own = listed.agents.update(&present).into_iter().zip(listed.intervals.update(&present));
    let mut rows = Vec::with_capacity(all.len());
    let mut others = snapshot.gone;
    for ((agent, stats, current), (own, intervals)) in all.into_iter().zip(own) {
        match own {
            true => rows.push(Row { agent, stats, current, intervals }),
            false => others.absorb(stats),
        }
    }
    let mut texts = Vec::from(write_pids(&rows, &others, format));
    texts.extend(write_agents(&rows, others, format));
    if snapshot.stall_causes.is_some() {
        texts.push(write_causes(snapshot, &rows, format));
    }
    texts
}

/// The values for one pid.
struct OfPid {
    pid: u32,
    is_current: bool,
    agent: u64,
    beats: u64,
    stalls: u64,
    status: Status,
}

impl OfPid {
    fn of(row: &Row<'_>) -> Self {
        let Row { agent, stats, current, .. } = *row;
        let status = current.map_or(Status::Ok, |info| match info.stalled {
            true => Status::Stall,
            false => info.status,
        });
        let pid = shown_pid(stats.pid, stats.claimed_pid);
        let (beats, stalls) = (stats.beats, stats.stalls);
        Self { pid, is_current: current.is_some(), agent, beats, stalls, status }
    }
}

/// Writes the metrics that varta-watch 0.2 has for each pid. A pid belongs to the current agents
/// that have it, or if there are none, to the last agent that had it. The counts of other agents
/// are added to the sum.
fn write_pids(rows: &[Row<'_>], others: &AgentStats, format: Format) -> [String; 3] {
    let (mut other_beats, mut other_stalls) = (others.beats, others.stalls);
    let mut pids: Vec<_> = rows.iter().map(OfPid::of).collect();
    // The owner of a pid comes first.
    pids.sort_unstable_by_key(|it| (it.pid, !it.is_current, u64::MAX - it.agent));
    pids.dedup_by(|other, owner| {
        if other.pid != owner.pid {
            return false;
        }
        if other.is_current {
            owner.beats += other.beats;
            owner.stalls += other.stalls;
            // If several agents claim the same pid, the worst status counts.
            owner.status = max_by_key(owner.status, other.status, |status| *status as u8);
        } else {
            other_beats += other.beats;
            other_stalls += other.stalls;
        }
        true
    });
    let mut texts = [(); 3].map(|()| Exposition::with_capacity(format, pids.len() * LINE));
    let [beats, stalls, status] = &mut texts;
    let mut beats = beats.counter("varta_beats", "Beats accepted.");
    let help = "Stalls, and exits without a preceding stall.";
    let mut stalls = stalls.counter("varta_stalls", help);
    let help =
        "Status that the agent reports: 0 ok, 1 degraded, 2 critical; 3 if it is stalled.";
    let mut status = status.gauge("varta_status", help);
    let mut label = String::new();
    for it in &pids {
        label.clear();
        push_numbered(&mut label, "pid", it.pid.into());
        beats.put(&label, it.beats);
        stalls.put(&label, it.stalls);
        if it.is_current {
            status.put(&label, u64::from(it.status as u8));
        }
    }
    beats.put(OTHER_PIDS, other_beats);
    stalls.put(OTHER_PIDS, other_stalls);
    texts.map(Exposition::into_text)
}

fn write_agents(rows: &[Row<'_>], mut others: AgentStats, format: Format) -> [String; 9] {
    let mut texts = [(); 9].map(|()| Exposition::with_capacity(format, rows.len() * LINE));
    let [info, payload, age, threshold, stalled, unconfirmed, missed, recoveries, intervals] =
        &mut texts;
    let help = "1 for each current agent, with its pid and the origin of its beats.";
    let mut info = info.gauge("varta_agent_info", help);
    let help = "Payload of the agent's last beat.";
    let mut payload = payload.gauge("varta_agent_payload", help);
    let help = "Time since the agent's last beat.";
    let mut age = age.gauge("varta_agent_last_beat_age_seconds", help);
    let help = "Silence after which the agent is reported as stalled.";
    let mut threshold = threshold.gauge("varta_agent_threshold_seconds", help);
    let help = "1 while the agent is stalled.";
    let mut stalled = stalled.gauge("varta_agent_stalled", help);
    let help = "1 for each agent that may be a different process than expected.";
    let mut unconfirmed = unconfirmed.gauge("varta_agent_unconfirmed", help);
    let help = "Beats that never arrived, according to the nonces of those that did.";
    let mut missed = missed.counter("varta_agent_missed_beats", help);
    let help = "Stalls that ended with a beat.";
    let mut recoveries = recoveries.counter("varta_agent_recoveries", help);
    let help = "Time between two beats of the agent.";
    let mut intervals =
        intervals.histogram("varta_agent_beat_interval_seconds", help, INTERVALS);

    let mut labels = String::new();
    for row in rows {
        let stats = row.stats;
        labels.clear();
        push_label(&mut labels, "program", stats.name);
        labels.push(',');
        push_numbered(&mut labels, "agent", row.agent);
        missed.put(&labels, stats.missed);
        recoveries.put(&labels, stats.recoveries);
        match row.intervals {
            true => intervals.put(&labels, &stats.intervals),
            false => others.intervals.add(&stats.intervals),
        }
        let Some(current) = row.current else { continue };
        payload.put(&labels, stats.payload);
        age.put_seconds(&labels, current.age_ns);
        threshold.put_seconds(&labels, current.threshold_ns);
        stalled.put(&labels, current.stalled.into());
        if current.unconfirmed && current.origin != Origin::Network {
            unconfirmed.put(&labels, 1);
        }
        labels.push(',');
        push_numbered(&mut labels, "pid", shown_pid(stats.pid, stats.claimed_pid).into());
        labels.push(',');
        push_label(&mut labels, "origin", current.origin.name());
        info.put(&labels, 1);
    }
    missed.put(OTHERS, others.missed);
    recoveries.put(OTHERS, others.recoveries);
    intervals.put(OTHERS, &others.intervals);
    texts.map(Exposition::into_text)
}

fn write_causes(snapshot: &Snapshot, rows: &[Row<'_>], format: Format) -> String {
    let mut text = Exposition::with_capacity(format, snapshot.causes.len() * LINE);
    let help = "1 for each stalled agent, with the cause that was found.";
    let mut causes = text.gauge("varta_agent_stall_cause", help);
    let mut labels = String::new();
    for row in rows {
        if !row.current.is_some_and(|info| info.stalled) {
            continue;
        }
        let Some(info) = snapshot.cause(row.agent, 0) else { continue };
        labels.clear();
        push_label(&mut labels, "program", row.stats.name);
        labels.push(',');
        push_numbered(&mut labels, "agent", row.agent);
        labels.push(',');
        push_label(&mut labels, "cause", info.why.cause);
        causes.put(&labels, 1);
    }
    text.into_text()
}

#[cfg(test)]
mod tests {
    use varta_observer::AgentInfo;

    use super::*;

    fn stats(pid: u32, beats: u64) -> AgentStats {
        AgentStats { pid, claimed_pid: pid, beats, stalls: 1, ..AgentStats::EMPTY }
    }

    /// The samples of the three families.
    fn pids(rows: &[Row<'_>]) -> String {
        let texts = write_pids(rows, &stats(0, 1000), Format::Prometheus).concat();
        let samples = texts.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_pid_belongs_to_the_agent_that_has_it_now() {
        let [first, second, third] = [1, 10, 100].map(|beats| stats(7, beats));
        let row = |agent, stats, current| Row { agent, stats, current, intervals: false };
        let mut info = AgentInfo::NOBODY;
        info.status = Status::Degraded;
        let mut silent = AgentInfo::NOBODY;
        silent.stalled = true;

        // No current agent has it, so it belongs to the last one.
        let gone = pids(&[row(1, &first, None), row(2, &second, None)]);
        assert_eq!(
            gone,
            "varta_beats_total{pid=\"7\"} 10\nvarta_beats_total{pid=\"0\"} 1001\n\
             varta_stalls_total{pid=\"7\"} 1\nvarta_stalls_total{pid=\"0\"} 2\n"
        );
        let reused = pids(&[row(1, &first, None), row(3, &third, Some(&info))]);
        assert_eq!(
            reused,
            "varta_beats_total{pid=\"7\"} 100\nvarta_beats_total{pid=\"0\"} 1001\n\
             varta_stalls_total{pid=\"7\"} 1\nvarta_stalls_total{pid=\"0\"} 2\n\
             varta_status{pid=\"7\"} 1\n"
        );
        // Agents on two hosts may claim the same pid.
        let shared = pids(&[
            row(1, &first, Some(&info)),
            row(2, &first, Some(&silent)),
            row(3, &second, Some(&info)),
            row(4, &third, None),
        ]);
        assert_eq!(
            shared,
            "varta_beats_total{pid=\"7\"} 12\nvarta_beats_total{pid=\"0\"} 1100\n\
             varta_stalls_total{pid=\"7\"} 3\nvarta_stalls_total{pid=\"0\"} 2\n\
             varta_status{pid=\"7\"} 3\n"
        );
    }
}
