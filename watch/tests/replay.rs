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

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;

use serde_json::Value;
use support::{Child, Daemon, Folder, WATCH, ms, text_of, wait_until};
use varta::{Status, Varta};
use varta_history::{
    Agent, ClockPair, Exit, Floor, Gap, Item, Limits, Origin, Reader, Record, Recovered, Run,
    Stall, Started, Stopped, Writer,
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

/// The thresholds in milliseconds of the daemon whose history is replayed, and of those with which
/// the replays are compared.
const RECORDED: u64 = 1_000;
const OTHERS: [u64; 2] = [RECORDED / 2, RECORDED * 2];

/// The silences of an agent, by which it stalls under none, one, two or all of the thresholds, and
/// whether a beat ends it. They are far from each threshold.
const SILENCES: [(u64, bool); 4] = [(750, true), (1_500, true), (2_500, true), (2_700, false)];

/// Agents at a time, each with one silence, which begin one after the other. They beat so seldom that
/// they do not fill the queue of a daemon that is held for a moment.
const AGENTS: u64 = 8;

/// A process that beats to all of these sockets at the same times, with one silence.
fn start_agent(sockets: &[&Path], number: u64) -> Child {
    Child::start(|| {
        let connect = |path: &&Path| Varta::connect(path).unwrap();
        let mut agents: Vec<_> = sockets.iter().map(connect).collect();
        let mut beat = |count| {
            for _ in 0..count {
                for agent in &mut agents {
                    // A failed beat does not matter; the next one follows soon.
                    let _ = agent.beat(Status::Ok, 0);
                }
                sleep(ms(50));
            }
        };
        let (silence, ends) = SILENCES[usize::try_from(number).unwrap() % SILENCES.len()];
        beat(5 + 3 * number);
        sleep(ms(silence));
        beat(if ends { 4 } else { 0 });
    })
}

/// A daemon with a history and an export file.
struct Observed {
    daemon: Daemon,
    folder: Folder,
    threshold: u64,
}

/// What was reported of a process: the name of the event, when, and how long after its last beat.
type Reported = BTreeMap<u64, Vec<(String, u64, u64)>>;

impl Observed {
    fn start(threshold: u64) -> Self {
        let folder = Folder::new();
        let (history, export) = (folder.join("history"), folder.join("export"));
        let paths = [history.to_str().unwrap(), export.to_str().unwrap()];
        let flags = ["--lane", "off", "--threshold-ms", &threshold.to_string()];
        let files = ["--history-dir", paths[0], "--export-format", "json", "--export-file"];
        let daemon = Daemon::start(&folder, &[&flags[..], &files, &paths[1..]].concat());
        Self { daemon, folder, threshold }
    }

    fn exported(&self) -> Vec<Value> {
        let text = text_of(&self.folder.join("export"));
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn exits(&self) -> usize {
        text_of(&self.folder.join("export")).matches("\"event\":\"exit\"").count()
    }

    /// When each process beat, on the clock of this daemon.
    fn beats(&self) -> BTreeMap<u64, Vec<u64>> {
        let mut beats: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for line in self.exported().iter().filter(|line| line["event"] == "beat") {
            beats.entry(number(&line["pid"])).or_default().push(number(&line["observer_ns"]));
        }
        beats
    }

    /// The stalls, recoveries and exits among these events.
    fn reported(&self, events: &[Value]) -> Reported {
        let beats = self.beats();
        let mut reported = Reported::new();
        for event in events {
            let name = event["event"].as_str().unwrap();
            if !["stall", "recovered", "exit"].contains(&name) {
                continue;
            }
            let (pid, at_ns) = (number(&event["pid"]), number(&event["observer_ns"]));
            let since_ns = match name {
                "stall" => at_ns - number(&event["last_ns"]),
                "recovered" => number(&event["silent_ns"]),
                _ => at_ns - beats[&pid].last().unwrap(),
            };
            reported.entry(pid).or_default().push((name.to_owned(), at_ns, since_ns));
        }
        reported
    }

    /// What a replay of its history reports with this threshold; `None` if silences that nobody
    /// planned kept it from recording what is that short, or if a full queue refused beats.
    fn replayed(&self, threshold: u64) -> Option<Reported> {
        let threshold = format!("{threshold}ms");
        let history = self.folder.join("history");
        let (code, text, errors) = replay(&history, &["--threshold", &threshold, "--json"]);
        if code == 2 && errors.contains("is too short") {
            return None;
        }
        let outcome: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{errors}"));
        let doubts = outcome["approximate"].as_array().unwrap();
        if doubts.iter().any(|doubt| doubt["why"] == "full-queue") {
            return None;
        }
        assert_eq!(*doubts, Vec::<Value>::new());
        Some(self.reported(outcome["events"].as_array().unwrap()))
    }

    /// Since when it was away, and until when, each time that it was late.
    fn late(&self) -> Vec<(u64, u64)> {
        let mut late = Vec::new();
        let mut reader = Reader::open(&self.folder.join("history")).unwrap();
        while let Some(item) = reader.next().unwrap() {
            let Item::Record(entry) = item else { panic!("{item:?}") };
            if let Some(Record::Late(it)) = entry.record() {
                late.push((entry.observer_ns - it.away_ns, entry.observer_ns));
            }
        }
        late
    }

    /// The processes whose silences this daemon knows precisely: it was not late in them, and they
    /// are far from a threshold.
    fn knows(&self, threshold: u64) -> BTreeSet<u64> {
        let late = self.late();
        let exits = self.exported().into_iter().filter(|line| line["event"] == "exit");
        let exits = exits.map(|exit| (number(&exit["pid"]), number(&exit["observer_ns"])));
        let mut beats = self.beats();
        let known = exits.filter(|(pid, exit_ns)| {
            let signs = beats.get_mut(pid).unwrap();
            signs.push(*exit_ns);
            let mut silences = signs.windows(2).map(|pair| (pair[0], pair[1]));
            silences.all(|(from_ns, to_ns)| {
                let is_far = (to_ns - from_ns).abs_diff(threshold * MS) > 100 * MS;
                let was_late = late.iter().any(|(begin, end)| *begin < to_ns && from_ns < *end);
                to_ns - from_ns < 200 * MS || is_far && !was_late
            })
        });
        known.map(|(pid, _)| pid).collect()
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn names(events: &[(String, u64, u64)]) -> Vec<&str> {
    events.iter().map(|(name, ..)| name.as_str()).collect()
}

/// A daemon that is late reports a stall later, and receives a beat later than another one. So what
/// is compared is the time since the last beat before, and of stalls, recoveries and exits under
/// each threshold at least one must be equal to a millisecond, after a few rounds at most.
#[test]
fn a_replay_of_a_daemon_equals_daemons_with_half_and_twice_its_threshold() {
    let mut equal = BTreeSet::new();
    for _ in 0..20 {
        compare_a_round(&mut equal);
        if equal.len() == 3 * OTHERS.len() {
            return;
        }
    }
    panic!("nothing else was equal to a millisecond than {equal:?}");
}

fn compare_a_round(equal: &mut BTreeSet<(u64, String)>) {
    let mut all = [RECORDED, OTHERS[0], OTHERS[1]].map(Observed::start);
    let sockets: Vec<_> = all.iter().map(|it| it.daemon.socket()).collect();
    let agents: Vec<_> = (0..AGENTS).map(|number| start_agent(&sockets, number)).collect();
    wait_until(|| all.iter().all(|it| it.exits() >= agents.len()));
    drop(agents);
    all.iter_mut().for_each(|it| it.daemon.end());
    for daemon in &all {
        let live = daemon.reported(&daemon.exported());
        let Some(own) = daemon.replayed(daemon.threshold) else { continue };
        for pid in daemon.knows(daemon.threshold) {
            let (again, live) = (&own[&pid], &live[&pid]);
            assert_eq!(names(again), names(live), "{again:?} {live:?}");
            for (again, live) in again.iter().zip(live) {
                // It may have been late to report a stall.
                let is_right =
                    if again.0 == "stall" { again.1 <= live.1 } else { again == live };
                assert!(is_right, "{again:?} {live:?}");
            }
        }
    }
    let [recorded, others @ ..] = &all;
    for daemon in others {
        let threshold = daemon.threshold;
        let own = daemon.replayed(threshold);
        let Some((replayed, _)) = recorded.replayed(threshold).zip(own) else { continue };
        let live = daemon.reported(&daemon.exported());
        for pid in &recorded.knows(threshold) & &daemon.knows(threshold) {
            let (again, live) = (&replayed[&pid], &live[&pid]);
            assert_eq!(names(again), names(live), "{again:?} {live:?}");
            for (again, live) in again.iter().zip(live) {
                let is_due = again.0 != "stall" || again.2 == threshold * MS;
                assert!(is_due, "{again:?}");
                if again.2.abs_diff(live.2) <= MS {
                    equal.insert((threshold, again.0.clone()));
                }
            }
        }
    }
}
