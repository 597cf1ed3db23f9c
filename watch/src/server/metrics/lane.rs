//! The metrics of shared memory. Beats through it are not datagrams, so none of them is in
//! varta_received.

use super::exposition::Exposition;
use crate::state::Snapshot;

pub(super) fn write(snapshot: &Snapshot, to: &mut Exposition) {
    let counters = &snapshot.counters;
    let lanes = snapshot.infos.iter().filter(|info| info.lane).count();
    let help = "Current agents that beat through shared memory.";
    to.gauge("varta_lane_agents", help).put("", lanes as u64);
    for (name, help, count) in [
        ("varta_lane_attached", "Pages that were given to processes.", counters.lane_attached),
        (
            "varta_lane_refused",
            "Processes that asked for a page and were refused. They send datagrams.",
            counters.lane_refused,
        ),
        ("varta_lane_looks", "Looks at pages.", counters.lane_looks),
        (
            "varta_lane_beats",
            "Beats of processes that were found in pages.",
            counters.lane_beats,
        ),
        (
            "varta_lane_invalid",
            "Lines with values that no agent writes. They were ignored.",
            counters.lane_invalid,
        ),
        (
            "varta_lane_bad_messages",
            "Connections that were closed after a message of a wrong size or kind.",
            counters.lane_bad_messages,
        ),
        (
            "varta_lane_muted",
            "Times that a process asked for too many looks and was not heard for a moment.",
            counters.lane_muted,
        ),
        (
            "varta_lane_without_room",
            "Looks at pages of processes that were not tracked, because the table was full.",
            counters.lane_without_room,
        ),
        (
            "varta_tasks_without_room",
            "Tasks that were not watched for a time, because the table was full.",
            counters.tasks_without_room,
        ),
    ] {
        to.counter(name, help).put("", count);
    }
}
