//! `replay`: what other thresholds would have reported.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;

use serde_json::{Value, json};
use support::http::{address_of, get};
use support::{Child, Daemon, Folder, WATCH, ms, wait_until};
use varta::{Status, Varta};
use varta_history::{
    Agent, ClockPair, Exit, Floor, Gap, Limits, Origin, Record, Recovered, Run, Stall, Started,
    Stopped, Writer,
};

const DOCS: &str = include_str!("../../docs/replay.md");
const MS: u64 = 1_000_000;

/// Runs a command of varta-watch, and returns its exit code, its output and its errors.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(WATCH);
    let output =
        command.args(arguments).env("TZ", "UTC").stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Replays the history in this folder.
fn replay(history: &Path, more: &[&str]) -> (i32, String, String) {
    let folder = ["replay", "--history-dir", history.to_str().unwrap()];
    run(&[&folder[..], more].concat())
}

fn replayed(history: &Path, more: &[&str]) -> Value {
    let (_, text, errors) = replay(history, &[more, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

/// A night with a threshold of two seconds: a program that is slow now and then, and one that
/// hangs until it is killed.
fn write_night(history: &Path) {
    let origin = Origin { host: "web1".into(), run: Run::default(), boot_ns: 0 };
    // 03:00 UTC on 2026-11-29.
    let pair =
        |ms| ClockPair { observer_ns: ms * MS, wall_ns: 1_795_921_200_000 * MS + ms * MS };
    let mut writer = Writer::open(history, Limits::default(), origin, pair(0)).unwrap();
    let mut seq = 0;
    let mut push = |ms: u64, record: Record| {
        seq += 1;
        writer.push(seq, ms * MS, &record);
    };
    push(0, Started { threshold_ns: 2_000 * MS, ..Started::default() }.into());
    for (agent, pid, program) in [(1, 812, "indexer"), (2, 4321, "web"), (3, 4322, "web")] {
        let (first_ns, origin) = (Some(1_000 * MS), "kernel-attested".into());
        let (threshold_ns, floor_ns, program) = (2_000 * MS, 500 * MS, program.into());
        let agent = Agent {
            agent,
            pid,
            program,
            origin,
            threshold_ns,
            floor_ns,
            first_ns,
            ..Agent::default()
        };
        push(1_000, agent.into());
    }
    let mut silence = |agent: u64, from: u64, to: u64, end: Option<&'static str>| {
        let last_ns = from * MS;
        if to - from > 2_000 {
            push(from + 2_000, Stall { agent, last_ns, ..Stall::default() }.into());
        }
        let silent_ns = (to - from) * MS;
        push(to, Gap { agent, silent_ns, forgiven_ns: 0, end: end.map(Into::into) }.into());
        if end.is_none() && to - from > 2_000 {
            push(to, Recovered { agent, silent_ns, ..Recovered::default() }.into());
        }
    };
    silence(1, 100_000, 102_600, None);
    silence(1, 200_000, 203_100, None);
    silence(3, 300_000, 301_200, None);
    silence(2, 724_000, 732_000, Some("exit"));
    push(732_000, Floor { agent: 1, floor_ns: 1_000 * MS }.into());
    let last_status = "ok".into();
    let (signal, last_ns, stalled) = (Some(9), 724_000 * MS, true);
    let exit = Exit { agent: 2, signal, last_status, last_ns, stalled, ..Exit::default() };
    push(732_000, exit.into());
    push(3_600_000, Stopped::default().into());
    writer.end(pair(3_600_000)).unwrap();
}

#[test]
fn the_example_in_the_docs_is_what_the_command_prints() {
    let folder = Folder::new();
    let history = folder.join("history");
    write_night(&history);
    let (code, text, errors) = replay(&history, &["--threshold", "5s"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{text}");
    let (_, block) = DOCS.split_once("$ varta-watch replay --threshold 5s\n").unwrap();
    assert_eq!(text, block.split_once("```").unwrap().0);
}

#[test]
fn the_exit_code_is_1_if_a_death_would_have_no_stall_and_2_if_nothing_can_be_judged() {
    let folder = Folder::new();
    let history = folder.join("history");
    write_night(&history);
    let (code, text, _) = replay(&history, &["--threshold", "9s"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("These deaths would have no stall before them:\n  2026-11-29T03:12:04")
    );
    assert_eq!(replay(&history, &["--threshold", "9s", "--program", "indexer"]).0, 0);
    let until = ["--threshold", "9s", "--until", "2026-11-29 03:10"];
    assert_eq!(replay(&history, &until).0, 0, "the death was later");
    for (arguments, why) in [
        (&["--threshold", "900ms"][..], "give --threshold 1s or more"),
        (&["--threshold", "400ms", "--until", "2026-11-29 03:10"], "give --threshold 500ms or"),
        (
            &["--threshold", "5s", "--program", "no"],
            "no agent of no is recorded in this period",
        ),
        (&["--threshold", "5s", "--since", "2026-11-30"], "has 2026-11-29 03:00:00 "),
        (&["--threshold", "5 s"], "give a number and a unit"),
        (&["--threshold", "0s"], "give a number and a unit"),
        (&[], "--threshold <TIME>|--rules <FILE>"),
    ] {
        let (code, text, errors) = replay(&history, arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains(why), "{arguments:?}: {errors}");
    }
    let nowhere = folder.join("nowhere");
    let (code, _, errors) = replay(&nowhere, &["--threshold", "5s"]);
    assert_eq!(code, 2);
    assert!(errors.contains("nowhere"), "{errors}");
}

#[test]
fn rules_decide_by_program_and_grace() {
    let folder = Folder::new();
    let history = folder.join("history");
    write_night(&history);
    let rules = folder.join("rules.toml");
    let sums = |text: &str| {
        fs::write(&rules, text).unwrap();
        let outcome = replayed(&history, &["--rules", rules.to_str().unwrap()]);
        let sum = |name: &str| outcome["sum"][name].clone();
        ["replayed", "go", "come", "missed"].map(|name| sum(name).as_u64().unwrap())
    };
    let rule = |matching: &str, setting: &str| {
        format!("[[rule]]\nmatch = {{ {matching} }}\n{setting}\n")
    };
    assert_eq!(sums(&rule("program = \"other\"", "threshold-ms = 60000")), [3, 0, 0, 0]);
    assert_eq!(sums(&rule("program = \"index*\"", "threshold-ms = 3000")), [2, 1, 0, 0]);
    assert_eq!(sums(&rule("program = \"web\"", "threshold-ms = 1000")), [4, 0, 1, 0]);
    assert_eq!(sums(&rule("program = \"web\"", "watch = false")), [2, 1, 0, 1]);
    // A grace of two minutes covers the first of three stalls.
    assert_eq!(sums(&rule("program = \"*\"", "startup-ms = 120000")), [2, 1, 0, 0]);
    assert_eq!(sums("threshold-ms = 3000\n"), [2, 1, 0, 0]);
}

/// A process that beats to all of these sockets at the same times, with these pauses in between,
/// and then hangs.
fn start_agent(sockets: &[&Path], pauses: &'static [u64]) -> Child {
    Child::start(|| {
        let connect = |path: &&Path| Varta::connect(path).unwrap();
        let mut agents: Vec<_> = sockets.iter().map(connect).collect();
        for pause in pauses {
            for _ in 0..20 {
                for agent in &mut agents {
                    // A failed beat does not matter; the next one follows soon.
                    let _ = agent.beat(Status::Ok, 0);
                }
                sleep(ms(50));
            }
            sleep(ms(*pause));
        }
    })
}

/// Whether a daemon noticed that it was held for a while.
fn was_held(folder: &Folder) -> bool {
    let history = folder.join("history");
    let asked =
        ["history", "--history-dir", history.to_str().unwrap(), "--kind", "late,paused"];
    !Command::new(WATCH).args(asked).output().unwrap().stdout.is_empty()
}

/// Daemons that the machine holds judge differently from each other, so another pair is tried then.
#[test]
fn a_replay_of_a_daemon_equals_a_daemon_with_its_threshold() {
    assert!(
        (0..20).any(|_| is_equal_to_a_daemon_that_was_not_held()),
        "the machine is never quiet"
    );
}

/// Returns false if a daemon was held.
fn is_equal_to_a_daemon_that_was_not_held() -> bool {
    let folders = [Folder::new(), Folder::new()];
    let start = |folder: &Folder, threshold: &str| {
        let (history, export) = (folder.join("history"), folder.join("export"));
        let paths = [history.to_str().unwrap(), export.to_str().unwrap()];
        let flags = ["--threshold-ms", threshold, "--prom-addr", "127.0.0.1:0"];
        let files = ["--history-dir", paths[0], "--export-format", "json", "--export-file"];
        Daemon::start(folder, &[&flags[..], &files, &paths[1..]].concat())
    };
    let mut daemons = [start(&folders[0], "600"), start(&folders[1], "1200")];
    let sockets: Vec<_> = daemons.iter().map(Daemon::socket).collect();
    let pauses = &[850, 10, 2_500, 10];
    let agent = start_agent(&sockets, pauses);
    let exited = |daemon: &Daemon| daemon.count_logged("exit") > 0;
    wait_until(|| daemons.iter().all(exited));
    let mut day = Value::Null;
    wait_until(|| {
        let report = get(&address_of(&daemons[0]), "/agents");
        let report: Value = serde_json::from_str(&report.body).unwrap();
        day = report["gone"][0]["day"].clone();
        day.is_string()
    });
    drop(agent);
    daemons.iter_mut().for_each(Daemon::end);
    if folders.iter().any(was_held) {
        return false;
    }
    let day = day.as_str().unwrap();
    assert!(day.len() == 48 && day.starts_with("....") && day.contains('s'), "{day}");

    let events = |folder: &Folder| -> Vec<(String, u64)> {
        let lines = fs::read_to_string(folder.join("export")).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let wanted =
            |event: &Value| ["stall", "recovered", "exit"].map(Value::from).contains(event);
        let lines = lines.filter(|line| wanted(&line["event"]));
        lines
            .map(|line| (line["event"].to_string(), line["observer_ns"].as_u64().unwrap()))
            .collect()
    };
    let again = |folder: &Folder, threshold: &str| -> Vec<(String, u64)> {
        let outcome = replayed(&folder.join("history"), &["--threshold", threshold]);
        assert_eq!(outcome["approximate"], json!([]));
        let events = outcome["events"].as_array().unwrap().iter();
        events
            .map(|it| (it["event"].to_string(), it["observer_ns"].as_u64().unwrap()))
            .collect()
    };
    let names = |events: &[(String, u64)]| -> Vec<String> {
        events.iter().map(|(name, _)| name.clone()).collect()
    };
    for (folder, threshold) in [(&folders[0], "600ms"), (&folders[1], "1200ms")] {
        let (live, replayed) = (events(folder), again(folder, threshold));
        assert_eq!(names(&replayed), names(&live));
        // What is less late than 50 ms is not recorded.
        let close = |(one, other): (&(String, u64), &(String, u64))| one.1.abs_diff(other.1);
        let furthest = replayed.iter().zip(&live).map(close).max().unwrap();
        assert!(furthest < 60 * MS, "{furthest}: {replayed:?} {live:?}");
    }
    assert_eq!(names(&again(&folders[0], "1200ms")), names(&events(&folders[1])));
    true
}
