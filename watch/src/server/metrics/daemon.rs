//! The metrics of the daemon: frames, the table of agents, the event loop, HTTP.

use std::time::UNIX_EPOCH;

use super::Constants;
use super::exposition::{Exposition, label, push_label};
use crate::state::Snapshot;
use crate::state::counters::SharedCounters;
use crate::state::histogram::LATENCIES;

pub(super) fn write(
    snapshot: &Snapshot,
    counters: &SharedCounters,
    constants: Constants,
    to: &mut Exposition,
) {
    write_frames(snapshot, to);
    write_drops(snapshot, to);
    write_verdicts(snapshot, to);
    write_table(snapshot, constants, to);
    write_loop(snapshot, counters, to);
    write_http(counters, to);
}

/// Writes a counter with one label.
fn by(
    to: &mut Exposition,
    name: &'static str,
    help: &str,
    label_name: &str,
    counts: &[(&str, u64)],
) {
    let mut family = to.counter(name, help);
    for (value, count) in counts {
        family.put(&label(label_name, value), *count);
    }
}

fn write_frames(snapshot: &Snapshot, to: &mut Exposition) {
    let counters = &snapshot.counters;
    let kinds = [
        ("bad_magic", counters.bad_magic),
        ("bad_version", counters.bad_version),
        ("bad_status", counters.bad_status),
        ("bad_pid", counters.bad_pid),
        ("bad_timestamp", counters.bad_timestamp),
        ("bad_nonce", counters.bad_nonce),
        ("stall_on_wire", counters.stall_on_wire),
        ("bad_crc", counters.bad_crc),
    ];
    by(to, "varta_decode_errors", "Datagrams that were not valid frames.", "kind", &kinds);
    let rates =
        [("per_pid", counters.rate_limited_agent), ("global", counters.rate_limited_global)];
    let help = "Beats over a rate limit. They still count as signs of life.";
    by(to, "varta_rate_limited", help, "reason", &rates);
    for (name, help, count) in [
        (
            "varta_frame_auth_failures",
            "Frames that claimed another process than their sender.",
            counters.auth_failures,
        ),
        (
            "varta_frame_decrypt_failures",
            "Frames that were not sealed with a known key.",
            counters.decrypt_failures,
        ),
        (
            "varta_frame_namespace_mismatch",
            "Frames from another pid namespace, which were refused.",
            counters.namespace_refused,
        ),
        (
            "varta_truncated_datagrams",
            "Datagrams with an invalid length.",
            counters.wrong_length,
        ),
        (
            "varta_ctrl_truncated",
            "Frames with incomplete sender information from the kernel.",
            counters.control_truncated,
        ),
        (
            "varta_sender_state_full",
            "Frames of new sealed UDP senders that did not fit into the table.",
            counters.sender_memory_full,
        ),
        (
            "varta_origin_conflict",
            "Frames over the network that claimed a process known from a Unix socket.",
            counters.origin_conflicts,
        ),
        ("varta_io_errors", "Socket errors.", snapshot.io_errors),
    ] {
        to.counter(name, help).put("", count);
    }
}

/// Writes the datagrams that did not become beats, each counted once.
fn write_drops(snapshot: &Snapshot, to: &mut Exposition) {
    let counters = &snapshot.counters;
    to.counter("varta_received", "Datagrams received.").put("", counters.received);
    let reasons = [
        ("decode", counters.decode_errors()),
        ("wrong_length", counters.wrong_length),
        ("auth", counters.auth_failures),
        ("decrypt", counters.decrypt_failures),
        ("replay", counters.replays),
        ("rate_agent", counters.rate_limited_agent),
        ("rate_global", counters.rate_limited_global),
        ("capacity", counters.capacity_exceeded),
        ("sender_memory", counters.sender_memory_full),
        ("uid", counters.uid_refused),
        ("namespace", counters.namespace_refused),
        ("origin", counters.origin_conflicts),
        ("control_truncated", counters.control_truncated),
        ("probe", counters.probes),
        ("kernel", counters.kernel_drops),
    ];
    let help = "Datagrams that did not become beats, each counted once. Those that the kernel \
                dropped are not in varta_received.";
    by(to, "varta_dropped", help, "reason", &reasons);
    let help =
        "Polls that found the queue of a Unix socket full, so that beats may have been lost.";
    to.counter("varta_queue_full_looks", help).put("", counters.full_looks);
    let help = "Accepted beats whose nonce did not increase.";
    to.counter("varta_not_forward", help).put("", counters.not_forward);
}

fn write_verdicts(snapshot: &Snapshot, to: &mut Exposition) {
    let help = "Exited processes: with code 0, another code, a signal, or an unknown cause.";
    by(to, "varta_exits", help, "cause", &snapshot.exits.all.by_cause());
    let help =
        "Exited processes by program. Programs beyond the first 256 are counted together.";
    let mut family = to.counter("varta_program_exits", help);
    for (program, exits) in snapshot.exits.by_program() {
        for (cause, count) in exits.by_cause() {
            let mut labels = label("program", program);
            labels.push(',');
            push_label(&mut labels, "cause", cause);
            family.put(&labels, count);
        }
    }
    let help = "Stalls, without exits.";
    to.counter("varta_silences", help).put("", snapshot.counters.stalls);
    let help = "Stalls that are marked as uncertain, because a full queue may have lost beats.";
    to.counter("varta_silences_deaf", help).put("", snapshot.counters.stalls_deaf);
    let help = "Recoveries of stalled agents.";
    to.counter("varta_recoveries", help).put("", snapshot.counters.recoveries);
    let help = "Beats of all agents that never arrived.";
    to.counter("varta_missed_beats", help).put("", snapshot.counters.missed);
    let help =
        "Times that the observer itself was late, and extended the agents' deadlines by that.";
    to.counter("varta_pauses", help).put("", snapshot.counters.pauses);
    let help = "Time from an agent's deadline until its stall was reported.";
    to.histogram("varta_detection_latency_seconds", help, LATENCIES)
        .put("", &snapshot.detection);
}

fn write_table(snapshot: &Snapshot, constants: Constants, to: &mut Exposition) {
    let counters = &snapshot.counters;
    let help = "Current agents.";
    to.gauge("varta_watch_pids_tracked", help).put("", snapshot.infos.len() as u64);
    let help = "Maximum number of agents.";
    to.gauge("varta_tracker_capacity", help).put("", snapshot.capacity as u64);
    let help = "Frames of new agents that were refused because the table was full.";
    to.counter("varta_tracker_capacity_exceeded", help).put("", counters.capacity_exceeded);
    let help = "Agents that were gone and were removed to make room.";
    to.counter("varta_tracker_evicted", help).put("", counters.evictions);
    let help = "Receive buffer size that was requested; 0 is the system's default.";
    to.gauge("varta_observer_uds_rcvbuf_bytes", help).put("", constants.receive_buffer.into());
    let help = "Highest pid of the system; 0 if unknown.";
    to.gauge("varta_pid_max_current", help).put("", constants.pid_max);
}

fn write_loop(snapshot: &Snapshot, counters: &SharedCounters, to: &mut Exposition) {
    let turns = &snapshot.turns;
    let last = turns.last.duration_since(UNIX_EPOCH).unwrap_or_default();
    let last = u64::try_from(last.as_nanos()).unwrap_or(u64::MAX);
    let help = "Time since the daemon started.";
    to.gauge("varta_watch_uptime_seconds", help).put_seconds("", snapshot.now_ns);
    let help = "End of the event loop's last iteration, in seconds since 1970. It sleeps while \
                nothing happens.";
    to.gauge("varta_watch_last_poll_loop_timestamp_seconds", help).put_seconds("", last);
    let help = "Duration of one iteration of the event loop, without its wait.";
    to.histogram("varta_observer_iteration_seconds", help, LATENCIES).put("", &turns.whole);
    let help = "Iterations that took longer than --iteration-budget-ms.";
    to.counter("varta_observer_iteration_budget_exceeded", help).put("", turns.over_budget);
    let help = "Parts of an iteration: receiving, forwarding events, signals and requests.";
    let mut stages = to.histogram("varta_observer_stage_seconds", help, LATENCIES);
    for (stage, times) in [
        ("poll", &turns.drain),
        ("maintenance", &turns.maintenance),
        ("housekeeping", &turns.housekeeping),
    ] {
        stages.put(&label("stage", stage), times);
    }
    let help = "Lines written to the export file.";
    to.counter("varta_export_lines", help).put("", counters.export.lines.get());
    let help = "Lines missing from the export file.";
    to.counter("varta_export_lost", help).put("", counters.export.lost.get());
    let help = "Records written to the history.";
    to.counter("varta_history_records", help).put("", counters.history.records.get());
    let help = "Records missing from the history.";
    to.counter("varta_history_lost", help).put("", counters.history.lost.get());
    let help = "Size of the history.";
    to.gauge("varta_history_bytes", help).put("", counters.history.bytes.get());
    let help = "Files of the history.";
    to.gauge("varta_history_segments", help).put("", counters.history.segments.get());
    let help = "1 if no history is written because its folder cannot be used.";
    to.gauge("varta_history_unavailable", help).put("", counters.history.unavailable.get());
    let help = "Log lines that could not be written or did not fit into the queue.";
    to.counter("varta_log_lost", help).put("", counters.log_lost.get());
    let help = "Failed writes of the heartbeat file.";
    to.counter("varta_heartbeat_failed", help).put("", counters.heartbeat_failed.get());
}

fn write_http(counters: &SharedCounters, to: &mut Exposition) {
    let http = &counters.http;
    to.counter("varta_http_requests", "HTTP requests.").put("", http.requests.get());
    let help = "HTTP requests without the token or with a wrong one.";
    to.counter("varta_prom_auth_failures", help).put("", http.auth_failures.get());
    let reasons = [
        ("drain", http.crowded.get()),
        ("rate_limit", http.over_rate.get()),
        // For compatibility with varta-watch 0.2. Here a new address is never refused.
        ("ip_table_full", 0),
    ];
    let help = "Connections closed to make room for others, and requests over the rate limit.";
    by(to, "varta_prom_connections_dropped", help, "reason", &reasons);
    let help = "Responses that were reused instead of being written again.";
    to.counter("varta_scrape_skipped", help).put("", http.repeated.get());
    let help = "Time from a request for metrics until the response was ready.";
    to.histogram("varta_observer_serve_pending_seconds", help, LATENCIES)
        .put("", &http.took.get());
    let help = "Scrapes that took longer than --scrape-budget-ms.";
    to.counter("varta_observer_scrape_budget_exceeded", help).put("", http.over_budget.get());
}
