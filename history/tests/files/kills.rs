//! A writer that is killed at any point loses nothing that it has written.

use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use varta_history::{Limits, Writer};

use crate::support::{Folder, Found, SECOND, at, origin, push};

/// Small, so that segments end and are removed while it is killed.
const LIMITS: Limits = Limits { max_bytes: 256 * 1024, max_age_ns: u64::MAX };

const FOLDER: &str = "VARTA_TEST_HISTORY";
const RUN: &str = "VARTA_TEST_RUN";

#[test]
#[ignore = "the process that is killed by the tests below"]
fn a_process_that_writes() {
    let (Some(folder), Ok(run)) = (env::var_os(FOLDER), env::var(RUN)) else { return };
    let run = run.parse().unwrap();
    let folder = PathBuf::from(folder);
    let mut writer = Writer::open(&folder, LIMITS, origin(run), at(0)).unwrap();
    let mut next = 1;
    for round in 1.. {
        let until = next + round % 40;
        push(&mut writer, next..until);
        next = until;
        writer.flush(at(round * SECOND / 8), Vec::new).unwrap();
        writeln!(stdout(), "{} written", next - 1).unwrap();
    }
}

fn start(folder: &Folder, run: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "kills::a_process_that_writes"])
        .env(FOLDER, folder.path())
        .env(RUN, run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a writer this many times and checks the folder after each.
fn kill_writers(times: u64) {
    let folder = Folder::new();
    let mut random = 88_172_645_463_325_252u64;
    let mut longest = 0;
    for run in 1..=times {
        let mut child = start(&folder, run);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let written = |line: Option<Result<String, _>>| {
            let line: String = line?.ok()?;
            line.strip_suffix(" written")?.parse::<u64>().ok()
        };
        let is_written = |line: &Result<String, _>| {
            line.as_ref().is_ok_and(|line| line.ends_with(" written"))
        };
        // Sometimes while it opens the folder, sometimes after many segments.
        let wait = [0, 3, 30, 300][usize::try_from(random % 4).unwrap()];
        let mut last =
            written(lines.by_ref().filter(is_written).take(wait).last()).unwrap_or(0);
        sleep(Duration::from_micros(random >> 20 & 4_095));
        child.kill().unwrap();
        child.wait().unwrap();
        last = written(lines.filter(is_written).last()).unwrap_or(last);
        check(&folder, run, last);
        longest = longest.max(last);
    }
    assert!(longest > 5_000, "no segment has ended: {longest}");
}

fn check(folder: &Folder, run: u64, last: u64) {
    let found = Found::in_folder(folder.path());
    // Only the segment that was written can have an end that is torn, and it could still grow.
    assert_eq!((&found.damaged, &found.lost), (&vec![], &vec![]), "run {run}");
    let records = found.of_run(run);
    let end = records.last().copied().unwrap_or(0);
    assert!(end >= last, "run {run}: {last} were written, {end} are there");
    if let Some(first) = records.first() {
        assert_eq!(records, Vec::from_iter(*first..=end), "run {run}");
    }
    // The next start leaves all of them in place.
    let writer = Writer::open(folder.path(), LIMITS, origin(run + 1_000_000), at(0)).unwrap();
    drop(writer);
    assert_eq!(Found::in_folder(folder.path()).of_run(run).last(), records.last());
}

#[test]
fn a_killed_writer_loses_nothing_that_it_has_written() {
    kill_writers(20);
}

#[test]
#[ignore = "takes longer: run it with --ignored"]
fn two_hundred_killed_writers_lose_nothing_that_they_have_written() {
    kill_writers(200);
}
