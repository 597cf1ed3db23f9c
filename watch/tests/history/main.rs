//! `varta-watch history`, against histories that were written as the daemon writes them, and the
//! examples in docs/history.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod docs;
mod story;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use story::{SECOND, Story};
use support::{Folder, WATCH, skipped};

fn history(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(WATCH);
    command.arg("history").args(arguments).arg("--history-dir").arg(folder);
    command.env("TZ", "Europe/Berlin").output().unwrap()
}

/// What it prints if it succeeds.
#[track_caller]
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = history(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says on stderr, and its exit code.
#[track_caller]
fn said(folder: &Path, arguments: &[&str]) -> (String, i32) {
    let output = history(folder, arguments);
    (String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
}

fn json(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let lines = printed(folder, arguments);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn three_minutes() -> Folder {
    let folder = Folder::new();
    story::three_minutes(folder.path());
    folder
}

#[test]
fn a_line_has_the_time_in_utc_and_the_words_of_the_events() {
    let folder = three_minutes();
    let lines = printed(folder.path(), &[]);
    let lines: Vec<_> = lines.lines().collect();
    let expected = [
        "2025-11-30T14:00:00.000Z varta-watch 0.3.0 started",
        "2025-11-30T14:02:02.000Z agent 17 (pid 4321): stall, last heard at 120.000 s with nonce \
         1200, cause hung on a lock held by thread 4326 [ingestd]",
        "2025-11-30T14:02:02.100Z agent 17 (pid 4321): recovery: command started as pid 4400, \
         try 1 [ingestd]",
        "2025-11-30T14:02:05.000Z agent 17 (pid 4321): recovered after 5.000 s of silence \
         [ingestd]",
        "2025-11-30T14:02:10.000Z agent 18 (pid 5000): exit, killed by signal 9, last status ok \
         [nginx]",
        "2025-11-30T14:02:10.000Z program nginx missing: 0 of 1 agents",
        "2025-11-30T14:03:01.000Z varta-watch stopped",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn records_are_chosen_by_program_kind_and_time() {
    let folder = three_minutes();
    let count = |arguments: &[&str]| printed(folder.path(), arguments).lines().count();
    assert_eq!(count(&["--program", "ingestd"]), 3);
    assert_eq!(count(&["--program", "nginx"]), 2);
    assert_eq!(count(&["--kind", "stall,exit"]), 2);
    assert_eq!(count(&["--kind", "gap"]), 2);
    assert_eq!(count(&["--kind", "minute", "--program", "nginx"]), 3);
    assert_eq!(count(&["--kind", "stall", "--kind", "exit", "--program", "nginx"]), 1);
    // In Berlin it is an hour later.
    assert_eq!(count(&["--since", "2025-11-30 15:02:04"]), 4);
    assert_eq!(
        count(&["--since", "2025-11-30T14:02:04Z", "--until", "2025-11-30T14:02:06Z"]),
        1
    );
    let (error, code) = said(folder.path(), &["--kind", "stalls"]);
    assert_eq!(code, 2);
    assert!(error.contains("stall, cause, recovered"), "{error}");
}

#[test]
fn the_zone_of_the_period_is_named() {
    let folder = three_minutes();
    let (note, code) = said(folder.path(), &["--since", "2025-11-30 15:02:04"]);
    assert_eq!(code, 0);
    assert!(note.contains("since 2025-11-30 15:02:04 Europe/Berlin"), "{note}");
}

#[test]
fn a_period_that_begins_before_the_history_is_shown_with_a_note() {
    let folder = three_minutes();
    let (note, code) = said(folder.path(), &["--since", "2025-11-01"]);
    assert_eq!(code, 0);
    assert!(note.contains("nothing is recorded before 2025-11-30T14:00:00.000Z"), "{note}");
}

#[test]
fn a_period_that_is_not_covered_is_an_error_that_names_what_is() {
    let folder = three_minutes();
    for arguments in [
        &["--since", "2025-12-01"][..],
        &["--until", "2025-11-30 14:59"],
        &["programs", "--since", "2025-12-01"],
        &["export", "--openmetrics", "--since", "2025-12-01"],
        &["around", "2025-11-30 15:10"],
    ] {
        let (error, code) = said(folder.path(), arguments);
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("nothing is recorded"), "{error}");
        let covered = "2025-11-30 15:00:00 Europe/Berlin to 2025-11-30 15:03:01 Europe/Berlin";
        assert!(error.contains(covered), "{error}");
    }
}

#[test]
fn a_folder_without_a_history_is_an_error_with_its_path() {
    let folder = Folder::new();
    for path in [folder.path().to_owned(), folder.join("none")] {
        let (error, code) = said(&path, &[]);
        assert_eq!(code, 1);
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn json_has_the_members_that_all_records_have() {
    let folder = three_minutes();
    let lines = json(folder.path(), &["--json", "--kind", "stall,minute,exit"]);
    assert_eq!(lines.len(), 8);
    for line in &lines {
        assert_eq!((&line["host"], &line["run"]), (&"db-1".into(), &lines[0]["run"]));
        for member in ["time", "seq", "observer_ns", "event", "program"] {
            assert!(!line[member].is_null(), "{member} is not in {line}");
        }
    }
    let stall = lines.iter().find(|line| line["event"] == "stall").unwrap();
    assert_eq!(stall["time"], "2025-11-30T14:02:02.000000000Z");
    assert_eq!((&stall["agent"], &stall["pid"]), (&17.into(), &4_321.into()));
    assert_eq!(
        (&stall["cause"], &stall["threshold_ns"]),
        (&"lock".into(), &2_000_000_000u64.into())
    );
}

#[test]
fn csv_has_a_line_of_names_and_quotes_what_has_commas() {
    let folder = three_minutes();
    let text = printed(folder.path(), &["--csv", "--kind", "stall,exit"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("time,observer_ns,host,run,seq,event,program,agent,pid,task,")
    );
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("2025-11-30T14:02:02.000000000Z,122000000000,db-1,"));
    let words = "\"agent 18 (pid 5000): exit, killed by signal 9, last status ok [nginx]\"";
    assert!(lines[2].ends_with(words), "{}", lines[2]);
    let columns = lines[0].split(',').count();
    let quoted = lines[2].find('"').unwrap();
    assert_eq!(lines[2][..quoted].matches(',').count() + 1, columns);
}

#[test]
fn times_that_the_wall_clock_showed_twice_have_the_boot_clock_too() {
    let folder = Folder::new();
    story::clock_set_back(folder.path());
    let lines = printed(folder.path(), &["--kind", "stall,recovered"]);
    let times: Vec<_> =
        lines.lines().map(|line| line.split_once(" agent").unwrap().0).collect();
    let expected = [
        "2025-11-30T14:15:00.000Z",
        "2025-11-30T14:15:01.000Z",
        "2025-11-30T15:15:00.000Z (boot clock 4552.000 s)",
        "2025-11-30T15:15:01.000Z (boot clock 4553.000 s)",
        "2025-11-30T15:15:00.000Z (boot clock 8152.000 s)",
    ];
    assert_eq!(times, expected);
}

#[test]
fn programs_are_summed_up() {
    let folder = three_minutes();
    let programs = json(folder.path(), &["programs", "--json"]);
    let [ingestd, nginx] = &programs[..] else { panic!("{programs:?}") };
    let near = |value: &Value, expected: u64| {
        let wrong = value.as_u64().unwrap().abs_diff(expected);
        assert!(wrong <= expected * 6 / 100, "{value} instead of {expected}");
    };
    assert_eq!((&ingestd["program"], &ingestd["agents"]), (&"ingestd".into(), &1.into()));
    assert_eq!((&ingestd["beats"], &ingestd["missed"]), (&1_750.into(), &3.into()));
    near(&ingestd["interval_p50_ns"], SECOND / 10);
    near(&nginx["interval_max_ns"], SECOND);
    assert_eq!(ingestd["stalls"], serde_json::json!({"lock": 1}));
    assert_eq!(nginx["exits"], serde_json::json!({"signal 9": 1}));
    assert_eq!(ingestd["silent_ns"], 5 * SECOND);
    // A shorter one would have reported the silence of 5 s, which ended with a beat.
    assert_eq!(ingestd["safe_threshold_ns"], 5 * SECOND);
    // Nothing shorter than the floor is known.
    assert_eq!(nginx["safe_threshold_ns"], SECOND / 2);
    // Before the stall the longest silence was shorter.
    let before =
        json(folder.path(), &["programs", "--json", "--until", "2025-11-30T14:02:00Z"]);
    assert_eq!(before[0]["safe_threshold_ns"], 1_200_000_000u64);
    // The agents that lived when the period began are counted.
    let after = json(folder.path(), &["programs", "--json", "--since", "2025-11-30T14:02:30Z"]);
    assert_eq!((&after[0]["agents"], &after[0]["beats"]), (&1.into(), &550.into()));
}

/// An agent that is still silent at the end, or ends while it is stalled, was silent until then.
#[test]
fn the_silence_of_an_agent_that_does_not_recover_counts() {
    let folder = Folder::new();
    let mut story = Story::new(folder.path(), 1, story::START);
    story.agent(0, 1, 11, "a");
    story.agent(0, 2, 12, "b");
    story.stall(12 * SECOND, 1, 10 * SECOND);
    story.stall(12 * SECOND, 2, 10 * SECOND);
    story.killed(40 * SECOND, 1);
    story.end(70 * SECOND);
    let programs = json(folder.path(), &["programs", "--json"]);
    assert_eq!(
        (&programs[0]["silent_ns"], &programs[1]["silent_ns"]),
        (&(30 * SECOND).into(), &(60 * SECOND).into())
    );
}

#[test]
fn around_a_moment_the_beats_before_it_are_shown() {
    let folder = three_minutes();
    let lines =
        printed(folder.path(), &["around", "2025-11-30 15:02:10", "--program", "nginx"]);
    let expected = "\
2025-11-30T14:02:08.800Z agent 18 (pid 5000): beat, ok, payload 7, nonce 1200 [nginx]
2025-11-30T14:02:09.800Z agent 18 (pid 5000): beat, ok, payload 7, nonce 1200 [nginx]
2025-11-30T14:02:10.000Z agent 18 (pid 5000): exit, killed by signal 9, last status ok [nginx]
2025-11-30T14:02:10.000Z program nginx missing: 0 of 1 agents
2025-11-30T14:03:01.000Z varta-watch stopped
";
    assert_eq!(lines, expected);
    let all = printed(folder.path(), &["around", "2025-11-30T14:02:05Z"]);
    assert!(
        all.contains("14:01:59.900Z agent 17") && all.contains("silent for 5.000 s"),
        "{all}"
    );
    let one =
        json(folder.path(), &["around", "2025-11-30T14:02:05Z", "--agent", "17", "--json"]);
    let beats: Vec<_> = one.iter().filter(|line| line["event"] == "beat").collect();
    assert_eq!(beats.len(), 2);
    assert_eq!(beats[1]["time"], "2025-11-30T14:02:00.000000000Z");
    assert!(one.iter().all(|line| line["agent"].is_null() || line["agent"] == 17));
}

/// Prometheus's own tool reads the export, and has the counts of each minute.
#[test]
fn promtool_makes_blocks_of_the_export() {
    let folder = three_minutes();
    let metrics = printed(folder.path(), &["export", "--openmetrics"]);
    assert!(metrics.ends_with("# EOF\n"));
    let file = folder.join("metrics");
    fs::write(&file, &metrics).unwrap();
    let promtool = |arguments: &[&str]| Command::new("promtool").args(arguments).output();
    let blocks = folder.join("blocks");
    let [file, blocks] = [&file, &blocks].map(|path| path.to_str().unwrap());
    let Ok(made) = promtool(&["tsdb", "create-blocks-from", "openmetrics", file, blocks])
    else {
        return skipped("promtool: apt-get install prometheus");
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // It reads the folder of a server, which has this too.
    fs::create_dir(folder.join("blocks/wal")).unwrap();
    let dumped = promtool(&["tsdb", "dump", blocks]).unwrap();
    let dumped = String::from_utf8(dumped.stdout).unwrap();
    let samples = |name: &str, labels: &[&str]| {
        let lines = dumped.lines().filter(|line| line.contains(&format!("\"{name}\"")));
        let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        lines.map(|line| line.rsplit_once("} ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let ingestd = ["program=\"ingestd\"", "host=\"db-1\""];
    let beats = samples("varta_program_beats_total", &ingestd);
    assert_eq!(beats.last().unwrap(), "1750 1764511381000", "{dumped}");
    let [stalls, exits] = [
        samples("varta_program_stalls_total", &["class=\"own\""]),
        samples("varta_program_exits_total", &["cause=\"signalled\"", "program=\"nginx\""]),
    ];
    // From nothing to the first one there is an increase.
    let first = ["0 1764511320000", "1 1764511380000"];
    assert_eq!(
        (&stalls[..], &exits[..]),
        (&first.map(str::to_owned)[..], &first.map(str::to_owned)[..])
    );
    let within =
        samples("varta_program_beat_interval_seconds_bucket", &[ingestd[0], "le=\"0.25\""]);
    assert_eq!(within.last().unwrap(), "1747 1764511381000");
}

#[test]
fn an_export_leaves_out_what_the_wall_clock_shows_again() {
    let folder = Folder::new();
    story::clock_set_back(folder.path());
    let metrics = printed(folder.path(), &["export", "--openmetrics"]);
    let times: Vec<f64> = metrics
        .lines()
        .filter(|line| line.starts_with("varta_program_stalls_total"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(times.len() > 1 && times.is_sorted(), "{metrics}");
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_is_shown() {
    let folder = three_minutes();
    let path = folder.join("0000000001.varta");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut newer = b"varta-history\0\r\n".to_vec();
    newer.extend_from_slice(&9u32.to_le_bytes());
    fs::write(folder.join("0000000002.varta"), newer).unwrap();
    let (notes, code) = said(folder.path(), &[]);
    assert_eq!(code, 0);
    assert!(notes.contains("0000000001.varta: ") && notes.contains(" are damaged"), "{notes}");
    assert!(
        notes.contains("0000000002.varta is left out") && notes.contains("(format 9)"),
        "{notes}"
    );
    assert!(printed(folder.path(), &[]).lines().count() >= 5);
}

#[test]
fn a_reader_that_is_closed_early_is_no_error() {
    let folder = Folder::new();
    let mut story = Story::new(folder.path(), 1, story::START);
    story.agent(0, 1, 11, "a");
    for at in 1..5_000 {
        story.gap(at * SECOND, 1, SECOND);
    }
    story.end(5_000 * SECOND);
    let command = format!(
        "{WATCH} history --kind gap --history-dir {} | head -n 1; exit ${{PIPESTATUS[0]}}",
        folder.path().display()
    );
    let output = Command::new("bash").args(["-c", &command]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
