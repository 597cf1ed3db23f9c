//! Shared helpers of these tests.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of this")]
#![allow(unsafe_code, reason = "forking")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod agent;
mod browser;
#[path = "../../../core/tests/support/child.rs"]
mod child;
mod crowd;
mod daemon;
#[path = "../../../core/tests/support/folder.rs"]
mod folder;
pub(crate) mod http;
#[path = "../../../observer/tests/support/lingering.rs"]
mod lingering;
mod peer;
#[path = "../../../observer/tests/support/rights.rs"]
mod rights;
#[path = "../../../core/tests/support/root.rs"]
mod root;
#[path = "../../../core/tests/support/seccomp.rs"]
mod seccomp;
#[path = "../../../observer/tests/support/system.rs"]
mod system;
mod terminal;
#[path = "../../../core/tests/support/uninterrupted.rs"]
mod uninterrupted;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use agent::{Agent, beat_once, crash_as, start_named};
pub(crate) use browser::Browser;
pub(crate) use child::{Child, Ended};
pub(crate) use crowd::{crowd, udp_address_of};
pub(crate) use daemon::Daemon;
pub(crate) use folder::Folder;
pub(crate) use lingering::LingeringSocket;
pub(crate) use peer::varta_watch_0_2;
pub(crate) use rights::send_with_descriptors;
pub(crate) use root::{become_user, fork_as, kernel_lacks, needs_root, skipped};
pub(crate) use seccomp::forget_socket_option;
pub(crate) use system::{
    in_new_network_namespace, in_new_pid_namespace, in_own_namespaces, kill,
};
pub(crate) use terminal::Terminal;
pub(crate) use uninterrupted::uninterrupted;

/// How long a test waits for anything. Only reached when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The path of `varta-watch`.
pub(crate) const WATCH: &str = env!("CARGO_BIN_EXE_varta-watch");

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "the condition did not hold within {PATIENCE:?}");
        std::thread::sleep(ms(5));
    }
}

/// The text of a file, or nothing if it cannot be read.
pub(crate) fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Creates an executable script in a folder.
pub(crate) fn script(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// Creates a file that only its owner can read.
pub(crate) fn secret(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: only takes numbers.
    let sent = unsafe { libc::kill(pid.try_into().unwrap(), signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = text_of(Path::new(&format!("/proc/{pid}/stat")));
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The lines of an export file or audit log that have this kind in this column, split into
/// columns.
pub(crate) fn lines_of(path: &Path, column: usize, kind: &str) -> Vec<Vec<String>> {
    text_of(path)
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.get(column).is_some_and(|found| found == kind))
        .collect()
}

/// The number of beats in an export file. A line can stand for several.
pub(crate) fn beats_in(export: &Path) -> u64 {
    let lines = lines_of(export, 1, "beat");
    lines.iter().map(|line| line.get(6).map_or(1, |count| count.parse().unwrap())).sum()
}
