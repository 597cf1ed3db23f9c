//! Forked children whose exit is checked.

use std::ffi::CStr;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};

use super::PATIENCE;

/// Runs `run` in a forked child and waits for it; panics unless it returned there.
#[track_caller]
pub(crate) fn in_child(run: impl FnOnce()) {
    Child::start(run).finish();
}

/// A forked child that runs a closure. It exits with 0 when the closure returns and with
/// 101 when it panics. If it hangs, its alarm kills it.
///
/// It inherits all descriptors of its parent, including those of other tests' receivers, and
/// keeps them open. So in a file that forks, a test that needs a dropped receiver to be
/// closed must drop it in a child, where no other test forks.
pub(crate) struct Child {
    pub(super) pid: libc::pid_t,
    ended: Option<Ended>,
    /// Receives the message of a panic.
    message: UnixStream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Killed(i32),
}

impl Child {
    #[track_caller]
    pub(crate) fn start(run: impl FnOnce()) -> Self {
        // SAFETY: glibc and musl keep the allocator usable in a child of a threaded program,
        // and the child takes no other lock that another thread may hold.
        Self::start_by(|| unsafe { libc::fork() }, run)
    }

    /// As `start`, with a custom way of forking. If that is not the C library's `fork`, the
    /// closure must not allocate while other threads do.
    #[track_caller]
    pub(crate) fn start_by(fork: impl FnOnce() -> libc::pid_t, run: impl FnOnce()) -> Self {
        let (message, mut sender) = UnixStream::pair().unwrap();
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
                        let _ = sender.write_all(text.unwrap_or("(no text)").as_bytes());
                        101
                    }
                };
                // SAFETY: ends the child without running the parent's exit handlers.
                unsafe { libc::_exit(code) }
            }
            pid => Self { pid, ended: None, message },
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// How the child ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        self.reap(libc::WNOHANG)
    }

    /// Waits until the child ends.
    pub(crate) fn wait(&mut self) -> Ended {
        self.reap(0).expect("waitpid waits")
    }

    /// Waits until the child ends and panics unless it exited with 0.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        let ended = self.wait();
        assert!(ended == Ended::Exited(0), "the child {ended}{}", self.panic_message());
    }

    /// Waits, as its tracer, until the child is stopped, and returns the signal.
    #[track_caller]
    pub(crate) fn wait_for_stop(&mut self) -> libc::c_int {
        let status = wait_for(self.pid, 0).expect("waitpid waits");
        if !libc::WIFSTOPPED(status) {
            let ended = *self.ended.insert(Ended::of(status));
            panic!("the child {ended}{}", self.panic_message());
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

    fn panic_message(&mut self) -> String {
        let mut text = Vec::new();
        // Another process may still have the other end open.
        self.message.set_nonblocking(true).unwrap();
        let _ = self.message.read_to_end(&mut text);
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

/// The wait status of a child; None with WNOHANG if it has not changed.
#[track_caller]
fn wait_for(pid: libc::pid_t, flags: libc::c_int) -> Option<libc::c_int> {
    let mut status = 0;
    // SAFETY: `status` is a local variable.
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
            // SAFETY: waits for our own child; null means that the status is not wanted.
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
                // SAFETY: returns a static or thread-local string for any number.
                let name = unsafe { libc::strsignal(*signal) };
                // SAFETY: it is a C string, and is copied before the next call.
                let name = unsafe { CStr::from_ptr(name) };
                write!(f, "was killed by signal {signal}, {}", name.to_string_lossy())
            }
        }
    }
}
