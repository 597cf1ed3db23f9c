//! Programs that know nothing of varta, watched through the notify socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::http::{address_of, get, wait_for_sample};
use support::{
    Agent, Daemon, Folder, PATIENCE, WATCH, needs_root, script, signal, skipped, text_of,
    wait_until,
};

/// A daemon with a notify socket and HTTP.
struct Watch {
    folder: Folder,
    daemon: Daemon,
    address: String,
    socket: PathBuf,
}

impl Watch {
    #[track_caller]
    fn start(flags: &[&str]) -> Self {
        let folder = Folder::new();
        let socket = folder.join("notify.sock");
        let own =
            ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0", "--uids", "any"];
        let notify = ["--notify-socket", socket.to_str().unwrap(), "--threshold-ms", "60000"];
        let daemon = Daemon::start(&folder, &[&own[..], &notify, flags].concat());
        let address = address_of(&daemon);
        Self { folder, daemon, address, socket }
    }

    fn agents(&self) -> Value {
        serde_json::from_str(&get(&self.address, "/agents").body).unwrap()
    }

    /// The entry of the agent with this pid.
    fn agent(&self, pid: u32) -> Option<Value> {
        let report = self.agents();
        let agents = report["agents"].as_array().unwrap();
        agents.iter().find(|agent| agent["pid"] == pid).cloned()
    }

    #[track_caller]
    fn wait_for_state(&self, pid: u32, state: &str) -> Value {
        let mut found = Value::Null;
        let start = std::time::Instant::now();
        while found["service"]["state"] != state {
            let log = self.daemon.log();
            assert!(start.elapsed() < PATIENCE, "{pid} is not {state}: {found}\n{log}");
            std::thread::sleep(support::ms(20));
            found = self.agent(pid).unwrap_or_default();
        }
        found
    }

    fn client(&self) -> UnixDatagram {
        let client = UnixDatagram::unbound().unwrap();
        client.connect(&self.socket).unwrap();
        client
    }

    /// Starts a program by the launcher.
    fn launch(&self, flags: &[&str], words: &[&str]) -> Program {
        let mut command = Command::new(WATCH);
        command.args(["run", "--notify", "--notify-socket"]).arg(&self.socket).args(flags);
        command.arg("--").args(words);
        self.start_program(&mut command)
    }

    fn start_program(&self, command: &mut Command) -> Program {
        let place = self.folder.join("output");
        let output = File::options().create(true).append(true).open(place).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Program(command.spawn().unwrap())
    }
}

/// A program that is killed at the end of the test.
struct Program(Child);

impl Program {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, number: i32) {
        signal(self.pid(), number);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_missing(program: &str) -> bool {
    let missing = !Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap()
        .status
        .success();
    if missing {
        skipped(&format!("{program}: see tools/programs"));
    }
    missing
}

/// The lines of the log about an agent, of which there must be some.
fn messages(watch: &Watch, pid: u32) -> Vec<String> {
    let log = watch.daemon.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let about = lines.filter(|line| line["pid"] == pid && line["agent"].is_number());
    about.map(|line| line["msg"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tor_is_watched_from_ready_to_a_kill() {
    if is_missing("tor") {
        return;
    }
    let watch = Watch::start(&[]);
    let (empty, data) = (watch.folder.join("torrc"), watch.folder.join("data"));
    File::create(&empty).unwrap();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let (empty, data) = (empty.to_str().unwrap(), data.to_str().unwrap());
    let quiet = ["--DisableNetwork", "1", "--SocksPort", "0", "--DataDirectory", data];
    let mut tor = watch.launch(
        &["--watchdog", "2s", "--name", "onion"],
        &[&["tor", "-f", empty, "--defaults-torrc", empty][..], &quiet].concat(),
    );
    let pid = tor.pid();
    let row = watch.wait_for_state(pid, "ready");
    assert_eq!((&row["program"], &row["comm"]), (&"onion".into(), &"tor".into()));
    assert_eq!(
        (&row["service"]["name"], &row["service"]["watchdog_ms"]),
        (&"onion".into(), &2_000.into())
    );
    wait_until(|| watch.agent(pid).unwrap()["service"]["pings"].as_u64().unwrap() >= 3);
    tor.signal(libc::SIGSTOP);
    wait_until(|| watch.agent(pid).unwrap()["state"] == "stalled");
    tor.signal(libc::SIGCONT);
    wait_until(|| watch.agent(pid).unwrap()["state"] == "ok");
    // It reads its configuration again.
    let before = messages(&watch, pid).len();
    tor.signal(libc::SIGHUP);
    wait_until(|| messages(&watch, pid).len() >= before + 2);
    tor.signal(libc::SIGKILL);
    tor.0.wait().unwrap();
    watch.daemon.wait_for_log("killed by signal 9");
    let said = messages(&watch, pid);
    let expected = ["a launcher registered a service", "the service is ready", "stall, "];
    assert!(
        expected.iter().all(|words| said.iter().any(|line| line.starts_with(words))),
        "{said:?}"
    );
    assert!(said.contains(&"the service is reloading".to_owned()), "{said:?}");
}

#[test]
fn redis_reports_its_status_and_its_end() {
    if is_missing("redis-server") {
        return;
    }
    let watch = Watch::start(&[]);
    let folder = watch.folder.join("x");
    let folder = folder.parent().unwrap().to_str().unwrap();
    let socket = watch.folder.join("redis.sock");
    let redis = watch.launch(
        &[],
        &[
            &["redis-server", "--supervised", "systemd", "--save", "", "--dir", folder][..],
            &["--port", "0", "--unixsocket", socket.to_str().unwrap()],
        ]
        .concat(),
    );
    let row = watch.wait_for_state(redis.pid(), "ready");
    assert_eq!(row["service"]["status"], "Ready to accept connections");
    // It never sends WATCHDOG=1, so its silence is not judged.
    assert!(row["service"]["watchdog_ms"].is_null() && row["state"] == "ok", "{row}");
    redis.signal(libc::SIGTERM);
    watch.daemon.wait_for_log("as the service announced");
    wait_until(|| watch.agents()["gone"][0]["clean"] == true);
}

#[test]
fn postgres_is_ready_and_stops() {
    // Debian keeps them out of the PATH.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folder = versions.map(|it| it.unwrap().path().join("bin")).find(|it| it.is_dir());
    let Some(programs) = folder.filter(|_| needs_root()) else {
        return skipped("postgres: apt-get install postgresql");
    };
    let watch = Watch::start(&[]);
    let place = watch.folder.join("x");
    let place = place.parent().unwrap();
    fs::set_permissions(place, fs::Permissions::from_mode(0o777)).unwrap();
    let data = place.join("data");
    // It refuses to run as root.
    let made = Command::new(programs.join("initdb"))
        .args(["--no-sync", "--auth=trust", "--username=x", "-D"])
        .arg(&data)
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = Command::new(WATCH);
    command.args(["run", "--notify", "--notify-socket"]).arg(&watch.socket);
    command.arg("--").arg(programs.join("postgres"));
    command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"]);
    command.arg(place).arg("-D").arg(&data).current_dir("/").uid(65_534).gid(65_534);
    let mut postgres = watch.start_program(&mut command);
    let row = watch.wait_for_state(postgres.pid(), "ready");
    assert_eq!((&row["program"], &row["uid"]), (&"postgres".into(), &65_534.into()));
    postgres.signal(libc::SIGINT);
    postgres.0.wait().unwrap();
    watch.daemon.wait_for_log("as the service announced");
}

#[test]
fn haproxy_keeps_its_agent_while_it_executes_itself() {
    if is_missing("haproxy") {
        return;
    }
    let watch = Watch::start(&[]);
    let config = watch.folder.join("haproxy.cfg");
    fs::write(&config, "global\ndefaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\nfrontend f\n bind abns@varta-test\n").unwrap();
    let haproxy = watch.launch(&[], &["haproxy", "-Ws", "-f", config.to_str().unwrap()]);
    let pid = haproxy.pid();
    let agent = watch.wait_for_state(pid, "ready")["agent"].clone();
    haproxy.signal(libc::SIGUSR2);
    wait_until(|| {
        messages(&watch, pid).iter().filter(|line| line.ends_with("ready")).count() >= 2
    });
    assert_eq!(watch.wait_for_state(pid, "ready")["agent"], agent);
    assert_eq!(watch.agents()["gone"].as_array().unwrap().len(), 0);
}

#[test]
fn a_program_that_announced_its_exit_is_not_recovered_and_one_that_hangs_is() {
    let folder = Folder::new();
    let ran = folder.join("ran");
    let command =
        script(&folder, "revive", &format!("#!/bin/sh\necho $VARTA_PID >>{}\n", ran.display()));
    let watch = Watch::start(&["--recovery-exec", command.to_str().unwrap()]);
    let start = |words: &str| {
        let notify = "send() { systemd-notify --no-block \"$@\"; }";
        let words = format!("{notify}; {words}; exec sleep 600");
        watch.start_program(
            Command::new("sh").args(["-c", &words]).env("NOTIFY_SOCKET", &watch.socket),
        )
    };
    if is_missing("systemd-notify") || !needs_root() {
        return;
    }
    let stopping = start("send --ready WATCHDOG=1; send STOPPING=1");
    let hanging = start("send --ready WATCHDOG=1; send --status='no disk' WATCHDOG=trigger");
    watch.wait_for_state(stopping.pid(), "stopping");
    stopping.signal(libc::SIGTERM);
    watch.daemon.wait_for_log("as the service announced");
    watch.daemon.wait_for_log("self-reported");
    wait_until(|| text_of(&ran).contains(&hanging.pid().to_string()));
    let crashing = start("send --ready WATCHDOG=1");
    watch.wait_for_state(crashing.pid(), "ready");
    crashing.signal(libc::SIGKILL);
    wait_until(|| text_of(&ran).contains(&crashing.pid().to_string()));
    assert!(!text_of(&ran).contains(&stopping.pid().to_string()));
    for name in [
        "varta_notify_triggers_total",
        "varta_notify_expected_exits_total",
        "varta_exits_total{cause=\"signalled\"}",
        "varta_exits_total{cause=\"clean\"}",
    ] {
        wait_for_sample(&watch.address, name, |count| count == 1.0);
    }
}

#[test]
fn a_hostile_status_is_shown_escaped_and_is_no_label() {
    let watch = Watch::start(&["--log-level", "info"]);
    let client = watch.client();
    let hostile = "\x1b]0;PWN\x07\u{202e}\"quoted\" \\ {a=\"b\"} '<script>' % \u{2028}";
    client.send(format!("READY=1\nWATCHDOG=1\nSTATUS={hostile}").as_bytes()).unwrap();
    client.send(b"STATUS=\xff\xfe").unwrap();
    // One that is too long is dropped as a whole.
    client.send(format!("STATUS={}", hostile.repeat(100)).as_bytes()).unwrap();
    let long = format!("STATUS={hostile}{}", "x".repeat(4_000 - hostile.len()));
    client.send(long.as_bytes()).unwrap();
    let pid = std::process::id();
    wait_until(|| {
        let row = watch.agent(pid).unwrap_or_default();
        row["service"]["status"].as_str().is_some_and(|status| status.ends_with("xxx"))
    });
    let row = watch.agent(pid).unwrap();
    let status = row["service"]["status"].as_str().unwrap();
    let escaped = r#"\u{1b}]0;PWN\u{7}\u{202e}"quoted" \ {a="b"} '<script>' % \u{2028}"#;
    assert!(status.starts_with(escaped) && status.len() < 400, "{status}");
    // Every line of the log is one JSON object, without the characters themselves.
    let log = watch.daemon.log();
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap();
        assert!(!line.contains(['\x1b', '\u{202e}', '\u{2028}']), "{line}");
    }
    assert!(log.contains("PWN"), "{log}");
    let metrics = get(&watch.address, "/metrics").body;
    assert!(!metrics.contains("PWN") && !metrics.contains("quoted"));
}

#[test]
fn a_status_that_changes_all_the_time_does_not_fill_the_log() {
    let watch = Watch::start(&["--log-level", "info"]);
    let client = watch.client();
    client.send(b"READY=1").unwrap();
    for number in 0..5_000 {
        client.send(format!("READY=1\nSTATUS={number}").as_bytes()).unwrap();
    }
    wait_until(|| {
        watch.agent(std::process::id()).is_some_and(|row| row["service"]["status"] == "4999")
    });
    watch.daemon.wait_for_log("lines");
    let lines = watch.daemon.count_logged("status of the service");
    let seconds = watch.agents()["uptime_ms"].as_u64().unwrap() / 1_000 + 2;
    assert!(lines as u64 <= 20 * seconds, "{lines} in {seconds} s");
    assert_eq!(watch.daemon.count_logged("the service is ready"), 1);
}

#[test]
fn frames_and_notifications_of_a_process_are_one_agent() {
    let watch = Watch::start(&[]);
    let agent = Agent::at(watch.daemon.socket());
    let own = UnixDatagram::unbound().unwrap();
    own.send_to(b"READY=1", &watch.socket).unwrap();
    wait_until(|| watch.agents()["agents"].as_array().unwrap().len() == 2);
    let mut frames = varta::Varta::connect(watch.daemon.socket()).unwrap();
    let _ = frames.beat(varta::Status::Degraded, 7);
    let pid = std::process::id();
    wait_until(|| watch.agent(pid).is_some_and(|row| row["status"] == "degraded"));
    own.send_to(b"WATCHDOG=1", &watch.socket).unwrap();
    wait_until(|| watch.agent(pid).unwrap()["service"]["pings"] == 1);
    let row = watch.agent(pid).unwrap();
    assert_eq!((&row["status"], &row["payload"]), (&"degraded".into(), &7.into()));
    assert_eq!(watch.agents()["agents"].as_array().unwrap().len(), 2);
    drop(agent);
}

/// The observer of its agent is elsewhere, or the daemon itself.
#[test]
fn a_program_with_an_agent_keeps_its_service_manager_content() {
    const THIS: &str = "a_program_with_an_agent_keeps_its_service_manager_content";
    if let Some(endpoint) = std::env::var_os("VARTA_TEST_ENDPOINT") {
        return beat_until_told_to_stop(endpoint.as_ref());
    }
    let watch = Watch::start(&[]);
    let start = |socket: &Path, endpoint: &Path| {
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new(WATCH);
        command.args(["run", "--notify", "--watchdog", "500ms", "--notify-socket"]).arg(socket);
        command.arg("--").arg(this).args(["--exact", THIS, "--nocapture"]);
        command.env("VARTA_TEST_ENDPOINT", endpoint).env("VARTA_NOTIFY", "1");
        watch.start_program(&mut command)
    };
    let state = |pid| watch.agent(pid).unwrap()["state"].as_str().unwrap().to_owned();
    let pings = |pid| watch.agent(pid).unwrap()["service"]["pings"].as_u64().unwrap();
    let elsewhere = watch.folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let nobody = elsewhere.join("nobody.sock");
    let mut program = start(&watch.socket, &nobody);
    let pid = program.pid();
    watch.wait_for_state(pid, "ready");
    wait_until(|| pings(pid) >= 3);
    assert_eq!(watch.agent(pid).unwrap()["service"]["status"], "beating");
    program.signal(libc::SIGSTOP);
    wait_until(|| state(pid) == "stalled");
    program.signal(libc::SIGCONT);
    wait_until(|| state(pid) == "ok");
    File::create(nobody.with_extension("stop")).unwrap();
    program.0.wait().unwrap();
    watch.daemon.wait_for_log("as the service announced");

    // The daemon hears its beats: it needs no keep-alives.
    let endpoint = format!("{}?lane=off", watch.daemon.socket().display());
    let program = start(&watch.socket, Path::new(&endpoint));
    let pid = program.pid();
    watch.wait_for_state(pid, "ready");
    wait_until(|| watch.agent(pid).unwrap()["beats"].as_u64().unwrap() >= 30);
    assert_eq!((pings(pid), state(pid).as_str()), (0, "ok"));
}

/// Until there is a file beside the endpoint.
fn beat_until_told_to_stop(endpoint: &Path) {
    let mut agent = varta::Varta::open(endpoint).unwrap();
    assert_eq!(agent.ready(), varta::BeatOutcome::Sent);
    assert_eq!(agent.status("beating"), varta::BeatOutcome::Sent);
    while !endpoint.with_extension("stop").exists() {
        let _ = agent.beat(varta::Status::Ok, 0);
        std::thread::sleep(support::ms(50));
    }
    assert_eq!(agent.stopping(), varta::BeatOutcome::Sent);
}

#[test]
fn a_client_that_connected_once_is_heard_after_a_restart_with_an_inherited_socket() {
    let folder = Folder::new();
    let path = folder.join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let client = UnixDatagram::unbound().unwrap();
    client.connect(&path).unwrap();
    for _ in 0..2 {
        let inherit = format!(
            "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=notify exec {WATCH} \
             --log-format json --threshold-ms 60000 --uids any --prom-addr 127.0.0.1:0 --socket \"$0\""
        );
        let mut command = Command::new("sh");
        command.args(["-c", &inherit]).arg(folder.join("varta.sock"));
        command.stdin(std::os::fd::OwnedFd::from(socket.try_clone().unwrap()));
        let mut daemon = Daemon::start_as(&folder, &mut command);
        client.send(b"READY=1\nWATCHDOG=1").unwrap();
        let address = address_of(&daemon);
        wait_until(|| get(&address, "/agents").body.contains("\"pings\":1"));
        daemon.end();
    }
    assert!(path.exists(), "the socket belongs to the service manager");
}

#[test]
fn a_launched_program_has_its_own_environment_and_its_own_exit_code() {
    let watch = Watch::start(&[]);
    let run = |flags: &[&str], words: &str| {
        let mut command = Command::new(WATCH);
        command.args(["run", "--notify", "--notify-socket"]).arg(&watch.socket).args(flags);
        command.args(["--", "sh", "-c", words]);
        // Those of the daemon's own service manager are not for the program.
        command
            .env("NOTIFY_SOCKET", "/other")
            .env("WATCHDOG_USEC", "7")
            .env("WATCHDOG_PID", "1");
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let print = "echo $NOTIFY_SOCKET $WATCHDOG_USEC $((WATCHDOG_PID - $$)); exit 7";
    let socket = watch.socket.display();
    assert_eq!(
        run(&["--watchdog", "1500ms"], print),
        (Some(7), format!("{socket} 1500000 0\n"))
    );
    let print = "echo $NOTIFY_SOCKET ${WATCHDOG_USEC-none} ${WATCHDOG_PID-none}";
    assert_eq!(run(&[], print), (Some(0), format!("{socket} none none\n")));
    assert_eq!(run(&[], "kill -9 $$").0, None, "it is the process");
    // Each has been followed from its start, although it ends at once.
    watch.daemon.wait_for_lines("exit, ", 3);
    watch.daemon.wait_for_log("exit code 7");
    let launch = |socket: &Path, words: &[&str]| {
        let mut command = Command::new(WATCH);
        command.args(["run", "--notify", "--notify-socket"]).arg(socket).arg("--");
        command.args(words).output().unwrap()
    };
    assert_eq!(launch(&watch.socket, &["/nonexistent"]).status.code(), Some(127));
    // A daemon that is not there does not keep the program from running.
    let alone = launch(&watch.folder.join("nowhere"), &["echo", "ran"]);
    assert_eq!((alone.status.code(), &alone.stdout[..]), (Some(0), &b"ran\n"[..]));
    let warning = String::from_utf8(alone.stderr).unwrap();
    assert!(warning.contains("cannot register") && warning.contains("nowhere"), "{warning}");
    for flags in [&["--name", "x"][..], &["--watchdog", "1s"], &["--notify", "--every", "1s"]] {
        let bad =
            Command::new(WATCH).arg("run").args(flags).args(["--", "true"]).output().unwrap();
        assert_eq!(bad.status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn what_a_service_says_is_in_the_export_file_in_events_and_in_the_history() {
    let file = Folder::new();
    let file = file.join("events.json");
    let history = Folder::new();
    let history = history.join("history");
    let history = history.to_str().unwrap();
    let export = ["--export-file", file.to_str().unwrap(), "--export-format", "json"];
    let watch = Watch::start(&[&export[..], &["--history-dir", history]].concat());
    let mut events = Command::new(WATCH);
    events.arg("events").arg("--socket").arg(watch.daemon.socket());
    let _events = watch.start_program(&mut events);
    let output = watch.folder.join("output");
    let client = watch.client();
    client.send(b"READY=1").unwrap();
    // A subscription has no answer, and only some texts a second are shown.
    wait_until(|| {
        client.send(b"STATUS=other").unwrap();
        client.send(b"STATUS=\x1b \"half\"").unwrap();
        text_of(&output).contains("\"half\" [notify-")
    });
    client.send(b"ERRNO=5").unwrap();
    client.send(b"STOPPING=1").unwrap();
    wait_until(|| text_of(&output).contains("service: stopping"));
    let lines = || text_of(&file);
    wait_until(|| lines().contains("\"stopping\""));
    let lines: Vec<Value> =
        lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about: Vec<_> = lines.iter().filter(|line| line["event"] == "service").collect();
    let has = |member: &str, value: Value| about.iter().any(|line| line[member] == value);
    assert!(has("state", "ready".into()) && has("errno", 5.into()), "{about:?}");
    assert!(about.iter().all(|line| line["pid"] == std::process::id()), "{about:?}");
    let statuses: Vec<_> = about.iter().filter_map(|line| line["status"].as_str()).collect();
    assert!(statuses.iter().any(|status| status.ends_with("\"half\"")), "{statuses:?}");
    assert!(!statuses.iter().any(|status| status.contains('\u{1b}')), "{statuses:?}");

    let recorded = || {
        let mut command = Command::new(WATCH);
        command.args(["history", "--json", "--kind", "service", "--history-dir", history]);
        let output = command.output().unwrap().stdout;
        let lines = String::from_utf8(output).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    wait_until(|| recorded().iter().any(|line| line["state"] == "stopping"));
    // Texts may change all the time, and are not recorded.
    let lasting: Vec<_> = about.iter().filter(|line| line["change"] != "status").collect();
    let same = ["seq", "time", "agent", "pid", "change", "state", "errno"];
    let recorded = recorded();
    assert_eq!(recorded.len(), lasting.len(), "{recorded:?}");
    for (recorded, line) in recorded.iter().zip(lasting) {
        assert!(
            same.iter().all(|member| recorded[member] == line[member]),
            "{recorded} {line}"
        );
    }
    assert!(
        recorded.iter().all(|line| line["program"].as_str().unwrap().starts_with("notify-"))
    );
}

#[test]
fn a_program_starts_although_the_daemon_does_not_read() {
    let folder = Folder::new();
    let socket = folder.join("notify.sock");
    let deaf = UnixDatagram::bind(&socket).unwrap();
    let mut command = Command::new(WATCH);
    command
        .args(["run", "--notify", "--notify-socket"])
        .arg(&socket)
        .args(["--", "echo", "ran"]);
    let ran = command.output().unwrap();
    assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(0), &b"ran\n"[..]));
    let warning = String::from_utf8(ran.stderr).unwrap();
    assert!(warning.contains("not read it within 5s"), "{warning}");
    drop(deaf);
}

#[test]
fn the_example_names_what_happens_to_a_program() {
    if is_missing("systemd-notify") {
        return;
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/notify/run");
    let ran = Command::new(example).env("VARTA_WATCH", WATCH).output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let expected =
        ["stalled, ", "recovered after", "exit, killed by signal 9", "name=\"onion\""];
    let all = expected.iter().all(|words| text.contains(words));
    assert!(ran.status.success() && all, "{text}{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn without_a_notify_socket_there_is_none_of_it() {
    let folder = Folder::new();
    let flags = ["--threshold-ms", "60000", "--prom-addr", "127.0.0.1:0"];
    let daemon = Daemon::start(&folder, &flags);
    let agent = Agent::at(daemon.socket());
    let address = address_of(&daemon);
    assert!(!get(&address, "/metrics").body.contains("varta_notify"));
    let report: Value = serde_json::from_str(&get(&address, "/agents").body).unwrap();
    assert!(report["agents"][0]["service"].is_null());
    assert!(!Path::new(&folder.join("notify.sock")).exists());
    drop(agent);
}
