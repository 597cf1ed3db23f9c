//! The metrics of the causes of stalls. With `--causes off` there are none.

use super::exposition::{Exposition, label};
use crate::state::Snapshot;

pub(super) fn write(snapshot: &Snapshot, to: &mut Exposition) {
    let Some(causes) = &snapshot.stall_causes else { return };
    let help = "Stalls of agents and tasks by cause. A stall whose cause changes counts again, \
                under the new cause.";
    let mut stalls = to.counter("varta_stall_causes", help);
    for (cause, count) in causes.by_cause() {
        stalls.put(&label("cause", cause), count);
    }
    let help = "Agents that execute another program since their last beat, so that their silence \
                is not judged before they beat.";
    let changed = snapshot.infos.iter().filter(|info| snapshot.has_changed(info)).count();
    to.gauge("varta_agents_changed", help).put("", changed.try_into().unwrap_or(u64::MAX));
    let counters = &snapshot.counters;
    let help = "Silent agents and tasks that were read to find the cause.";
    to.counter("varta_cause_looks", help).put("", counters.cause_looks);
    let help = "Readings that were put off, because the time for readings was used up.";
    to.counter("varta_cause_refused", help).put("", counters.cause_refused);
    let help =
        "Time that all readings have taken, including those of agents that beat in time.";
    to.counter("varta_cause_seconds", help).put_seconds("", counters.cause_ns);
    let help = "Threads that were lost because a reading of a process did not return. There are \
                four; a thread reads again when its reading returns.";
    to.counter("varta_cause_stuck", help).put("", counters.cause_stuck);
}
