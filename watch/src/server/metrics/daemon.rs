//! What is shown of the daemon: frames, the table of agents, the loop, HTTP.

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

/// A counter with one label.
fn by(
    to: &mut Exposition,
    name: &'static str,
    help: &str,
    called: &str,
    counts: &[(&str, u64)],
) {
    let mut family = to.counter(name, help);
    for (value, count) in counts {
        family.put(&label(called, value), *count);
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
    by(to, "varta_decode_errors", "Datagrams that were no frame.", "kind", &kinds);
    let rates =
        [("per_pid", counters.rate_limited_agent), ("global", counters.rate_limited_global)];
    let help = "Beats above a rate. They proved life all the same.";
    by(to, "varta_rate_limited", help, "reason", &rates);
    for (name, help, count) in [
        (
            "varta_frame_auth_failures",
            "Frames that named another process than the one that sent them.",
            counters.auth_failures,
        ),
        (
            "varta_frame_decrypt_failures",
            "Frames not sealed with a key that is held.",
            counters.decrypt_failures,
        ),
        (
            "varta_frame_namespace_mismatch",
            "Frames from another pid namespace, which is not allowed.",
            counters.namespace_refused,
        ),
        (
            "varta_truncated_datagrams",
            "Datagrams of a length that no frame has.",
            counters.wrong_length,
        ),
        (
            "varta_ctrl_truncated",
            "Frames that came without the whole of what the kernel has to say.",
            counters.control_truncated,
        ),
        (
            "varta_sender_state_full",
            "Frames of newcomers over sealed UDP for whom there was no memory.",
            counters.sender_memory_full,
        ),
        (
            "varta_origin_conflict",
            "Frames over the network that named a process followed by what the kernel says.",
            counters.origin_conflicts,
        ),
        ("varta_io_errors", "Failures of a socket.", snapshot.io_errors),
    ] {
        to.counter(name, help).put("", count);
    }
}

/// Everything received that did not become a beat, each datagram once.
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
    let help = "Datagrams that became no beat, each by its one reason. What the kernel \
                dropped was never received.";
    by(to, "varta_dropped", help, "reason", &reasons);
    let help =
        "Looks at a Unix socket that found its queue full, so that beats may have been lost.";
    to.counter("varta_queue_full_looks", help).put("", counters.full_looks);
    let help = "Beats accepted whose nonce did not move forward.";
    to.counter("varta_not_forward", help).put("", counters.not_forward);
}

fn write_verdicts(snapshot: &Snapshot, to: &mut Exposition) {
    let help = "Processes that ended: with code 0, with another, by a signal, unknown how.";
    by(to, "varta_exits", help, "cause", &snapshot.endings.all.by_cause());
    let help = "The same by program. The first 256 have counts of their own.";
    let mut family = to.counter("varta_program_exits", help);
    for (program, exits) in snapshot.endings.by_program() {
        for (cause, count) in exits.by_cause() {
            let mut labels = label("program", program);
            labels.push(',');
            push_label(&mut labels, "cause", cause);
            family.put(&labels, count);
        }
    }
    let help = "Stalls said by the observer; exits are not among them.";
    to.counter("varta_silences", help).put("", snapshot.counters.stalls);
    let help = "Stalls among those that are marked, because beats may have been lost to a full \
                queue.";
    to.counter("varta_silences_deaf", help).put("", snapshot.counters.stalls_deaf);
    let help = "Agents that were silent and are back.";
    to.counter("varta_recoveries", help).put("", snapshot.counters.recoveries);
    let help = "Beats that never came, of all agents.";
    to.counter("varta_missed_beats", help).put("", snapshot.counters.missed);
    let help = "Times that the observer itself came late, and gave it back to the agents.";
    to.counter("varta_pauses", help).put("", snapshot.counters.pauses);
    let help = "From the moment an agent had been silent for its threshold until it was said.";
    to.histogram("varta_detection_latency_seconds", help, LATENCIES)
        .put("", &snapshot.detection);
}

fn write_table(snapshot: &Snapshot, constants: Constants, to: &mut Exposition) {
    let counters = &snapshot.counters;
    let help = "Agents followed.";
    to.gauge("varta_watch_pids_tracked", help).put("", snapshot.infos.len() as u64);
    let help = "Agents that may be followed at most.";
    to.gauge("varta_tracker_capacity", help).put("", snapshot.capacity as u64);
    let help = "Frames of newcomers for whom there was no room.";
    to.counter("varta_tracker_capacity_exceeded", help).put("", counters.capacity_exceeded);
    let help = "Agents that were gone and made room.";
    to.counter("varta_tracker_evicted", help).put("", counters.evictions);
    let help = "The receive buffer that was asked for; 0 is the system's.";
    to.gauge("varta_observer_uds_rcvbuf_bytes", help).put("", constants.receive_buffer.into());
    let help = "The highest pid the system gives; 0 if it does not say.";
    to.gauge("varta_pid_max_current", help).put("", constants.pid_max);
}

fn write_loop(snapshot: &Snapshot, counters: &SharedCounters, to: &mut Exposition) {
    let turns = &snapshot.turns;
    let last = turns.last.duration_since(UNIX_EPOCH).unwrap_or_default();
    let last = u64::try_from(last.as_nanos()).unwrap_or(u64::MAX);
    let help = "How long the daemon has run.";
    to.gauge("varta_watch_uptime_seconds", help).put_seconds("", snapshot.now_ns);
    let help = "When the loop ended its last turn, in seconds since 1970. It sleeps while \
                nothing happens.";
    to.gauge("varta_watch_last_poll_loop_timestamp_seconds", help).put_seconds("", last);
    let help = "One turn of the loop, without its wait.";
    to.histogram("varta_observer_iteration_seconds", help, LATENCIES).put("", &turns.whole);
    let help = "Turns that took longer than --iteration-budget-ms.";
    to.counter("varta_observer_iteration_budget_exceeded", help).put("", turns.over_budget);
    let help = "Parts of a turn: reading and judging, passing on, signals and questions.";
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
    let help = "Lines that the export file has lost.";
    to.counter("varta_export_lost", help).put("", counters.export.lost.get());
    let help = "Lines of the log that could not be written, or found no room to wait.";
    to.counter("varta_log_lost", help).put("", counters.log_lost.get());
    let help = "Writes of the heartbeat file that failed.";
    to.counter("varta_heartbeat_failed", help).put("", counters.heartbeat_failed.get());
}

fn write_http(counters: &SharedCounters, to: &mut Exposition) {
    let http = &counters.http;
    to.counter("varta_http_requests", "Requests over HTTP.").put("", http.requests.get());
    let help = "Requests over HTTP without the token, or with a wrong one.";
    to.counter("varta_prom_auth_failures", help).put("", http.auth_failures.get());
    let reasons = [
        ("drain", http.crowded.get()),
        ("rate_limit", http.over_rate.get()),
        // As varta 0.2 has it; here a request from a new address is never refused.
        ("ip_table_full", 0),
    ];
    let help = "Connections closed to make room for others, and requests refused because of \
                their rate.";
    by(to, "varta_prom_connections_dropped", help, "reason", &reasons);
    let help = "Answers that were given again instead of being written anew.";
    to.counter("varta_scrape_skipped", help).put("", http.repeated.get());
    let help = "From a request for metrics until the answer was ready to be sent.";
    to.histogram("varta_observer_serve_pending_seconds", help, LATENCIES)
        .put("", &http.took.get());
    let help = "Scrapes that took longer than --scrape-budget-ms.";
    to.counter("varta_observer_scrape_budget_exceeded", help).put("", http.over_budget.get());
}
