//! Recovery with real processes: which commands it runs, how often, and when it refuses.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{
    Agent, Child, Daemon, Ended, Folder, WATCH, beat_once, crash_as, fork_as,
    in_new_pid_namespace, in_own_namespaces, is_alive, lines_of, needs_root, script, signal,
    text_of, wait_until,
};

/// Long enough that no live agent stalls on a busy machine.
const THRESHOLD: [&str; 2] = ["--threshold-ms", "700"];

fn daemon(folder: &Folder, command: &str, more: &[&str]) -> Daemon {
    let audit = audit_file(folder);
    let mut flags = vec!["--recovery-exec", command];
    flags.extend(THRESHOLD);
    flags.extend(["--recovery-audit-file", audit.to_str().unwrap()]);
    flags.extend(more);
    Daemon::start(folder, &flags)
}

fn audit_file(folder: &Folder) -> PathBuf {
    folder.join("audit")
}

/// The number of lines of this kind in the audit log.
fn audited(folder: &Folder, kind: &str) -> usize {
    lines_of(&audit_file(folder), 3, kind).len()
}

/// A script that appends a line to a file each time the daemon runs it, and that file.
fn counting_script(folder: &Folder, name: &str, rest: &str) -> (PathBuf, PathBuf) {
    let count = folder.join("count");
    let text = format!("#!/bin/sh\necho run >> {}\n{rest}\n", count.display());
    (script(folder, name, &text), count)
}

fn count(path: &Path) -> usize {
    text_of(path).lines().count()
}

#[test]
fn a_stalled_process_is_killed_and_its_exit_starts_no_second_run() {
    let folder = Folder::new();
    let (command, runs) = counting_script(&folder, "restart", &format!("{WATCH} signal KILL"));
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &[]);
    let mut agent = Agent::at(daemon.socket());
    daemon.wait_for_log("watching");
    wait_until(|| agent.is_alive());
    agent.stop();
    assert_eq!(agent.wait_for_end(), Ended::Killed(libc::SIGKILL));
    wait_until(|| audited(&folder, "ended") == 1);
    let ended = lines_of(&audit_file(&folder), 3, "ended");
    assert_eq!(ended[0][4..6], [agent.pid().to_string(), "replaced".to_owned()]);

    // The replacement is a new agent, with a recovery of its own.
    let mut replacement = Agent::at(daemon.socket());
    replacement.stop();
    replacement.wait_for_end();
    wait_until(|| audited(&folder, "ended") == 2);
    daemon.end();
    assert_eq!((count(&runs), audited(&folder, "spawn")), (2, 2));
}

#[test]
fn the_signal_command_succeeds_for_a_process_that_has_crashed() {
    let folder = Folder::new();
    let mut daemon = daemon(&folder, &format!("{WATCH} signal KILL"), &[]);
    daemon.wait_for_log("watching");
    let mut agent = Agent::at(daemon.socket());
    assert_eq!(agent.kill(), Ended::Killed(libc::SIGKILL));
    wait_until(|| audited(&folder, "ended") == 1);
    daemon.end();
    assert_eq!((audited(&folder, "spawn"), audited(&folder, "complete")), (1, 1));
    assert_eq!(lines_of(&audit_file(&folder), 3, "complete")[0][7], "0");
}

#[test]
fn the_command_gets_only_the_documented_environment_and_arguments() {
    let folder = Folder::new();
    let out = folder.join("out");
    let path = out.display();
    let text = format!(
        "#!/bin/sh\nenv | sort > {path}.new\necho \"$#: $*\" >> {path}.new\n\
         ps -o pgid= -p $$ >> {path}.new\necho $$ >> {path}.new\nmv {path}.new {path}\n"
    );
    let command = script(&folder, "print", &text);
    let command = format!("{} {{pid}} $HOME;{{pid}} *", command.display());
    let environment = ["--recovery-env", "COLOUR=blue green", "--recovery-env", "EMPTY="];
    let daemon = daemon(&folder, &command, &environment);
    let agent = Agent::at(daemon.socket());
    wait_until(|| agent.is_alive());
    agent.stop();
    wait_until(|| out.exists());
    let printed = text_of(&out);
    let lines: Vec<_> = printed.lines().collect();
    let value = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {printed}")).to_owned()
    };
    let pid = agent.pid().to_string();
    assert_eq!(value("VARTA_PID"), pid);
    assert_eq!(value("VARTA_STATUS"), "ok");
    assert_eq!(value("VARTA_CAUSE"), "stall");
    assert_ne!(value("VARTA_PAYLOAD"), "0");
    assert!(value("VARTA_SILENT_MS").parse::<u64>().unwrap() >= 700);
    assert_eq!((value("COLOUR"), value("EMPTY")), ("blue green".to_owned(), String::new()));
    assert_eq!(value("PATH"), "/usr/bin:/bin");
    assert!(value("VARTA_PIDFD").parse::<u32>().unwrap() > 2);
    // No shell has expanded the arguments.
    assert!(lines.contains(&format!("3: {pid} $HOME;{pid} *").as_str()), "{printed}");
    let [group, own] = lines[lines.len() - 2..] else { panic!("{printed}") };
    assert_eq!(group.trim(), own, "the command must lead its own process group");
    // The shell itself sets PWD, OLDPWD, SHLVL and _.
    let names = lines.iter().filter_map(|line| Some(line.split_once('=')?.0));
    let unexpected: Vec<_> = names
        .filter(|name| !name.starts_with("VARTA_"))
        .filter(|name| {
            !["COLOUR", "EMPTY", "PATH", "PWD", "OLDPWD", "_", "SHLVL"].contains(name)
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn a_failing_command_is_retried_and_giving_up_is_logged() {
    let folder = Folder::new();
    let (command, runs) = counting_script(&folder, "fail", "exit 3");
    let tries = ["--recovery-tries", "3", "--recovery-backoff-ms", "20"];
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &tries);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    daemon.wait_for_log("gave up after 3 tries");
    daemon.end();
    assert_eq!((count(&runs), audited(&folder, "gave_up")), (3, 1));
    let completed = lines_of(&audit_file(&folder), 3, "complete");
    assert!(completed.iter().all(|line| line[6..9] == ["reaped", "3", "-"]), "{completed:?}");
}

#[test]
fn a_crash_starts_the_command_and_a_clean_exit_does_not() {
    let folder = Folder::new();
    let out = folder.join("out");
    let text = format!("#!/bin/sh\necho \"$VARTA_PID $VARTA_CAUSE\" >> {}\n", out.display());
    let command = script(&folder, "note", &text);
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &[]);
    let mut expected = Vec::new();
    for (code, cause) in [(Some(0), None), (Some(7), Some("exit:7")), (None, Some("signal:9"))]
    {
        let mut agent = Agent::at(daemon.socket());
        match code {
            Some(code) => agent.exit(code),
            None => agent.kill(),
        };
        expected.extend(cause.map(|cause| format!("{} {cause}", agent.pid())));
        wait_until(|| text_of(&out).lines().count() == expected.len());
    }
    wait_until(|| audited(&folder, "ended") == 2);
    daemon.end();
    let noted: Vec<_> = text_of(&out).lines().map(str::to_owned).collect();
    assert_eq!(noted, expected);
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let folder = Folder::new();
    let pids = folder.join("pids");
    let text = format!(
        "#!/bin/sh\nsleep 1000 &\nsleep 1000 &\necho $! $$ > {}\nwait\n",
        pids.display()
    );
    let command = script(&folder, "hang", &text);
    let flags = ["--recovery-timeout-ms", "300", "--recovery-tries", "1"];
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &flags);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    wait_until(|| audited(&folder, "complete") == 1);
    let completed = lines_of(&audit_file(&folder), 3, "complete");
    assert_eq!(completed[0][6..9], ["killed", "-", "9"]);
    let pids: Vec<u32> =
        text_of(&pids).split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    wait_until(|| pids.iter().all(|pid| !is_alive(*pid)));
    daemon.end();
}

#[test]
fn no_command_outlives_the_daemon() {
    let folder = Folder::new();
    let pids = folder.join("pids");
    let text = format!("#!/bin/sh\nsleep 1000 &\necho $! > {}\nwait\n", pids.display());
    let command = script(&folder, "hang", &text);
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &[]);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    wait_until(|| count(&pids) == 1);
    daemon.end();
    let sleeper = text_of(&pids).trim().parse().unwrap();
    wait_until(|| !is_alive(sleeper));
    assert_eq!(audited(&folder, "complete"), 1);
}

#[test]
fn three_hundred_stalls_at_once_start_no_more_commands_than_the_budget() {
    let folder = Folder::new();
    let (command, runs) = counting_script(&folder, "nothing", "");
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &["--recovery-budget", "7"]);
    let agents = Agent::crowd(daemon.socket(), 300);
    for agent in &agents {
        agent.stop();
    }
    wait_until(|| audited(&folder, "over_budget") == 293);
    wait_until(|| audited(&folder, "complete") == 7);
    assert_eq!((count(&runs), audited(&folder, "spawn")), (7, 7));
    assert_eq!(daemon.count_logged("recovery budget spent"), 1);
    daemon.end();
    assert_eq!(count(&runs), 7);
}

#[test]
fn a_script_that_kills_by_pidfd_cannot_hit_a_process_that_reuses_the_pid() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let (go, out) = (folder.join("go"), folder.join("out"));
    let text = format!(
        "#!/bin/sh\nuntil [ -e {} ]; do sleep 0.02; done\n{WATCH} signal KILL\necho $? > {}\n",
        go.display(),
        out.display()
    );
    let command = script(&folder, "kill", &text);
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &["--recovery-tries", "1"]);
    let mut first = Agent::at(daemon.socket());
    let pid = first.pid();
    first.stop();
    wait_until(|| audited(&folder, "spawn") == 1);
    first.kill();
    let second = Agent::forked_by(daemon.socket(), || fork_as(pid));
    assert_eq!(second.pid(), pid);
    daemon.wait_for_log("killed by signal 9");
    fs::write(&go, "").unwrap();
    wait_until(|| count(&out) == 1);
    assert_eq!(text_of(&out), "1\n", "the signal must not have been sent");
    assert!(second.is_alive());
    daemon.end();
    // No command was run for the process that has the pid now.
    assert_eq!(audited(&folder, "spawn"), 1);
}

#[test]
fn a_dry_run_logs_the_command_and_does_not_start_it() {
    let folder = Folder::new();
    let (command, runs) = counting_script(&folder, "nothing", "");
    let command = format!("{} {{pid}}", command.display());
    let mut daemon = daemon(&folder, &command, &["--dry-run"]);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    daemon.wait_for_log(&format!(
        "would start: {}",
        command.replace("{pid}", &agent.pid().to_string())
    ));
    daemon.end();
    assert_eq!((count(&runs), audited(&folder, "would_spawn")), (0, 1));
}

#[test]
fn the_output_of_a_command_is_counted_up_to_a_limit() {
    let folder = Folder::new();
    let text = "#!/bin/sh\nhead -c 1000000 /dev/zero\nprintf abc >&2\n";
    let command = script(&folder, "print", text);
    let flags = ["--recovery-capture-stdio", "--recovery-capture-bytes", "1000"];
    let daemon = daemon(&folder, command.to_str().unwrap(), &flags);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    wait_until(|| audited(&folder, "complete") == 1);
    let completed = lines_of(&audit_file(&folder), 3, "complete");
    assert_eq!(completed[0][7], "0");
    assert_eq!(completed[0][10..13], ["1000", "3", "true"]);
}

#[test]
fn a_command_that_cannot_be_started_counts_as_failed() {
    let folder = Folder::new();
    let flags = ["--recovery-tries", "2", "--recovery-backoff-ms", "10"];
    let mut daemon = daemon(&folder, "no-such-program-anywhere", &flags);
    let agent = Agent::at(daemon.socket());
    agent.stop();
    daemon.wait_for_log("gave up after 2 tries");
    daemon.end();
    assert_eq!((audited(&folder, "spawn_failed"), audited(&folder, "spawn")), (2, 0));
    assert!(daemon.log().contains("not found in /usr/bin:/bin"), "{}", daemon.log());
}

#[test]
fn crashes_of_another_user_do_not_block_the_recovery_of_a_service() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    // The command writes the pid that it is for, so that its runs can be counted.
    let text = format!("#!/bin/sh\necho $VARTA_PID >> {}\n", folder.join("runs").display());
    let command = script(&folder, "note", &text);
    let flags = ["--uids", "any", "--socket-mode", "0666", "--recovery-budget", "5"];
    let room = ["--tracker-capacity", "64", "--recovery-budget-window-ms", "3600000"];
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &[&flags[..], &room].concat());
    let service = Agent::at(daemon.socket());
    crash_as(65_534, daemon.socket(), 300);
    // All crashes are handled, and they have spent the budget.
    wait_until(|| audited(&folder, "refused") >= 200 && audited(&folder, "spawn") >= 5);
    service.stop();
    let pid = service.pid().to_string();
    wait_until(|| text_of(&folder.join("runs")).lines().any(|run| run == pid));
    daemon.end();
    assert_eq!(audited(&folder, "spawn"), 6);
}

#[test]
fn a_refused_stall_that_still_lasts_is_recovered_once_there_is_room() {
    let folder = Folder::new();
    let (go, out) = (folder.join("go"), folder.join("out"));
    let text = format!(
        "#!/bin/sh\nuntil [ -e {} ]; do sleep 0.02; done\n\
         echo \"$VARTA_PID $VARTA_CAUSE ${{VARTA_PIDFD:+pidfd}}\" >> {}\n",
        go.display(),
        out.display()
    );
    let command = script(&folder, "note", &text);
    let flags = ["--tracker-capacity", "2", "--recovery-budget", "1"];
    let window = ["--recovery-budget-window-ms", "10"];
    let command = command.to_str().unwrap();
    let mut daemon = daemon(&folder, command, &[&flags[..], &window].concat());
    let service = Agent::at(daemon.socket());
    // These have the same user and program, so that none has less than its share.
    for run in 1..=2 {
        let mut agent = Agent::at(daemon.socket());
        agent.stop();
        daemon.wait_for_lines("\"stall, last heard", run);
        agent.kill();
        daemon.wait_for_lines("killed by signal 9", run);
    }
    service.stop();
    daemon.wait_for_log("recovery: refused: outstanding_capacity");
    fs::write(&go, "").unwrap();
    let expected = format!("{} stall pidfd", service.pid());
    wait_until(|| text_of(&out).lines().any(|line| line == expected));
    daemon.end();
}

#[test]
fn refused_stalls_leave_no_descriptor_open_and_a_later_stall_still_gets_one() {
    let folder = Folder::new();
    let out = folder.join("out");
    let text = format!("#!/bin/sh\necho \"${{VARTA_PIDFD:-none}}\" > {}\n", out.display());
    let command = script(&folder, "note", &text);
    let socket = folder.join("varta.sock");
    let audit = audit_file(&folder);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n 64; exec {WATCH} \"$@\""), "sh", "--socket"]);
    limited.args([&socket]).args(["--log-format", "json"]).args(THRESHOLD);
    limited.args([
        "--causes",
        "off",
        "--recovery-exec",
        command.to_str().unwrap(),
        "--recovery-audit-file",
    ]);
    let daemon = Daemon::start_as(&folder, limited.arg(&audit).stdin(Stdio::null()));
    let open =
        |daemon: &Daemon| fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let service = Agent::at(daemon.socket());
    let before = open(&daemon);
    // One more than an eighth of the descriptors. Sometimes the single beat of a job is enough
    // to confirm its process, and its stall is not refused.
    let of_stalls = |text: &str| {
        let log = daemon.log();
        let lines = log.lines().filter(|line| line.contains("\"cause\":\"stall\""));
        lines.filter(|line| line.contains(text)).count()
    };
    while of_stalls("refused: unconfirmed_agent") < 9 {
        let decided = || of_stalls("refused: ") + of_stalls("command started as");
        let already = decided();
        let job = beat_once(&socket);
        wait_until(|| decided() > already);
        let ended = daemon.count_logged("killed by signal 9");
        drop(job);
        daemon.wait_for_lines("killed by signal 9", ended + 1);
    }
    wait_until(|| open(&daemon) <= before);
    wait_until(|| audited(&folder, "spawn") == audited(&folder, "complete"));
    let _ = fs::remove_file(&out);
    service.stop();
    wait_until(|| count(&out) == 1);
    assert!(text_of(&out).trim().parse::<u32>().is_ok(), "{}", text_of(&out));
}

#[test]
fn no_command_runs_for_a_reused_pid() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let (command, runs) = counting_script(&folder, "fail", "exit 1");
    let tries = ["--recovery-backoff-ms", "2000"];
    let mut daemon = daemon(&folder, command.to_str().unwrap(), &tries);
    let mut first = Agent::at(daemon.socket());
    let pid = first.pid();
    first.kill();
    let second = Agent::forked_by(daemon.socket(), || fork_as(pid));
    wait_until(|| audited(&folder, "refused") == 1);
    let refused = lines_of(&audit_file(&folder), 3, "refused");
    assert_eq!(refused[0][4..6], [pid.to_string(), "reused_pid".to_owned()]);
    assert!(second.is_alive());
    daemon.end();
    assert_eq!(count(&runs), audited(&folder, "spawn"));
}

/// Between fork and exec, a command holds copies of the daemon's sockets.
#[test]
fn a_daemon_that_is_killed_while_commands_start_can_be_started_again_at_once() {
    let folder = Folder::new();
    let flags = [
        ["--recovery-backoff-ms", "1"],
        ["--recovery-backoff-max-ms", "1"],
        ["--recovery-tries", "1000000"],
        ["--recovery-budget", "1000000"],
    ];
    // Every command fails, so that one is being started at nearly any time.
    let start = || daemon(&folder, "/bin/false", flags.as_flattened());
    let mut running = start();
    for _ in 0..30 {
        let mut agents = Agent::crowd(running.socket(), 4);
        for agent in &mut agents {
            agent.kill();
        }
        let before = audited(&folder, "spawn");
        wait_until(|| audited(&folder, "spawn") > before + 20);
        // Kills the daemon, and waits only until it has ended.
        drop(running);
        running = start();
    }
}

#[test]
fn no_command_runs_for_a_process_that_is_held_from_outside_and_one_runs_if_it_hangs() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let out = folder.join("out");
    let text = format!(
        "#!/bin/sh\necho \"$VARTA_STALL $VARTA_STALL_CLASS $VARTA_PID\" >> {}\nkill -9 $VARTA_PID\n",
        out.display()
    );
    let command = script(&folder, "note", &text);
    let daemon = daemon(&folder, command.to_str().unwrap(), &["--causes", "on"]);
    let agent = Agent::at(daemon.socket());
    wait_until(|| agent.is_alive());
    agent.stop();
    let refused = || lines_of(&audit_file(&folder), 3, "refused");
    wait_until(|| !refused().is_empty());
    assert_eq!(refused()[0][4..6], [agent.pid().to_string(), "held_from_outside".to_owned()]);
    daemon.wait_for_log("cause stopped (certain)");

    // It is well again, and is not blamed for the time in which it was stopped.
    agent.resume();
    daemon.wait_for_log("recovered after");
    assert!(agent.is_alive());

    // This one waits for something that never comes.
    let path = daemon.socket().to_owned();
    let mut hung = Child::start(move || {
        let mut agent = varta::Varta::connect(&path).unwrap();
        for _ in 0..10 {
            let _ = agent.beat(varta::Status::Ok, 0);
            std::thread::sleep(support::ms(20));
        }
        loop {
            std::thread::park();
        }
    });
    assert_eq!(hung.wait(), Ended::Killed(libc::SIGKILL));
    wait_until(|| text_of(&out).contains(&format!(" own {}\n", hung.pid())));
    assert_eq!(count(&out), 1, "nothing else was killed: {}", text_of(&out));
    assert!(agent.is_alive());
}

/// Opens an endpoint and beats until the process is killed. Creates a file once the daemon knows
/// the process, and has given it a page if it is to.
fn beat_for_ever(endpoint: &str, lane: bool, known: &Path) {
    let mut agent = varta::Varta::open(endpoint).unwrap();
    for beats in 0.. {
        let _ = agent.beat(varta::Status::Ok, 0);
        if beats > 4 && agent.watched().is_some() == lane {
            fs::write(known, "").unwrap();
        }
        std::thread::sleep(support::ms(20));
    }
}

/// It is pid 1 there, and the command is given the pid that it has here.
#[test]
fn the_main_process_of_a_container_is_recovered_by_its_pid_outside() {
    if !needs_root() {
        return;
    }
    for (lane, flag) in [(true, "on"), (false, "off")] {
        let folder = Folder::new();
        let (out, known) = (folder.join("out"), folder.join("known"));
        let text = format!(
            "#!/bin/sh\necho $1 $VARTA_PID $VARTA_CAUSE >> {}\n{WATCH} signal KILL\n",
            out.display()
        );
        let command = format!("{} {{pid}}", script(&folder, "note", &text).display());
        let more = ["--allow-cross-namespace-agents", "--lane", flag];
        let mut daemon = daemon(&folder, &command, &more);
        daemon.wait_for_log("watching");
        let endpoint = daemon.socket().to_str().unwrap();
        let beat = || beat_for_ever(endpoint, lane, &known);
        let mut first = in_new_pid_namespace(|| Child::start(beat));
        let pid = first.pid();
        wait_until(|| known.exists());
        signal(pid, libc::SIGSTOP);
        assert_eq!(first.wait(), Ended::Killed(libc::SIGKILL));
        wait_until(|| text_of(&out).ends_with('\n'));
        assert_eq!(text_of(&out), format!("{pid} {pid} stall\n"));
        daemon.wait_for_log("exit, killed by signal 9");
        daemon.end();
    }
}

/// The daemon is in the same container, whose main process it cannot kill: the kernel protects
/// it from signals of its own namespace. Its command can still restart the whole container.
#[test]
fn the_main_process_of_the_daemons_own_container_is_recovered_as_pid_1() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let out = folder.join("out");
    in_own_namespaces(|| {
        let command =
            script(&folder, "note", &format!("#!/bin/sh\necho $1 >> {}", out.display()));
        let mut daemon = daemon(&folder, &format!("{} {{pid}}", command.display()), &[]);
        daemon.wait_for_log("watching");
        let endpoint = daemon.socket().to_str().unwrap();
        let mut agent = varta::Varta::open(endpoint).unwrap();
        wait_until(|| agent.beat(varta::Status::Ok, 0) == varta::BeatOutcome::Sent);
        wait_until(|| text_of(&out) == "1\n");
        assert_eq!(agent.beat(varta::Status::Ok, 0), varta::BeatOutcome::Sent);
        daemon.wait_for_log("recovered after");
        daemon.end();
    });
}
