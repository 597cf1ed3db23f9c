//! A reload must change the settings that it can, and must lose no agent.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;

use support::{Agent, Daemon, Folder, script, secret, wait_until};
use varta::{Status, Varta};

#[test]
fn a_reload_changes_settings_and_loses_no_agent() {
    let folder = Folder::new();
    let file = folder.join("varta.toml");
    let command = script(&folder, "command", "#!/bin/sh\nexit 0\n");
    fs::write(&file, "threshold-ms = 60000\n").unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let mut daemon = Daemon::start(&folder, &config);
    let mut agents = Agent::crowd(daemon.socket(), 20);

    // An invalid file changes nothing, and the log says why.
    fs::write(&file, "threshold-ms = 700\nthreshold-ms = 800\n").unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("not reloaded, the old settings stay in force");
    assert!(daemon.log().contains("line 2"), "{}", daemon.log());

    let text = format!(
        "threshold-ms = 700\nrecovery-exec = \"{}\"\ntracker-capacity = 9\n",
        command.display()
    );
    fs::write(&file, text).unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("\"reloaded\"");
    assert_eq!(
        daemon.count_logged("\"tracker-capacity\""),
        1,
        "the setting that needs a restart must be logged"
    );

    // A stall while the queue was full is marked, and starts no command; an exit does.
    agents[0].stop();
    daemon.wait_for_log("\"stall, ");
    agents[1].kill();
    daemon.wait_for_log("recovery: command started");
    daemon.signal(libc::SIGUSR1);
    daemon.wait_for_lines("\"state: agent\"", 19);
    // No agent was confused with another or forgotten.
    assert_eq!(daemon.count_logged("\"exit, "), 1);
    daemon.end();
}

#[test]
fn a_reload_changes_the_key() {
    let folder = Folder::new();
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let key = secret(&folder, "key", &old);
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port_text = port.to_string();
    let flags = ["--udp-port", &port_text, "--key-file", key.to_str().unwrap()];
    let mut daemon =
        Daemon::start(&folder, &[&["--threshold-ms", "60000"][..], &flags].concat());
    let other = secret(&folder, "other", &new);
    let beat_with = |file: &Path| {
        let endpoint = format!("udp+secure://127.0.0.1:{port}?key-file={}", file.display());
        let _ = Varta::open(endpoint).unwrap().beat(Status::Ok, 1);
    };
    let agents = |count: usize| {
        daemon.signal(libc::SIGUSR1);
        daemon.log().lines().filter(|line| line.contains("\"state: agent\"")).count() >= count
    };
    beat_with(&other);
    fs::write(&key, &new).unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("\"reloaded\"");
    wait_until(|| {
        beat_with(&other);
        agents(1)
    });
    daemon.end();
}
