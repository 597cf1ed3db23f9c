//! The metrics must be well-formed, correct, bounded, and listed in the docs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use support::http::{address_of, get, get_with, sample, wait_for_sample};
use support::{
    Agent, Daemon, Folder, crowd, secret, skipped, text_of, varta_watch_0_2, wait_until,
};
use varta::{BeatOutcome, Status, Varta};

const HTTP: [&str; 4] = ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"];
const UDP: [&str; 5] =
    ["--udp-port", "0", "--i-accept-plaintext-udp", "--udp-bind-addr", "127.0.0.1"];
const FLEET: &str = "/metrics?collect[]=daemon&collect[]=programs";
const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn daemon(folder: &Folder, flags: &[&str]) -> (Daemon, String) {
    let daemon = Daemon::start(folder, &[&HTTP[..], flags].concat());
    let address = address_of(&daemon);
    (daemon, address)
}

/// The type of each family.
fn families(metrics: &str) -> BTreeMap<String, String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

#[test]
fn promtool_accepts_the_metrics() {
    if Command::new("promtool").arg("--version").output().is_err() {
        return skipped("promtool: apt-get install prometheus");
    }
    let folder = Folder::new();
    let (daemon, address) = daemon(&folder, &["--threshold-ms", "2000", "--causes", "on"]);
    let mut agent = Agent::at(daemon.socket());
    let _other = Agent::at(daemon.socket());
    agent.kill();
    wait_for_sample(&address, "varta_exits_total{cause=\"signalled\"}", |count| count == 1.0);
    for path in ["/metrics", FLEET] {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]).stdin(Stdio::piped());
        let promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.spawn().unwrap();
        let metrics = get(&address, path).body;
        promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
        let ended = promtool.wait_with_output().unwrap();
        let output = [ended.stdout, ended.stderr].concat();
        let text = String::from_utf8_lossy(&output);
        assert!(ended.status.success() && text.is_empty(), "{path}: {text}");
    }
}

#[test]
fn open_metrics_has_the_same_families() {
    let folder = Folder::new();
    let (daemon, address) = daemon(&folder, &["--threshold-ms", "2000"]);
    let _agent = Agent::at(daemon.socket());
    for path in ["/metrics", FLEET] {
        let text = get(&address, path);
        assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
        let open = get_with(&address, path, "Accept: application/openmetrics-text\r\n");
        let kind = "application/openmetrics-text; version=1.0.0";
        assert!(open.head.contains(kind), "{}", open.head);
        assert!(open.body.ends_with("\n# EOF\n"));
        assert_eq!(open.body.matches("# EOF").count(), 1);
        let (text, open) = (families(&text.body), families(&open.body));
        for (name, kind) in &text {
            let name = name.strip_suffix("_total").unwrap_or(name);
            assert_eq!(open.get(name), Some(kind), "{name}");
        }
        assert_eq!(text.len(), open.len());
    }
}

#[test]
fn the_docs_list_every_family_and_no_other() {
    let folder = Folder::new();
    let notify = folder.join("notify.sock");
    let flags = ["--threshold-ms", "2000", "--causes", "on", "--notify-socket"];
    let flags = [&flags[..], &[notify.to_str().unwrap()]].concat();
    let (_daemon, address) = daemon(&folder, &flags);
    let shown: BTreeSet<_> = families(&get(&address, "/metrics").body).into_keys().collect();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/watch-metrics.md");
    let docs = text_of(&docs);
    let (ours, _) = docs.split_once("## Comparison with varta-watch 0.2").unwrap();
    let listed: BTreeSet<_> = ours
        .lines()
        .filter_map(|line| line.strip_prefix("| varta_"))
        .flat_map(|line| {
            format!("varta_{line}")
                .split_once(" |")
                .unwrap()
                .0
                .split(", ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(listed, shown);
}

#[test]
fn an_agent_has_all_its_metrics() {
    let folder = Folder::new();
    let (daemon, address) = daemon(&folder, &["--threshold-ms", "2000"]);
    let mut agent = Varta::connect(daemon.socket()).unwrap();
    let pid = std::process::id();
    for payload in [7, 8, 4_000_000_000] {
        assert_eq!(agent.beat(Status::Degraded, payload), BeatOutcome::Sent);
    }
    let name = text_of(Path::new("/proc/self/comm"));
    let labels = format!("program=\"{}\",agent=\"1\"", name.trim_end());
    let of = |metrics: &str, family: &str| sample(metrics, &format!("{family}{{{labels}}}"));
    wait_for_sample(&address, &format!("varta_beats_total{{pid=\"{pid}\"}}"), |beats| {
        beats == 3.0
    });
    let metrics = get(&address, "/metrics").body;
    assert_eq!(of(&metrics, "varta_agent_payload"), Some(4e9));
    assert_eq!(of(&metrics, "varta_agent_threshold_seconds"), Some(2.0));
    assert_eq!(of(&metrics, "varta_agent_beat_interval_seconds_count"), Some(2.0));
    let info = format!("varta_agent_info{{{labels},pid=\"{pid}\",origin=\"kernel-attested\"}}");
    assert_eq!(sample(&metrics, &info), Some(1.0));
    let stalled = format!("varta_agent_stalled{{{labels}}}");
    wait_for_sample(&address, &stalled, |stalled| stalled == 1.0);
    let metrics = get(&address, "/metrics").body;
    assert_eq!(sample(&metrics, &format!("varta_status{{pid=\"{pid}\"}}")), Some(3.0));
    assert!(of(&metrics, "varta_agent_last_beat_age_seconds").unwrap() >= 2.0);
    assert_eq!(sample(&metrics, "varta_detection_latency_seconds_count"), Some(1.0));
    let _ = agent.beat(Status::Ok, 0);
    let recoveries = format!("varta_agent_recoveries_total{{{labels}}}");
    wait_for_sample(&address, &recoveries, |recoveries| recoveries == 1.0);
}

#[test]
fn an_exit_counts_as_a_stall_and_the_counters_of_an_ended_agent_stay() {
    let folder = Folder::new();
    let (daemon, address) = daemon(&folder, &["--threshold-ms", "60000"]);
    let mut agent = Agent::at(daemon.socket());
    let pid = agent.pid();
    let name = text_of(Path::new(&format!("/proc/{pid}/comm")));
    let failed = format!("program=\"{}\",cause=\"failed\"", name.trim_end());
    let failed = format!("varta_program_exits_total{{{failed}}}");
    // Prometheus only sees a counter grow if it was there before.
    wait_for_sample(&address, &failed, |it| it == 0.0);
    agent.exit(3);
    wait_for_sample(&address, &format!("varta_stalls_total{{pid=\"{pid}\"}}"), |it| it == 1.0);
    let metrics = get(&address, "/metrics").body;
    assert_eq!(sample(&metrics, &failed), Some(1.0));
    assert_eq!(sample(&metrics, "varta_silences_total"), Some(0.0));
    assert_eq!(sample(&metrics, "varta_exits_total{cause=\"failed\"}"), Some(1.0));
    assert!(sample(&metrics, &format!("varta_beats_total{{pid=\"{pid}\"}}")).unwrap() >= 1.0);
    assert_eq!(sample(&metrics, &format!("varta_status{{pid=\"{pid}\"}}")), None);
    assert_eq!(sample(&metrics, "varta_watch_pids_tracked"), Some(0.0));
}

#[test]
fn label_sets_are_bounded_and_the_rest_is_summed() {
    let folder = Folder::new();
    let flags = ["--threshold-ms", "60000", "--tracker-capacity", "24000"];
    let (daemon, address) = daemon(&folder, &[&flags[..], &UDP].concat());
    crowd(&daemon, &address, 10_500);
    let metrics = get(&address, "/metrics").body;
    let count = |family: &str| metrics.lines().filter(|line| line.starts_with(family)).count();
    // Each family has one more sample: the sum of all others.
    assert_eq!(count("varta_beats_total{"), 10_001);
    assert_eq!(count("varta_agent_payload{"), 10_000);
    assert_eq!(count("varta_agent_beat_interval_seconds_count{"), 1_001);
    assert!(sample(&metrics, "varta_beats_total{pid=\"0\"}").unwrap() >= 500.0);
    let all: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("varta_beats_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!(all >= 10_500.0, "{all}");
}

/// Both daemons receive the same frames; the metrics that the docs call equal must be equal.
#[test]
fn varta_watch_0_2_shows_the_same_metrics_for_the_same_frames() {
    let folder = Folder::new();
    // Without a rate limit, because varta-watch 0.2 drops one of two beats that it reads at
    // once.
    let both = ["--threshold-ms", "2000", "--max-beat-rate", "0"];
    let (ours, our_address) = daemon(&folder, &both);
    let theirs = folder.join("theirs.sock");
    let token = secret(&folder, "token", TOKEN);
    let out = folder.join("theirs.out");
    let mut peer = Command::new(varta_watch_0_2());
    peer.arg("--socket").arg(&theirs).args(both);
    peer.args(["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"]);
    peer.arg("--prom-token-file").arg(&token).stderr(Stdio::null());
    let mut peer = peer.stdout(std::fs::File::create(&out).unwrap()).spawn().unwrap();
    wait_until(|| theirs.exists() && text_of(&out).ends_with('\n'));
    let their_address = text_of(&out).trim().to_owned();
    let scrape = || {
        let head = format!("Authorization: Bearer {TOKEN}\r\n");
        get_with(&their_address, "/metrics", &head)
    };

    let pid = std::process::id();
    let stream = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let frame = |nonce, pid| {
        let mut wire = [0; varta::FRAME_BYTES];
        varta::Frame::new(Status::Degraded, pid, nonce, nonce, 5).encode(&mut wire);
        wire
    };
    for nonce in 1..=20 {
        for socket in [ours.socket(), &theirs] {
            stream.send_to(&frame(nonce, pid), socket).unwrap();
        }
    }
    let mut damaged = frame(21, pid);
    damaged[31] ^= 1;
    let (mut foreign, mut short) = (frame(22, 1), frame(23, pid).to_vec());
    foreign[0] = b'V';
    short.truncate(20);
    for socket in [ours.socket(), &theirs] {
        for wire in [&damaged[..], &[0; 32], &foreign, &short] {
            stream.send_to(wire, socket).unwrap();
        }
    }
    let stalls = format!("varta_stalls_total{{pid=\"{pid}\"}}");
    wait_for_sample(&our_address, &stalls, |stalls| stalls == 1.0);
    wait_until(|| {
        let reply = scrape();
        reply.status == 200 && sample(&reply.body, &stalls) == Some(1.0)
    });
    let (ours, theirs) = (get(&our_address, "/metrics").body, scrape().body);
    peer.kill().unwrap();
    peer.wait().unwrap();
    for name in [
        &stalls,
        &format!("varta_beats_total{{pid=\"{pid}\"}}"),
        &format!("varta_status{{pid=\"{pid}\"}}"),
        "varta_decode_errors_total{kind=\"bad_magic\"}",
        "varta_decode_errors_total{kind=\"bad_crc\"}",
        "varta_frame_auth_failures_total",
        "varta_rate_limited_total{reason=\"per_pid\"}",
        "varta_rate_limited_total{reason=\"global\"}",
        "varta_io_errors_total",
        "varta_ctrl_truncated_total",
        "varta_tracker_capacity_exceeded_total",
        "varta_watch_pids_tracked",
    ] {
        assert!(sample(&theirs, name).is_some(), "{name} is not a metric of varta-watch 0.2");
        assert_eq!(sample(&ours, name), sample(&theirs, name), "{name}");
    }
    let (ours, theirs) = (families(&ours), families(&theirs));
    assert_eq!(theirs.len(), 58);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/watch-metrics.md");
    let docs = text_of(&docs);
    let (_, table) = docs.split_once("## Comparison with varta-watch 0.2").unwrap();
    for (name, kind) in &theirs {
        let line = table.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the table"));
        let renamed = name == "varta_recovery_duration_ns_sum";
        if line.contains("| left out |") || renamed {
            assert!(!ours.contains_key(name), "{name} is not left out");
        } else {
            assert_eq!(ours.get(name), Some(kind), "{name}");
        }
    }
}
