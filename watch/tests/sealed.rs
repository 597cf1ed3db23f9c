//! What the daemon does with recorded beats over sealed UDP after a restart.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use support::http::{address_of, get, sample, wait_for_sample};
use support::{Daemon, Folder, secret, wait_until};
use varta::secure::{Cipher, Iv, Key};
use varta::{Frame, Status, Varta};

/// A key and a port for sealed UDP, which several daemons use one after the other.
struct SealedPort {
    folder: Folder,
    key: PathBuf,
    port: u16,
}

impl SealedPort {
    fn new() -> Self {
        let folder = Folder::new();
        let key = secret(&folder, "key", &"11".repeat(32));
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, key, port }
    }

    fn start(&self, flags: &[&str]) -> (Daemon, String) {
        let port = self.port.to_string();
        let http = ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"];
        let udp = ["--udp-port", &port, "--key-file", self.key.to_str().unwrap()];
        // Each daemon has a log of its own.
        let _ = fs::remove_file(self.folder.join("log"));
        let daemon = Daemon::start(&self.folder, &[&http[..], &udp, flags].concat());
        let address = address_of(&daemon);
        (daemon, address)
    }

    /// Sends the beat with this counter, made this long after its agent connected.
    fn send(&self, from: &str, counter: u32, timestamp: Duration) {
        let mut wire = [0; 32];
        let timestamp = timestamp.as_nanos().try_into().unwrap();
        Frame::new(Status::Ok, 4321, timestamp, counter.into(), 0).encode(&mut wire);
        let cipher = Cipher::new(&Key::from_bytes([0x11; 32]));
        let datagram = cipher.seal(Iv { prefix: *b"recorded", counter }, &wire).unwrap();
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.send_to(&datagram, ("127.0.0.1", self.port)).unwrap();
    }
}

const REPLAYS: &str = "varta_dropped_total{reason=\"replay\"}";
const BEATS: &str = "varta_beats_total{pid=\"4321\"}";

#[test]
fn with_a_state_file_a_recorded_beat_is_refused_after_a_restart() {
    let sealed = SealedPort::new();
    let state = sealed.folder.join("sessions");
    let flags = [
        ["--threshold-ms", "60000"],
        ["--max-beat-rate", "0"],
        ["--secure-state-file", state.to_str().unwrap()],
    ]
    .concat();
    let send = |from, counters: std::ops::RangeInclusive<u32>| {
        counters.for_each(|at| sealed.send(from, at, Duration::from_millis(at.into())));
    };
    let (mut daemon, http) = sealed.start(&flags);
    send("127.0.0.1", 1..=20);
    wait_for_sample(&http, BEATS, |beats| beats == 20.0);
    daemon.signal(libc::SIGKILL);
    daemon.wait();

    let (mut daemon, http) = sealed.start(&flags);
    send("127.0.0.9", 1..=20);
    wait_for_sample(&http, REPLAYS, |replays| replays == 20.0);
    assert_eq!(
        sample(&get(&http, "/metrics").body, BEATS),
        None,
        "a recording is not a live agent"
    );
    // The agent's new beats count, after eight of them at the latest.
    send("127.0.0.1", 21..=28);
    wait_for_sample(&http, BEATS, |beats| beats >= 1.0);
    let metrics = get(&http, "/metrics").body;
    assert!(!metrics.contains("varta_agent_unconfirmed{"), "{metrics}");
    daemon.end();

    // An orderly restart loses no beat.
    let (mut daemon, http) = sealed.start(&flags);
    send("127.0.0.1", 28..=29);
    wait_for_sample(&http, BEATS, |beats| beats == 1.0);
    assert_eq!(sample(&get(&http, "/metrics").body, REPLAYS), Some(1.0));
    daemon.end();
}

#[test]
fn without_a_state_file_a_recorded_beat_starts_no_command() {
    let sealed = SealedPort::new();
    let (mut daemon, http) = sealed.start(&[
        "--threshold-ms",
        "700",
        "--recovery-exec",
        "/bin/true",
        "--secure-udp-i-accept-recovery-on-unauthenticated-transport",
    ]);
    for counter in 1..=5 {
        sealed.send("127.0.0.9", counter, Duration::from_secs(counter.into()));
    }
    let refused = "varta_recovery_refused_total{reason=\"unconfirmed_agent\"}";
    wait_for_sample(&http, refused, |count| count == 1.0);
    let unconfirmed = "varta_agent_unconfirmed{program=\"\",agent=\"1\"}";
    assert_eq!(sample(&get(&http, "/metrics").body, unconfirmed), Some(1.0));

    // An agent that connects now is confirmed by its timestamps.
    let endpoint =
        format!("udp+secure://127.0.0.1:{}?key-file={}", sealed.port, sealed.key.display());
    let mut agent = Varta::open(endpoint).unwrap();
    let of_agent = "varta_agent_unconfirmed{program=\"\",agent=\"2\"}";
    let mut beats = 0;
    wait_until(|| {
        let _ = agent.beat(Status::Ok, 0);
        beats += 1;
        let metrics = get(&http, "/metrics").body;
        std::thread::sleep(Duration::from_millis(50));
        beats > 2 && metrics.contains("agent=\"2\"") && sample(&metrics, of_agent).is_none()
    });
    drop(agent);
    daemon.wait_for_log("recovery: command started");
    daemon.end();
}
