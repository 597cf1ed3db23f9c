//! The metrics of programs that speak the protocol of sd_notify. Their texts are no labels.

use varta_observer::ServiceState;

use super::exposition::{Exposition, label};
use crate::state::Snapshot;

pub(super) fn write(snapshot: &Snapshot, to: &mut Exposition) {
    let Some(counters) = &snapshot.notify else { return };
    let help = "Current services by what they say they do.";
    let mut family = to.gauge("varta_notify_services", help);
    for state in ServiceState::ALL {
        let count = snapshot.services.values().filter(|service| service.state == state).count();
        family.put(&label("state", state.name()), count as u64);
    }
    let help = "Messages at the notify socket, each counted once.";
    let mut family = to.counter("varta_notify_messages", help);
    for (result, count) in [
        ("applied", counters.applied),
        ("barrier", counters.barriers),
        ("unknown", counters.unknown),
        ("not_main", counters.not_main),
        ("ended", counters.ended),
        ("uid", counters.uid_refused),
        ("namespace", counters.namespace_refused),
        ("capacity", counters.no_room),
        ("control_truncated", counters.control_truncated),
        ("probe", counters.probes),
        ("malformed", counters.malformed),
    ] {
        family.put(&label("result", result), count);
    }
    for (name, help, count) in [
        ("varta_notify_pings", "WATCHDOG=1 of services.", counters.pings),
        (
            "varta_notify_rate_limited",
            "WATCHDOG=1 over a rate limit. It still counts as a sign of life.",
            counters.rate_limited,
        ),
        (
            "varta_notify_triggers",
            "WATCHDOG=trigger, by which services report that they hang.",
            counters.triggers,
        ),
        (
            "varta_notify_unsupported",
            "Messages that asked for something that is not supported, such as FDSTORE=1.",
            counters.unsupported,
        ),
        (
            "varta_notify_unparsable",
            "Values in messages that could not be parsed and were ignored.",
            counters.unparsable,
        ),
        (
            "varta_notify_main_changed",
            "Services that named another main process.",
            counters.main_changed,
        ),
        (
            "varta_notify_main_refused",
            "Main processes that were refused.",
            counters.main_refused,
        ),
        (
            "varta_notify_expected_exits",
            "Exits that services had announced.",
            counters.expected_exits,
        ),
        (
            "varta_notify_notes_lost",
            "Changes of services that are missing in the log.",
            counters.notes_lost,
        ),
    ] {
        to.counter(name, help).put("", count);
    }
}
