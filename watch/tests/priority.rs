//! The priorities of the daemon's threads: the receiving thread runs first.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]
#![allow(unsafe_code, reason = "sched_getattr")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Daemon, Folder, text_of, wait_until};

/// Longer than any test, so that no agent stalls.
const LONG: [&str; 2] = ["--threshold-ms", "60000"];

/// A field of `/proc/PID/stat` by its number in proc(5), which must be at least 3.
fn number_of(stat: &Path, field: usize) -> i32 {
    let stat = text_of(stat);
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(field - 3).unwrap().parse().unwrap()
}

fn niceness(stat: &Path) -> i32 {
    number_of(stat, 19)
}

#[test]
fn the_receiving_thread_has_priority_if_permitted() {
    let own = niceness(Path::new("/proc/self/stat"));
    let tried = Command::new("nice").args(["-n", "-20", "true"]).output().unwrap();
    let permitted = tried.stderr.is_empty();
    let default = if permitted && own == 0 { -20 } else { own };
    let raised = if permitted { -7 } else { own };
    for (flag, expected) in [(None, default), (Some("19"), 19), (Some("-7"), raised)] {
        let folder = Folder::new();
        let mut flags = LONG.to_vec();
        flags.extend(flag.iter().flat_map(|niceness| ["--nice", niceness]));
        let daemon = Daemon::start(&folder, &flags);
        let event_loop = daemon.pid().to_string();
        let tasks = Path::new("/proc").join(&event_loop).join("task");
        // Once the event loop answers, it has set its priority.
        daemon.signal(libc::SIGUSR1);
        daemon.wait_for_log("state: ");
        assert_eq!(niceness(&tasks.join(&event_loop).join("stat")), expected);
        let threads = fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path());
        let others: Vec<_> = threads.filter(|thread| !thread.ends_with(&event_loop)).collect();
        assert!(!others.is_empty());
        assert!(others.iter().all(|other| niceness(&other.join("stat")) == own));
        // Before Linux 6.12 there are no slices of this kind, and the kernel returns 0.
        let slice_of = |thread: &Path| slice_ns(thread.file_name().unwrap().to_str().unwrap());
        let (slice, usual) = (slice_of(&tasks.join(&event_loop)), slice_of(&others[0]));
        assert_eq!(slice, if expected < 0 { usual.min(100_000) } else { usual });
        assert!(usual == 0 || usual > 100_000, "{usual}");
        assert!(others.iter().all(|other| slice_of(other) == usual));
    }
}

/// The time slice of a thread: how long the kernel runs it before it considers another.
fn slice_ns(thread: &str) -> u64 {
    let thread: libc::pid_t = thread.parse().unwrap();
    // SAFETY: the struct has only integers, so all bytes may be zero.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let (call, size) = (libc::SYS_sched_getattr, size_of_val(&attributes));
    // SAFETY: writes at most `size` bytes to `attributes`.
    let result = unsafe { libc::syscall(call, thread, &raw mut attributes, size, 0) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    attributes.sched_runtime
}

/// Otherwise a thread that the event loop wakes could run in its place.
#[test]
fn other_threads_do_not_preempt_the_receiving_thread() {
    let folder = Folder::new();
    let export = folder.join("export");
    let daemon = Daemon::start(
        &folder,
        &[&LONG[..], &["--export-file", export.to_str().unwrap()]].concat(),
    );
    let tasks = Path::new("/proc").join(daemon.pid().to_string()).join("task");
    let policy_of = |wanted: &str| {
        let threads = fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path());
        let mut found = threads.filter(|task| text_of(&task.join("comm")).trim() == wanted);
        found.next().map(|thread| number_of(&thread.join("stat"), 41))
    };
    for thread in ["server", "export", "log"] {
        wait_until(|| policy_of(thread) == Some(libc::SCHED_BATCH));
    }
    for thread in ["varta-watch", "recovery"] {
        wait_until(|| policy_of(thread) == Some(libc::SCHED_OTHER));
    }
}
