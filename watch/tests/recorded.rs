//! What the daemon writes to its history.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};
use support::http::{address_of, get};
use support::{
    Agent, Daemon, Folder, WATCH, in_own_namespaces, needs_root, script, text_of, wait_until,
};
use varta_history::{Item, Kind, Reader, Record};

/// A record as it was read: its number, whether it repeats an earlier one, the record, and its
/// line of JSON.
struct Read {
    seq: u64,
    again: bool,
    record: Record,
    members: Map<String, Value>,
}

/// Everything in a history. There must be nothing in it that is not a record.
#[track_caller]
fn read(folder: &Path) -> Vec<Read> {
    let mut reader = Reader::open(folder).unwrap();
    let mut records = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Item::Record(entry) = item else { panic!("{item:?}") };
        let (record, members) = (entry.record().unwrap(), entry.members().unwrap());
        records.push(Read { seq: entry.seq, again: entry.again, record, members });
    }
    records
}

/// The names of the kinds of the records of one agent, and of the daemon itself.
fn kinds(records: &[Read]) -> Vec<&'static str> {
    let first = records.iter().filter(|read| !read.again);
    let first = first.filter(|read| {
        // These depend on how fast the machine is.
        !matches!(read.record.kind(), Kind::Late | Kind::Paused | Kind::Clock | Kind::Floor)
    });
    first.map(|read| read.record.kind().name()).collect()
}

#[track_caller]
fn has_recorded(folder: &Path, kind: Kind) -> bool {
    read(folder).iter().any(|read| read.record.kind() == kind)
}

fn history_flags<'a>(folder: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--history-dir", folder, "--lane", "off"], more].concat()
}

#[test]
fn the_life_of_an_agent_is_recorded_in_order() {
    let folder = Folder::new();
    let history = folder.join("history");
    let export = folder.join("export");
    let flags = ["--threshold-ms", "500", "--export-format", "json", "--host", "db-1"];
    let flags = [&flags[..], &["--export-file", export.to_str().unwrap()]].concat();
    let mut daemon = Daemon::start(&folder, &history_flags(history.to_str().unwrap(), &flags));
    let mut agent = Agent::at(daemon.socket());
    agent.stop();
    wait_until(|| has_recorded(&history, Kind::Stall));
    agent.resume();
    wait_until(|| has_recorded(&history, Kind::Recovered));
    agent.kill();
    wait_until(|| has_recorded(&history, Kind::Exit));
    daemon.end();

    let records = read(&history);
    let numbers = records.iter().filter(|read| !read.again).map(|read| read.seq);
    assert!(numbers.eq(1..=records.last().unwrap().seq), "a number is missing");
    let kinds = kinds(&records);
    let life = ["stall", "beats", "gap", "recovered", "exit", "beats"];
    let mut left = kinds.iter();
    for kind in ["started", "agent"].iter().chain(&life).chain(&["minute", "stopped"]) {
        assert!(left.any(|found| found == kind), "no {kind} in its place: {kinds:?}");
    }

    // A line of the export file and the record with its number say the same.
    let by_number: BTreeMap<_, _> =
        records.iter().filter(|read| !read.again).map(|read| (read.seq, read)).collect();
    let mut compared = 0;
    let mut last = 0;
    for line in text_of(&export).lines() {
        let line: Map<String, Value> = serde_json::from_str(line).unwrap();
        let seq = line["seq"].as_u64().unwrap();
        assert!(seq >= last, "the numbers go back");
        last = seq;
        let record = &by_number[&seq].members;
        for name in ["host", "run"] {
            assert_eq!(record[name], line[name]);
        }
        if line["event"] == "beat" {
            assert_eq!(line["threshold_ns"], 500_000_000);
            continue;
        }
        compared += 1;
        for (name, value) in &line {
            assert_eq!(record.get(name), Some(value), "{name} of {line:?} in {record:?}");
        }
    }
    assert!(compared >= 3, "a stall, a recovery and an exit");
    assert_eq!(records[0].members["host"], "db-1");
}

#[test]
fn what_recovery_decides_is_recorded() {
    let folder = Folder::new();
    let history = folder.join("history");
    let command = script(&folder, "command", "#!/bin/sh\nexit 3\n");
    let command = command.to_str().unwrap();
    let flags = ["--threshold-ms", "60000", "--recovery-exec", command];
    let mut daemon = Daemon::start(&folder, &history_flags(history.to_str().unwrap(), &flags));
    let mut agent = Agent::at(daemon.socket());
    agent.exit(1);
    let steps = || {
        let records = read(&history);
        let steps = records.iter().filter_map(|read| match &read.record {
            Record::Recovery(recovery) => Some(recovery.step.to_string()),
            _ => None,
        });
        steps.collect::<Vec<_>>()
    };
    wait_until(|| steps().len() >= 2);
    assert_eq!(steps()[..2], ["spawned", "completed"]);
    daemon.end();
    let records = read(&history);
    let last = records.iter().rfind(|read| !read.again).unwrap();
    assert_eq!(last.record.kind(), Kind::Stopped, "nothing is decided after the end");
}

#[test]
fn a_daemon_that_was_killed_leaves_a_history_to_which_the_next_one_adds() {
    let folder = Folder::new();
    let history = folder.join("history");
    let flags = history_flags(history.to_str().unwrap(), &["--threshold-ms", "60000"]);
    let daemon = Daemon::start(&folder, &flags);
    let agent = Agent::at(daemon.socket());
    wait_until(|| has_recorded(&history, Kind::Agent));
    daemon.signal(libc::SIGKILL);
    drop(daemon);
    let mut daemon = Daemon::start(&folder, &flags);
    wait_until(|| kinds(&read(&history)).iter().filter(|kind| **kind == "agent").count() == 2);
    drop(agent);
    daemon.end();
    let records = read(&history);
    let runs: std::collections::BTreeSet<_> =
        records.iter().map(|read| read.members["run"].as_str().unwrap().to_owned()).collect();
    assert_eq!(runs.len(), 2);
    let started = records.iter().filter(|read| read.record.kind() == Kind::Started);
    assert!(started.map(|read| read.seq).eq([1, 1]));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&history), 0o750);
    for file in fs::read_dir(&history).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o640);
    }
}

#[test]
fn a_missing_program_is_recorded_and_so_is_a_changed_threshold() {
    let folder = Folder::new();
    let history = folder.join("history");
    let file = folder.join("varta.toml");
    let settings = |ms: u32| {
        let expected = "[[expect]]\nprogram = \"absent\"\nwithin-ms = 100\n";
        fs::write(&file, format!("threshold-ms = {ms}\n{expected}")).unwrap();
    };
    settings(60_000);
    let flags = ["--config", file.to_str().unwrap()];
    let mut daemon = Daemon::start(&folder, &history_flags(history.to_str().unwrap(), &flags));
    let agent = Agent::at(daemon.socket());
    wait_until(|| has_recorded(&history, Kind::Missing) && has_recorded(&history, Kind::Agent));
    settings(30_000);
    daemon.signal(libc::SIGHUP);
    let thresholds = || {
        let records = read(&history).into_iter();
        let found = records.filter_map(|read| match read.record {
            Record::Threshold(threshold) => Some((threshold.agent, threshold.threshold_ns)),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    wait_until(|| thresholds().len() == 2);
    assert_eq!(thresholds(), [(0, 30_000_000_000), (1, 30_000_000_000)]);
    drop(agent);
    daemon.end();
}

#[test]
fn the_default_folder_is_used_if_it_exists_and_a_second_daemon_runs_without() {
    if !needs_root() {
        return;
    }
    in_own_namespaces(|| {
        let mount = Command::new("mount").args(["-t", "tmpfs", "none", "/var/lib"]).status();
        assert!(mount.unwrap().success());
        let history = Path::new("/var/lib/varta/history");
        let flags = ["--threshold-ms", "60000"];
        let folders = [Folder::new(), Folder::new(), Folder::new(), Folder::new()];
        let mut without = Daemon::start(&folders[0], &flags);
        fs::create_dir_all(history).unwrap();
        let mut off = Daemon::start(&folders[1], &[&flags[..], &["--history", "off"]].concat());
        let mut first = Daemon::start(&folders[2], &flags);
        wait_until(|| has_recorded(history, Kind::Started));
        let mut second = Daemon::start(&folders[3], &flags);
        second.wait_for_log("there is no history: another daemon already writes");
        for daemon in [&mut without, &mut off, &mut first, &mut second] {
            daemon.end();
        }
        let started = kinds(&read(history)).into_iter().filter(|kind| *kind == "started");
        assert_eq!(started.count(), 1);
    });
}

/// What a daemon with these flags writes to stderr when it refuses to start, and its exit code.
fn refusal(folder: &Folder, flags: &[&str]) -> (String, Option<i32>) {
    let socket = folder.join("other.sock");
    let socket = ["--socket", socket.to_str().unwrap(), "--threshold-ms", "60000"];
    let ended = Command::new(WATCH).args(socket).args(flags).output().unwrap();
    (String::from_utf8(ended.stderr).unwrap(), ended.status.code())
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_with_its_name() {
    let folder = Folder::new();
    let history = folder.join("history");
    fs::write(&history, "").unwrap();
    let name = history.to_str().unwrap();
    let flags = ["--history-dir", name];
    for more in [&["--check-config"][..], &[]] {
        let (text, code) = refusal(&folder, &[&flags, more].concat());
        assert!(text.contains("--history-dir") && text.contains(name), "{text}");
        assert!(text.contains("not a folder") && code == Some(2), "{text}");
    }
    let (text, code) = refusal(&folder, &["--history-max-age", "30"]);
    assert!(text.contains("--history-max-age") && code == Some(2), "{text}");
}

#[test]
fn a_daemon_runs_without_a_history_while_another_one_writes_to_its_folder() {
    let folders = [Folder::new(), Folder::new()];
    let history = folders[0].join("history");
    let name = history.to_str().unwrap();
    let flags =
        ["--threshold-ms", "60000", "--history-dir", name, "--prom-addr", "127.0.0.1:0"];
    let unavailable = |daemon: &Daemon| {
        let metrics = get(&address_of(daemon), "/metrics").body;
        metrics.contains("\nvarta_history_unavailable 1\n")
    };
    let mut first = Daemon::start(&folders[0], &flags);
    let (text, code) = refusal(&folders[1], &["--history-dir", name, "--check-config"]);
    assert_eq!(code, Some(0), "{text}");
    let mut second = Daemon::start(&folders[1], &flags);
    let line =
        format!("there is no history: another daemon already writes the history in {name}");
    assert_eq!((second.count_logged(&line), first.count_logged(&line)), (1, 0));
    assert!(unavailable(&second) && !unavailable(&first));
    for daemon in [&mut second, &mut first] {
        daemon.end();
    }
    assert_eq!(kinds(&read(&history)), ["started", "stopped"]);
}

#[test]
fn the_last_day_of_an_agent_goes_on_before_a_restart_of_the_daemon() {
    let folder = Folder::new();
    let history = folder.join("history");
    let name = history.to_str().unwrap();
    let more = ["--threshold-ms", "2000", "--prom-addr", "127.0.0.1:0"];
    let flags = history_flags(name, &more);
    let mut daemon = Daemon::start(&folder, &flags);
    let socket = daemon.socket().to_owned();
    let agent = |name| Agent::named(&socket, name);
    let (stalled, calm, ended) = (agent(c"web"), agent(c"web"), agent(c"batch"));
    let pids = [&stalled, &calm, &ended].map(Agent::pid);
    let has = |kind, count| {
        let records = read(&history);
        let of_these = records.iter().filter(|read| {
            let pid = read.members.get("pid").and_then(Value::as_u64);
            read.record.kind() == kind
                && pid.is_some_and(|pid| pids.map(u64::from).contains(&pid))
        });
        of_these.count() >= count
    };
    stalled.stop();
    ended.stop();
    wait_until(|| has(Kind::Stall, 2));
    stalled.resume();
    wait_until(|| has(Kind::Recovered, 1));
    daemon.end();
    drop(ended);

    let before = read(&history).len();
    let mut daemon = Daemon::start(&folder, &flags);
    let (replaced, new) = (agent(c"batch"), agent(c"new"));
    let all = [&stalled, &calm, &replaced, &new].map(|agent| u64::from(agent.pid()));
    wait_until(|| {
        let heard = read(&history).split_off(before);
        let heard = heard.iter().filter(|read| read.record.kind() == Kind::Agent);
        let heard: Vec<_> = heard.map(|read| read.members["pid"].as_u64().unwrap()).collect();
        all.iter().all(|pid| heard.contains(pid))
    });
    let mut days = Vec::new();
    wait_until(|| {
        let report = get(&address_of(&daemon), "/agents").body;
        let report: Value = serde_json::from_str(&report).unwrap();
        let rows = report["agents"].as_array().unwrap();
        let row = |pid: &u64| rows.iter().find(|row| row["pid"] == *pid).unwrap();
        let day = |pid| row(pid)["day"].as_str().map(str::to_owned);
        days = all.iter().filter_map(day).collect();
        days.len() == all.len()
    });
    daemon.end();
    // A machine that is held for long makes agents stall that nobody stopped.
    let records = read(&history);
    let stalls = records.iter().filter(|read| read.record.kind() == Kind::Stall);
    let stalls: Vec<_> = stalls.map(|read| read.members["pid"].as_u64().unwrap()).collect();
    let expected = [true, stalls.contains(&all[1]), true, stalls.contains(&all[3])];
    for (day, is_stalled) in days.iter().zip(expected) {
        assert!(day.len() == 48 && day.starts_with("...."), "{day}");
        assert_eq!(day.contains('s'), is_stalled, "{days:?}");
    }
}
