//! The control socket and the commands that use it: `events`, `check`, `top`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Agent, Daemon, Folder, PATIENCE, Terminal, WATCH, wait_until};
use varta::{Status, Varta};

fn control_of(daemon: &Daemon) -> PathBuf {
    let mut path = daemon.socket().as_os_str().to_owned();
    path.push(".control");
    path.into()
}

fn check(daemon: &Daemon, whom: &[&str]) -> (i32, String) {
    let mut command = Command::new(WATCH);
    command.arg("check").args(whom).arg("--socket").arg(daemon.socket());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn wait_for_check(daemon: &Daemon, whom: &[&str], code: i32, words: &str) {
    wait_until(|| {
        let (found, text) = check(daemon, whom);
        found == code && text.contains(words)
    });
}

/// A running `events` command.
struct EventStream {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl EventStream {
    fn of(daemon: &Daemon, flags: &[&str]) -> Self {
        let mut command = Command::new(WATCH);
        command.arg("events").args(flags).arg("--socket").arg(daemon.socket());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Reads until a line matches, and returns it.
    #[track_caller]
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the command has ended");
            if wanted(&line) {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "no line matched");
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn only_its_owner_can_use_the_control_socket_and_it_is_removed_at_the_end() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    let path = control_of(&daemon);
    wait_until(|| path.exists());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.end();
    assert!(!path.exists());
}

#[test]
fn a_stale_control_socket_is_replaced_and_any_other_file_is_kept() {
    let folder = Folder::new();
    let path = folder.join("varta.sock.control");
    drop(UnixListener::bind(&path).unwrap());
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    daemon.end();
    fs::write(&path, "precious").unwrap();
    let mut command = Command::new(WATCH);
    command.arg("--socket").arg(folder.join("varta.sock")).args(["--threshold-ms", "2000"]);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn events_reports_an_agent_from_beat_to_exit() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "400"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut agent = Agent::at(daemon.socket());
    let pid = agent.pid();
    let mut json = EventStream::of(&daemon, &["--json"]);
    let mut text = EventStream::of(&daemon, &[]);
    let is = |line: &str, event: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["event"] == event && line["pid"] == pid
    };
    json.wait_for(|line| is(line, "beat"));
    text.wait_for(|line| line.contains(&format!("agent 1 (pid {pid}): beat, ok, payload")));
    agent.stop();
    let stall = json.wait_for(|line| is(line, "stall"));
    let stall: Value = serde_json::from_str(&stall).unwrap();
    assert!(stall["last_ns"].as_u64().unwrap() < stall["observer_ns"].as_u64().unwrap());
    text.wait_for(|line| line.contains(": stall, last heard at"));
    agent.resume();
    json.wait_for(|line| is(line, "recovered"));
    agent.exit(3);
    let exit = json.wait_for(|line| is(line, "exit"));
    let exit: Value = serde_json::from_str(&exit).unwrap();
    assert_eq!((&exit["code"], &exit["last_status"]), (&Value::from(3), &Value::from("ok")));
    text.wait_for(|line| line.contains(": exit, exit code 3, last status ok"));
}

#[test]
fn events_exits_with_0_when_the_daemon_ends_or_its_output_is_closed() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let _agent = Agent::at(daemon.socket());
    let mut read = EventStream::of(&daemon, &[]);
    let mut unread = EventStream::of(&daemon, &[]);
    for events in [&mut read, &mut unread] {
        events.wait_for(|line| line.contains("beat"));
    }
    let EventStream { process, lines } = &mut unread;
    // Closes the pipe that the command writes to.
    *lines = BufReader::new(
        Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap(),
    );
    assert_eq!(process.wait().unwrap().code(), Some(0));
    daemon.end();
    let mut rest = String::new();
    read.lines.read_to_string(&mut rest).unwrap();
    assert_eq!(read.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_slow_reader_of_events_is_told_how_many_batches_it_lost() {
    let folder = Folder::new();
    let flags = ["--threshold-ms", "60000", "--max-beat-rate", "0"];
    let daemon = Daemon::start(&folder, &flags);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut slow = UnixStream::connect(control_of(&daemon)).unwrap();
    slow.write_all(b"{\"ask\":\"events\",\"json\":true}\n").unwrap();
    let mut agent = Varta::connect(daemon.socket()).unwrap();
    let mut lines = BufReader::new(slow);
    let mut beat = |lines: &mut BufReader<UnixStream>| {
        let _ = agent.beat(Status::Ok, 0);
        !lines.buffer().is_empty()
    };
    // Beat until the first line arrives.
    lines.get_ref().set_nonblocking(true).unwrap();
    wait_until(|| {
        beat(&mut lines);
        lines.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    });
    // More than fits into the 256 batches that the daemon keeps and the kernel's buffers.
    let enough = count_beats(&daemon) + 2 * 256 * 256;
    let (mut taken_at, mut some) = (Instant::now(), [0; 1 << 16]);
    wait_until(|| {
        for _ in 0..10_000 {
            beat(&mut lines);
        }
        // One that takes nothing at all for half a minute is disconnected.
        if taken_at.elapsed() > Duration::from_secs(5) {
            taken_at = Instant::now();
            let _ = lines.get_mut().read(&mut some).unwrap();
        }
        count_beats(&daemon) > enough
    });
    lines.get_ref().set_nonblocking(false).unwrap();
    lines.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    let lost = lines.lines().map(Result::unwrap).find(|line| line.contains("\"lost\""));
    let lost: Value = serde_json::from_str(&lost.unwrap()).unwrap();
    assert!(lost["batches"].as_u64().unwrap() > 0, "{lost}");
}

fn count_beats(daemon: &Daemon) -> u64 {
    let mut stream = UnixStream::connect(control_of(daemon)).unwrap();
    stream.write_all(b"{\"ask\":\"agents\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    report["totals"]["beats"].as_u64().unwrap()
}

#[test]
fn an_invalid_request_is_refused_with_a_reason() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let endless = "x".repeat(100_000);
    for question in ["nonsense\n", "{\"ask\":\"everything\"}\n", "\n", "{}\n", &endless] {
        let mut stream = UnixStream::connect(control_of(&daemon)).unwrap();
        // The daemon may close the connection before all of it is sent.
        let _ = stream.write_all(question.as_bytes());
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).is_ok() {
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert!(answer["error"].is_string(), "{answer}");
        }
    }
    assert_eq!(check(&daemon, &[]).0, 0);
}

#[test]
fn idle_connections_do_not_block_requests() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let connect = || {
        let stream = UnixStream::connect(control_of(&daemon)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // A connection that receives events is not idle.
    let mut json = EventStream::of(&daemon, &["--json"]);
    let agent = Agent::at(daemon.socket());
    json.wait_for(|line| line.contains("beat"));
    let mut held: Vec<_> = (0..200).map(|_| connect()).collect();
    for _ in 0..3 {
        assert_eq!(check(&daemon, &[]).0, 0);
    }
    // The oldest was closed to make room; the newest times out, because it never asks.
    for index in [0, held.len() - 1] {
        assert_eq!(held[index].read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    json.wait_for(|line| line.contains("beat"));
    drop(agent);
}

#[test]
fn check_reports_the_state_by_its_exit_code() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "1000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut agent = Agent::at(daemon.socket());
    let pid = agent.pid().to_string();
    let of = ["--pid", pid.as_str()];
    wait_for_check(&daemon, &of, 0, "): ok, last beat ");
    wait_for_check(&daemon, &[], 0, "1 of 1 agents are ok");
    agent.stop();
    wait_for_check(&daemon, &of, 2, "): stalled, last beat ");
    wait_for_check(&daemon, &[], 2, "0 of 1 agents are ok");
    agent.resume();
    wait_for_check(&daemon, &of, 0, "): ok");
    agent.kill();
    wait_for_check(&daemon, &of, 2, "ago, killed by signal 9");

    let mut own = Varta::connect(daemon.socket()).unwrap();
    let name = support::text_of(std::path::Path::new("/proc/self/comm"));
    for (status, code) in [(Status::Degraded, 1), (Status::Critical, 1), (Status::Ok, 0)] {
        wait_until(|| {
            let _ = own.beat(status, 0);
            check(&daemon, &["--name", name.trim_end()]).0 == code
        });
    }
    // The worst agent decides.
    let silent = Agent::at(daemon.socket());
    silent.stop();
    wait_until(|| {
        let _ = own.beat(Status::Ok, 0);
        let (code, text) = check(&daemon, &[]);
        code == 2 && text.contains("1 of 2 agents are ok")
    });
    let (code, text) = check(&daemon, &["--name", "nobody"]);
    assert_eq!((code, text.as_str()), (2, "program nobody: no such agent\n"));
}

#[test]
fn check_exits_with_2_when_no_daemon_is_listening() {
    let folder = Folder::new();
    let mut command = Command::new(WATCH);
    let ended = command.arg("check").arg("--socket").arg(folder.join("none")).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.contains("none.control: no daemon is listening on this socket"), "{text}");
}

#[test]
fn top_shows_agents_in_each_state() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    let (healthy, silent, mut killed) =
        (Agent::at(daemon.socket()), Agent::at(daemon.socket()), Agent::at(daemon.socket()));
    let Some(terminal) = Terminal::with_top(&folder, &daemon) else { return };
    terminal.wait_for(healthy.pid(), " ok ");
    silent.stop();
    terminal.wait_for(silent.pid(), " stalled ");
    killed.kill();
    terminal.wait_for(killed.pid(), "ago, killed by signal 9");
    let mut own = Varta::connect(daemon.socket()).unwrap();
    for (status, word) in [(Status::Degraded, " degraded "), (Status::Critical, " critical ")] {
        let _ = own.beat(status, 1);
        terminal.wait_for(std::process::id(), word);
    }
    let screen = terminal.screen();
    let row = |pid: u32| screen.find(&format!(" {pid} ")).unwrap();
    assert!(row(silent.pid()) < row(healthy.pid()), "the worst must be first:\n{screen}");
    assert!(screen.contains("by state"), "{screen}");
    terminal.press("s");
    wait_until(|| terminal.screen().contains("by name"));
    silent.resume();
    terminal.wait_for(silent.pid(), " ok ");
    terminal.press("q");
    wait_until(|| !terminal.screen().contains("AGENT"));
}

#[test]
fn top_shows_tasks_below_their_agent() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "60000"]);
    let mut agent = Varta::open(daemon.socket()).unwrap();
    let _ = agent.beat(Status::Ok, 1);
    let _late = agent.task("ingest", Duration::from_millis(50)).unwrap();
    let mut batch = agent.task("batch", Duration::from_secs(60)).unwrap();
    batch.progress(3, 4);
    let Some(terminal) = Terminal::with_top(&folder, &daemon) else { return };
    wait_until(|| terminal.screen().contains("beat, 0"));
    let screen = terminal.screen();
    let line = |words: &str| screen.lines().position(|line| line.contains(words));
    let lines = [&format!(" {} ", std::process::id()), "  ingest", "  batch"].map(line);
    assert!(lines[0].is_some() && lines.is_sorted(), "{screen}");
    let row = |at: Option<usize>| screen.lines().nth(at.unwrap()).unwrap();
    assert!(row(lines[0]).contains(" critical "), "{screen}");
    assert!(row(lines[1]).contains(" late "), "{screen}");
    assert!(
        row(lines[2]).contains(" ok ") && row(lines[2]).contains("3 done, 4 left"),
        "{screen}"
    );
}

#[test]
fn top_shows_what_a_service_says_below_its_agent() {
    let folder = Folder::new();
    let notify = folder.join("notify.sock");
    let notify = notify.to_str().unwrap();
    let flags = ["--threshold-ms", "60000", "--notify-socket", notify];
    let daemon = Daemon::start(&folder, &flags);
    let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let status = "STATUS=at \x1b[2J\u{202e} work";
    client.send_to(format!("READY=1\n{status}").as_bytes(), notify).unwrap();
    let Some(terminal) = Terminal::with_top(&folder, &daemon) else { return };
    terminal.wait_for(std::process::id(), " ok ");
    let screen = terminal.screen();
    let below = screen.lines().find(|line| line.contains(r"  at \u{1b}"));
    assert!(below.is_some_and(|line| line.contains(" ready ")), "{screen}");
}

#[test]
fn a_program_name_cannot_reach_the_terminal_as_control_characters() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut text = EventStream::of(&daemon, &[]);
    let agent = Agent::named(daemon.socket(), c"\x1b]0;PWN\x07\nzz");
    let escaped = r"\u{1b}]0;PWN\u{7}\u{a}zz";
    let beat = text.wait_for(|line| line.contains("beat, ok"));
    assert!(beat.ends_with(&format!(" [{escaped}]\n")), "{beat:?}");
    let pid = agent.pid().to_string();
    let (_, checked) = check(&daemon, &["--pid", &pid]);
    let expected = format!("agent 1 {escaped} (pid {pid}): ok");
    assert!(checked.starts_with(&expected), "{checked:?}");
    let line = checked.strip_suffix('\n');
    assert!(line.is_some_and(|line| !line.contains(char::is_control)), "{checked:?}");
    assert_eq!(check(&daemon, &["--name", escaped]).0, 0);
    let Some(terminal) = Terminal::with_top(&folder, &daemon) else { return };
    terminal.wait_for(agent.pid(), r"\u{1b}]0;PWN");
    assert_ne!(terminal.title(), "PWN");
}

#[test]
fn top_reports_that_no_daemon_is_listening_and_reconnects() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let Some(terminal) = Terminal::with_top(&folder, &daemon) else { return };
    wait_until(|| terminal.screen().contains("0 agents"));
    daemon.end();
    wait_until(|| terminal.screen().contains("no daemon is listening on this socket"));
    let _daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_until(|| terminal.screen().contains("q quit"));
}

#[test]
fn top_needs_a_terminal() {
    let ended = Command::new(WATCH).arg("top").output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("needs a terminal"));
}
