//! A process that sends what it is told, and ends as it is told.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::{Child, Ended, PATIENCE, frame};

/// A child with a socket that is connected to an observer's.
pub(crate) struct Puppet {
    child: Child,
    strings: UnixDatagram,
}

const SEND: u8 = 1;
const END: u8 = 2;

/// How a puppet ends.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum End {
    Exit = 1,
    Signal = 2,
}

impl Puppet {
    #[track_caller]
    pub(crate) fn at(path: &Path) -> Self {
        Self::after(path, || {})
    }

    /// One that does something first.
    #[track_caller]
    pub(crate) fn after(path: &Path, before: impl FnOnce()) -> Self {
        let (strings, hands) = UnixDatagram::pair().unwrap();
        strings.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Child::start(|| dance(path, &hands, before));
        let puppet = Self { child, strings };
        assert_eq!(puppet.answer().unwrap(), 0);
        puppet
    }

    /// As [`at`](Self::at), by a way of forking that need not be the C library's.
    #[track_caller]
    pub(crate) fn forked_by(path: &Path, fork: impl FnOnce() -> libc::pid_t) -> Self {
        let (strings, hands) = UnixDatagram::pair().unwrap();
        strings.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Child::start_by(fork, || dance(path, &hands, || {}));
        let puppet = Self { child, strings };
        assert_eq!(puppet.answer().unwrap(), 0);
        puppet
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Has it send a datagram; tells how that went.
    #[track_caller]
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        self.strings.send(&[&[SEND], bytes].concat()).unwrap();
        match self.answer()? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Has it beat, by the pid that it has here.
    #[track_caller]
    pub(crate) fn beat(&self, nonce: u64) {
        self.send(&frame(self.pid(), nonce));
    }

    /// Has it beat so often and end at once.
    #[track_caller]
    pub(crate) fn beat_and_end(&self, beats: u8, end: End, how: u8) {
        self.strings.send(&[END, beats, end as u8, how]).unwrap();
    }

    #[track_caller]
    pub(crate) fn exit(&self, code: u8) {
        self.beat_and_end(0, End::Exit, code);
    }

    /// Ends it by a signal of its own.
    #[track_caller]
    pub(crate) fn die_of(&self, signal: i32) {
        self.beat_and_end(0, End::Signal, signal.try_into().unwrap());
    }

    /// Takes note of its end, as its parent.
    #[track_caller]
    pub(crate) fn reap(&mut self) -> Ended {
        self.child.wait()
    }

    /// Returns when it has ended; it is not reaped.
    #[track_caller]
    pub(crate) fn wait_for_end(&self) {
        // SAFETY: numbers and pointers, all of which may be zero.
        let mut told: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: `told` is ours to be written.
        let waited = unsafe { libc::waitid(libc::P_PID, self.pid(), &raw mut told, options) };
        assert_eq!(waited, 0, "{}", io::Error::last_os_error());
    }

    fn answer(&self) -> io::Result<i32> {
        let mut answer = [0; 4];
        self.strings.recv(&mut answer)?;
        Ok(i32::from_ne_bytes(answer))
    }
}

fn dance(path: &Path, hands: &UnixDatagram, before: impl FnOnce()) {
    let errno = |result: io::Result<()>| match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    };
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    before();
    hands.send(&0_i32.to_ne_bytes()).unwrap();
    let mut nonce = 0;
    loop {
        let mut told = [0; 256];
        let length = hands.recv(&mut told).unwrap();
        match told[..length] {
            [SEND, ref bytes @ ..] => {
                let answer = errno(socket.send(bytes).map(drop));
                hands.send(&answer.to_ne_bytes()).unwrap();
            }
            [END, beats, end, how] => {
                for _ in 0..beats {
                    nonce += 1;
                    socket.send(&frame(std::process::id(), nonce)).unwrap();
                }
                if end == End::Signal as u8 {
                    // The standard library's handler would let one pass.
                    // SAFETY: takes numbers alone.
                    unsafe { libc::signal(how.into(), libc::SIG_DFL) };
                    // SAFETY: takes a number.
                    unsafe { libc::raise(how.into()) };
                }
                // SAFETY: ends this child at once.
                unsafe { libc::_exit(how.into()) }
            }
            ref other => panic!("{other:?}"),
        }
    }
}
