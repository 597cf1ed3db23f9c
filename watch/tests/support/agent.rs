//! A child process that beats.

use std::ffi::CStr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

use varta::{BeatOutcome, Status, Varta};

use super::become_user;
use super::{Child, Ended, PATIENCE, is_alive, ms, signal, uninterrupted, wait_until};

/// After this many beats the daemon knows the process: it may have read the first one before it
/// set SO_PASSPIDFD.
const ENOUGH_BEATS: u32 = 4;

/// A child that beats fifty times a second until it is ended.
pub(crate) struct Agent {
    child: Child,
    control: UnixDatagram,
}

impl Agent {
    /// Starts an agent and waits until the daemon knows it.
    #[track_caller]
    pub(crate) fn at(path: &Path) -> Self {
        let agent = Self::start(path, |run| Child::start(run));
        agent.wait_until_known();
        agent
    }

    /// Starts an agent with this program name, which may contain any bytes.
    #[track_caller]
    pub(crate) fn named(path: &Path, name: &CStr) -> Self {
        let agent = Self::start(path, |run| {
            Child::start(|| {
                rename(name);
                run();
            })
        });
        agent.wait_until_known();
        agent
    }

    /// Starts this many agents at once.
    #[track_caller]
    pub(crate) fn crowd(path: &Path, size: usize) -> Vec<Self> {
        let start = || Self::start(path, |run| Child::start(run));
        let agents: Vec<_> = std::iter::repeat_with(start).take(size).collect();
        agents.iter().for_each(Self::wait_until_known);
        agents
    }

    /// Starts an agent with another way to fork.
    #[track_caller]
    pub(crate) fn forked_by(path: &Path, fork: impl FnOnce() -> libc::pid_t) -> Self {
        let agent = Self::start(path, |run| Child::start_by(fork, run));
        agent.wait_until_known();
        agent
    }

    #[track_caller]
    fn start(path: &Path, start: impl FnOnce(&dyn Fn()) -> Child) -> Self {
        let (control, other_end) = UnixDatagram::pair().unwrap();
        other_end.set_read_timeout(Some(ms(20))).unwrap();
        let child = start(&|| beat(path, &other_end));
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { child, control }
    }

    #[track_caller]
    fn wait_until_known(&self) {
        assert_eq!(
            uninterrupted(|| self.control.recv(&mut [0])).unwrap(),
            1,
            "the agent has not beaten"
        );
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn stop(&self) {
        signal(self.pid(), libc::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        signal(self.pid(), libc::SIGCONT);
    }

    pub(crate) fn kill(&mut self) -> Ended {
        signal(self.pid(), libc::SIGKILL);
        self.child.wait()
    }

    /// Makes it exit with this code, and waits for it.
    pub(crate) fn exit(&mut self, code: u8) -> Ended {
        self.control.send(&[code]).unwrap();
        self.child.wait()
    }

    /// Waits until something else has ended it.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> Ended {
        let mut ended = None;
        wait_until(|| {
            ended = self.child.ended();
            ended.is_some()
        });
        ended.unwrap()
    }

    pub(crate) fn is_alive(&self) -> bool {
        is_alive(self.pid())
    }
}

fn rename(name: &CStr) {
    // SAFETY: `name` ends with a NUL.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
}

fn beat(path: &Path, control: &UnixDatagram) {
    let mut agent = Varta::connect(path).unwrap();
    let (mut payload, mut sent) = (0, 0);
    loop {
        payload += 1;
        match agent.beat(Status::Ok, payload) {
            BeatOutcome::Sent => sent += 1,
            // The socket may be missing for a moment while a daemon restarts.
            _ => drop(agent.reconnect()),
        }
        if sent == ENOUGH_BEATS {
            control.send(&[0]).unwrap();
        }
        let mut code = [0];
        if control.recv(&mut code).is_ok() {
            // SAFETY: ends this child without running the parent's exit handlers.
            unsafe { libc::_exit(code[0].into()) }
        }
    }
}

/// Runs processes of a user one after the other, each of which beats and exits with 1.
#[track_caller]
pub(crate) fn crash_as(user: u32, path: &Path, times: usize) {
    for _ in 0..times {
        let mut child = Child::start(|| {
            become_user(user);
            send_beats(path, ENOUGH_BEATS);
            // SAFETY: ends this child without running the parent's exit handlers.
            unsafe { libc::_exit(1) }
        });
        assert_eq!(child.wait(), Ended::Exited(1));
    }
}

/// A child that has beaten once and then does nothing until it is dropped.
#[track_caller]
pub(crate) fn beat_once(path: &Path) -> Child {
    let (control, other_end) = UnixDatagram::pair().unwrap();
    let child = Child::start(|| {
        let _agent = send_beats(path, 1);
        other_end.send(&[0]).unwrap();
        pause();
    });
    control.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(
        uninterrupted(|| control.recv(&mut [0])).unwrap(),
        1,
        "the agent has not beaten"
    );
    child
}

/// A child with this program name that does the same, perhaps later.
pub(crate) fn start_named(path: &Path, name: &CStr) -> Child {
    Child::start(|| {
        rename(name);
        let _agent = send_beats(path, 1);
        pause();
    })
}

fn pause() {
    // SAFETY: waits for a signal.
    unsafe { libc::pause() };
}

fn send_beats(path: &Path, count: u32) -> Varta {
    let mut agent = Varta::connect(path).unwrap();
    for payload in 0..count {
        while !matches!(agent.beat(Status::Ok, payload), BeatOutcome::Sent) {
            thread::sleep(ms(1));
        }
    }
    agent
}
