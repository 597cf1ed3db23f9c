//! HTTP: which requests are answered, and what misbehaving clients cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]
#![allow(unsafe_code, reason = "the name of a program")]

mod support;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use support::http::{
    Reply, address_of, connect, connect_from, connect_from_address, get, get_with, sample,
    send, wait_for_sample,
};
use support::{Agent, Child, Daemon, Folder, WATCH, crowd, ms, secret, text_of, wait_until};

const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn serving(folder: &Folder, flags: &[&str]) -> (Daemon, String) {
    let mut all = vec!["--threshold-ms", "2000", "--prom-addr", "127.0.0.1:0"];
    all.extend_from_slice(flags);
    let daemon = Daemon::start(folder, &all);
    let address = address_of(&daemon);
    (daemon, address)
}

fn unlimited(folder: &Folder) -> (Daemon, String) {
    serving(folder, &["--prom-rate-limit-burst", "0"])
}

/// A daemon with room for many agents.
fn roomy(folder: &Folder) -> (Daemon, String) {
    let udp = ["--i-accept-plaintext-udp", "--udp-port", "0", "--udp-bind-addr", "127.0.0.1"];
    let more = ["--prom-rate-limit-burst", "0", "--tracker-capacity", "8192"];
    serving(folder, &[&udp[..], &more, &["--threshold-ms", "600000"]].concat())
}

/// The daemon's peak resident memory.
fn peak_bytes(daemon: &Daemon) -> usize {
    let status = text_of(Path::new(&format!("/proc/{}/status", daemon.pid())));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kib * 1024
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn every_path_answers() {
    let folder = Folder::new();
    let (daemon, address) = unlimited(&folder);
    let agent = Agent::at(daemon.socket());
    let page = get(&address, "/");
    assert!(page.status == 200 && page.body.starts_with("<!doctype html>"), "{page:?}");
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{page:?}");
    assert!(!page.body.contains("https://"), "the page must load nothing from other hosts");
    let health = get(&address, "/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "watching\n"));
    let agents: serde_json::Value =
        serde_json::from_str(&get(&address, "/agents").body).unwrap();
    let row = &agents["agents"][0];
    assert_eq!(row["pid"], agent.pid());
    assert_eq!((row["state"].as_str(), row["status"].as_str()), (Some("ok"), Some("ok")));
    assert_eq!(get(&address, "/nothing").status, 404);
    let posted = Reply::of(&send(&address, b"POST /metrics HTTP/1.0\r\n\r\n").unwrap());
    assert!(posted.status == 405 && posted.head.contains("allow: get, head"), "{posted:?}");
    let head = Reply::of(&send(&address, b"HEAD /metrics HTTP/1.0\r\n\r\n").unwrap());
    assert!(head.status == 200 && head.body.is_empty(), "{head:?}");
}

/// The only agent in the answer to a request for all.
fn only_agent(address: &str) -> serde_json::Value {
    let agents = serde_json::from_str::<serde_json::Value>(&get(address, "/agents").body);
    agents.unwrap()["agents"].get(0).cloned().unwrap_or_default()
}

#[test]
fn an_agent_is_shown_by_the_name_that_it_declares() {
    let folder = Folder::new();
    let (mut daemon, address) = unlimited(&folder);
    let endpoint: varta::Endpoint = daemon.socket().to_str().unwrap().parse().unwrap();
    // It is heard before it declares a name, when it has a page.
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let mut child = Child::start(|| {
        // SAFETY: the text ends with a NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"worker".as_ptr()) };
        let mut frame = [0; varta::FRAME_BYTES];
        varta::Frame::new(varta::Status::Ok, std::process::id(), 0, 1, 0).encode(&mut frame);
        socket.send_to(&frame, daemon.socket()).unwrap();
        wait_until(|| only_agent(&address)["pid"] == std::process::id());
        let options = varta::Options::default().name("indexer\x1b[2J\"");
        let mut agent = varta::Varta::open_with(&endpoint, options).unwrap();
        loop {
            let _ = agent.beat(varta::Status::Ok, 0);
            std::thread::sleep(ms(20));
        }
    });
    let label = r#"indexer\u{1b}[2J""#;
    wait_until(|| only_agent(&address)["program"] == label);
    assert_eq!(only_agent(&address)["comm"], "worker");
    let escaped = label.replace('\\', r"\\").replace('"', r#"\""#);
    let metric = format!("program=\"{escaped}\"");
    wait_until(|| get(&address, "/metrics").body.contains(&metric));
    support::signal(child.pid(), libc::SIGKILL);
    child.wait();
    daemon.wait_for_log("exit, killed by signal 9");
    let line = daemon
        .log()
        .lines()
        .find(|line| line.contains("killed by signal 9"))
        .unwrap()
        .to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["program"], label);
    daemon.end();
}

/// If its name is not found soon, an agent keeps that of its program. Then another is tried.
#[test]
fn an_interpreter_is_shown_by_its_script() {
    let folder = Folder::new();
    let (daemon, address) = unlimited(&folder);
    let sender = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/senders/sender.py");
    wait_until(|| {
        let mut python = Child::start(|| {
            let error = Command::new("python3").arg(sender).arg(daemon.socket()).exec();
            panic!("cannot start Python: {error}");
        });
        let mut row = serde_json::Value::Null;
        wait_until(|| {
            row = only_agent(&address);
            row["pid"] == python.pid()
        });
        for _ in 0..20 {
            if row["program"] != "sender.py" {
                std::thread::sleep(ms(20));
                row = only_agent(&address);
            }
        }
        assert!(row["comm"].as_str().unwrap().starts_with("python"), "{row}");
        support::signal(python.pid(), libc::SIGKILL);
        python.wait();
        wait_until(|| only_agent(&address).is_null());
        row["program"] == "sender.py"
    });
}

#[test]
fn an_address_that_other_machines_can_reach_needs_a_token() {
    let folder = Folder::new();
    let mut command = Command::new(WATCH);
    command.arg("--socket").arg(folder.join("varta.sock"));
    let ended = command.args(["--threshold-ms", "2000", "--prom-addr", "0.0.0.0:0"]).output();
    let ended = ended.unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.contains("--prom-token-file"), "{text}");
}

#[test]
fn without_the_right_token_agents_and_metrics_are_refused() {
    let folder = Folder::new();
    let token = secret(&folder, "token", TOKEN);
    let flags = ["--prom-addr", "0.0.0.0:0", "--prom-token-file", token.to_str().unwrap()];
    let (daemon, address) =
        serving(&folder, &[&flags[..], &["--prom-rate-limit-burst", "0"]].concat());
    let address = address.replace("0.0.0.0", "127.0.0.1");
    for path in ["/metrics", "/agents"] {
        for head in
            ["", &bearer(OTHER), &bearer(&TOKEN[..63]), &bearer(""), "Authorization: x\r\n"]
        {
            let reply = get_with(&address, path, head);
            assert_eq!(reply.status, 401, "{path} {head}");
            assert!(reply.head.contains("www-authenticate: bearer"), "{reply:?}");
        }
        assert_eq!(get_with(&address, path, &bearer(TOKEN)).status, 200);
    }
    // These two show nothing about agents.
    assert_eq!(get(&address, "/").status, 200);
    assert_eq!(get(&address, "/healthz").status, 200);
    let mut metrics = String::new();
    // Scrapes in quick succession get the same cached answer.
    wait_until(|| {
        metrics = get_with(&address, "/metrics", &bearer(TOKEN)).body;
        sample(&metrics, "varta_prom_auth_failures_total") == Some(10.0)
    });
    // Authentication failures of frames have a counter of their own.
    assert_eq!(sample(&metrics, "varta_frame_auth_failures_total"), Some(0.0));
    secret(&folder, "token", OTHER);
    daemon.signal(libc::SIGHUP);
    wait_until(|| get_with(&address, "/agents", &bearer(OTHER)).status == 200);
    assert_eq!(get_with(&address, "/agents", &bearer(TOKEN)).status, 401);
}

#[test]
fn without_a_token_only_requests_for_a_known_host_name_are_answered() {
    let folder = Folder::new();
    let token = secret(&folder, "token", TOKEN);
    let (_with_names, with_names) = serving(
        &folder,
        &[
            "--prom-rate-limit-burst",
            "0",
            "--http-host",
            "monitor.example",
            "--http-host",
            "two",
        ],
    );
    let other = Folder::new();
    let flags = ["--prom-rate-limit-burst", "0", "--prom-token-file", token.to_str().unwrap()];
    let (_with_token, with_token) = serving(&other, &flags);
    let status = |address: &str, target: &str, version: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let more = format!("{}Connection: close\r\n", bearer(TOKEN));
        let request = format!("GET {target} HTTP/{version}\r\n{hosts}{more}\r\n");
        Reply::of(&send(address, request.as_bytes()).unwrap()).status
    };
    for (target, version, hosts, without, with) in [
        ("/agents", "1.1", &["localhost"][..], 200, 200),
        ("/agents", "1.1", &["127.0.0.1:9464"], 200, 200),
        ("/agents", "1.1", &["[::1]"], 200, 200),
        ("/agents", "1.1", &["Monitor.Example:9464"], 200, 200),
        ("/metrics", "1.1", &["two"], 200, 200),
        ("http://two/agents", "1.1", &["two"], 200, 200),
        ("/agents", "1.0", &[], 200, 200),
        ("/agents", "1.1", &["evil.example"], 421, 200),
        ("/metrics", "1.1", &["evil.example:9464"], 421, 200),
        ("/", "1.1", &["evil.example"], 421, 200),
        ("/agents", "1.0", &["evil.example"], 421, 200),
        ("http://evil.example/agents", "1.1", &["evil.example"], 421, 200),
        ("http://evil.example/agents", "1.1", &["localhost"], 400, 400),
        ("http://evil.example/agents", "1.0", &[], 421, 200),
        ("/agents", "1.1", &[], 400, 400),
        ("/agents", "1.1", &["localhost", "localhost"], 400, 400),
        ("/agents", "1.1", &["localhost", "evil.example"], 400, 400),
        ("/agents", "1.1", &["evil.example@localhost"], 400, 400),
    ] {
        assert_eq!(status(&with_names, target, version, hosts), without, "{target} {hosts:?}");
        assert_eq!(
            status(&with_token, target, version, hosts),
            with,
            "{target} {hosts:?}, token"
        );
    }
}

#[test]
fn a_client_over_the_rate_limit_gets_429_and_retry_after() {
    let folder = Folder::new();
    let (_daemon, address) =
        serving(&folder, &["--prom-rate-limit-per-sec", "1", "--prom-rate-limit-burst", "3"]);
    let replies: Vec<_> = (0..20).map(|_| get(&address, "/healthz")).collect();
    assert!(replies[..3].iter().all(|reply| reply.status == 200), "{replies:?}");
    let refused = replies.iter().find(|reply| reply.status == 429).expect("none was refused");
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    let name = "varta_prom_connections_dropped_total{reason=\"rate_limit\"}";
    wait_for_sample(&address, name, |count| count >= 1.0);
}

#[test]
fn a_request_that_arrives_in_pieces_is_answered() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let mut stream = connect(&address);
    for piece in
        ["GET /met", "rics HTTP/1.1\r\nHo", "st: localhost\r\nConnection: close\r\n", "\r\n"]
    {
        stream.write_all(piece.as_bytes()).unwrap();
        // The test is about slow clients; its result does not depend on how slow they are.
        std::thread::sleep(ms(150));
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Reply::of(&answer).status, 200);
}

#[test]
fn pipelined_requests_are_all_answered() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let one = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = send(&address, (one.repeat(9) + last).as_bytes()).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 10);
}

#[test]
fn an_invalid_request_is_refused() {
    let folder = Folder::new();
    let (daemon, address) = unlimited(&folder);
    let huge = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "{}\n\n",
        &huge,
        &many,
        &long,
    ] {
        // The server may close the connection before all of it is sent.
        if let Ok(answer) = send(&address, request.as_bytes()) {
            assert!(
                !answer.starts_with(b"HTTP/1.1 200"),
                "{}",
                &request[..20.min(request.len())]
            );
        }
    }
    assert_eq!(get(&address, "/healthz").status, 200);
    assert_eq!(daemon.count_logged("panicked"), 0);
}

#[test]
fn clients_that_hang_do_not_affect_agents() {
    let folder = Folder::new();
    let (daemon, address) = unlimited(&folder);
    let agent = Agent::at(daemon.socket());
    // Half a request, no request, or answers that are never read.
    let held: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = connect_from(2 + number / 30, &address);
            let request: &[u8] = match number % 3 {
                0 => b"GET /metrics HTTP/1.1\r\nHost",
                1 => b"",
                _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /agents HTTP/1.1\r\nHost: localhost\r\n\r\n",
            };
            stream.write_all(request).unwrap();
            stream
        })
        .collect();
    let beats = format!("varta_beats_total{{pid=\"{}\"}}", agent.pid());
    let before = sample(&get(&address, "/metrics").body, &beats).unwrap();
    wait_for_sample(&address, &beats, |now| now >= before + 50.0);
    let metrics = get(&address, "/metrics").body;
    assert_eq!(sample(&metrics, "varta_silences_total"), Some(0.0));
    drop(held);
}

/// Opens connections and sends requests from eight sources until it is dropped.
struct ConnectionFlood {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl ConnectionFlood {
    fn of(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flood_from = |last: u8| {
            let (address, stop) = (address.to_owned(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut held: VecDeque<TcpStream> = VecDeque::new();
                while !stop.load(Ordering::Relaxed) {
                    if held.len() == 64 {
                        held.pop_front();
                    }
                    let mut stream = connect_from(last, &address);
                    let _ = stream.write_all(b"G");
                    held.push_back(stream);
                    // Connections that are still open send a request and stay open.
                    for stream in held.iter_mut().rev().take(4) {
                        let _ = stream
                            .write_all(b"ET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nG");
                    }
                    std::thread::sleep(ms(20));
                }
            })
        };
        let threads = (2..10).map(flood_from).collect();
        Self { stop, threads }
    }
}

impl Drop for ConnectionFlood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn scrapes_and_probes_are_answered_while_other_clients_hold_all_connections() {
    let folder = Folder::new();
    let (_daemon, address) = serving(&folder, &["--prom-rate-limit-burst", "60"]);
    let held: Vec<_> = (2..10)
        .cycle()
        .take(400)
        .map(|last| {
            let mut stream = connect_from(last, &address);
            let _ = stream.write_all(b"G");
            stream
        })
        .collect();
    let flood = ConnectionFlood::of(&address);
    for _ in 0..12 {
        assert_eq!(get(&address, "/metrics").status, 200);
        assert_eq!(get(&address, "/healthz").status, 200);
        std::thread::sleep(ms(100));
    }
    drop(flood);
    let metrics = get(&address, "/metrics").body;
    let name = "varta_prom_connections_dropped_total{reason=\"drain\"}";
    assert!(sample(&metrics, name).unwrap() >= 144.0, "the oldest were closed:\n{metrics}");
    drop(held);
}

#[test]
fn requests_from_many_addresses_do_not_use_up_the_rate_of_another() {
    let folder = Folder::new();
    let (_daemon, address) = serving(&folder, &[]);
    for number in 0..1_100_u32 {
        let from = Ipv4Addr::from_bits(0x7F01_0000 + number);
        let mut stream = connect_from_address(from, &address);
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.0 200"), "{from}");
    }
    for _ in 0..10 {
        assert_eq!(get(&address, "/metrics").status, 200);
    }
}

#[test]
fn requests_with_the_token_have_a_rate_of_their_own() {
    let folder = Folder::new();
    let token = secret(&folder, "token", TOKEN);
    let (_daemon, address) = serving(
        &folder,
        &["--prom-token-file", token.to_str().unwrap(), "--prom-rate-limit-per-sec", "1"],
    );
    wait_until(|| get(&address, "/metrics").status == 429);
    assert_eq!(get_with(&address, "/metrics", &bearer(TOKEN)).status, 200);
}

#[test]
fn connections_with_no_complete_request_or_with_unread_answers_are_closed() {
    let folder = Folder::new();
    let (daemon, address) = roomy(&folder);
    crowd(&daemon, &address, 1_000);
    let silent = connect(&address);
    let mut slow = connect(&address);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost").unwrap();
    let mut unread = connect(&address);
    // More answers than fit into the buffers of both ends.
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    unread.write_all(&request.repeat(40)).unwrap();
    for mut stream in [silent, slow] {
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    // Writing fails once the other end has closed the connection.
    wait_until(|| unread.write_all(b"G").is_err());
}

#[test]
fn slow_readers_share_one_answer() {
    let folder = Folder::new();
    let (daemon, address) = roomy(&folder);
    crowd(&daemon, &address, 4_000);
    let body = get(&address, "/metrics").body.len();
    let before = peak_bytes(&daemon);
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let readers: Vec<_> = (0..120_u8)
        .map(|number| {
            let mut stream = connect_from(2 + number % 8, &address);
            // More answers than fit into the kernel's buffers.
            stream.write_all(&request.repeat(8)).unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
            // Long enough for the next reader to get a new snapshot.
            std::thread::sleep(ms(55));
            stream
        })
        .collect();
    let grown = peak_bytes(&daemon) - before;
    // There is one answer per second, and none is kept for longer than ten.
    assert!(body > 500_000 && grown < 40 * body, "{grown} bytes for answers of {body}");
    drop(readers);
}

#[test]
fn an_address_in_use_is_an_error_that_names_the_flag() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let mut command = Command::new(WATCH);
    command.arg("--socket").arg(folder.join("other.sock"));
    let ended =
        command.args(["--threshold-ms", "2000", "--prom-addr", &address]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.contains(&format!("--prom-addr {address}")), "{text}");
    assert!(!Path::new(&folder.join("other.sock")).exists());
}
