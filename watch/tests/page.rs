//! The live page in a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use support::http::address_of;
use support::{Agent, Browser, Child, Daemon, Folder, crowd, ms, secret, signal, skipped};
use varta::{Status, Varta};

const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn program() -> Option<&'static str> {
    let program = Browser::program();
    if program.is_none() {
        skipped("a browser: apt-get install chromium");
    }
    program
}

fn row_in_state(agent: &Agent, state: &str) -> String {
    let pid = agent.pid();
    format!(
        "[...document.querySelectorAll('#agents tr')].some(row => \
         row.cells[2].textContent === '{pid}' && row.dataset.state === '{state}')"
    )
}

#[test]
fn the_page_shows_that_an_agent_appears_stalls_recovers_and_exits() {
    let Some(program) = program() else { return };
    let folder = Folder::new();
    let daemon =
        Daemon::start(&folder, &["--threshold-ms", "500", "--prom-addr", "127.0.0.1:0"]);
    let mut browser = Browser::start(program, false);
    browser.open(&format!("http://{}/", address_of(&daemon)));
    browser
        .wait_for("document.getElementById('rest').textContent === 'No beats received yet.'");
    let mut agent = Agent::at(daemon.socket());
    browser.wait_for(&row_in_state(&agent, "ok"));
    agent.stop();
    browser.wait_for(&row_in_state(&agent, "stalled"));
    browser.wait_for("document.title === '(1 stalled) varta'");
    agent.resume();
    browser.wait_for(&row_in_state(&agent, "ok"));
    agent.kill();
    browser.wait_for("document.querySelectorAll('#agents tr').length === 0");
    browser
        .wait_for("document.getElementById('events').innerText.includes('killed by signal 9')");
    let text = browser.value("document.getElementById('events').innerText").to_string();
    for words in ["appeared", "stalled", "recovered", "exited"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn the_page_shows_a_late_task_below_its_agent() {
    let Some(program) = program() else { return };
    let folder = Folder::new();
    let daemon =
        Daemon::start(&folder, &["--threshold-ms", "60000", "--prom-addr", "127.0.0.1:0"]);
    let mut browser = Browser::start(program, false);
    let mut agent = Varta::open(daemon.socket()).unwrap();
    let _ = agent.beat(Status::Ok, 1);
    let mut task = agent.task("ingest", ms(500)).unwrap();
    task.idle();
    browser.open(&format!("http://{}/", address_of(&daemon)));
    let state = |state: &str| {
        format!(
            "(row => row.className === 'task' && row.cells[1].textContent === 'ingest' \
             && row.dataset.state === '{state}')(document.querySelectorAll('#agents tr')[1])"
        )
    };
    browser.wait_for(&state("idle"));
    let _ = task.beat(Status::Ok, 2);
    browser.wait_for(&state("late"));
    browser.wait_for("document.title === '(1 late task) varta'");
    task.idle();
    browser.wait_for(&state("idle"));
    browser.wait_for("document.title === 'varta'");
    let text = browser.value("document.getElementById('events').innerText").to_string();
    for words in ["task ingest is late (beat)", "task ingest is no longer late"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn the_page_asks_for_the_token_and_does_not_store_it() {
    let Some(program) = program() else { return };
    let folder = Folder::new();
    let token = secret(&folder, "token", TOKEN);
    let flags = ["--threshold-ms", "5000", "--prom-addr", "127.0.0.1:0", "--prom-token-file"];
    let daemon = Daemon::start(&folder, &[&flags[..], &[token.to_str().unwrap()]].concat());
    let agent = Agent::at(daemon.socket());
    let mut browser = Browser::start(program, true);
    browser.open(&format!("http://{}/", address_of(&daemon)));
    browser.wait_for("document.getElementById('login').hidden === false");
    let enter = |token: &str| {
        format!(
            "document.getElementById('token').value = '{token}'; \
             document.getElementById('login').requestSubmit()"
        )
    };
    browser.value(&enter("wrong"));
    browser.wait_for("document.getElementById('refused').textContent === 'Wrong token.'");
    browser.value(&enter(TOKEN));
    browser.wait_for(&row_in_state(&agent, "ok"));
    assert_eq!(browser.value("document.getElementById('login').hidden"), true);
    assert_eq!(browser.value("document.cookie + Object.keys(localStorage)"), "");
    assert_eq!(
        browser.value("getComputedStyle(document.body).backgroundColor"),
        "rgb(18, 22, 27)"
    );
}

#[test]
fn the_page_shows_2000_agents_without_errors() {
    let Some(program) = program() else { return };
    let folder = Folder::new();
    let http = ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"];
    let udp = ["--udp-port", "0", "--i-accept-plaintext-udp", "--udp-bind-addr", "127.0.0.1"];
    let flags = [&["--threshold-ms", "60000"][..], &http, &udp].concat();
    let daemon = Daemon::start(&folder, &flags);
    crowd(&daemon, &address_of(&daemon), 2_000);
    let mut browser = Browser::start(program, false);
    browser.open(&format!("http://{}/", address_of(&daemon)));
    browser.wait_for("document.querySelector('.states b').textContent === '2,000'");
    assert_eq!(browser.value("document.querySelectorAll('#agents tr').length"), 300);
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

/// Makes the agents of all further reports a day old.
const DAYS: &str = r"
    const answerOf = fetch;
    window.fetch = async (...request) => {
      const report = await (await answerOf(...request)).json();
      for (const agent of [...report.agents, ...report.gone]) {
        const day = [...'o'.repeat(48)];
        if (agent.stalls) day.fill('s', 46);
        if (agent.program === 'indexer') day[20] = 's';
        if (agent.program === 'ledger') day.fill('.', 0, 17);
        if (!agent.state) day.fill('g', 47);
        agent.day = day.join('');
      }
      return new Response(JSON.stringify(report));
    };
    0";

/// Takes the screenshot for the docs: `VARTA_PICTURE=docs/watch-page.png` replaces it.
#[test]
fn the_page_can_show_the_scene_in_the_docs() {
    let Some(program) = program() else { return };
    let folder = Folder::new();
    let history = folder.join("history");
    let flags = ["--threshold-ms", "1500", "--prom-addr", "127.0.0.1:0", "--causes", "on"];
    let more = ["--history-dir", history.to_str().unwrap()];
    let daemon = Daemon::start(&folder, &[&flags[..], &more].concat());
    let mut browser = Browser::start(program, false);
    browser.open(&format!("http://{}/", address_of(&daemon)));
    browser.wait_for("document.getElementById('link').textContent === 'live'");
    let agents = [
        ("payments", Status::Ok),
        ("scheduler", Status::Ok),
        ("mail-out", Status::Ok),
        ("indexer", Status::Ok),
        ("thumbnails", Status::Ok),
        ("cache", Status::Degraded),
        ("ledger", Status::Critical),
    ]
    .map(|(name, status)| start_agent(&daemon, name, status));
    browser.wait_for("document.querySelectorAll('#agents tr:not(.why)').length === 7");
    signal(agents[1].pid(), libc::SIGSTOP);
    browser.wait_for("document.title === '(1 stalled) varta'");
    signal(agents[1].pid(), libc::SIGCONT);
    browser.wait_for("document.title === 'varta'");
    signal(agents[3].pid(), libc::SIGSTOP);
    signal(agents[4].pid(), libc::SIGKILL);
    browser.wait_for("document.title === '(1 stalled) varta'");
    browser.wait_for("document.querySelectorAll('#agents tr:not(.why)').length === 6");
    browser.wait_for("document.querySelector('tr.why').innerText.includes('SIGSTOP')");
    // The history of the agents is as young as they are. For the picture they are a day old.
    browser.value(DAYS);
    browser.wait_for("document.querySelectorAll('#agents .day [role=img]').length === 7");
    let day = "document.querySelector('#agents .day [role=img]').getAttribute('aria-label')";
    assert_eq!(browser.value(day), "last day: ok 22.5 h, silent 1.5 h");
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG"));
    if let Some(path) = std::env::var_os("VARTA_PICTURE") {
        std::fs::write(path, picture).unwrap();
    }
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

/// A process with this name that beats ten times a second.
fn start_agent(daemon: &Daemon, name: &str, status: Status) -> Child {
    Child::start(|| {
        std::fs::write("/proc/self/comm", name).unwrap();
        let mut agent = Varta::connect(daemon.socket()).unwrap();
        for payload in 1_200.. {
            // A failed beat does not matter; the next one follows soon.
            let _ = agent.beat(status, payload);
            std::thread::sleep(ms(100));
        }
    })
}
