//! The daemon as its operators see it: arguments, signals, shutdown, the service manager.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "ptrace")]

mod support;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use support::{
    Agent, Child, Daemon, Folder, PATIENCE, WATCH, in_new_pid_namespace, lines_of, needs_root,
    script, text_of, uninterrupted, wait_until,
};
use varta::{BeatOutcome, Status, Varta};

/// Longer than any test, so that no agent stalls.
const LONG: [&str; 2] = ["--threshold-ms", "60000"];

fn watch(flags: &[&str]) -> Output {
    Command::new(WATCH).args(flags).output().unwrap()
}

fn error_of(flags: &[&str], code: i32) -> String {
    let output = watch(flags);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn invalid_settings_exit_with_2_and_name_the_flag_or_the_line() {
    let folder = Folder::new();
    let file = folder.join("varta.toml");
    let file = file.to_str().unwrap();
    let socket = ["--socket", "/tmp/never.sock"];
    for (flags, expected) in [
        (&["--threshold-ms", "2000"][..], "--socket: is required"),
        (&["--socket", "/x"], "--threshold-ms: is required"),
        (&["--socket", "/x", "--threshold-ms", "9"], "--threshold-ms"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--recovery-cmd", "x"], "use --recovery-exec"),
        (&["--socket", "/x", "--threshold-ms", "9x"], "--threshold-ms"),
        (&["--config", "/nonexistent/varta.toml"], "/nonexistent/varta.toml"),
    ] {
        let text = error_of(flags, 2);
        assert!(text.contains(expected), "{text}");
    }
    for (text, expected) in [
        ("threshold-ms = 5\n", "line 1: threshold-ms: "),
        ("# no\n\nthresold-ms = 500\n", "line 3: thresold-ms: unknown key"),
        ("threshold-ms = 500\nudp-port = 9\n", "line 2: udp-port: needs --key-file"),
        (
            "threshold-ms = 500\nkey-file = \"/nonexistent\"\nudp-port = 9\n",
            "line 2: key-file: ",
        ),
        ("threshold-ms = true\n", "line 1: threshold-ms: give text"),
        ("dry-run = 1\n", "line 1: dry-run: give true or false"),
        ("threshold-ms = 500\nsocket-mode = \"999\"\n", "line 2: socket-mode: "),
        ("threshold-ms = \n", "line 1: "),
        ("config = \"other\"\n", "line 1: config: unknown key"),
        ("threshold-ms = [500, 600]\n", "line 1: threshold-ms: "),
        ("lane = true\n", "line 1: lane: give text"),
        ("lane = \"yes\"\n", "line 1: lane: "),
        ("task-slack = [\"a=1\", \"b\"]\n", "line 1: task-slack: "),
        ("recovery-on = [\"hung\", \"stuck\"]\n", "give a list of: hung, crash, late-task"),
    ] {
        fs::write(file, text).unwrap();
        let flags = [&socket[..], &["--check-config", "--config", file]].concat();
        let error = error_of(&flags, 2);
        assert!(error.contains(file) && error.contains(expected), "{error}");
    }
    let text = "threshold-ms = 500\nrecovery-env = [\"A=1\", \"B=2\"]\ndry-run = false\n\
                recovery-on = [\"hung\", \"crash\", \"late-task\"]\nuids = [33, 1000]\n\
                lane = \"on\"\ntasks = \"off\"\ntask-slack = [\"a=b=5\"]\n";
    fs::write(file, text).unwrap();
    let output = watch(&[&socket[..], &["--check-config", "--config", file]].concat());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_command_line_takes_precedence_over_the_file() {
    let folder = Folder::new();
    let file = folder.join("varta.toml");
    fs::write(&file, "socket = \"/x\"\nthreshold-ms = 500\nprom-addr = \"0.0.0.0:0\"\n")
        .unwrap();
    let flags = ["--check-config", "--config", file.to_str().unwrap()];
    assert!(error_of(&flags, 2).contains("--prom-token-file: is required"));
    let own = ["--prom-addr", "127.0.0.1:0"];
    assert_eq!(watch(&[&flags[..], &own].concat()).status.code(), Some(0));
}

#[test]
fn a_file_that_names_a_command_must_not_be_writable_for_others() {
    let folder = Folder::new();
    let file = folder.join("varta.toml");
    let check = ["--socket", "/tmp/never.sock", "--check-config", "--config"];
    let flags = [&check[..], &[file.to_str().unwrap()]].concat();
    let allow = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    fs::write(&file, "threshold-ms = 500\nrecovery-exec = \"/bin/true\"\n").unwrap();
    for mode in [0o666, 0o620, 0o602] {
        allow(mode);
        let expected =
            format!("it sets recovery-exec and its mode {mode:04o} lets other users write");
        let text = error_of(&flags, 2);
        assert!(text.contains(&expected), "{text}");
    }
    allow(0o644);
    assert_eq!(watch(&flags).status.code(), Some(0));
    if needs_root() {
        std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        let text = error_of(&flags, 2);
        assert!(text.contains("it sets recovery-exec and belongs to uid 65534"), "{text}");
    }
    // A file that names no command may be writable for others.
    fs::write(&file, "threshold-ms = 500\n").unwrap();
    allow(0o666);
    assert_eq!(watch(&flags).status.code(), Some(0));
}

#[test]
fn errors_at_run_time_exit_with_1() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &LONG);
    let socket = daemon.socket().to_str().unwrap();
    let flags = [&["--socket", socket, "--log-level", "error"][..], &LONG].concat();
    let text = error_of(&flags, 1);
    assert!(text.contains(socket) && text.contains("already listening"), "{text}");
    let text = error_of(&["--socket", "/nonexistent/x.sock", "--threshold-ms", "500"], 1);
    assert!(text.contains("/nonexistent/x.sock"), "{text}");
}

/// Agents that beat as fast as they can.
#[expect(dead_code, reason = "dropping it ends the processes")]
struct Load(Vec<Child>);

impl Load {
    fn on(daemon: &Daemon) -> Self {
        let path = daemon.socket().to_owned();
        let flood = || {
            // By datagram, because beats through shared memory are no load.
            let mut agent = Varta::connect(&path).unwrap();
            loop {
                let _ = agent.beat(Status::Ok, 1);
            }
        };
        Self((0..3).map(|_| Child::start(flood)).collect())
    }
}

#[test]
fn shutdown_under_load_is_clean() {
    let folder = Folder::new();
    let export = folder.join("export");
    let flags = ["--export-file", export.to_str().unwrap(), "--max-beat-rate", "0"];
    let mut daemon = Daemon::start(&folder, &[&LONG[..], &flags].concat());
    let _load = Load::on(&daemon);
    wait_until(|| text_of(&export).lines().count() > 10_000);
    daemon.end();
    assert!(!daemon.socket().exists());
    assert!(text_of(&export).ends_with('\n'));
}

#[test]
fn a_start_after_a_kill_under_load_is_clean() {
    let folder = Folder::new();
    let (export, audit) = (folder.join("export"), folder.join("audit"));
    let command = script(&folder, "fail", "#!/bin/sh\nexit 1\n");
    let flags = [
        ["--threshold-ms", "500"],
        ["--export-file", export.to_str().unwrap()],
        ["--recovery-audit-file", audit.to_str().unwrap()],
        ["--recovery-exec", command.to_str().unwrap()],
        ["--recovery-backoff-ms", "1"],
        ["--recovery-backoff-max-ms", "1"],
        ["--recovery-tries", "1000000"],
        ["--recovery-budget", "1000000"],
        ["--max-beat-rate", "0"],
    ];
    let flags = flags.concat();
    for round in 1..=3 {
        let mut daemon = Daemon::start(&folder, &flags);
        let _load = Load::on(&daemon);
        // An exit, because a stall under such a load may be marked, and starts no command then.
        let mut crashed = Agent::at(daemon.socket());
        crashed.kill();
        let enough = lines_of(&audit, 3, "spawn").len() + 20;
        wait_until(|| lines_of(&audit, 3, "spawn").len() > enough);
        daemon.signal(libc::SIGKILL);
        daemon.wait();
        assert!(
            daemon.socket().exists(),
            "round {round}: a killed daemon cannot remove its socket"
        );
        let text = text_of(&export);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        assert!(whole.lines().all(|line| line.split('\t').count() == 6));
        let verified = watch(&["audit", "verify", audit.to_str().unwrap()]);
        assert!(verified.status.success(), "{verified:?}");
    }
    let mut daemon = Daemon::start(&folder, &flags);
    daemon.end();
    assert!(text_of(&export).lines().all(|line| line.split('\t').count() == 6));
    let verified = watch(&["audit", "verify", audit.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");
    let boots = lines_of(&audit, 3, "boot");
    assert_eq!(boots.len(), 4, "{boots:?}");
}

/// A power failure in the middle of a write leaves such files.
#[test]
fn lines_that_were_cut_off_are_removed_and_logged() {
    let folder = Folder::new();
    let (export, audit) = (folder.join("export"), folder.join("audit"));
    let flags = [
        &LONG[..],
        &["--export-file", export.to_str().unwrap()],
        &["--recovery-audit-file", audit.to_str().unwrap()],
    ];
    Daemon::start(&folder, &flags.concat()).end();
    fs::write(&export, "1\tbeat\t2\t3\tok\t4\n12\tbea").unwrap();
    let whole = text_of(&audit);
    fs::write(&audit, format!("{whole}2\t17000")).unwrap();
    let verified = watch(&["audit", "verify", audit.to_str().unwrap()]);
    assert!(verified.status.success());
    let mut daemon = Daemon::start(&folder, &flags.concat());
    assert_eq!(daemon.count_logged("unfinished line"), 2);
    daemon.end();
    assert_eq!(text_of(&export), "1\tbeat\t2\t3\tok\t4\n");
    let boots = lines_of(&audit, 3, "boot");
    assert_eq!((boots[1][0].as_str(), boots[1][6].as_str()), ("2", "corrupt_tail"));
    let verified = watch(&["audit", "verify", audit.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");

    fs::write(&audit, text_of(&audit).replacen("fresh", "other", 1)).unwrap();
    let verified = watch(&["audit", "verify", audit.to_str().unwrap()]);
    let why = String::from_utf8(verified.stderr).unwrap();
    assert_eq!(verified.status.code(), Some(1));
    assert!(why.contains("line 2: its hash is wrong"), "{why}");
}

#[test]
fn the_service_manager_is_notified_of_each_state() {
    let folder = Folder::new();
    let notify = UnixDatagram::bind(folder.join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let receive = || {
        let mut buffer = [0; 512];
        let length = uninterrupted(|| notify.recv(&mut buffer)).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let receive_until = |wanted: &str| loop {
        let message = receive();
        if message.starts_with(wanted) {
            return message;
        }
        assert_eq!(message, "WATCHDOG=1\n", "before {wanted}");
    };
    let socket = folder.join("varta.sock");
    let mut command = Command::new(WATCH);
    command
        .args(["--socket", socket.to_str().unwrap(), "--log-format", "json"])
        .args(LONG)
        .env("NOTIFY_SOCKET", folder.join("notify"))
        .env("WATCHDOG_USEC", "200000");
    let mut daemon = Daemon::start_as(&folder, &mut command);
    // READY=1 has a datagram of its own, because some receivers compare whole datagrams.
    assert_eq!(receive_until("READY=1"), "READY=1\n");
    receive_until("STATUS=watching");
    receive_until("WATCHDOG=1");
    receive_until("WATCHDOG=1");
    daemon.signal(libc::SIGHUP);
    let reloading = receive_until("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(receive_until("READY=1"), "READY=1\n");
    receive_until("STATUS=watching");
    daemon.signal(libc::SIGTERM);
    receive_until("STATUS=ending");
    assert_eq!(receive(), "STOPPING=1\n");
    assert_eq!(daemon.wait().code(), Some(0));
    notify.set_nonblocking(true).unwrap();
    notify.recv(&mut [0; 512]).expect_err("STOPPING must be the last");
}

#[test]
fn udp_that_others_can_reach_or_forge_is_warned_about() {
    let folder = Folder::new();
    let key = folder.join("key");
    fs::write(&key, "ab".repeat(32)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let key = key.to_str().unwrap();
    let forgeable = ["--i-accept-plaintext-udp", "--udp-bind-addr", "127.0.0.1"];
    let reachable = [
        &["--key-file", key, "--udp-bind-addr", "0.0.0.0"][..],
        &["--i-accept-secure-udp-non-loopback"],
    ];
    let cases = [
        (forgeable.to_vec(), Some("WITHOUT authentication")),
        (reachable.concat(), Some("non-loopback address: other machines can reach it")),
        (vec!["--key-file", key], None),
    ];
    for (flags, warning) in cases {
        let folder = Folder::new();
        let mut daemon =
            Daemon::start(&folder, &[&LONG[..], &["--udp-port", "0"], &flags].concat());
        let log = daemon.log();
        let mut warnings =
            log.lines().filter(|line| line.contains("\"warn\"") && line.contains("UDP"));
        match (warnings.next(), warning) {
            (None, None) => {}
            (Some(line), Some(text)) => assert!(line.contains(text), "{line}"),
            _ => panic!("{flags:?}: {log}"),
        }
        daemon.end();
    }
}

/// Starts a daemon and passes it its socket, as a service manager does.
fn start_with_socket(socket: UnixDatagram, folder: &Folder, flags: &[&str]) -> Daemon {
    let mut command = Command::new("/bin/sh");
    // LISTEN_PID must be the daemon's own pid, and the socket must be descriptor 3.
    let line = format!(
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec {WATCH} --log-format json \"$@\""
    );
    command.args(["-c", &line, "sh"]).args(LONG).args(flags).stdin(OwnedFd::from(socket));
    Daemon::start_as(folder, &mut command)
}

#[test]
fn a_passed_socket_is_used_and_is_not_removed() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut daemon = start_with_socket(UnixDatagram::bind(&path).unwrap(), &folder, &[]);
    let mut agent = Agent::at(&path);
    agent.exit(0);
    daemon.wait_for_log("exit code 0");
    daemon.end();
    assert!(path.exists());
}

#[test]
fn a_socket_that_listen_fds_announces_must_be_open() {
    for (open, why) in [
        ("", "LISTEN_FDS promises 1 sockets: descriptor 3 is not open"),
        ("exec 3</dev/null;", "LISTEN_FDS promises 1 sockets: descriptor 3: "),
    ] {
        let line =
            format!("{open} LISTEN_PID=$$ LISTEN_FDS=1 exec {WATCH} --threshold-ms 9000");
        let ended = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn datagrams_queued_without_credentials_do_not_count_as_another_namespace() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    // SO_PASSCRED is not set yet, so this datagram has no credentials.
    assert_eq!(Varta::connect(&path).unwrap().beat(Status::Ok, 0), BeatOutcome::Sent);
    let flags = ["--uids", "any", "--strict-namespace-check"];
    let mut daemon = start_with_socket(socket, &folder, &flags);
    let mut agent = Agent::at(&path);
    agent.exit(0);
    daemon.wait_for_log("exit code 0");
    daemon.end();
}

#[test]
fn the_strict_namespace_check_counts_only_admitted_users() {
    if !needs_root() {
        return;
    }
    for (uids, ends) in [("1", false), ("same", true)] {
        let folder = Folder::new();
        let flags = [&LONG[..], &["--uids", uids, "--strict-namespace-check"]].concat();
        let mut daemon = Daemon::start(&folder, &flags);
        let path = daemon.socket().to_owned();
        // The check runs when there are events; this agent's beats cause some.
        let _agent = ends.then(|| Agent::at(&path));
        let beat = || {
            assert_eq!(Varta::connect(&path).unwrap().beat(Status::Ok, 0), BeatOutcome::Sent);
            wait_until(|| false);
        };
        let _inside = in_new_pid_namespace(|| Child::start(beat));
        if ends {
            assert_eq!(daemon.wait().code(), Some(1));
            daemon.wait_for_log("--strict-namespace-check");
        } else {
            wait_until(|| {
                daemon.signal(libc::SIGUSR1);
                daemon.count_logged("uid_refused: 1,") > 0
            });
            daemon.end();
        }
    }
}

#[test]
fn the_heartbeat_file_and_the_watchdog_device_are_updated() {
    let folder = Folder::new();
    let (heartbeat, device) = (folder.join("heartbeat"), folder.join("device"));
    fs::write(&device, "").unwrap();
    let flags = [
        &LONG[..],
        &["--heartbeat-file", heartbeat.to_str().unwrap()],
        &["--hw-watchdog", device.to_str().unwrap()],
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    let iterations = || {
        let text = text_of(&heartbeat);
        text.split(' ').next().and_then(|count| count.parse::<u64>().ok())
    };
    wait_until(|| iterations().is_some());
    let first = iterations();
    wait_until(|| iterations() > first);
    daemon.end();
    let fed = fs::read(&device).unwrap();
    assert!(fed.len() > 2 && fed.ends_with(b"\0V"), "{fed:?}");
}

/// Stops only the thread of the event loop, by tracing it.
fn stop_event_loop(daemon: &Daemon) {
    let pid: libc::pid_t = daemon.pid().try_into().unwrap();
    let nothing = std::ptr::null_mut::<libc::c_void>();
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
        // SAFETY: these requests take a pid and access no memory of this process.
        let done = unsafe { libc::ptrace(request, pid, nothing, nothing) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
    // SAFETY: the status pointer may be null.
    let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
    assert_eq!(waited, pid);
}

#[test]
fn a_capacity_that_does_not_fit_into_memory_is_an_error_that_names_it() {
    let folder = Folder::new();
    let socket = folder.join("varta.sock");
    for capacity in ["4294967296", "18446744073709551615"] {
        let text = "ulimit -v 4000000 && exec \"$@\"";
        let flags = ["--threshold-ms", "2000", "--tracker-capacity", capacity, "--socket"];
        let mut command = Command::new("sh");
        command.args(["-c", text, "sh", WATCH]).args(flags).arg(&socket);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let expected = format!("there is not enough memory for {capacity} agents");
        assert!(text.contains(&expected), "{text}");
        assert!(!socket.exists());
    }
}

#[test]
fn the_self_watchdog_aborts_a_stuck_event_loop() {
    let folder = Folder::new();
    let heartbeat = folder.join("heartbeat");
    let flags = [
        &LONG[..],
        &["--self-watchdog-secs", "1", "--heartbeat-file", heartbeat.to_str().unwrap()],
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    wait_until(|| heartbeat.exists());
    stop_event_loop(&daemon);
    assert_eq!(daemon.wait().signal(), Some(libc::SIGABRT));
    daemon.wait_for_log("the event loop has been stuck for 1000 ms");
}

#[test]
fn the_daemon_ends_after_shutdown_after_secs() {
    let folder = Folder::new();
    let flags = ["--shutdown-after-secs", "1"];
    let mut daemon = Daemon::start(&folder, &[&LONG[..], &flags].concat());
    assert_eq!(daemon.wait().code(), Some(0));
}
