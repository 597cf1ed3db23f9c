//! A process that sends and ends on command.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::{Child, Ended, PATIENCE, frame, uninterrupted};

/// A child process with a socket that is connected to an observer's.
pub(crate) struct TestAgent {
    child: Child,
    commands: UnixDatagram,
}

const SEND: u8 = 1;
const END: u8 = 2;

/// How an agent ends.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum End {
    Exit = 1,
    Signal = 2,
}

impl TestAgent {
    #[track_caller]
    pub(crate) fn at(path: &Path) -> Self {
        Self::after(path, || {})
    }

    /// As [`at`](Self::at), but runs `before` first.
    #[track_caller]
    pub(crate) fn after(path: &Path, before: impl FnOnce()) -> Self {
        let (commands, child_end) = UnixDatagram::pair().unwrap();
        commands.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Child::start(|| run_commands(path, &child_end, before));
        let agent = Self { child, commands };
        assert_eq!(agent.answer().unwrap(), 0);
        agent
    }

    /// As [`at`](Self::at), with a fork function that need not be the C library's.
    #[track_caller]
    pub(crate) fn forked_by(path: &Path, fork: impl FnOnce() -> libc::pid_t) -> Self {
        let (commands, child_end) = UnixDatagram::pair().unwrap();
        commands.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Child::start_by(fork, || run_commands(path, &child_end, || {}));
        let agent = Self { child, commands };
        assert_eq!(agent.answer().unwrap(), 0);
        agent
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Has it send a datagram, and returns the result.
    #[track_caller]
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        self.commands.send(&[&[SEND], bytes].concat()).unwrap();
        match self.answer()? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Has it beat with the pid that it has in this namespace.
    #[track_caller]
    pub(crate) fn beat(&self, nonce: u64) {
        self.send(&frame(self.pid(), nonce));
    }

    /// Has it beat this many times and end at once.
    #[track_caller]
    pub(crate) fn beat_and_end(&self, beats: u8, end: End, code: u8) {
        self.commands.send(&[END, beats, end as u8, code]).unwrap();
    }

    #[track_caller]
    pub(crate) fn exit(&self, code: u8) {
        self.beat_and_end(0, End::Exit, code);
    }

    /// Has it end by a signal that it sends itself.
    #[track_caller]
    pub(crate) fn die_of(&self, signal: i32) {
        self.beat_and_end(0, End::Signal, signal.try_into().unwrap());
    }

    /// Reaps it, as its parent.
    #[track_caller]
    pub(crate) fn reap(&mut self) -> Ended {
        self.child.wait()
    }

    /// Waits until it has ended, without reaping it.
    #[track_caller]
    pub(crate) fn wait_for_end(&self) {
        // SAFETY: numbers and pointers, all of which may be zero.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: `info` may be written.
        let waited = unsafe { libc::waitid(libc::P_PID, self.pid(), &raw mut info, options) };
        assert_eq!(waited, 0, "{}", io::Error::last_os_error());
    }

    fn answer(&self) -> io::Result<i32> {
        let mut answer = [0; 4];
        uninterrupted(|| self.commands.recv(&mut answer))?;
        Ok(i32::from_ne_bytes(answer))
    }
}

fn run_commands(path: &Path, child_end: &UnixDatagram, before: impl FnOnce()) {
    let errno = |result: io::Result<()>| match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    };
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    before();
    child_end.send(&0_i32.to_ne_bytes()).unwrap();
    let mut nonce = 0;
    loop {
        let mut command = [0; 256];
        let length = child_end.recv(&mut command).unwrap();
        match command[..length] {
            [SEND, ref bytes @ ..] => {
                let answer = errno(socket.send(bytes).map(drop));
                child_end.send(&answer.to_ne_bytes()).unwrap();
            }
            [END, beats, end, code] => {
                for _ in 0..beats {
                    nonce += 1;
                    socket.send(&frame(std::process::id(), nonce)).unwrap();
                }
                if end == End::Signal as u8 {
                    // The standard library's handler would let one SIGSEGV pass.
                    // SAFETY: takes only numbers.
                    unsafe { libc::signal(code.into(), libc::SIG_DFL) };
                    // SAFETY: takes a number.
                    unsafe { libc::raise(code.into()) };
                }
                // SAFETY: ends this child at once.
                unsafe { libc::_exit(code.into()) }
            }
            ref other => panic!("{other:?}"),
        }
    }
}
