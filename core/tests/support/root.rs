//! What takes root: other users and chosen pids.

use std::io::{self, Write};
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

/// Whether this test can run as root. If not, it prints how to run it; with CI=true it fails.
#[track_caller]
pub(crate) fn needs_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let program = std::env::current_exe().unwrap_or_default();
        skipped(&format!("root: sudo {} {name}", program.display()));
    }
    root
}

/// Prints that a test was skipped and what it needs. With CI=true it fails.
#[track_caller]
pub(crate) fn skipped(needs: &str) {
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true does not allow skipped tests, and this needs {needs}");
    say(&format!("needs {needs}"));
}

/// Says that a test does not run because this kernel lacks what it needs. No package brings that,
/// so not even CI insists on it.
pub(crate) fn kernel_lacks(what: &str) {
    say(&format!("needs {what}, which this kernel lacks"));
}

/// Bypasses the test harness, which hides the output of a passed test.
fn say(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    io::stderr().write_all(format!("SKIPPED: {name} {why}\n").as_bytes()).unwrap();
}

/// Switches to another user permanently.
#[track_caller]
pub(crate) fn become_user(id: u32) {
    // SAFETY: takes only numbers.
    let group = unsafe { libc::setresgid(id, id, id) };
    assert_eq!(group, 0, "{}", io::Error::last_os_error());
    // SAFETY: takes only numbers.
    let user = unsafe { libc::setresuid(id, id, id) };
    assert_eq!(user, 0, "{}", io::Error::last_os_error());
}

/// Forks a child with the given pid, as soon as the previous owner of that pid is reaped.
#[cfg(target_os = "linux")]
pub(crate) fn fork_as(pid: u32) -> libc::pid_t {
    let wanted = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.set_tid = (&raw const wanted).expose_provenance() as u64;
    arguments.set_tid_size = 1;
    let start = Instant::now();
    loop {
        // SAFETY: reads `arguments`. Like a fork, with nothing shared.
        let forked = unsafe {
            libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments))
        };
        let busy = io::Error::last_os_error().raw_os_error() == Some(libc::EEXIST);
        if forked != -1 || !busy || start.elapsed() > Duration::from_secs(60) {
            return forked.try_into().unwrap();
        }
        std::thread::yield_now();
    }
}
