//! A process that beats.

use std::ffi::CStr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

use varta::{BeatOutcome, Status, Varta};

use super::system::become_user;
use super::{Child, Ended, PATIENCE, is_alive, ms, signal, wait_until};

/// The first beat may be read before the kernel has been asked who sent it.
const KNOWN: u32 = 4;

/// A child that beats fifty times a second until it is ended.
pub(crate) struct Agent {
    child: Child,
    end: UnixDatagram,
}

impl Agent {
    /// Returns when it has beaten often enough to be known.
    #[track_caller]
    pub(crate) fn at(path: &Path) -> Self {
        let agent = Self::started(path, |run| Child::start(run));
        agent.wait_until_known();
        agent
    }

    /// One whose program has this name, which may hold any bytes.
    #[track_caller]
    pub(crate) fn named(path: &Path, name: &CStr) -> Self {
        let agent = Self::started(path, |run| {
            Child::start(|| {
                // SAFETY: reads a string that ends with its NUL.
                assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
                run();
            })
        });
        agent.wait_until_known();
        agent
    }

    /// So many at once.
    #[track_caller]
    pub(crate) fn crowd(path: &Path, size: usize) -> Vec<Self> {
        let start = || Self::started(path, |run| Child::start(run));
        let agents: Vec<_> = std::iter::repeat_with(start).take(size).collect();
        agents.iter().for_each(Self::wait_until_known);
        agents
    }

    /// One that is forked in another way.
    #[track_caller]
    pub(crate) fn forked_by(path: &Path, fork: impl FnOnce() -> libc::pid_t) -> Self {
        let agent = Self::started(path, |run| Child::start_by(fork, run));
        agent.wait_until_known();
        agent
    }

    #[track_caller]
    fn started(path: &Path, start: impl FnOnce(&dyn Fn()) -> Child) -> Self {
        let (end, told) = UnixDatagram::pair().unwrap();
        told.set_read_timeout(Some(ms(20))).unwrap();
        let child = start(&|| beat(path, &told));
        end.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { child, end }
    }

    #[track_caller]
    fn wait_until_known(&self) {
        assert_eq!(self.end.recv(&mut [0]).unwrap(), 1, "it has not beaten");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn stop(&self) {
        signal(self.pid(), libc::SIGSTOP);
    }

    pub(crate) fn go_on(&self) {
        signal(self.pid(), libc::SIGCONT);
    }

    pub(crate) fn kill(&mut self) -> Ended {
        signal(self.pid(), libc::SIGKILL);
        self.child.wait()
    }

    /// Has it exit, and waits for that as its parent.
    pub(crate) fn exit(&mut self, code: u8) -> Ended {
        self.end.send(&[code]).unwrap();
        self.child.wait()
    }

    /// Waits until somebody else has ended it.
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

fn beat(path: &Path, told: &UnixDatagram) {
    let mut agent = Varta::connect(path).unwrap();
    let (mut payload, mut sent) = (0, 0);
    loop {
        payload += 1;
        match agent.beat(Status::Ok, payload) {
            BeatOutcome::Sent => sent += 1,
            // A daemon that is being replaced is not there for a moment.
            _ => drop(agent.reconnect()),
        }
        if sent == KNOWN {
            told.send(&[0]).unwrap();
        }
        let mut code = [0];
        if told.recv(&mut code).is_ok() {
            // SAFETY: ends this child without running what is the parent's to run.
            unsafe { libc::_exit(code[0].into()) }
        }
    }
}

/// Processes of a user that beat and exit with 1, one after the other.
#[track_caller]
pub(crate) fn crash_as(user: u32, path: &Path, times: usize) {
    for _ in 0..times {
        let mut child = Child::start(|| {
            become_user(user);
            send_beats(path, KNOWN);
            // SAFETY: ends this child without running what is the parent's to run.
            unsafe { libc::_exit(1) }
        });
        assert_eq!(child.wait(), Ended::Exited(1));
    }
}

/// A child that has beaten once and then does nothing until it is dropped.
#[track_caller]
pub(crate) fn beat_once(path: &Path) -> Child {
    let (told, tell) = UnixDatagram::pair().unwrap();
    let child = Child::start(|| {
        let _agent = send_beats(path, 1);
        tell.send(&[0]).unwrap();
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    });
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(told.recv(&mut [0]).unwrap(), 1, "it has not beaten");
    child
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
