//! More of what tests share: a transport with a script, the number of connections tried,
//! keys to open sealed datagrams with, tests that keep out of each other's way, a test
//! run again in a process of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unsafe_code, reason = "standing in front of the C library's connect")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what clippy.toml allows in tests it does not see in their helpers"
)]

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use varta::secure::{Cipher, Iv, Key, derive_agent_key};
use varta::{BeatTransport, FRAME_BYTES, Frame};

/// One call that a scripted transport expects, and its answer.
#[derive(Debug)]
pub(crate) enum Step {
    Send(io::Result<usize>),
    Reconnect(io::Result<()>),
}

/// A transport that is asked exactly for what its script says, in that order, and
/// answers as written there. Any other call panics.
pub(crate) struct Scripted(Script);

/// What the test keeps of it.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

struct State {
    steps: VecDeque<Step>,
    sent: Vec<[u8; FRAME_BYTES]>,
}

impl Scripted {
    /// A script in letters, spaces aside: `.` a send that is taken, `d` one that is
    /// dropped, `q` one that finds the queue full, `f` one that fails; `R` a new session,
    /// `x` none.
    #[track_caller]
    pub(crate) fn spelled(letters: &str) -> (Self, Script) {
        let errno = |errno| io::Error::from_raw_os_error(errno);
        Self::of(letters.chars().filter(|letter| *letter != ' ').map(|letter| match letter {
            '.' => Step::Send(Ok(FRAME_BYTES)),
            'd' => Step::Send(Err(errno(libc::ECONNREFUSED))),
            'q' => Step::Send(Err(errno(libc::EAGAIN))),
            'f' => Step::Send(Err(errno(libc::EACCES))),
            'R' => Step::Reconnect(Ok(())),
            'x' => Step::Reconnect(Err(errno(libc::ENOENT))),
            other => panic!("{other} is no letter of a script"),
        }))
    }

    pub(crate) fn of(steps: impl IntoIterator<Item = Step>) -> (Self, Script) {
        let state = State { steps: steps.into_iter().collect(), sent: Vec::new() };
        let script = Script(Arc::new(Mutex::new(state)));
        (Self(script.clone()), script)
    }
}

impl Script {
    /// What was sent, taken or not.
    pub(crate) fn wires(&self) -> Vec<[u8; FRAME_BYTES]> {
        self.0.lock().unwrap().sent.clone()
    }

    /// The nonces of what was sent, taken or not.
    #[track_caller]
    pub(crate) fn nonces(&self) -> Vec<u64> {
        self.wires().iter().map(|wire| Frame::decode(wire).unwrap().nonce).collect()
    }

    /// Panics if a call is still to come.
    #[track_caller]
    pub(crate) fn assert_done(&self) {
        let state = self.0.lock().unwrap();
        assert!(state.steps.is_empty(), "not asked for: {:?}", state.steps);
    }
}

impl BeatTransport for Scripted {
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.sent.push(*frame);
        match state.steps.pop_front() {
            Some(Step::Send(answer)) => answer,
            other => panic!("asked to send, but next is {other:?}"),
        }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        match self.0.0.lock().unwrap().steps.pop_front() {
            Some(Step::Reconnect(answer)) => answer,
            other => panic!("asked to reconnect, but next is {other:?}"),
        }
    }
}

static FORKS: RwLock<()> = RwLock::new(());

/// Held by a test to which a socket that it closes must be gone: a child that another
/// test forks meanwhile would keep it open.
pub(crate) fn nobody_forks() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that forks, in a program where others hold `nobody_forks`, or where
/// children change the panic hook: they could not if they were forked while another test
/// runs it, which is when that test has failed.
pub(crate) fn forking() -> RwLockWriteGuard<'static, ()> {
    FORKS.write().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static CONNECTS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has called `connect`.
pub(crate) fn connects() -> u64 {
    CONNECTS.get()
}

/// A test program's own `connect` goes before the C library's, for the standard library
/// too. It counts and passes on.
// SAFETY: the same signature and meaning as the function it stands for.
#[unsafe(no_mangle)]
extern "C" fn connect(
    socket: libc::c_int,
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> libc::c_int {
    CONNECTS.set(CONNECTS.get() + 1);
    // SAFETY: the caller's arguments, to the call that the caller meant.
    let answer = unsafe { libc::syscall(libc::SYS_connect, socket, address, length) };
    if answer == 0 { 0 } else { -1 }
}

/// A UDP port of 127.0.0.1 that stays free while nobody is bound to it: no system hands
/// out one of these by itself.
#[track_caller]
pub(crate) fn udp_to_come_back_to() -> UdpSocket {
    let start = std::process::id() % 8_000;
    (0..8_000_u32)
        .map(|step| 20_000 + (start + step) % 8_000)
        .find_map(|port| UdpSocket::bind(format!("127.0.0.1:{port}")).ok())
        .expect("a free port")
}

/// The key that agents and observers of these tests share.
pub(crate) const SHARED_KEY: [u8; 32] = [0x5a; 32];

/// The key from which the agents of these tests have theirs.
pub(crate) const MASTER_KEY: [u8; 32] = [0xa5; 32];

/// Opens what was sealed with the two keys.
pub(crate) struct Opener {
    shared: Cipher,
    master: Key,
    agents: HashMap<u32, Cipher>,
}

/// A sealed datagram, opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    /// Whose key it was; None for the shared one.
    pub(crate) agent: Option<u32>,
    pub(crate) iv: Iv,
    pub(crate) frame: Frame,
}

impl Opener {
    pub(crate) fn new() -> Self {
        Self {
            shared: Cipher::new(&Key::from_bytes(SHARED_KEY)),
            master: Key::from_bytes(MASTER_KEY),
            agents: HashMap::new(),
        }
    }

    #[track_caller]
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Opened {
        let (agent, frame) = match datagram.len() {
            60 => (None, self.shared.open(datagram.try_into().unwrap())),
            64 => {
                let pid = u32::from_le_bytes(*datagram.first_chunk().unwrap());
                let master = &self.master;
                let cipher = self
                    .agents
                    .entry(pid)
                    .or_insert_with(|| Cipher::new(&derive_agent_key(master, pid).unwrap()));
                (Some(pid), cipher.open_from(datagram.try_into().unwrap()))
            }
            length => panic!("{length} bytes are no sealed frame"),
        };
        let frame = Frame::decode(&frame.expect("it opens with its key")).unwrap();
        assert!(agent.is_none_or(|pid| pid == frame.pid));
        let (_, iv) = datagram.split_at(datagram.len() - 60);
        Opened { agent, iv: Iv::from_bytes(*iv.first_chunk().unwrap()), frame }
    }
}

/// Names the part that a test plays when it is run again.
const PART: &str = "VARTA_TEST_PART";

/// The part to play, if this process is one that `run_again` made.
pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Runs a test of this program again in a process of its own, where `part()` is the one
/// given and the environment may be changed; panics unless it passes there. Returns what
/// was printed.
#[track_caller]
pub(crate) fn run_again(
    test: &str,
    part: &str,
    change: impl FnOnce(&mut Command) -> &mut Command,
) -> String {
    run_program_again(std::env::current_exe().unwrap(), test, part, change)
}

/// As `run_again`, by a copy of this program.
#[track_caller]
pub(crate) fn run_program_again(
    program: PathBuf,
    test: &str,
    part: &str,
    change: impl FnOnce(&mut Command) -> &mut Command,
) -> String {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]).env(PART, part);
    let output = change(&mut command).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{part}: {said}");
    // A wrong name would run no test, and that would pass.
    assert!(said.contains("1 passed"), "{part}: no test is called {test}");
    said
}
