//! Beats through shared memory, and tasks: what the daemon reports of them, and what it does.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use serde_json::Value;
use support::http::{address_of, get, sample, wait_for_sample};
use support::{
    Agent, Daemon, Folder, WATCH, beats_in, lines_of, ms, script, text_of, wait_until,
};
use varta::{AnyTransport, BeatOutcome, Edge, Status, Task, TaskOptions, Varta};

/// No process stalls in these tests.
const LONG: [&str; 2] = ["--threshold-ms", "60000"];
const HTTP: [&str; 4] = ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"];

/// An agent of this process that beats through shared memory, once the daemon has given it a
/// page.
#[track_caller]
fn agent_of(daemon: &Daemon) -> Varta<AnyTransport> {
    let mut agent = Varta::open(daemon.socket()).unwrap();
    wait_until(|| {
        assert_eq!(agent.beat(Status::Ok, 0), BeatOutcome::Sent);
        agent.watched().is_some()
    });
    agent
}

fn check(daemon: &Daemon) -> (i32, String) {
    let mut command = Command::new(WATCH);
    let checked = command.arg("check").arg("--socket").arg(daemon.socket()).output().unwrap();
    (checked.status.code().unwrap(), String::from_utf8(checked.stdout).unwrap())
}

/// The agent of this process, as `/agents` shows it.
fn shown(address: &str) -> Value {
    let report: Value = serde_json::from_str(&get(address, "/agents").body).unwrap();
    let agents = report["agents"].as_array().unwrap();
    agents.iter().find(|agent| agent["pid"] == std::process::id()).cloned().unwrap_or_default()
}

#[test]
fn a_late_task_is_shown_everywhere_while_its_process_counts_as_well() {
    let folder = Folder::new();
    let export = folder.join("export");
    let flags = ["--export-file", export.to_str().unwrap()];
    let daemon = Daemon::start(&folder, &[&LONG[..], &HTTP, &flags].concat());
    let address = address_of(&daemon);
    let agent = agent_of(&daemon);
    let options = TaskOptions::new(ms(300)).edges([Edge::new(0, 1), Edge::new(1, 2)]);
    let mut task = agent.task_with("ingest", options).unwrap();
    let mut other = agent.task("steady", ms(60_000)).unwrap();
    let _ = other.beat(Status::Ok, 7);

    daemon.wait_for_log("task ingest: stall, beat was due at");
    wait_for_sample(&address, "varta_task_late{task=\"ingest\"}", |late| late == 1.0);
    let (code, text) = check(&daemon);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("critical") && text.contains("; task ingest is late (beat)"),
        "{text}"
    );
    let row = shown(&address);
    assert_eq!(
        (&row["state"], &row["status"], &row["lane"]),
        (&"critical".into(), &"ok".into(), &true.into())
    );
    let tasks = row["tasks"].as_array().unwrap();
    let states: Vec<_> = tasks.iter().map(|task| (&task["name"], &task["state"])).collect();
    assert_eq!(states, [(&"ingest".into(), &"late".into()), (&"steady".into(), &"ok".into())]);
    assert_eq!(tasks[0]["broken"], Value::from(["beat"].to_vec()));
    assert_eq!(tasks[1]["threshold_ms"], 60_000);

    // It works again. A step against the order of its edges is a violation.
    task.progress(3, 7);
    task.reach(1);
    task.reach(1);
    daemon.wait_for_log("task ingest: recovered");
    daemon.wait_for_log("task ingest: violation, wrong-order, from checkpoint 1 to 1");
    let of = |name: &str, rest: &str| format!("varta_task_{name}{{task=\"ingest\"{rest}}}");
    wait_for_sample(&address, &of("done_total", ""), |done| done == 3.0);
    let metrics = get(&address, "/metrics").body;
    let value = |name: &str, rest: &str| sample(&metrics, &of(name, rest)).unwrap();
    assert_eq!(value("left", ""), 7.0);
    assert!(value("stalls_total", ",promise=\"beat\"") >= 1.0);
    assert_eq!(value("stalls_total", ",promise=\"span\""), 0.0);
    assert_eq!(value("violations_total", ",rule=\"wrong-order\""), 1.0);
    assert!(value("beats_total", "") >= 3.0);
    let stalls = format!("varta_stalls_total{{pid=\"{}\"}}", std::process::id());
    assert_eq!(sample(&metrics, &stalls), Some(0.0), "the process has not stalled");
    assert_eq!(sample(&metrics, "varta_silences_total"), Some(0.0));

    // Its counts stay when it is over, with what it did just before; its state does not.
    task.progress(5, 0);
    task.close();
    wait_until(|| {
        let metrics = get(&address, "/metrics").body;
        sample(&metrics, &of("late", "")).is_none()
            && sample(&metrics, &of("done_total", "")) == Some(5.0)
    });
    wait_until(|| !lines_of(&export, 1, "task-ended").is_empty());
    let line = |kind: &str| lines_of(&export, 1, kind).remove(0)[4..].join(" ");
    assert_eq!(line("task"), "declared 300000000 ingest");
    assert!(line("task-stall").starts_with("beat "), "{}", line("task-stall"));
    assert!(line("task-recovered").ends_with(" ingest"), "{}", line("task-recovered"));
    assert_eq!(line("task-violation"), "wrong-order 0 ingest 1 1 1");
    assert_eq!(line("task-ended"), "closed 0 ingest");
    assert_eq!(lines_of(&export, 1, "stall").len(), 0);
}

#[test]
fn each_beat_through_shared_memory_counts_however_fast_they_come() {
    let folder = Folder::new();
    let export = folder.join("export");
    // The rate limit is for datagrams.
    let flags = ["--max-beat-rate", "1", "--export-file", export.to_str().unwrap()];
    let short = ["--threshold-ms", "1000"];
    let daemon = Daemon::start(&folder, &[&short[..], &HTTP, &flags].concat());
    let address = address_of(&daemon);
    let mut agent = agent_of(&daemon);
    let pid = format!("varta_beats_total{{pid=\"{}\"}}", std::process::id());
    // An interval has two ends.
    wait_for_sample(&address, &pid, |beats| beats >= 1.0);
    for payload in 0..1_000 {
        assert_eq!(agent.beat(Status::Ok, payload), BeatOutcome::Sent);
    }
    wait_for_sample(&address, &pid, |beats| beats >= 1_000.0);
    let metrics = get(&address, "/metrics").body;
    let beats = sample(&metrics, &pid).unwrap();
    let intervals = metrics
        .lines()
        .find(|line| line.starts_with("varta_agent_beat_interval_seconds_count{program=\""))
        .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    assert!(intervals.is_some_and(|it| (1_000.0..beats).contains(&it)), "{intervals:?}");
    wait_until(|| beats_in(&export) as f64 == beats);
    let lines = lines_of(&export, 1, "beat");
    assert!(lines.len() < 100, "{} lines for {beats} beats", lines.len());
    assert_eq!(lines[lines.len() - 1][4..6], ["ok", "999"]);
}

#[test]
fn the_daemon_raises_its_limit_of_descriptors_to_what_its_agents_need() {
    let folder = Folder::new();
    let socket = folder.join("varta.sock");
    let mut command = Command::new("sh");
    let line = format!("ulimit -S -n 256; exec {WATCH} --log-format json \"$@\"");
    command.args(["-c", &line, "sh", "--tracker-capacity", "100"]).args(LONG);
    command.arg("--socket").arg(socket).stdin(Stdio::null());
    let daemon = Daemon::start_as(&folder, &mut command);
    let limits = text_of(Path::new(&format!("/proc/{}/limits", daemon.pid())));
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("1424"), "{line}");
}

/// Declares a task that is late at once and for ever.
#[track_caller]
fn late_task(agent: &Varta<AnyTransport>) -> Task {
    agent.task("ingest", ms(50)).unwrap()
}

fn recovery(folder: &Folder, text: &str, flags: &[&str]) -> (Daemon, PathBuf) {
    let command = script(folder, "command", &format!("#!/bin/sh\n{text}\n"));
    let audit = folder.join("audit");
    let paths = ["--recovery-exec", command.to_str().unwrap(), "--recovery-audit-file"];
    let all = [&LONG[..], &paths, &[audit.to_str().unwrap()], flags].concat();
    (Daemon::start(folder, &all), audit)
}

#[test]
fn a_late_task_starts_no_command_unless_recovery_on_names_it() {
    let folder = Folder::new();
    let (mut daemon, audit) = recovery(&folder, "exit 0", &[]);
    let agent = agent_of(&daemon);
    let _task = late_task(&agent);
    daemon.wait_for_log("task ingest: stall");
    // A crash after it does start one, so recovery has seen the late task.
    let mut crashing = Agent::at(daemon.socket());
    crashing.exit(3);
    wait_until(|| lines_of(&audit, 3, "ended").len() == 1);
    daemon.end();
    let spawned = lines_of(&audit, 3, "spawn");
    assert_eq!(spawned.len(), 1);
    assert_eq!(spawned[0][4], crashing.pid().to_string());
}

#[test]
fn a_command_for_a_late_task_gets_its_name_and_ends_when_it_is_on_time() {
    let folder = Folder::new();
    let out = folder.join("out");
    let text = format!(
        "echo \"$VARTA_PID $VARTA_CAUSE $VARTA_TASK $VARTA_PROMISE ${{VARTA_PIDFD:+pidfd}}\" >> {0}.new\n\
         mv {0}.new {0}",
        out.display()
    );
    let (mut daemon, audit) =
        recovery(&folder, &text, &["--recovery-on", "hung,crash,late-task"]);
    let agent = agent_of(&daemon);
    let mut task = late_task(&agent);
    wait_until(|| out.exists());
    let pid = std::process::id();
    assert_eq!(text_of(&out), format!("{pid} stall ingest beat pidfd\n"));
    wait_until(|| lines_of(&audit, 3, "complete").len() == 1);
    // From now on it is on time for longer than the test takes.
    task.idle();
    wait_until(|| lines_of(&audit, 3, "ended").len() == 1);
    daemon.end();
    let ended = &lines_of(&audit, 3, "ended")[0];
    assert_eq!(ended[4..8], [&pid.to_string(), "recovered", "task=ingest", "promise=beat"]);
    let verified = Command::new(WATCH).args(["audit", "verify"]).arg(&audit).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn without_the_lane_a_late_task_shows_in_the_status_of_its_process() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &[&LONG[..], &["--lane", "off"]].concat());
    assert!(!folder.join("varta.sock.lane").exists());
    let mut agent = Varta::open(daemon.socket()).unwrap();
    let _task = late_task(&agent);
    wait_until(|| {
        let _ = agent.beat(Status::Ok, 0);
        let (code, text) = check(&daemon);
        code == 1 && text.contains("critical")
    });
    daemon.end();
    assert_eq!(daemon.count_logged("task ingest"), 0);
}

#[test]
fn without_tasks_the_lane_still_carries_beats() {
    let folder = Folder::new();
    let flags = [&LONG[..], &HTTP, &["--tasks", "off"]].concat();
    let daemon = Daemon::start(&folder, &flags);
    let address = address_of(&daemon);
    let mut agent = agent_of(&daemon);
    let _task = late_task(&agent);
    wait_until(|| {
        let _ = agent.beat(Status::Ok, 0);
        let row = shown(&address);
        row["lane"] == true && row["status"] == "critical"
    });
    assert_eq!(shown(&address)["tasks"], Value::Array(Vec::new()));
    assert_eq!(daemon.count_logged("task ingest"), 0);
}

#[test]
fn a_reload_changes_the_slack_and_not_the_lane() {
    let folder = Folder::new();
    let file = folder.join("varta.toml");
    fs::write(&file, "threshold-ms = 60000\ntask-slack = [\"ingest=3600000\"]\n").unwrap();
    let daemon = Daemon::start(&folder, &["--config", file.to_str().unwrap()]);
    let agent = agent_of(&daemon);
    let _task = late_task(&agent);
    let _other = agent.task("other", ms(500)).unwrap();
    // Ten times the threshold of the first one later.
    daemon.wait_for_log("task other: stall");
    assert_eq!(daemon.count_logged("task ingest: stall"), 0, "{}", daemon.log());
    fs::write(&file, "threshold-ms = 60000\nlane = \"off\"\ntasks = \"off\"\n").unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("task ingest: stall");
    for flag in ["lane", "tasks"] {
        daemon.wait_for_log(&format!("\"flag\":\"{flag}\""));
    }
}

/// A bound Unix socket of this type.
fn passed(path: &Path, kind: SocketType, listens: bool) -> OwnedFd {
    let made = socket(AddressFamily::UNIX, kind, None).unwrap();
    bind(&made, &SocketAddrUnix::new(path).unwrap()).unwrap();
    if listens {
        listen(&made, 64).unwrap();
    }
    made
}

/// Starts a daemon and passes it two sockets, as a service manager does.
fn with_sockets(beats: UnixDatagram, lane: OwnedFd, flags: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    let line = format!(
        "exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 \
         exec {WATCH} --log-format json \"$@\""
    );
    command.args(["-c", &line, "sh"]).args(LONG).args(flags);
    command.stdin(OwnedFd::from(beats)).stdout(lane);
    command
}

#[test]
fn passed_sockets_are_told_apart_by_their_type() {
    let folder = Folder::new();
    let (path, lane) = (folder.join("varta.sock"), folder.join("varta.sock.lane"));
    let beats = UnixDatagram::bind(&path).unwrap();
    let listening = passed(&lane, SocketType::SEQPACKET, true);
    let mut command = with_sockets(beats, listening, &HTTP);
    let mut daemon = Daemon::start_with_stdout(&folder, &mut command);
    drop(command);
    let agent = agent_of(&daemon);
    // The daemon looks at once when a task is declared.
    let _task = agent.task("poller", ms(60_000)).unwrap();
    let address = address_of(&daemon);
    wait_until(|| shown(&address)["lane"] == true);
    let datagrams = Agent::at(&path);
    assert!(datagrams.is_alive());
    daemon.end();
    assert!(path.exists() && lane.exists(), "they belong to the service manager");
}

#[test]
fn a_passed_socket_of_another_kind_is_refused() {
    for (kind, listens) in [(SocketType::SEQPACKET, false), (SocketType::STREAM, true)] {
        let folder = Folder::new();
        let beats = UnixDatagram::bind(folder.join("varta.sock")).unwrap();
        let other = passed(&folder.join("other"), kind, listens);
        let mut command = with_sockets(beats, other, &[]);
        let daemon = command.stderr(Stdio::piped()).spawn().unwrap();
        let ended = daemon.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{text}");
        assert!(text.contains("passed socket 2 (LISTEN_FDS) is neither"), "{text}");
    }
}
