//! The commands `run` and `decode`, and the export file.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use support::{
    Agent, Daemon, Folder, WATCH, beats_in, lines_of, script, signal, text_of, wait_until,
};

fn exporting(folder: &Folder, more: &[&str]) -> Daemon {
    let export = folder.join("export");
    let mut flags = vec!["--threshold-ms", "60000", "--export-file", export.to_str().unwrap()];
    flags.extend(more);
    Daemon::start(folder, &flags)
}

fn run(daemon: &Daemon, command: &[&str]) -> Child {
    Command::new(WATCH)
        .args(["run", "--every", "20ms", "--endpoint", daemon.socket().to_str().unwrap(), "--"])
        .args(command)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn run_sends_beats_while_the_command_lives_and_passes_on_its_exit_code() {
    let folder = Folder::new();
    // The daemon looks at the beats of a process twice per threshold.
    let mut daemon = exporting(&folder, &["--threshold-ms", "1000"]);
    let export = folder.join("export");
    let mut good = run(&daemon, &["cat"]);
    wait_until(|| beats_in(&export) > 3);
    drop(good.stdin.take());
    assert_eq!(good.wait().unwrap().code(), Some(0));

    let mut bad = run(&daemon, &["sh", "-c", "read line; exit 7"]);
    drop(bad.stdin.take());
    assert_eq!(bad.wait().unwrap().code(), Some(7));
    wait_until(|| lines_of(&export, 1, "exit").len() == 2);
    let exits = lines_of(&export, 1, "exit");
    assert_eq!(exits[0][5], "exit code 0");
    assert_eq!(exits[1][4..6], ["critical", "exit code 7"]);
    let last_words: Vec<_> =
        lines_of(&export, 1, "beat").into_iter().filter(|line| line[4] == "critical").collect();
    assert_eq!(last_words.len(), 1);
    assert_eq!(last_words[0][3..6], [&u64::MAX.to_string(), "critical", "7"]);
    daemon.end();
}

#[test]
fn run_forwards_signals_and_ends_by_the_signal_that_ended_the_command() {
    let folder = Folder::new();
    let daemon = exporting(&folder, &["--threshold-ms", "1000"]);
    let ready = folder.join("ready");
    let text = format!(
        "#!/bin/sh\ntrap 'exit 5' USR1\ntouch {}\nwhile :; do sleep 0.02; done\n",
        ready.display()
    );
    let trap = script(&folder, "trap", &text);
    let mut trapping = run(&daemon, &[trap.to_str().unwrap()]);
    wait_until(|| ready.exists());
    signal(trapping.id(), libc::SIGUSR1);
    assert_eq!(trapping.wait().unwrap().code(), Some(5));

    let mut sleeping = run(&daemon, &["sleep", "1000"]);
    wait_until(|| beats_in(&folder.join("export")) > 3);
    signal(sleeping.id(), libc::SIGTERM);
    assert_eq!(sleeping.wait().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn run_uses_the_exit_codes_of_a_shell_for_a_command_that_cannot_be_started() {
    for (command, code) in [("no-such-program", 127), ("/", 126)] {
        let ended = Command::new(WATCH)
            .args(["run", "--endpoint", "@varta-nobody", "--", command])
            .stderr(Stdio::null())
            .status();
        assert_eq!(ended.unwrap().code(), Some(code), "{command}");
    }
    let bad = Command::new(WATCH).args(["run", "--endpoint", "tcp://x", "--", "true"]).output();
    assert_eq!(bad.unwrap().status.code(), Some(2));
}

#[test]
fn an_exit_writes_an_exit_line_and_the_stall_line_of_varta_0_2() {
    let folder = Folder::new();
    let mut daemon = exporting(&folder, &[]);
    let mut agent = Agent::at(daemon.socket());
    let pid = agent.pid().to_string();
    agent.kill();
    let export = folder.join("export");
    wait_until(|| lines_of(&export, 1, "exit").len() == 1);
    daemon.end();
    let text = text_of(&export);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let [.., beat, stall, exit] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(beat[1..3], ["beat", &pid]);
    assert_eq!(stall[1..], ["stall", &pid, beat[3], "stall", "-"]);
    assert_eq!(exit[1..], ["exit", &pid, beat[3], "ok", "killed by signal 9"]);
    assert_eq!(lines.iter().filter(|line| line[1] == "stall").count(), 1);
}

#[test]
fn the_export_file_rotates_between_lines() {
    let folder = Folder::new();
    let mut daemon = exporting(&folder, &["--export-file-max-bytes", "2000"]);
    let _agent = Agent::at(daemon.socket());
    wait_until(|| folder.join("export.5").exists());
    daemon.end();
    let names = ["export.5", "export.4", "export.3", "export.2", "export.1", "export"];
    let mut last = 0;
    for name in names {
        let text = text_of(&folder.join(name));
        assert!(text.len() <= 2000 && text.ends_with('\n'), "{name}");
        for line in text.lines() {
            let nonce: u64 = line.split('\t').nth(3).unwrap().parse().unwrap();
            assert!(last == 0 || nonce == last + 1, "{name}: {nonce} after {last}");
            last = nonce;
        }
    }
    assert!(!folder.join("export.6").exists());
}

#[test]
fn with_json_each_line_is_an_object() {
    let folder = Folder::new();
    let mut daemon = exporting(&folder, &["--export-format", "json"]);
    let mut agent = Agent::at(daemon.socket());
    agent.exit(3);
    let export = folder.join("export");
    wait_until(|| text_of(&export).contains("\"exit\""));
    daemon.end();
    let lines: Vec<serde_json::Value> =
        text_of(&export).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((&first["event"], &first["nonce"]), (&"beat".into(), &1.into()));
    assert_eq!(first["pid"], agent.pid());
    assert_eq!((&last["event"], &last["code"]), (&"exit".into(), &3.into()));
}

#[test]
fn decode_describes_frames() {
    let folder = Folder::new();
    let frame = "56410200 02000000 0000000000000000 0100000000000000 00000000 e4116baa";
    let hex = "5641020002000000000000000000000001000000000000000000000000000000";
    let file = folder.join("frames");
    fs::write(&file, [0x56; 32]).unwrap();
    let decode = |arguments: &[&str]| {
        let output = Command::new(WATCH).arg("decode").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = decode(&[hex]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("not a frame: "), "{text}");
    let (code, text) = decode(&["--file", file.to_str().unwrap()]);
    assert_eq!((code, text.lines().count()), (Some(1), 1));
    assert_eq!(decode(&["zz"]).0, Some(2));
    assert_eq!(decode(&[]).0, Some(2));
    assert_eq!(decode(&[&frame[1..]]).0, Some(2), "not whole bytes");
    let (code, text) = decode(&[frame]);
    assert_eq!((code, text.starts_with("version 2, ok, ")), (Some(0), true), "{text}");
}
