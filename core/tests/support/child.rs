//! Forked children that tell how they ended.

use std::ffi::CStr;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};

use super::PATIENCE;

/// Runs `run` in a forked child and waits; panics unless it came to its end there.
#[track_caller]
pub(crate) fn in_child(run: impl FnOnce()) {
    Child::start(run).finish();
}

/// A forked child that runs a closure. It exits with 0 when that returns and with 101
/// when it panics; one that hangs is killed by its alarm.
///
/// It has all descriptors of the process that it was forked from, those of other tests'
/// receivers too, and keeps them open. In a file that forks, a test that drops a receiver
/// and expects it gone does so in a child, where nobody else forks.
pub(crate) struct Child {
    pub(super) pid: libc::pid_t,
    ended: Option<Ended>,
    /// What it said when it panicked.
    said: UnixStream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Killed(i32),
}

impl Child {
    #[track_caller]
    pub(crate) fn start(run: impl FnOnce()) -> Self {
        // SAFETY: glibc and musl leave a child of a threaded program with a working
        // allocator; of other threads' locks the child takes none.
        Self::start_by(|| unsafe { libc::fork() }, run)
    }

    /// As `start`, with a way of forking of the caller's own. If that is not the C
    /// library's, the closure must not allocate while other threads do.
    #[track_caller]
    pub(crate) fn start_by(fork: impl FnOnce() -> libc::pid_t, run: impl FnOnce()) -> Self {
        let (said, mut saying) = UnixStream::pair().unwrap();
        match fork() {
            -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
            0 => {
                let seconds = PATIENCE.as_secs().try_into().unwrap_or(60);
                // SAFETY: sets a timer of this process.
                unsafe { libc::alarm(seconds) };
                let code = match panic::catch_unwind(AssertUnwindSafe(run)) {
                    Ok(()) => 0,
                    Err(payload) => {
                        let text = payload.downcast_ref::<String>().map(String::as_str);
                        let text = text.or_else(|| payload.downcast_ref().copied());
                        let _ = saying.write_all(text.unwrap_or("(no text)").as_bytes());
                        101
                    }
                };
                // SAFETY: ends the child without running what is the parent's to run.
                unsafe { libc::_exit(code) }
            }
            pid => Self { pid, ended: None, said },
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        self.reap(libc::WNOHANG)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Ended {
        self.reap(0).expect("waitpid waits")
    }

    /// Waits for its end and panics unless that was a clean one.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        let ended = self.wait();
        assert!(ended == Ended::Exited(0), "the child {ended}{}", self.last_words());
    }

    /// Waits until it is stopped, as its tracer, and tells the signal.
    #[track_caller]
    pub(crate) fn wait_for_stop(&mut self) -> libc::c_int {
        let status = wait_for(self.pid, 0).expect("waitpid waits");
        if !libc::WIFSTOPPED(status) {
            let ended = *self.ended.insert(Ended::of(status));
            panic!("the child {ended}{}", self.last_words());
        }
        libc::WSTOPSIG(status)
    }

    #[track_caller]
    fn reap(&mut self, flags: libc::c_int) -> Option<Ended> {
        if self.ended.is_none() {
            self.ended = wait_for(self.pid, flags).map(Ended::of);
        }
        self.ended
    }

    fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        // Whoever holds the other end still must not be waited for.
        self.said.set_nonblocking(true).unwrap();
        let _ = self.said.read_to_end(&mut text);
        match text.is_empty() {
            true => String::new(),
            false => format!(": {}", String::from_utf8_lossy(&text)),
        }
    }
}

impl Ended {
    fn of(status: libc::c_int) -> Self {
        match libc::WIFEXITED(status) {
            true => Self::Exited(libc::WEXITSTATUS(status)),
            false => Self::Killed(libc::WTERMSIG(status)),
        }
    }
}

/// The status of a child that has changed, if it has or may be waited for.
#[track_caller]
fn wait_for(pid: libc::pid_t, flags: libc::c_int) -> Option<libc::c_int> {
    let mut status = 0;
    // SAFETY: `status` is ours to be written.
    match unsafe { libc::waitpid(pid, &raw mut status, flags) } {
        0 => None,
        -1 => panic!("cannot wait: {}", std::io::Error::last_os_error()),
        _ => Some(status),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // SAFETY: not reaped yet, so the pid is still this child's.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            // SAFETY: waits for a child of ours; null means that nobody asks how.
            unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(101) => f.write_str("panicked"),
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Killed(signal) => {
                // SAFETY: answers with a static or thread-local text for any number.
                let name = unsafe { libc::strsignal(*signal) };
                // SAFETY: it is a C string, and is copied before anyone asks again.
                let name = unsafe { CStr::from_ptr(name) };
                write!(f, "was killed by signal {signal}, {}", name.to_string_lossy())
            }
        }
    }
}
