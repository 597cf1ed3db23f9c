//! Rules and expectations of the configuration file.

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
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::http::{address_of, get, wait_for_sample};
use support::{Agent, Daemon, Folder, WATCH, ms, script, wait_until};
use varta::{Status, Varta};

/// Runs a command of varta-watch, and returns its exit code and output.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(WATCH).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn file_with(folder: &Folder, text: &str) -> PathBuf {
    let file = folder.join("varta.toml");
    fs::write(&file, text).unwrap();
    file
}

fn start(folder: &Folder, text: &str) -> Daemon {
    let file = file_with(folder, text);
    Daemon::start(folder, &["--config", file.to_str().unwrap(), "--prom-addr", "127.0.0.1:0"])
}

fn reload(daemon: &Daemon, folder: &Folder, text: &str) {
    let before = daemon.count_logged("\"reloaded\"");
    file_with(folder, text);
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_lines("\"reloaded\"", before + 1);
}

fn state_of(daemon: &Daemon, agent: &Agent) -> String {
    let socket = daemon.socket().to_str().unwrap();
    run(&["check", "--socket", socket, "--pid", &agent.pid().to_string()]).1
}

#[test]
fn a_mistake_in_a_rule_is_reported_with_its_line_and_key() {
    let folder = Folder::new();
    for (text, expected) in [
        ("[[rule]]\nthreshold-ms = 500\n", "line 2: rule: give match = "),
        ("[[rule]]\nmatch = {}\n", "line 2: rule: give match = "),
        ("[[rule]]\nmatch = { program = \"\" }\n", "line 3: program: give at least one"),
        (
            "[[rule]]\nmatch = { name = \"a\" }\n",
            "line 3: name: unknown key; match has program",
        ),
        ("[[rule]]\nmatch = \"a\"\n", "line 3: match: give a table"),
        ("[[rule]]\nmatch = { user = 33 }\n", "line 3: user: give text in quotes"),
        (
            "[[rule]]\nmatch = { unit = \"a\" }\nthreshold-ms = 9\n",
            "line 4: threshold-ms: give",
        ),
        (
            "[[rule]]\nmatch = { unit = \"a\" }\nslack-ms = -1\n",
            "line 4: slack-ms: give a number",
        ),
        ("[[rule]]\nmatch = { unit = \"a\" }\nstartup-ms = 1.5\n", "line 4: startup-ms: give"),
        ("[[rule]]\nmatch = { unit = \"a\" }\nwatch = \"no\"\n", "line 4: watch: give true or"),
        (
            "[[rule]]\nmatch = { unit = \"a\" }\nrecovery-on = [\"hang\"]\n",
            "line 4: recovery-on: give a list of: hung, crash",
        ),
        (
            "[[rule]]\nmatch = { unit = \"a\" }\nrecovery-exec = \"\"\n",
            "line 4: recovery-exec: contains no command",
        ),
        (
            "[[rule]]\nmatch = { unit = \"a\" }\nprom-addr = \"127.0.0.1:1\"\n",
            "line 4: prom-addr: this flag applies to the whole daemon; move it above",
        ),
        (
            "[[rule]]\nmatch = { unit = \"a\" }\ntreshold-ms = 1\n",
            "line 4: treshold-ms: unknown",
        ),
        ("rule = 1\n", "line 2: rule: begin each one with a line [[rule]]"),
        ("[rule]\nwatch = true\n", "line 2: rule: begin each one with a line [[rule]]"),
        ("[[expect]]\ncount = 1\n", "line 2: expect: give program = "),
        ("[[expect]]\nprogram = \"a\"\ncount = 0\n", "line 4: count: give 1 to 1000000"),
        ("[[expect]]\nprogram = \"a\"\nwithin-ms = 0\n", "line 4: within-ms: give a number"),
        (
            "[[expect]]\nprogram = \"a\"\nuser = \"b\"\n",
            "line 4: user: unknown key; [[expect]] has",
        ),
        (
            "[[expect]]\nprogram = \"a\"\n[[expect]]\nprogram = \"a\"\n",
            "line 4: expect: \"a\" is expected in line 2 already",
        ),
    ] {
        let file = file_with(&folder, &format!("threshold-ms = 500\n{text}"));
        let file = file.to_str().unwrap();
        let check = ["--socket", "/tmp/never.sock", "--check-config", "--config", file];
        let (code, found) = run(&check);
        assert!(code == 2 && found.contains(expected), "{text}: {found}");
    }
}

const THRESHOLDS: &str = "threshold-ms = 3600000\n\
    [[rule]]\nmatch = { program = \"fast*\", user = \"*\" }\nthreshold-ms = 100\n\
    [[rule]]\nmatch = { program = \"fast*\" }\nthreshold-ms = 200\n";

#[test]
fn the_threshold_of_a_rule_applies_to_its_agents_alone() {
    let folder = Folder::new();
    let mut daemon = start(&folder, THRESHOLDS);
    let fast = Agent::named(daemon.socket(), c"fast-1");
    let slow = Agent::named(daemon.socket(), c"slow-1");
    fast.stop();
    slow.stop();
    wait_until(|| state_of(&daemon, &fast).contains("stalled"));
    assert!(state_of(&daemon, &slow).contains(": ok"), "{}", state_of(&daemon, &slow));

    let socket = daemon.socket().to_str().unwrap();
    let explain = |agent: &Agent| {
        run(&["rules", "--socket", socket, "--explain", &agent.pid().to_string()]).1
    };
    let text = explain(&fast);
    for line in ["program fast-1, no unit", "line 2: applies: threshold-ms = 100", "is 100 ms"]
    {
        assert!(text.contains(line), "{line} not in {text}");
    }
    let text = explain(&slow);
    for line in
        ["line 2: program = \"fast*\" does not match", "line 5: program", "no rule applies"]
    {
        assert!(text.contains(line), "{line} not in {text}");
    }
    let (_, list) = run(&["rules", "--socket", socket]);
    let first = "program = \"fast*\", user = \"*\": threshold-ms = 100 (1 agents)";
    assert!(list.contains(first), "{list}");
    let (code, text) = run(&["rules", "--socket", socket, "--explain", "1"]);
    assert_eq!((code, text.trim()), (1, "varta-watch: no agent has the pid 1"));

    // A wrong file changes nothing. A longer threshold recovers nobody; a shorter one applies to
    // the silence so far.
    file_with(&folder, "threshold-ms = 3600000\n[[rule]]\nmatch = {}\n");
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("not reloaded");
    assert!(explain(&fast).contains("is 100 ms"));
    let text = "threshold-ms = 3600000\n[[rule]]\nmatch = { program = \"slow-?\" }\n\
                threshold-ms = 100\n";
    reload(&daemon, &folder, text);
    wait_until(|| state_of(&daemon, &slow).contains("stalled"));
    assert!(state_of(&daemon, &fast).contains("stalled"), "{}", state_of(&daemon, &fast));
    assert!(explain(&fast).contains("is 3600000 ms"));
    fast.resume();
    wait_until(|| state_of(&daemon, &fast).contains(": ok"));
    // The agent that once had a rule follows the flags again.
    reload(&daemon, &folder, "threshold-ms = 100\n");
    fast.stop();
    wait_until(|| state_of(&daemon, &fast).contains("stalled"));
    daemon.end();
}

#[test]
fn the_first_silence_of_an_agent_is_not_judged_within_its_startup_time() {
    let folder = Folder::new();
    let rule = "[[rule]]\nmatch = { program = \"start*\" }\n";
    let text = format!("threshold-ms = 100\n{rule}startup-ms = 3600000\n");
    let mut daemon = start(&folder, &text);
    let starting = Agent::named(daemon.socket(), c"starting");
    let other = Agent::named(daemon.socket(), c"other");
    starting.stop();
    other.stop();
    wait_until(|| state_of(&daemon, &other).contains("stalled"));
    assert!(state_of(&daemon, &starting).contains(": ok"));
    // When the time is over, its silence so far counts.
    reload(&daemon, &folder, &format!("threshold-ms = 100\n{rule}startup-ms = 1\n"));
    wait_until(|| state_of(&daemon, &starting).contains("stalled"));
    daemon.end();
}

#[test]
fn a_startup_time_ends_by_itself() {
    let folder = Folder::new();
    let text = "threshold-ms = 100\n[[rule]]\nmatch = { program = \"*\" }\nstartup-ms = 1000\n";
    let mut daemon = start(&folder, text);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    wait_until(|| state_of(&daemon, &agent).contains("stalled"));
    daemon.end();
}

#[test]
fn an_agent_that_a_rule_does_not_watch_has_no_stall_and_no_recovery() {
    let folder = Folder::new();
    let ran = folder.join("ran");
    let text = format!("#!/bin/sh\necho $1 >> {}\n", ran.display());
    let command = script(&folder, "command", &text);
    let text = format!(
        "threshold-ms = 100\nrecovery-exec = \"{} {{pid}}\"\n\
         [[rule]]\nmatch = {{ program = \"quiet\" }}\nwatch = false\n",
        command.display()
    );
    let mut daemon = start(&folder, &text);
    let mut quiet = Agent::named(daemon.socket(), c"quiet");
    let mut other = Agent::named(daemon.socket(), c"other");
    quiet.stop();
    other.stop();
    wait_until(|| state_of(&daemon, &other).contains("stalled"));
    assert!(state_of(&daemon, &quiet).contains(": ok"));
    let pid = other.pid();
    quiet.kill();
    daemon.wait_for_log("\"exit, ");
    other.kill();
    daemon.wait_for_lines("\"exit, ", 2);
    wait_until(|| fs::read_to_string(&ran).is_ok_and(|text| text.contains(&pid.to_string())));
    daemon.end();
    let ran = fs::read_to_string(&ran).unwrap();
    assert!(ran.lines().all(|line| line == pid.to_string()), "{ran}");
}

#[test]
fn a_rule_has_its_own_recovery_command_and_decides_what_starts_it() {
    let folder = Folder::new();
    let ran = folder.join("ran");
    let text = format!("#!/bin/sh\necho $* >> {}\n", ran.display());
    let command = script(&folder, "command", &text);
    let command = command.display();
    let text = format!(
        "threshold-ms = 3600000\nrecovery-exec = \"{command} flags {{pid}}\"\n\
         [[rule]]\nmatch = {{ program = \"own\" }}\nrecovery-exec = \"{command} {{program}} {{pid}}\"\n\
         [[rule]]\nmatch = {{ program = \"hung-only\" }}\nrecovery-on = \"hung\"\n\
         [[rule]]\nmatch = {{ program = \"task\" }}\nrecovery-exec = \"{command} {{task}}\"\n"
    );
    let mut daemon = start(&folder, &text);
    let ran = || fs::read_to_string(&ran).unwrap_or_default();
    for (name, expected) in [
        (c"own", Some("own")),
        (c"other", Some("flags")),
        (c"hung-only", None),
        (c"task", None),
    ] {
        let mut agent = Agent::named(daemon.socket(), name);
        let exits = daemon.count_logged("\"exit, ");
        agent.kill();
        daemon.wait_for_lines("\"exit, ", exits + 1);
        if let Some(word) = expected {
            wait_until(|| ran().contains(&format!("{word} {}\n", agent.pid())));
        }
    }
    // Its process has no late task, so there is nothing to insert.
    daemon.wait_for_log("refused: no_value");
    assert_eq!(ran().lines().count(), 2, "{}", ran());
    // Whatever begins after a reload has the new command.
    let text = format!(
        "threshold-ms = 3600000\n\
         [[rule]]\nmatch = {{ program = \"own\" }}\nrecovery-exec = \"{command} new {{pid}}\"\n"
    );
    let mut own = Agent::named(daemon.socket(), c"own");
    let mut other = Agent::named(daemon.socket(), c"other");
    reload(&daemon, &folder, &text);
    other.kill();
    daemon.wait_for_lines("\"exit, ", 5);
    own.kill();
    wait_until(|| ran().contains(&format!("new {}\n", own.pid())));
    assert_eq!(ran().lines().count(), 3, "{}", ran());
    daemon.end();
}

#[test]
fn the_slack_of_a_rule_applies_to_the_tasks_of_its_agents() {
    let folder = Folder::new();
    let rule = "threshold-ms = 3600000\n[[rule]]\nmatch = { program = \"rules-*\" }\n";
    let mut daemon = start(&folder, &format!("{rule}slack-ms = 3600000\n"));
    let mut agent = Varta::open(daemon.socket()).unwrap();
    let _ = agent.beat(Status::Ok, 1);
    let _task = agent.task("job", ms(50)).unwrap();
    let address = address_of(&daemon);
    let task = || {
        let report = serde_json::from_str(&get(&address, "/agents").body);
        report.map_or(Value::Null, |report: Value| report["agents"][0]["tasks"][0].clone())
    };
    wait_until(|| {
        let task = task();
        assert_ne!(task["state"], "late");
        task["age_ms"].as_u64().is_some_and(|age| age > 500)
    });
    reload(&daemon, &folder, rule);
    wait_until(|| task()["state"] == "late");
    daemon.end();
}

fn check(socket: &Path) -> (i32, String) {
    run(&["check", "--socket", socket.to_str().unwrap()])
}

#[test]
fn an_expected_program_is_missing_until_it_has_all_its_agents() {
    let folder = Folder::new();
    let text = "threshold-ms = 3600000\n\
                [[expect]]\nprogram = \"indexer\"\ncount = 2\nwithin-ms = 200\n\
                [[expect]]\nprogram = \"other\"\nwithin-ms = 3600000\n";
    let mut daemon = start(&folder, text);
    let address = address_of(&daemon);
    let missing = "varta_missing_agents{program=\"indexer\"}";
    daemon.wait_for_log("\"missing\"");
    assert_eq!(daemon.count_logged("\"other\""), 0);
    wait_for_sample(&address, missing, |count| count == 2.0);
    wait_for_sample(&address, "varta_expected_agents{program=\"other\"}", |count| count == 1.0);
    let (code, text) = check(daemon.socket());
    assert_eq!((code, text.trim()), (2, "indexer: missing, 0 of 2 agents"));

    let first = Agent::named(daemon.socket(), c"indexer");
    wait_for_sample(&address, missing, |count| count == 1.0);
    let mut second = Agent::named(daemon.socket(), c"indexer");
    daemon.wait_for_log("\"present\"");
    wait_for_sample(&address, missing, |count| count == 0.0);
    assert_eq!(check(daemon.socket()).0, 0);
    let socket = daemon.socket().to_str().unwrap();
    let (_, list) = run(&["rules", "--socket", socket]);
    assert!(list.contains("expected indexer: present, 2 of 2 agents"), "{list}");
    assert!(list.contains("expected other: not there yet, 0 of 1 agents"), "{list}");
    let expected = json!({"program": "indexer", "count": 2, "there": 2, "missing": false});
    wait_until(|| {
        // There is no report while there are too many requests.
        serde_json::from_str(&get(&address, "/agents").body)
            .is_ok_and(|report: Value| report["expected"][0] == expected)
    });

    // A stalled agent is there, one that has exited is not.
    first.stop();
    second.kill();
    daemon.wait_for_lines("\"missing\"", 2);
    wait_for_sample(&address, missing, |count| count == 1.0);
    reload(&daemon, &folder, "threshold-ms = 3600000\n[[expect]]\nprogram = \"indexer\"\n");
    daemon.wait_for_lines("\"present\"", 2);
    daemon.end();
}

/// If its name is not found soon, an agent has that of its program. Then another is tried.
#[test]
fn a_rule_about_an_interpreter_does_not_apply_to_a_script_whose_name_is_found() {
    let folder = Folder::new();
    let history = folder.join("history");
    let rules = "[[rule]]\nmatch = { program = \"sender.py\" }\nthreshold-ms = 60000\n\
                 [[rule]]\nmatch = { program = \"python*\" }\nthreshold-ms = 50000\n";
    let file = file_with(&folder, &format!("threshold-ms = 50\n{rules}"));
    let flags =
        ["--config", file.to_str().unwrap(), "--history-dir", history.to_str().unwrap()];
    let mut daemon = Daemon::start(&folder, &flags);
    let sender = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/senders/sender.py");
    let records = || {
        let folder = history.to_str().unwrap();
        let json = ["history", "--history-dir", folder, "--kind", "threshold", "--json"];
        let (_, text) = run(&json);
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.collect::<Vec<Value>>()
    };
    wait_until(|| {
        let mut python =
            Command::new("python3").arg(sender).arg(daemon.socket()).spawn().unwrap();
        let thresholds = || {
            let pid = python.id();
            let of_agent = |record: &Value| record["pid"] == pid;
            let records = records().into_iter().filter(of_agent);
            records.filter_map(|record| record["threshold_ns"].as_u64()).collect::<Vec<_>>()
        };
        let is_ruled = |ns: &u64| [60_000_000_000, 50_000_000_000].contains(ns);
        wait_until(|| thresholds().iter().any(is_ruled));
        let found = thresholds();
        python.kill().unwrap();
        python.wait().unwrap();
        let was_named = found.contains(&60_000_000_000);
        assert!(!was_named || !found.contains(&50_000_000_000), "{found:?}");
        was_named
    });
    daemon.end();
}
