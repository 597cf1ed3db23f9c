//! The metrics of recovery and its audit log.

use super::exposition::{Exposition, label};
use crate::state::counters::SharedCounters;
use crate::state::histogram::LATENCIES;

pub(super) fn write(counters: &SharedCounters, to: &mut Exposition) {
    let recovery = &counters.recovery;
    let refused = [
        ("unauthenticated_transport", recovery.refused_unauthenticated.get()),
        ("cross_namespace_agent", recovery.refused_cross_namespace.get()),
        ("unconfirmed_agent", recovery.refused_unconfirmed.get()),
        ("outstanding_capacity", recovery.refused_capacity.get()),
        ("deaf_observer", recovery.refused_deaf.get()),
        ("reused_pid", recovery.refused_reused_pid.get()),
        ("held_from_outside", recovery.refused_held.get()),
        ("waited_too_long", recovery.refused_waited_too_long.get()),
        ("no_value", recovery.refused_no_value.get()),
    ];
    let help = "Recovery steps, by outcome.";
    let mut outcomes = to.counter("varta_recovery_outcomes", help);
    for (outcome, count) in [
        ("spawned", recovery.spawned.get()),
        ("debounced", recovery.debounced.get()),
        ("reaped_zero", recovery.reaped_zero.get()),
        ("reaped_nonzero", recovery.reaped_nonzero.get()),
        ("killed", recovery.killed.get()),
        ("spawn_failed", recovery.spawn_failed.get()),
        ("over_budget", recovery.over_budget.get()),
        ("gave_up", recovery.gave_up.get()),
        ("refused_unauthenticated_transport", recovery.refused_unauthenticated.get()),
        ("refused_cross_namespace", recovery.refused_cross_namespace.get()),
        ("refused_unconfirmed", recovery.refused_unconfirmed.get()),
        ("refused_outstanding_capacity", recovery.refused_capacity.get()),
        ("refused_deaf_observer", recovery.refused_deaf.get()),
        ("refused_reused_pid", recovery.refused_reused_pid.get()),
        ("refused_held_from_outside", recovery.refused_held.get()),
        ("refused_waited_too_long", recovery.refused_waited_too_long.get()),
        ("refused_no_value", recovery.refused_no_value.get()),
    ] {
        outcomes.put(&label("outcome", outcome), count);
    }
    let mut reasons =
        to.counter("varta_recovery_refused", "Recoveries that were refused, by reason.");
    for (reason, count) in refused {
        reasons.put(&label("reason", reason), count);
    }
    let help = "Recovery commands that have exited.";
    to.counter("varta_recovery_duration_count", help).put("", recovery.durations.get());
    let help = "Total run time of the recovery commands that have exited.";
    to.counter("varta_recovery_duration_seconds", help)
        .put_seconds("", recovery.duration_ns.get());
    let audit = &counters.audit;
    to.counter("varta_recovery_audit_lines", "Lines written to the audit log.")
        .put("", audit.lines.get());
    let help = "Lines of the audit log that could not be written.";
    to.counter("varta_recovery_audit_dropped", help).put("", audit.lost.get());
    let help = "Syncs of the audit log.";
    to.histogram("varta_audit_fsync_seconds", help, LATENCIES).put("", &audit.fsync.get());
    let help = "Syncs that took longer than --audit-fsync-budget-ms.";
    to.counter("varta_audit_fsync_budget_exceeded", help)
        .put("", audit.fsync_over_budget.get());
    let help = "Rotations that took longer than --audit-rotation-budget-ms.";
    to.counter("varta_audit_rotation_budget_exceeded", help)
        .put("", audit.rotation_over_budget.get());
}
