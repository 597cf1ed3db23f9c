//! Everything that shows agents must show why one is silent.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::http::{address_of, get, sample, wait_for_sample};
use support::{
    Browser, Child, Daemon, Folder, Terminal, WATCH, kernel_lacks, lines_of, ms, needs_root,
    signal, skipped, text_of, wait_until,
};
use varta::{Status, Varta};

/// A daemon that serves HTTP, has a recovery command and looks for causes.
fn daemon(folder: &Folder, more: &[&str]) -> (Daemon, String, PathBuf) {
    let audit = folder.join("audit");
    let flags = [
        ["--threshold-ms", "500"],
        ["--causes", "on"],
        ["--prom-addr", "127.0.0.1:0"],
        ["--prom-rate-limit-burst", "0"],
        ["--recovery-exec", "/bin/true"],
        ["--recovery-audit-file", audit.to_str().unwrap()],
    ];
    let daemon = Daemon::start(folder, &[&flags.concat()[..], more].concat());
    let address = address_of(&daemon);
    (daemon, address, audit)
}

/// A process that beats, and so does a task of it.
fn agent_with_task(daemon: &Daemon) -> Child {
    Child::start(|| {
        let mut agent = Varta::open(daemon.socket()).unwrap();
        let mut task = agent.task("ingest", ms(500)).unwrap();
        loop {
            // A failed beat does not matter; the next one follows soon.
            let _ = (agent.beat(Status::Ok, 1), task.beat(Status::Ok, 2));
            std::thread::sleep(ms(20));
        }
    })
}

/// The agent in /agents.
fn row(address: &str) -> Value {
    let reply = get(address, "/agents");
    let report: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    report["agents"][0].clone()
}

fn wait_for_row(address: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_until(|| wanted(&row(address)));
    row(address)
}

fn command(daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = Command::new(WATCH);
    let output = command.args(arguments).arg("--socket").arg(daemon.socket()).output();
    let Output { stdout, stderr, .. } = output.unwrap();
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

fn page(address: &str) -> Option<Browser> {
    let Some(program) = Browser::program() else {
        skipped("a browser: apt-get install chromium");
        return None;
    };
    let mut browser = Browser::start(program, false);
    browser.open(&format!("http://{address}/"));
    browser.wait_for("document.getElementById('link').textContent === 'live'");
    Some(browser)
}

/// The texts of the rows of the page that give causes.
const CAUSES: &str =
    "[...document.querySelectorAll('#agents tr.why')].map(row => row.innerText)";

#[test]
fn a_stopped_process_is_shown_as_stopped_everywhere() {
    let folder = Folder::new();
    let (daemon, address, audit) = daemon(&folder, &[]);
    let of = |cause: &str| format!("varta_stall_causes_total{{cause=\"{cause}\"}}");
    let metrics = get(&address, "/metrics").body;
    assert_eq!(sample(&metrics, &of("stopped")), Some(0.0));
    let mut browser = page(&address);
    let terminal = Terminal::with_top(&folder, &daemon);
    let agent = agent_with_task(&daemon);
    let pid = agent.pid();
    wait_for_row(&address, |row| row["tasks"][0]["state"] == "ok");
    assert_eq!(row(&address).get("cause"), None);
    if let Some(browser) = &mut browser {
        browser.wait_for("document.querySelectorAll('#agents tr[data-state=ok]').length === 2");
    }
    signal(pid, libc::SIGSTOP);

    // The process, and the task in it.
    wait_for_sample(&address, &of("stopped"), |count| count == 2.0);
    let metrics = get(&address, "/metrics").body;
    let name = text_of(Path::new(&format!("/proc/{pid}/comm")));
    let labels = format!("program=\"{}\",agent=\"1\",cause=\"stopped\"", name.trim_end());
    let gauge = format!("varta_agent_stall_cause{{{labels}}}");
    assert_eq!(sample(&metrics, &gauge), Some(1.0));
    assert!(sample(&metrics, "varta_cause_looks_total").unwrap() >= 2.0);
    assert!(sample(&metrics, "varta_cause_seconds_total").unwrap() > 0.0);
    assert!(sample(&metrics, "varta_cause_refused_total").is_some());

    let row = wait_for_row(&address, |row| row["tasks"][0]["state"] == "late");
    for silent in [&row, &row["tasks"][0]] {
        assert_eq!(silent["cause"], "stopped", "{silent}");
        assert_eq!(silent["cause_class"], "outside");
        assert_eq!(silent["certainty"], "certain");
        assert_eq!(silent["cause_text"], "stopped by SIGSTOP");
        let numbers = ["cause_flags", "thread", "other"].map(|name| silent[name].as_u64());
        assert!(numbers.iter().all(Option::is_some), "{silent}");
        assert!(silent["cause_detail"].is_string());
    }
    let checked = command(&daemon, &["check", "--pid", &pid.to_string()]);
    assert_eq!(checked.matches("ago, stopped by SIGSTOP").count(), 2, "{checked}");

    wait_until(|| !lines_of(&audit, 3, "refused").is_empty());
    let refused = lines_of(&audit, 3, "refused").remove(0);
    let expected = ["held_from_outside", "cause=stopped", "why=stopped by SIGSTOP"];
    assert_eq!(refused[5..8], expected, "{refused:?}");
    daemon.wait_for_log("\"why\":\"stopped by SIGSTOP\"");
    daemon.signal(libc::SIGUSR1);
    daemon.wait_for_log("\"state: task\"");
    assert!(daemon.count_logged("\"why\":\"stopped by SIGSTOP\"") >= 3, "{}", daemon.log());

    if let Some(terminal) = terminal {
        wait_until(|| terminal.screen().matches("   stopped by SIGSTOP").count() == 2);
        let screen = terminal.screen();
        let line = |words: &str| screen.lines().position(|line| line.contains(words)).unwrap();
        let agent = line(&format!(" {pid} "));
        let lines: Vec<_> = screen.lines().skip(agent).take(4).map(str::trim).collect();
        assert_eq!(
            (lines[1], lines[3]),
            ("stopped by SIGSTOP", "stopped by SIGSTOP"),
            "{screen}"
        );
        assert!(lines[2].starts_with("ingest"), "{screen}");
    }
    if let Some(browser) = &mut browser {
        browser.wait_for(&format!("{CAUSES}.length === 2"));
        let rows = browser.value(CAUSES).to_string();
        assert_eq!(rows.matches("stopped by SIGSTOP").count(), 2, "{rows}");
        for (filter, count) in [("frozen", 0), ("stopped", 2)] {
            let filter = format!("document.getElementById('filter').value = '{filter}'");
            browser.value(&format!("{filter}; draw()"));
            assert_eq!(browser.value(&format!("{CAUSES}.length")), count, "{filter}");
        }
    }

    signal(pid, libc::SIGCONT);
    let row = wait_for_row(&address, |row| row["tasks"][0]["state"] == "ok");
    assert_eq!((row.get("cause"), row["tasks"][0].get("cause")), (None, None));
    let metrics = get(&address, "/metrics").body;
    assert_eq!(sample(&metrics, &gauge), None);
    assert_eq!(sample(&metrics, &of("stopped")), Some(2.0));
    let Some(mut browser) = browser else { return };
    browser.wait_for(&format!("{CAUSES}.length === 0"));
    let events = browser.value("document.getElementById('events').innerText").to_string();
    for words in ["stalled: stopped by SIGSTOP", "is late (beat): stopped by SIGSTOP"] {
        assert!(events.contains(words), "{words} in {events}");
    }
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

/// Waits until a file appears, and then beats.
#[test]
#[ignore = "only an agent executes it"]
fn beats_when_executed_by_an_agent() {
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    while !path("BEAT").exists() {
        std::thread::sleep(ms(5));
    }
    let mut agent = Varta::connect(path("SOCKET")).unwrap();
    agent.set_reconnect_after(1);
    loop {
        let _ = agent.beat(Status::Ok, 1);
        std::thread::sleep(ms(20));
    }
}

/// Beats for a while, and then executes this program again.
fn beat_and_execute(socket: &Path, go_on: &Path) {
    let mut agent = Varta::connect(socket).unwrap();
    for _ in 0..20 {
        let _ = agent.beat(Status::Ok, 1);
        std::thread::sleep(ms(20));
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "beats_when_executed_by_an_agent"]);
    panic!("{}", command.env("SOCKET", socket).env("BEAT", go_on).exec());
}

#[test]
fn a_process_that_executes_another_program_is_shown_as_changed_until_it_beats() {
    let folder = Folder::new();
    let (daemon, address, _) = daemon(&folder, &[]);
    let mut browser = page(&address);
    let terminal = Terminal::with_top(&folder, &daemon);
    let go_on = folder.join("go-on");
    let agent = Child::start(|| beat_and_execute(daemon.socket(), &go_on));
    let pid = agent.pid().to_string();
    let row = wait_for_row(&address, |row| row["state"] == "changed");
    assert_eq!((&row["cause"], &row["cause_class"]), (&"exec".into(), &"changed".into()));
    let text = row["cause_text"].as_str().unwrap();
    assert!(text.starts_with("executing another program since its last beat ("), "{text}");
    assert!(text.ends_with("); its silence is not judged before it beats"), "{text}");
    let mut check = Command::new(WATCH);
    let check = check.args(["check", "--pid", &pid, "--socket"]).arg(daemon.socket());
    let checked = check.output().unwrap();
    assert_eq!(checked.status.code(), Some(0));
    let line = String::from_utf8(checked.stdout).unwrap();
    assert!(line.contains(": changed, ") && line.contains(text), "{line}");
    let metrics = get(&address, "/metrics").body;
    assert_eq!(sample(&metrics, "varta_agents_changed"), Some(1.0));
    assert!(!metrics.contains("varta_agent_stall_cause{"), "it is not stalled");
    let why = command(&daemon, &["why", &pid, "--over", "20ms"]);
    let (_, age) = why.split_once(" It executes another program since its last beat ").unwrap();
    let (age, rest) = age.split_once(" s ago, ").unwrap();
    assert!(age.parse::<f64>().unwrap() >= 0.5, "{why}");
    assert!(rest.starts_with("and is not watched for silence before that program"), "{why}");
    daemon.signal(libc::SIGUSR1);
    daemon.wait_for_log("\"why\":\"executing another program since its last beat");
    if let Some(terminal) = terminal {
        wait_until(|| {
            terminal.screen().contains("   executing another program since its last")
        });
        assert!(terminal.screen().contains("1 changed"), "{}", terminal.screen());
    }
    if let Some(browser) = &mut browser {
        browser.wait_for(&format!("{CAUSES}.length === 1"));
        let tile = "document.querySelector('.states [data-state=changed]')";
        browser.wait_for(&format!("!{tile}.hidden && {tile}.firstChild.textContent === '1'"));
    }

    fs::write(&go_on, "").unwrap();
    let row = wait_for_row(&address, |row| row["state"] == "ok");
    assert_eq!((row.get("cause"), &row["stalls"]), (None, &0.into()));
    wait_for_sample(&address, "varta_agents_changed", |count| count == 0.0);
    let why = command(&daemon, &["why", &pid, "--over", "20ms"]);
    assert!(why.contains(&format!("(pid {pid}) is ")) && !why.contains("executes"), "{why}");
    let Some(mut browser) = browser else { return };
    browser.wait_for("document.querySelector('.states [data-state=changed]').hidden");
    let events = browser.value("document.getElementById('events').innerText").to_string();
    assert!(events.contains("beats again") && !events.contains("stalled"), "{events}");
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn the_last_day_of_an_agent_that_executes_another_program_is_not_ok() {
    let folder = Folder::new();
    let history = folder.join("history");
    let flags = ["--history-dir", history.to_str().unwrap()];
    let (mut first, address, _) = daemon(&folder, &flags);
    let go_on = folder.join("go-on");
    let agent = Child::start(|| beat_and_execute(first.socket(), &go_on));
    wait_for_sample(&address, "varta_agents_changed", |count| count == 1.0);
    let row = wait_for_row(&address, |row| row["day"].is_string());
    // A machine that is held may make it stall before that.
    let expected = |row: &Value| if row["stalls"] == 0 { 'n' } else { 's' };
    assert!(row["day"].as_str().unwrap().ends_with(expected(&row)), "{row}");

    // The longest delay of the daemon is forgiven.
    wait_for_row(&address, |row| row["age_ms"].as_u64().is_some_and(|age| age > 4_000));
    fs::write(&go_on, "").unwrap();
    let expected = expected(&wait_for_row(&address, |row| row["state"] == "ok"));
    first.end();
    let (second, address, _) = daemon(&folder, &flags);
    wait_for_sample(&address, "varta_watch_pids_tracked", |count| count == 1.0);
    let row = wait_for_row(&address, |row| row["day"].is_string());
    assert!(row["day"].as_str().unwrap().contains(expected), "{row}");
    drop((agent, second));
}

/// A frozen control group of the first version. Dropping it lets its process go on.
struct Frozen {
    group: PathBuf,
    pid: u32,
}

impl Frozen {
    fn new(freezer: &Path, name: &str, pid: u32) -> Self {
        let group = freezer.join(name);
        fs::create_dir(&group).unwrap();
        fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(group.join("freezer.state"), "FROZEN").unwrap();
        Self { group, pid }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = fs::write(self.group.join("freezer.state"), "THAWED");
        let above = self.group.with_file_name("cgroup.procs");
        let _ = (fs::write(above, self.pid.to_string()), fs::remove_dir(&self.group));
    }
}

fn changes_how_text_is_shown(character: char) -> bool {
    character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character)
}

#[test]
fn hostile_names_in_a_cause_are_shown_escaped() {
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    if !needs_root() {
        return;
    }
    if !freezer.join("cgroup.procs").exists() {
        return kernel_lacks("a control group of the first version that can be frozen");
    }
    let folder = Folder::new();
    let (daemon, address, audit) = daemon(&folder, &["--recovery-on", "hung,frozen"]);
    let browser = page(&address);
    let terminal = Terminal::with_top(&folder, &daemon);
    let agent = Child::start(|| {
        let mut agent = Varta::connect(daemon.socket()).unwrap();
        loop {
            let _ = agent.beat(Status::Ok, 1);
            std::thread::sleep(ms(20));
        }
    });
    wait_for_row(&address, |row| row["pid"] == agent.pid());
    let name = format!("\u{1b}]0;P\u{7}\u{202e}\"<b>{}", agent.pid());
    let escaped = format!(r#"cgroup /\u{{1b}}]0;P\u{{7}}\u{{202e}}"<b>{}"#, agent.pid());
    let text = format!("frozen with its control group ({escaped})");
    let _frozen = Frozen::new(freezer, &name, agent.pid());
    wait_for_row(&address, |row| row["cause"] == "frozen");
    let row = row(&address);
    assert_eq!(
        (&row["cause_detail"], &row["cause_text"]),
        (&escaped.as_str().into(), &text.clone().into())
    );
    let (pid, why) = (agent.pid().to_string(), format!("why={text}"));
    wait_until(|| {
        let spawned = lines_of(&audit, 3, "spawn");
        spawned.iter().any(|line| line[4] == pid && line.contains(&why))
    });
    daemon.wait_for_log(&format!("\"why\":{}", Value::from(text.as_str())));
    let checked = command(&daemon, &["check", "--pid", &pid]);
    assert!(checked.contains(&text), "{checked}");
    let metrics = get(&address, "/metrics").body;
    for shown in [&text_of(&audit).replace('\t', " "), &daemon.log(), &checked, &metrics] {
        let raw = shown.lines().find(|line| line.contains(changes_how_text_is_shown));
        assert_eq!(raw, None);
    }
    if let Some(terminal) = terminal {
        wait_until(|| terminal.screen().contains(&text));
        assert_ne!(terminal.title(), "P");
    }
    let Some(mut browser) = browser else { return };
    browser.wait_for(&format!("{CAUSES}.length === 1"));
    let row = "document.querySelector('#agents tr.why')";
    assert_eq!(
        browser.value(&format!("{row}.querySelector('span').textContent")),
        text.as_str()
    );
    assert_eq!(browser.value(&format!("{row}.querySelectorAll('b, span').length")), 2);
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

/// The files of the process of an agent that a daemon opens or asks for while the agent falls
/// silent and beats again.
fn files_read(causes: &str) -> Vec<String> {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, &["--threshold-ms", "300", "--causes", causes]);
    let agent = Child::start(|| {
        let mut agent = Varta::connect(daemon.socket()).unwrap();
        loop {
            let _ = agent.beat(Status::Ok, 1);
            std::thread::sleep(ms(20));
        }
    });
    let pid = agent.pid();
    let has = |state: &str| command(&daemon, &["check"]).contains(state);
    wait_until(|| has("1 of 1 agents are ok"));
    let calls = folder.join("calls");
    let mut tracer = Command::new("strace");
    tracer.args(["-f", "-q", "-e", "trace=%file", "-o"]).arg(&calls);
    tracer.args(["-p", &daemon.pid().to_string()]);
    let mut tracer = tracer.spawn().unwrap();
    let tasks = PathBuf::from(format!("/proc/{}/task", daemon.pid()));
    let is_traced = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.contains(&format!("TracerPid:\t{}\n", tracer.id()))
    };
    wait_until(|| fs::read_dir(&tasks).unwrap().map(Result::unwrap).all(is_traced));
    signal(pid, libc::SIGSTOP);
    wait_until(|| has("stalled"));
    signal(pid, libc::SIGCONT);
    wait_until(|| has("1 of 1 agents are ok"));
    signal(tracer.id(), libc::SIGINT);
    tracer.wait().unwrap();
    let of_agent = format!("\"/proc/{pid}");
    let calls = text_of(&calls);
    let calls = calls.lines().filter(|line| line.contains(&of_agent));
    calls.map(str::to_owned).collect()
}

#[test]
fn with_causes_off_no_file_of_an_agent_that_is_known_is_read() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped("strace: apt-get install strace");
    }
    assert_eq!(files_read("off"), [""; 0]);
    assert_ne!(files_read("on"), [""; 0]);
}

#[test]
fn with_causes_off_nothing_is_shown_and_its_audit_log_is_continued_with_causes() {
    let folder = Folder::new();
    let (mut quiet, address, audit) = daemon(&folder, &["--causes", "off"]);
    let agent = agent_with_task(&quiet);
    wait_for_row(&address, |row| row["tasks"][0]["state"] == "ok");
    signal(agent.pid(), libc::SIGSTOP);
    let row = wait_for_row(&address, |row| row["tasks"][0]["state"] == "late");
    assert!(!row.to_string().contains("\"cause"), "{row}");
    let metrics = get(&address, "/metrics").body;
    for family in [
        "varta_stall_causes",
        "varta_cause_",
        "varta_agent_stall_cause",
        "varta_agents_changed",
    ] {
        assert!(!metrics.contains(family), "{family}");
    }
    wait_until(|| !lines_of(&audit, 3, "spawn").is_empty());
    quiet.end();
    let before = text_of(&audit);
    assert!(!before.contains("cause="), "{before}");
    assert!(!quiet.log().contains("\"why\""), "{}", quiet.log());

    drop(agent);
    let (mut daemon, address, _) = daemon(&folder, &[]);
    let agent = agent_with_task(&daemon);
    wait_for_row(&address, |row| row["pid"] == agent.pid() && row["state"] == "ok");
    signal(agent.pid(), libc::SIGSTOP);
    wait_until(|| !lines_of(&audit, 3, "refused").is_empty());
    daemon.end();
    assert!(text_of(&audit).starts_with(&before));
    let verified = Command::new(WATCH).args(["audit", "verify"]).arg(&audit).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
