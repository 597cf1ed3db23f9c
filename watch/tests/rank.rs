//! The daemon's threads among all that want a CPU: the one that hears goes first.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]
#![allow(unsafe_code, reason = "asking the scheduler")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Daemon, Folder, text_of, wait_until};

/// No agent is called silent by it while a test runs.
const LONG: [&str; 2] = ["--threshold-ms", "60000"];

/// One of the numbers that follow the name of a thread's program, the first of them being the
/// third of all.
fn number_of(stat: &Path, field: usize) -> i32 {
    let stat = text_of(stat);
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(field - 3).unwrap().parse().unwrap()
}

fn niceness(stat: &Path) -> i32 {
    number_of(stat, 19)
}

#[test]
fn the_thread_that_hears_goes_first_where_it_may() {
    let own = niceness(Path::new("/proc/self/stat"));
    let first = Command::new("nice").args(["-n", "-20", "true"]).output().unwrap();
    let may = first.stderr.is_empty();
    let unasked = if may && own == 0 { -20 } else { own };
    let before = if may { -7 } else { own };
    for (asked, expected) in [(None, unasked), (Some("19"), 19), (Some("-7"), before)] {
        let folder = Folder::new();
        let mut flags = LONG.to_vec();
        flags.extend(asked.iter().flat_map(|niceness| ["--nice", niceness]));
        let daemon = Daemon::start(&folder, &flags);
        let loops = daemon.pid().to_string();
        let tasks = Path::new("/proc").join(&loops).join("task");
        // The loop answers, so it has taken its place.
        daemon.signal(libc::SIGUSR1);
        daemon.wait_for_log("state: ");
        assert_eq!(niceness(&tasks.join(&loops).join("stat")), expected);
        let threads = fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path());
        let others: Vec<_> = threads.filter(|thread| !thread.ends_with(&loops)).collect();
        assert!(!others.is_empty());
        assert!(others.iter().all(|other| niceness(&other.join("stat")) == own));
        // Before 6.12 all turns are equal, and nothing is told of them.
        let turn_of = |thread: &Path| turn_ns(thread.file_name().unwrap().to_str().unwrap());
        let (turn, usual) = (turn_of(&tasks.join(&loops)), turn_of(&others[0]));
        assert_eq!(turn, if expected < 0 { usual.min(100_000) } else { usual });
        assert!(usual == 0 || usual > 100_000, "{usual}");
        assert!(others.iter().all(|other| turn_of(other) == usual));
    }
}

/// How long the kernel lets a thread run before it looks for another.
fn turn_ns(thread: &str) -> u64 {
    let thread: libc::pid_t = thread.parse().unwrap();
    // SAFETY: numbers, all of which may be zero.
    let mut told: libc::sched_attr = unsafe { std::mem::zeroed() };
    let (call, size) = (libc::SYS_sched_getattr, size_of_val(&told));
    // SAFETY: takes numbers, and writes no more than `size` to `told`.
    let asked = unsafe { libc::syscall(call, thread, &raw mut told, size, 0) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    told.sched_runtime
}

/// Woken by the loop, they would otherwise be run in its place.
#[test]
fn threads_that_show_and_write_do_not_interrupt_the_one_that_hears() {
    let folder = Folder::new();
    let export = folder.join("export");
    let daemon = Daemon::start(
        &folder,
        &[&LONG[..], &["--export-file", export.to_str().unwrap()]].concat(),
    );
    let tasks = Path::new("/proc").join(daemon.pid().to_string()).join("task");
    let policy_of = |wanted: &str| {
        let threads = fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path());
        let mut called = threads.filter(|task| text_of(&task.join("comm")).trim() == wanted);
        called.next().map(|thread| number_of(&thread.join("stat"), 41))
    };
    for thread in ["show", "export", "log"] {
        wait_until(|| policy_of(thread) == Some(libc::SCHED_BATCH));
    }
    for thread in ["varta-watch", "recovery"] {
        wait_until(|| policy_of(thread) == Some(libc::SCHED_OTHER));
    }
}
