//! The daemon must survive its environment: inherited variables, settings at their limits, and
//! a wall clock that jumps.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::process::{Command, Output, Stdio};

use support::{Agent, Daemon, Folder, WATCH, text_of, wait_until};

/// Starts a daemon for each set of variables and flags, all at once; each ends by itself after
/// a second.
fn run_all(sets: &[(&[&str], &[&str])]) -> Vec<Output> {
    let folder = Folder::new();
    let started = sets.iter().enumerate().map(|(number, (variables, flags))| {
        let socket = folder.join(&format!("{number}.sock"));
        // SELF is replaced by the daemon's own pid.
        let mut line = String::from("exec env");
        for variable in *variables {
            line += &format!(" {}", variable.replace("SELF", "$$"));
        }
        line += &format!(" {WATCH} --shutdown-after-secs 1 \"$@\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line, "sh", "--socket", socket.to_str().unwrap()]).args(*flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    let started: Vec<_> = started.collect();
    started.into_iter().map(|daemon| daemon.wait_with_output().unwrap()).collect()
}

#[test]
fn inherited_variables_are_used_or_refused_with_a_reason() {
    let long = format!("NOTIFY_SOCKET=/{}", "x".repeat(200));
    let variables: [&[&str]; 18] = [
        &["LISTEN_PID=SELF", "LISTEN_FDS=0"],
        &["LISTEN_PID=SELF", "LISTEN_FDS=1"],
        &["LISTEN_PID=SELF", "LISTEN_FDS=40"],
        &["LISTEN_PID=SELF", "LISTEN_FDS=-1"],
        &["LISTEN_PID=SELF", "LISTEN_FDS=4294967296"],
        &["LISTEN_PID=SELF", "LISTEN_FDS=word"],
        &["LISTEN_PID=1", "LISTEN_FDS=1"],
        &["LISTEN_FDS=1"],
        &["NOTIFY_SOCKET="],
        &["NOTIFY_SOCKET=relative"],
        &["NOTIFY_SOCKET=/nonexistent/notify"],
        &["NOTIFY_SOCKET=@"],
        &["NOTIFY_SOCKET=/dev/null"],
        &[&long],
        &["WATCHDOG_USEC=0", "WATCHDOG_PID=SELF"],
        &["WATCHDOG_USEC=1", "WATCHDOG_PID=1"],
        &["WATCHDOG_USEC=18446744073709551616"],
        &["WATCHDOG_USEC=word"],
    ];
    let sets = variables.map(|variables| (variables, &["--threshold-ms", "60000"][..]));
    let is_correct = |variables: &[&str], output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr);
        let name = variables.last().unwrap().split('=').next().unwrap();
        match output.status.code() {
            Some(0) => text.contains("watching"),
            Some(1 | 2) => text.contains(name),
            _ => false,
        }
    };
    let outputs = run_all(&sets);
    let all = variables.iter().zip(&outputs);
    let wrong: Vec<_> =
        all.filter(|(variables, output)| !is_correct(variables, output)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_daemon_runs_with_settings_at_their_limits() {
    const MAX: &str = "18446744073709551615";
    let sets: [&[&str]; 4] = [
        &["--threshold-ms", MAX, "--recovery-debounce-ms", MAX, "--recovery-exec", "true"],
        &[
            "--threshold-ms",
            "10",
            "--tracker-capacity",
            "1",
            "--max-beat-rate",
            "1",
            "--global-beat-rate",
            "1",
            "--global-beat-burst",
            "0",
            "--uds-rcvbuf-bytes",
            "0",
            "--shutdown-grace-ms",
            "100",
        ],
        &[
            "--threshold-ms",
            "60000",
            "--max-beat-rate",
            "4294967295",
            "--uds-rcvbuf-bytes",
            "4294967295",
            "--prom-addr",
            "127.0.0.1:0",
            "--prom-rate-limit-per-sec",
            "4294967295",
            "--prom-rate-limit-burst",
            "4294967295",
        ],
        &[
            "--threshold-ms",
            "10",
            "--recovery-exec",
            "true",
            "--recovery-budget",
            "1",
            "--recovery-budget-window-ms",
            "1",
            "--recovery-backoff-ms",
            "1",
            "--recovery-backoff-max-ms",
            "1",
            "--recovery-tries",
            "1",
        ],
    ];
    for (flags, output) in sets.iter().zip(run_all(&sets.map(|flags| (&[][..], flags)))) {
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {text}");
    }
}

/// Replaces libc's `clock_gettime`: each call for the wall clock jumps by up to decades.
const JUMPING: &str = "
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static const long jumps[] = {0, 3600, -3600, 315360000, -315360000, -2000000000, 4000000000};
static unsigned calls;
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += jumps[__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 7];
    return done;
}
";

#[test]
fn a_wall_clock_that_jumps_changes_no_verdict() {
    let folder = Folder::new();
    let (source, library) = (folder.join("jumping.c"), folder.join("jumping.so"));
    fs::write(&source, JUMPING).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(compiled.success());
    let mut command = Command::new(WATCH);
    command
        .args(["--socket", folder.join("varta.sock").to_str().unwrap(), "--log-format", "json"])
        .args(["--threshold-ms", "2000", "--export-file"])
        .arg(folder.join("export"))
        .env("LD_PRELOAD", &library);
    let mut daemon = Daemon::start_as(&folder, &mut command);
    let mut agent = Agent::at(daemon.socket());
    let beats = || text_of(&folder.join("export")).lines().count();
    wait_until(|| beats() > 100);
    assert_eq!(daemon.count_logged("stall"), 0, "{}", daemon.log());
    agent.stop();
    daemon.wait_for_log("stall, last heard");
    agent.resume();
    daemon.wait_for_log("recovered");
    agent.exit(3);
    daemon.wait_for_log("exit code 3");
    daemon.end();
    // The timestamps of the log show that the clock did jump.
    let stamps = daemon.log();
    let stamp =
        |line: &str| line.split(['"', ':', ',']).find_map(|word| word.parse::<u64>().ok());
    let mut stamps: Vec<_> = stamps.lines().filter_map(stamp).collect();
    stamps.sort_unstable();
    let year = 365 * 86_400 * 1_000_000_000;
    assert!(stamps[stamps.len() - 1] - stamps[0] > year, "{stamps:?}");
}
