//! Ends: of a thread, of the program, and of the process by a signal.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{Last, forever, in_thread};

/// The test that such a program executes again.
const SLEEPS: &str = "sleeps_when_executed_by_an_agent";

pub(crate) fn stopped_by_itself(last: Last<'_>) {
    // In an orphaned process group SIGTSTP would stop nobody. A group of its own is none, because
    // the parent is in the same session.
    // SAFETY: takes numbers.
    unsafe { libc::setpgid(0, 0) };
    last();
    // SAFETY: takes a number.
    unsafe { libc::raise(libc::SIGTSTP) };
    forever();
}

pub(crate) fn executing_another_program(last: Last<'_>) {
    let mut command = Command::new("sleep");
    last();
    let error = command.arg("1000").exec();
    panic!("{error}");
}

/// Executes this very program again.
pub(crate) fn executing_the_same_program(last: Last<'_>) {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--ignored", "--exact", SLEEPS]).stdout(Stdio::null());
    last();
    let error = command.exec();
    panic!("{error}");
}

/// Ends the first thread of the process while others run.
pub(crate) fn without_its_first_thread(last: Last<'_>) {
    in_thread(|| ());
    last();
    // SAFETY: ends this thread, which has nothing to be cleaned up.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Ends the thread that beat.
pub(crate) fn without_its_thread(last: Last<'_>) {
    last();
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Crashes where its core file cannot be written to the end.
pub(crate) fn dumping(last: Last<'_>) {
    let unlimited =
        libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads the limits.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const unlimited) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    std::env::set_current_dir(super::files::hung_folder()).unwrap();
    last();
    // SAFETY: ends this process.
    unsafe { libc::abort() };
}
