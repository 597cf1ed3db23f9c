//! Agents must not be able to exhaust the daemon's memory, overflow its counters or fill its
//! log.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]
#![allow(unsafe_code, reason = "forked children end with _exit")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use support::http::{address_of, wait_for_sample};
use support::{Child, Daemon, Ended, Folder, ms, text_of, udp_address_of, wait_until};

use varta::{BeatOutcome, FRAME_BYTES, Frame, Status, Varta};

const HTTP: [&str; 4] = ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"];

fn frame(pid: u32, nonce: u64) -> [u8; FRAME_BYTES] {
    let mut wire = [0; FRAME_BYTES];
    Frame::new(Status::Ok, pid, nonce, nonce, 0).encode(&mut wire);
    wire
}

fn resident_kib(daemon: &Daemon) -> u64 {
    let status = text_of(format!("/proc/{}/status", daemon.pid()).as_ref());
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The daemon must forget evicted agents by itself: nothing requests a snapshot here.
#[test]
fn memory_stays_bounded_while_forged_udp_frames_claim_new_pids() {
    /// Statistics for this many agents would take 24 MB. A table that doubles takes up to 8 MB.
    const FORGED: usize = 120_000;
    const MAX_GROWTH_KIB: u64 = 12 * 1024;
    let folder = Folder::new();
    let export = folder.join("export");
    let flags = [
        &["--threshold-ms", "10", "--udp-port", "0", "--udp-bind-addr", "127.0.0.1"][..],
        &["--i-accept-plaintext-udp", "--export-file", export.to_str().unwrap()],
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(udp_address_of(&daemon)).unwrap();
    let mut lines = BufReader::new(File::open(&export).unwrap());
    let (mut claimed, mut evicted, mut first) = (0, 0, None);
    let mut line = String::new();
    wait_until(|| {
        for _ in 0..256 {
            claimed += 1;
            socket.send(&frame(claimed, 1)).unwrap();
        }
        while lines.read_line(&mut line).unwrap() > 0 {
            if line.ends_with('\n') {
                evicted += usize::from(line.split('\t').nth(1) == Some("eviction"));
                line.clear();
            }
        }
        if evicted > FORGED / 10 && first.is_none() {
            first = Some(resident_kib(&daemon));
        }
        evicted >= FORGED
    });
    let growth = resident_kib(&daemon).saturating_sub(first.unwrap());
    assert!(growth < MAX_GROWTH_KIB, "memory grew by {growth} KiB");
    daemon.end();
}

/// With these nonces, more beats are missing than 64 bits can count.
#[test]
fn a_count_of_missed_beats_stays_at_its_maximum() {
    let folder = Folder::new();
    let flags = [&HTTP[..], &["--threshold-ms", "60000", "--max-beat-rate", "0"]].concat();
    let mut daemon = Daemon::start(&folder, &flags);
    let http = address_of(&daemon);
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(daemon.socket()).unwrap();
    for nonce in [1, u64::MAX / 2, u64::MAX - 2, u64::MAX / 2 - 3] {
        socket.send(&frame(std::process::id(), nonce)).unwrap();
    }
    wait_for_sample(&http, "varta_beats_total{pid=\"0\"}", |_| true);
    let own = format!("varta_beats_total{{pid=\"{}\"}}", std::process::id());
    wait_for_sample(&http, &own, |beats| beats == 4.0);
    let metrics = support::http::get(&http, "/metrics").body;
    let missed = metrics.lines().filter(|line| line.starts_with("varta_agent_missed_beats"));
    let missed: Vec<_> = missed.filter_map(|line| line.rsplit_once(' ')).collect();
    assert!(missed.iter().any(|(_, count)| *count == u64::MAX.to_string()), "{missed:?}");
    daemon.end();
}

/// Summaries count the exits and the recovery decisions that have no line of their own.
#[test]
fn many_crashes_do_not_fill_the_log_and_all_are_counted() {
    const CRASHES: usize = 300;
    const LINES_A_SECOND: usize = 20;
    let folder = Folder::new();
    let recovery = ["--recovery-exec", "true", "--recovery-budget", "1000", "--dry-run"];
    let flags = ["--threshold-ms", "60000", "--recovery-for-unconfirmed"];
    let flags = [&HTTP[..], &flags, &recovery].concat();
    let mut daemon = Daemon::start(&folder, &flags);
    let http = address_of(&daemon);
    let (waiting, release) = std::io::pipe().unwrap();
    let mut crashing: Vec<_> = (0..CRASHES)
        .map(|_| {
            Child::start(|| {
                let mut agent = Varta::connect(daemon.socket()).unwrap();
                while agent.beat(Status::Ok, 0) != BeatOutcome::Sent {
                    std::thread::sleep(ms(1));
                }
                // SAFETY: closes the child's copy of a descriptor that it does not use again.
                unsafe { libc::close(release.as_raw_fd()) };
                let _ = (&waiting).read(&mut [0]);
                // SAFETY: ends the child without running the parent's exit handlers.
                unsafe { libc::_exit(7) }
            })
        })
        .collect();
    wait_for_sample(&http, "varta_watch_pids_tracked", |agents| agents == CRASHES as f64);
    let start = Instant::now();
    drop(release);
    crashing.iter_mut().for_each(|child| assert_eq!(child.wait(), Ended::Exited(7)));
    let count = |kind: &str, text: &str| {
        let log = daemon.log();
        let lines: Vec<serde_json::Value> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let own =
            lines.iter().filter(|line| line["msg"].as_str().unwrap().contains(text)).count();
        let summaries = lines.iter().filter(|line| line["kind"] == kind);
        let left_out = summaries.map(|line| {
            let count = line["count"].as_u64().unwrap();
            assert_eq!(
                line["uids"],
                format!("{}: {count}", rustix::process::getuid().as_raw())
            );
            usize::try_from(count).unwrap()
        });
        (own, left_out.sum::<usize>())
    };
    // Recovery logs two lines per crash: the command that would be started, and the end of the
    // run.
    for (kind, text, all) in
        [("exit", "exit code 7", CRASHES), ("recovery", "recovery: ", 2 * CRASHES)]
    {
        wait_until(|| {
            let (own, left_out) = count(kind, text);
            own + left_out >= all
        });
        let (own, left_out) = count(kind, text);
        assert_eq!(own + left_out, all);
        let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 2;
        assert!(own <= seconds * LINES_A_SECOND, "{own} lines of {kind} in {seconds} s");
    }
    daemon.end();
}
