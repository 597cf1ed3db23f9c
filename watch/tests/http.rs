//! HTTP: who is answered, and what clients that misbehave cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::process::Command;

use support::http::{
    Reply, address_of, connect, connect_from, get, get_with, sample, send, wait_for_sample,
};
use support::{Agent, Daemon, Folder, WATCH, ms, secret, wait_until};

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

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn each_path_has_its_answer() {
    let folder = Folder::new();
    let (daemon, address) = unlimited(&folder);
    let agent = Agent::at(daemon.socket());
    let page = get(&address, "/");
    assert!(page.status == 200 && page.body.starts_with("<!doctype html>"), "{page:?}");
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{page:?}");
    assert!(!page.body.contains("https://"), "it loads nothing from elsewhere");
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

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let folder = Folder::new();
    let mut command = Command::new(WATCH);
    command.arg("--socket").arg(folder.join("varta.sock"));
    let ended = command.args(["--threshold-ms", "2000", "--prom-addr", "0.0.0.0:0"]).output();
    let ended = ended.unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("--prom-token-file"), "{said}");
}

#[test]
fn without_the_right_token_nothing_is_shown() {
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
    // These tell nothing.
    assert_eq!(get(&address, "/").status, 200);
    assert_eq!(get(&address, "/healthz").status, 200);
    let mut metrics = String::new();
    // Scrapes that follow each other closely are given the same.
    wait_until(|| {
        metrics = get_with(&address, "/metrics", &bearer(TOKEN)).body;
        sample(&metrics, "varta_prom_auth_failures_total") == Some(10.0)
    });
    // Theirs is one counter.
    assert_eq!(sample(&metrics, "varta_frame_auth_failures_total"), Some(0.0));
    secret(&folder, "token", OTHER);
    daemon.signal(libc::SIGHUP);
    wait_until(|| get_with(&address, "/agents", &bearer(OTHER)).status == 200);
    assert_eq!(get_with(&address, "/agents", &bearer(TOKEN)).status, 401);
}

#[test]
fn who_asks_too_often_is_told_so() {
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
fn a_request_that_comes_in_pieces_is_answered() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let mut stream = connect(&address);
    for piece in ["GET /met", "rics HTTP/1.1\r\nHo", "st: x\r\nConnection: close\r\n", "\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        // Slowness is what is tested; the answer does not depend on how slow it is.
        std::thread::sleep(ms(150));
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Reply::of(&answer).status, 200);
}

#[test]
fn requests_one_after_the_other_are_all_answered() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = send(&address, (one.repeat(9) + last).as_bytes()).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 10);
}

#[test]
fn what_is_no_request_is_refused() {
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
        // It may close before all has been sent.
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
fn clients_that_hang_cost_no_agent_anything() {
    let folder = Folder::new();
    let (daemon, address) = unlimited(&folder);
    let agent = Agent::at(daemon.socket());
    // Half a request, nothing at all, or an answer that nobody reads.
    let held: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = connect_from(2 + number / 30, &address);
            let said: &[u8] = match number % 3 {
                0 => b"GET /metrics HTTP/1.1\r\nHost",
                1 => b"",
                _ => b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /agents HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            stream.write_all(said).unwrap();
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

#[test]
fn who_holds_on_to_connections_keeps_no_other_source_out() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let held: Vec<_> = (0..300)
        .map(|number| {
            let mut stream = connect_from(2, &address);
            // One that was closed at once may be reset by now.
            let half = if number % 2 == 0 { "" } else { "GET /metrics HTTP/1.1\r\nHost" };
            let _ = stream.write_all(half.as_bytes());
            stream
        })
        .collect();
    let metrics = get(&address, "/metrics");
    assert_eq!(metrics.status, 200);
    let name = "varta_prom_connections_dropped_total{reason=\"drain\"}";
    assert_eq!(sample(&metrics.body, name), Some(300.0 - 32.0));
    drop(held);
}

#[test]
fn beyond_the_most_connections_the_next_is_closed_and_counted() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let held: Vec<_> = (0..=255).map(|it| connect_from(2 + it / 32, &address)).collect();
    let mut one_more = connect(&address);
    let mut answer = Vec::new();
    // A reset is a way to close too.
    let _ = one_more.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let _ = one_more.read_to_end(&mut answer);
    assert!(answer.is_empty());
    for stream in &held {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    let name = "varta_prom_connections_dropped_total{reason=\"drain\"}";
    wait_until(|| {
        let answer = send(&address, b"GET /metrics HTTP/1.0\r\n\r\n").unwrap_or_default();
        answer.starts_with(b"HTTP/1.0 200")
            && sample(&Reply::of(&answer).body, name).is_some_and(|count| count >= 1.0)
    });
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_the_flag() {
    let folder = Folder::new();
    let (_daemon, address) = unlimited(&folder);
    let mut command = Command::new(WATCH);
    command.arg("--socket").arg(folder.join("other.sock"));
    let ended =
        command.args(["--threshold-ms", "2000", "--prom-addr", &address]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains(&format!("--prom-addr {address}")), "{said}");
    assert!(!Path::new(&folder.join("other.sock")).exists());
}
