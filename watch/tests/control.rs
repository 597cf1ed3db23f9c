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

use serde_json::Value;
use support::{Agent, Daemon, Folder, PATIENCE, WATCH, skipped, wait_until};
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
    let said = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn wait_for_check(daemon: &Daemon, whom: &[&str], code: i32, words: &str) {
    wait_until(|| {
        let (found, said) = check(daemon, whom);
        found == code && said.contains(words)
    });
}

/// A command that follows events.
struct Following {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Following {
    fn of(daemon: &Daemon, flags: &[&str]) -> Self {
        let mut command = Command::new(WATCH);
        command.arg("events").args(flags).arg("--socket").arg(daemon.socket());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Reads until a line is as wanted.
    #[track_caller]
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let start = std::time::Instant::now();
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it has ended");
            if wanted(&line) {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "in vain");
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_control_socket_is_for_its_user_alone_and_goes_with_the_daemon() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    let path = control_of(&daemon);
    wait_until(|| path.exists());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.end();
    assert!(!path.exists());
}

#[test]
fn a_dead_control_socket_is_replaced_and_what_is_none_is_left_alone() {
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
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn events_follows_an_agent_from_beat_to_exit() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "400"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut agent = Agent::at(daemon.socket());
    let pid = agent.pid();
    let mut json = Following::of(&daemon, &["--json"]);
    let mut text = Following::of(&daemon, &[]);
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
    agent.go_on();
    json.wait_for(|line| is(line, "recovered"));
    agent.exit(3);
    let exit = json.wait_for(|line| is(line, "exit"));
    let exit: Value = serde_json::from_str(&exit).unwrap();
    assert_eq!((&exit["code"], &exit["last_status"]), (&Value::from(3), &Value::from("ok")));
    text.wait_for(|line| line.contains(": exit, exit code 3, last status ok"));
}

#[test]
fn events_ends_well_with_the_daemon_and_when_nobody_reads() {
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let _agent = Agent::at(daemon.socket());
    let mut left = Following::of(&daemon, &[]);
    let mut deaf = Following::of(&daemon, &[]);
    for following in [&mut left, &mut deaf] {
        following.wait_for(|line| line.contains("beat"));
    }
    let Following { process, lines } = &mut deaf;
    // Closes the pipe it writes to.
    *lines = BufReader::new(
        Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap(),
    );
    assert_eq!(process.wait().unwrap().code(), Some(0));
    daemon.end();
    let mut rest = String::new();
    left.lines.read_to_string(&mut rest).unwrap();
    assert_eq!(left.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_follower_that_reads_too_slowly_is_told_what_it_missed() {
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
    // It follows from its first line on.
    lines.get_ref().set_nonblocking(true).unwrap();
    wait_until(|| {
        beat(&mut lines);
        lines.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    });
    // More than the 256 batches that are kept can hold, and what the kernel keeps beside.
    let enough = count_heard(&daemon) + 2 * 256 * 256;
    wait_until(|| {
        for _ in 0..10_000 {
            beat(&mut lines);
        }
        count_heard(&daemon) > enough
    });
    lines.get_ref().set_nonblocking(false).unwrap();
    lines.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    let lost = lines.lines().map(Result::unwrap).find(|line| line.contains("\"lost\""));
    let lost: Value = serde_json::from_str(&lost.unwrap()).unwrap();
    assert!(lost["batches"].as_u64().unwrap() > 0, "{lost}");
}

fn count_heard(daemon: &Daemon) -> u64 {
    let mut stream = UnixStream::connect(control_of(daemon)).unwrap();
    stream.write_all(b"{\"ask\":\"agents\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    report["totals"]["beats"].as_u64().unwrap()
}

#[test]
fn what_is_no_question_is_refused_with_a_reason() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let endless = "x".repeat(100_000);
    for question in ["nonsense\n", "{\"ask\":\"everything\"}\n", "\n", "{}\n", &endless] {
        let mut stream = UnixStream::connect(control_of(&daemon)).unwrap();
        // It may close before all has been sent.
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
fn idle_connections_keep_nobody_from_asking() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let connect = || {
        let stream = UnixStream::connect(control_of(&daemon)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // One that follows events is not idle.
    let mut json = Following::of(&daemon, &["--json"]);
    let agent = Agent::at(daemon.socket());
    json.wait_for(|line| line.contains("beat"));
    let mut held: Vec<_> = (0..200).map(|_| connect()).collect();
    for _ in 0..3 {
        assert_eq!(check(&daemon, &[]).0, 0);
    }
    // The oldest was closed first; the latest ends by itself, because it never asks.
    for at in [0, held.len() - 1] {
        assert_eq!(held[at].read(&mut [0]).unwrap(), 0);
    }
    json.wait_for(|line| line.contains("beat"));
    drop(agent);
}

#[test]
fn check_answers_by_exit_code() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "1000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut agent = Agent::at(daemon.socket());
    let pid = agent.pid().to_string();
    let of = ["--pid", pid.as_str()];
    wait_for_check(&daemon, &of, 0, "): ok, heard ");
    wait_for_check(&daemon, &[], 0, "1 of 1 agents are ok");
    agent.stop();
    wait_for_check(&daemon, &of, 2, "): stalled, heard ");
    wait_for_check(&daemon, &[], 2, "0 of 1 agents are ok");
    agent.go_on();
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
    let (code, said) = check(&daemon, &["--name", "nobody"]);
    assert_eq!((code, said.as_str()), (2, "program nobody: there is no such agent\n"));
}

#[test]
fn without_a_daemon_check_says_so_and_ends_with_2() {
    let folder = Folder::new();
    let mut command = Command::new(WATCH);
    let ended = command.arg("check").arg("--socket").arg(folder.join("none")).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("none.control: no daemon is listening there"), "{said}");
}

/// A terminal of 100 by 24, in a server of its own.
struct Terminal {
    server: PathBuf,
}

impl Terminal {
    fn run(folder: &Folder, command: &str) -> Self {
        let terminal = Self { server: folder.join("tmux") };
        let size = ["-x", "100", "-y", "24"];
        let flags = [&["-f", "/dev/null", "new-session", "-d"][..], &size].concat();
        assert!(terminal.tmux(&flags).arg(command).status().unwrap().success());
        terminal
    }

    fn tmux(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("TERM", "xterm-256color");
        command.arg("-S").arg(&self.server).args(words);
        command
    }

    fn screen(&self) -> String {
        let captured = self.tmux(&["capture-pane", "-p"]).output().unwrap();
        String::from_utf8(captured.stdout).unwrap()
    }

    /// The line of an agent, once it contains words.
    #[track_caller]
    fn wait_for(&self, pid: u32, words: &str) {
        let pid = pid.to_string();
        let start = std::time::Instant::now();
        while !self.screen().lines().any(|line| line.contains(&pid) && line.contains(words)) {
            assert!(start.elapsed() < PATIENCE, "{pid}: no {words:?} in\n{}", self.screen());
            std::thread::sleep(support::ms(50));
        }
    }

    fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).stderr(Stdio::null()).status();
    }
}

#[test]
fn top_shows_agents_in_each_state() {
    if Command::new("tmux").arg("-V").output().is_err() {
        return skipped("tmux: apt-get install tmux");
    }
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    let (well, silent, mut killed) =
        (Agent::at(daemon.socket()), Agent::at(daemon.socket()), Agent::at(daemon.socket()));
    let socket = daemon.socket().display();
    let terminal =
        Terminal::run(&folder, &format!("{WATCH} top --every-ms 200 --socket {socket}; cat"));
    terminal.wait_for(well.pid(), " ok ");
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
    let place = |pid: u32| screen.find(&format!(" {pid} ")).unwrap();
    assert!(place(silent.pid()) < place(well.pid()), "the worst stands first:\n{screen}");
    assert!(screen.contains("now by state"), "{screen}");
    terminal.press("s");
    wait_until(|| terminal.screen().contains("now by name"));
    silent.go_on();
    terminal.wait_for(silent.pid(), " ok ");
    terminal.press("q");
    wait_until(|| !terminal.screen().contains("AGENT"));
}

#[test]
fn a_program_name_cannot_reach_the_terminal_as_control_characters() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let mut text = Following::of(&daemon, &[]);
    let agent = Agent::named(daemon.socket(), c"\x1b]0;PWN\x07\nzz");
    let escaped = r"\u{1b}]0;PWN\u{7}\u{a}zz";
    let beat = text.wait_for(|line| line.contains("beat, ok"));
    assert!(beat.ends_with(&format!(" [{escaped}]\n")), "{beat:?}");
    let pid = agent.pid().to_string();
    let (_, said) = check(&daemon, &["--pid", &pid]);
    assert!(said.starts_with(&format!("agent 1 {escaped} (pid {pid}): ok")), "{said:?}");
    assert!(
        said.strip_suffix('\n').is_some_and(|it| !it.contains(char::is_control)),
        "{said:?}"
    );
    assert_eq!(check(&daemon, &["--name", escaped]).0, 0);
    if Command::new("tmux").arg("-V").output().is_err() {
        return skipped("tmux: apt-get install tmux");
    }
    let socket = daemon.socket().display();
    let terminal = Terminal::run(&folder, &format!("{WATCH} top --socket {socket}; cat"));
    terminal.wait_for(agent.pid(), r"\u{1b}]0;PWN");
    let title = terminal.tmux(&["display-message", "-p", "#{pane_title}"]).output().unwrap();
    assert_ne!(String::from_utf8(title.stdout).unwrap().trim_end(), "PWN");
}

#[test]
fn top_says_when_no_daemon_answers_and_finds_it_again() {
    if Command::new("tmux").arg("-V").output().is_err() {
        return skipped("tmux: apt-get install tmux");
    }
    let folder = Folder::new();
    let mut daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_for_check(&daemon, &[], 0, "no agents");
    let socket = daemon.socket().display();
    let terminal =
        Terminal::run(&folder, &format!("{WATCH} top --every-ms 200 --socket {socket}"));
    wait_until(|| terminal.screen().contains("0 agents"));
    daemon.end();
    wait_until(|| terminal.screen().contains("no daemon is listening there"));
    let _daemon = Daemon::start(&folder, &["--threshold-ms", "2000"]);
    wait_until(|| terminal.screen().contains("q ends"));
}

#[test]
fn top_needs_a_terminal() {
    let ended = Command::new(WATCH).arg("top").output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("needs a terminal"));
}
