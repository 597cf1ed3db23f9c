//! The files that the daemon writes: rotation, symbolic links, modes, the audit chain, a full
//! disk, and kills at any moment.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use support::{
    Agent, Daemon, Folder, WATCH, lines_of, ms, needs_root, skipped, text_of, wait_until,
};

/// Longer than any test, so that no agent stalls.
const LONG: [&str; 2] = ["--threshold-ms", "60000"];

/// With these flags, one crash adds lines to the audit log for as long as the daemon runs.
const ALWAYS_FAILING: [&str; 10] = [
    "--recovery-exec",
    "/nonexistent/command",
    "--recovery-tries",
    "1000000",
    "--recovery-budget",
    "1000000",
    "--recovery-backoff-ms",
    "1",
    "--recovery-backoff-max-ms",
    "1",
];

/// With these flags, each stall and each crash adds lines to the audit log.
const DRY_RUN: [&str; 9] = [
    "--dry-run",
    "--recovery-budget",
    "1000000",
    "--recovery-exec",
    "true",
    "--recovery-debounce-ms",
    "0",
    "--recovery-tries",
    "1",
];

fn watch<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(WATCH).args(arguments).output().unwrap()
}

fn verify(files: &[&Path], anchor: Option<(&str, &str)>) -> Result<(), String> {
    let files = files.iter().map(|file| file.to_str().unwrap());
    let anchor = anchor.map(|(seq, hash)| ["--at-least", seq, hash]);
    let arguments = ["audit", "verify"].into_iter().chain(files);
    let output = watch(arguments.chain(anchor.into_iter().flatten()));
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

fn numbered(path: &Path, number: u8) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Stops the agent until it has stalled, then resumes it until it has recovered.
fn stall_and_recover(daemon: &Daemon, agent: &Agent) {
    let stalls = daemon.count_logged("stall, last heard");
    agent.stop();
    wait_until(|| daemon.count_logged("stall, last heard") > stalls);
    let recoveries = daemon.count_logged("\"recovered");
    agent.resume();
    wait_until(|| daemon.count_logged("\"recovered") > recoveries);
}

#[test]
fn old_files_are_kept_while_a_new_one_cannot_be_opened() {
    let folder = Folder::new();
    let (export, audit) = (folder.join("export"), folder.join("audit"));
    let flags = [
        &["--threshold-ms", "500"][..],
        &["--export-file", export.to_str().unwrap(), "--export-file-max-bytes", "2000"],
        &["--recovery-audit-file", audit.to_str().unwrap()],
        &["--recovery-audit-max-bytes", "1500"],
        &DRY_RUN,
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    let agent = Agent::at(daemon.socket());
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    let limit = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
    let failed = |file: &Path| {
        let file = format!("{:?}", file.to_str().unwrap());
        let log = daemon.log();
        log.lines().any(|line| line.contains("cannot rotate the file") && line.contains(&file))
    };
    while !(failed(&export) && failed(&audit)) {
        stall_and_recover(&daemon, &agent);
    }
    for file in [&export, &audit] {
        (1..=5).for_each(|number| fs::write(numbered(file, number), [number]).unwrap());
    }
    let beats = lines_of(&export, 1, "beat").len();
    let runs = lines_of(&audit, 3, "would_spawn").len();
    let enough = || {
        let more_beats = lines_of(&export, 1, "beat").len().saturating_sub(beats);
        let more_runs = lines_of(&audit, 3, "would_spawn").len().saturating_sub(runs);
        more_beats > 3 && more_runs > 3
    };
    while !enough() {
        stall_and_recover(&daemon, &agent);
    }
    for file in [&export, &audit] {
        (1..=5).for_each(|number| {
            assert_eq!(fs::read(numbered(file, number)).unwrap(), [number]);
        });
    }
    verify(&[&audit], None).unwrap();
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let rotated = |file| fs::read(numbered(file, 1)).is_ok_and(|text| text != [1]);
    while !(rotated(&export) && rotated(&audit)) {
        stall_and_recover(&daemon, &agent);
    }
    verify(&[&numbered(&audit, 1), &audit], None).unwrap();
    assert_eq!(daemon.count_logged(" lost"), 0, "{}", daemon.log());
    daemon.end();
}

#[test]
fn symbolic_links_are_not_followed() {
    let folder = Folder::new();
    let (precious, link) = (folder.join("precious"), folder.join("link"));
    fs::write(&precious, "a file without a newline at its end").unwrap();
    symlink(&precious, &link).unwrap();
    let socket = folder.join("varta.sock");
    for flag in ["--export-file", "--recovery-audit-file"] {
        let arguments = ["--socket", socket.to_str().unwrap(), flag, link.to_str().unwrap()];
        let check = ["--check-config"];
        let output = watch(arguments.into_iter().chain(LONG).chain(check));
        let why = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{why}");
        assert!(why.contains(flag) && why.contains("symbolic link"), "{why}");
    }

    let (export, audit, heartbeat) =
        (folder.join("export"), folder.join("audit"), folder.join("heartbeat"));
    symlink(&precious, folder.join("heartbeat.tmp")).unwrap();
    symlink(&precious, folder.join("export.new")).unwrap();
    let flags = [
        &["--export-file", export.to_str().unwrap(), "--export-file-max-bytes", "200"][..],
        &["--recovery-audit-file", audit.to_str().unwrap()],
        &["--heartbeat-file", heartbeat.to_str().unwrap()],
        &LONG,
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    let _agent = Agent::at(daemon.socket());
    wait_until(|| heartbeat.exists() && numbered(&export, 1).exists());
    for (file, expected) in [(&heartbeat, 0o640), (&export, 0o640), (&audit, 0o600)] {
        assert!(fs::symlink_metadata(file).unwrap().is_file());
        assert_eq!(mode(file), expected, "{}", file.display());
    }
    // A reload also refuses a link that has replaced the file.
    fs::remove_file(&audit).unwrap();
    symlink(&precious, &audit).unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("not reloaded");
    daemon.wait_for_log("symbolic link");
    daemon.end();
    assert_eq!(text_of(&precious), "a file without a newline at its end");
}

/// The anchors of the audit log in the daemon's log: sequence numbers and hashes.
fn anchors(daemon: &Daemon) -> Vec<(u64, String)> {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains("audit log anchor"));
    lines
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["seq"].as_u64().unwrap(), line["hash"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn verify_with_an_anchor_finds_removed_and_rewritten_lines() {
    let folder = Folder::new();
    let audit = folder.join("audit");
    let flags =
        [&["--recovery-audit-file", audit.to_str().unwrap()][..], &LONG, &DRY_RUN].concat();
    let mut daemon = Daemon::start(&folder, &flags);
    for _ in 0..3 {
        Agent::at(daemon.socket()).kill();
    }
    wait_until(|| lines_of(&audit, 3, "would_spawn").len() == 3);
    daemon.end();
    let anchors = anchors(&daemon);
    let [(first, _), (seq, hash)] = &anchors[..] else { panic!("{anchors:?}") };
    let text = text_of(&audit);
    assert_eq!((*first, *seq), (1, text.lines().count() as u64 - 1));
    let (seq, hash) = (&seq.to_string()[..], &hash[..]);
    verify(&[&audit], Some((seq, hash))).unwrap();
    let why = |text: &str, anchor| {
        fs::write(&audit, text).unwrap();
        verify(&[&audit], None).unwrap();
        verify(&[&audit], anchor).unwrap_err()
    };
    let without_last = &text[..text.trim_end().rfind('\n').unwrap() + 1];
    assert!(why(without_last, Some((seq, hash))).contains("lines were removed"));
    let without_any = &text[..text.find('\n').unwrap() + 1];
    assert!(why(without_any, Some((seq, hash))).contains("lines were removed"));
    fs::remove_file(&audit).unwrap();
    let mut other = Daemon::start(&folder, &flags);
    for _ in 0..3 {
        Agent::at(other.socket()).kill();
    }
    wait_until(|| lines_of(&audit, 3, "would_spawn").len() == 3);
    other.end();
    let rewritten = text_of(&audit);
    assert!(why(&rewritten, Some((seq, hash))).contains("lines were rewritten"));
    for words in [["x", hash], [seq, "abc"]] {
        let arguments = ["audit", "verify", audit.to_str().unwrap(), "--at-least"];
        let output = watch(arguments.into_iter().chain(words));
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn the_log_has_an_anchor_every_1000_lines() {
    let folder = Folder::new();
    let audit = folder.join("audit");
    let flags =
        [&["--recovery-audit-file", audit.to_str().unwrap()][..], &LONG, &ALWAYS_FAILING];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    Agent::at(daemon.socket()).kill();
    wait_until(|| anchors(&daemon).len() >= 3);
    daemon.end();
    let anchors = anchors(&daemon);
    assert!(anchors[1].0 >= 1001 && anchors[2].0 - anchors[1].0 < 1100, "{anchors:?}");
    for (seq, hash) in &anchors {
        verify(&[&audit], Some((&seq.to_string(), hash))).unwrap();
    }
}

#[test]
fn a_last_line_of_any_length_is_read_at_the_next_start() {
    let folder = Folder::new();
    let audit = folder.join("audit");
    let command = format!("true {}", "x".repeat(100_000));
    let flags = [
        &["--recovery-audit-file", audit.to_str().unwrap(), "--dry-run"][..],
        &["--recovery-exec", &command, "--threshold-ms", "500"],
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    let agent = Agent::at(daemon.socket());
    agent.stop();
    wait_until(|| text_of(&audit).lines().last().is_some_and(|line| line.len() > 100_000));
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    Daemon::start(&folder, &flags.concat()).end();
    verify(&[&audit], None).unwrap();
    let whole = text_of(&audit);
    let cut_off = format!("4\t1\t2\twould_spawn\t{}", "x".repeat(200_000));
    fs::write(&audit, format!("{whole}{cut_off}")).unwrap();
    let mut daemon = Daemon::start(&folder, &flags.concat());
    assert_eq!(daemon.count_logged("unfinished line"), 1);
    daemon.end();
    assert_eq!(text_of(&audit).lines().count(), whole.lines().count() + 1);
    verify(&[&audit], None).unwrap();
    assert!(!numbered(&audit, 1).exists());

    // A file with a line that is not from a daemon is renamed, and a new file is begun.
    fs::write(&audit, text_of(&audit) + "not a line of this log\n").unwrap();
    Daemon::start(&folder, &flags.concat()).end();
    verify(&[&audit], None).unwrap();
    assert!(text_of(&numbered(&audit, 1)).ends_with("not a line of this log\n"));
}

#[test]
fn a_line_number_does_not_wrap() {
    let folder = Folder::new();
    let (audit, socket) = (folder.join("audit"), folder.join("varta.sock"));
    let line = format!("{}\t1\t0\tboot\t1\t-\tfresh\t{}", u64::MAX, "0".repeat(64));
    let text = format!("# varta-watch recovery audit v2\n{line}\n");
    fs::write(&audit, &text).unwrap();
    let flags = ["--socket", socket.to_str().unwrap(), "--recovery-audit-file"];
    let output = watch(flags.into_iter().chain([audit.to_str().unwrap()]).chain(LONG));
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains(audit.to_str().unwrap()) && why.contains("move the file"), "{why}");
    assert_eq!(text_of(&audit), text);
}

#[test]
fn an_interrupted_rotation_does_not_break_the_chain() {
    let folder = Folder::new();
    let audit = folder.join("audit");
    let flags = [&["--recovery-audit-file", audit.to_str().unwrap()][..], &LONG].concat();
    Daemon::start(&folder, &flags).end();
    let old = numbered(&audit, 1);
    fs::rename(&audit, &old).unwrap();
    Daemon::start(&folder, &flags).end();
    verify(&[&old, &audit], None).unwrap();
    assert_eq!(lines_of(&audit, 3, "boot")[0][0], "2");
}

/// A file system with room for this many KiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf, kib: usize) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let size = std::ffi::CString::new(format!("size={kib}k")).unwrap();
        let mounted = rustix::mount::mount(
            "none",
            &path,
            "tmpfs",
            MountFlags::empty(),
            Some(size.as_c_str()),
        );
        match mounted {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                skipped(&format!("permission to mount a tmpfs: {error}"));
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_loses_lines_but_corrupts_no_file() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let Some(disk) = SmallDisk::at(folder.join("disk"), 4096) else { return };
    let (export, audit) = (disk.0.join("export"), disk.0.join("audit"));
    let ballast = disk.0.join("ballast");
    let flags = [
        &["--export-file", export.to_str().unwrap()][..],
        &["--recovery-audit-file", audit.to_str().unwrap()],
        &LONG,
        &ALWAYS_FAILING,
    ]
    .concat();
    let mut daemon = Daemon::start(&folder, &flags);
    let _beating = Agent::at(daemon.socket());
    Agent::at(daemon.socket()).kill();
    let mut fill = File::create(&ballast).unwrap();
    while fill.write_all(&[0; 512]).is_ok() {}
    daemon.wait_for_log("export lines lost");
    daemon.wait_for_log("audit line lost");
    // The log has no line for each of them: one counts those that were left out.
    daemon.wait_for_log("\"kind\":\"audit line lost\"");
    let lines = || (text_of(&export).lines().count(), text_of(&audit).lines().count());
    let full = lines();
    fs::remove_file(&ballast).unwrap();
    drop(fill);
    wait_until(|| lines().0 > full.0 && lines().1 > full.1);
    daemon.end();
    let logged = daemon.log().len();
    let mut daemon = Daemon::start(&folder, &flags);
    daemon.end();
    assert!(!daemon.log()[logged..].contains("unfinished line"));
    verify(&[&audit], None).unwrap();
    let text = text_of(&export);
    assert!(text.ends_with('\n') && text.lines().all(|line| line.split('\t').count() == 6));
}

#[test]
fn kills_at_random_moments_corrupt_neither_audit_nor_export() {
    let folder = Folder::new();
    let (export, audit) = (folder.join("export"), folder.join("audit"));
    let flags = [
        &["--export-file", export.to_str().unwrap(), "--export-file-max-bytes", "1000"][..],
        &["--recovery-audit-file", audit.to_str().unwrap()],
        &["--recovery-audit-max-bytes", "2000"],
        &LONG,
        &ALWAYS_FAILING,
    ]
    .concat();
    for _ in 0..10 {
        let mut daemon = Daemon::start(&folder, &flags);
        Agent::at(daemon.socket()).kill();
        let lines = daemon.count_logged("audit log rotated");
        wait_until(|| daemon.count_logged("audit log rotated") > lines);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        std::thread::sleep(ms(u64::from(now.subsec_nanos()) / 1000 % 20));
        daemon.signal(libc::SIGKILL);
        daemon.wait();
    }
    Daemon::start(&folder, &flags).end();
    let files = |path| {
        let old = (1..=5).rev().map(|number| numbered(path, number));
        old.chain([path.to_owned()]).filter(|file| file.exists()).collect::<Vec<_>>()
    };
    let audits = files(&audit);
    verify(&audits.iter().map(PathBuf::as_path).collect::<Vec<_>>(), None).unwrap();
    for file in files(&export) {
        let text = text_of(&file);
        assert!(text.lines().all(|line| line.split('\t').count() == 6), "{text:?}");
    }
}
