//! Shared by some tests: a scripted transport, a count of calls to `connect`, keys for
//! opening sealed datagrams, locks between tests, and running a test again in its own
//! process.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unsafe_code, reason = "wrapping the C library's connect")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
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

/// One call that a scripted transport expects, and its result.
#[derive(Debug)]
pub(crate) enum Step {
    Send(io::Result<usize>),
    Reconnect(io::Result<()>),
}

/// A transport that expects exactly the calls of its script, in that order, and returns the
/// results given there. Any other call panics.
pub(crate) struct Scripted(Script);

/// The test's handle of the script.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

struct State {
    steps: VecDeque<Step>,
    sent: Vec<[u8; FRAME_BYTES]>,
}

impl Scripted {
    /// A script in letters; spaces are ignored. A send is `.` if it is accepted, `d` if it is
    /// dropped, `q` if the queue is full and `f` if it fails. A reconnect is `R` if it
    /// succeeds and `x` if it fails.
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
            other => panic!("{other} is not a letter of a script"),
        }))
    }

    pub(crate) fn of(steps: impl IntoIterator<Item = Step>) -> (Self, Script) {
        let state = State { steps: steps.into_iter().collect(), sent: Vec::new() };
        let script = Script(Arc::new(Mutex::new(state)));
        (Self(script.clone()), script)
    }
}

impl Script {
    /// All datagrams sent, whether accepted or not.
    pub(crate) fn wires(&self) -> Vec<[u8; FRAME_BYTES]> {
        self.0.lock().unwrap().sent.clone()
    }

    /// The nonces of all frames sent, whether accepted or not.
    #[track_caller]
    pub(crate) fn nonces(&self) -> Vec<u64> {
        self.wires().iter().map(|wire| Frame::decode(wire).unwrap().nonce).collect()
    }

    /// Panics if an expected call was not made.
    #[track_caller]
    pub(crate) fn assert_done(&self) {
        let state = self.0.lock().unwrap();
        assert!(state.steps.is_empty(), "not called: {:?}", state.steps);
    }
}

impl BeatTransport for Scripted {
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.sent.push(*frame);
        match state.steps.pop_front() {
            Some(Step::Send(result)) => result,
            other => panic!("send was called, but expected {other:?}"),
        }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        match self.0.0.lock().unwrap().steps.pop_front() {
            Some(Step::Reconnect(result)) => result,
            other => panic!("reconnect was called, but expected {other:?}"),
        }
    }
}

static FORKS: RwLock<()> = RwLock::new(());

/// Held by a test that closes a socket and needs it to be closed for good: a child forked by
/// another test at the same time would keep it open.
pub(crate) fn without_forks() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that forks, in a program where other tests hold `without_forks`, or where
/// children change the panic hook: they could not if they were forked while another test is
/// running the hook, which happens when that test has failed.
pub(crate) fn forking() -> RwLockWriteGuard<'static, ()> {
    FORKS.write().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static CONNECTS: Cell<u64> = const { Cell::new(0) };
}

/// How many times this thread has called `connect`.
pub(crate) fn connects() -> u64 {
    CONNECTS.get()
}

/// Replaces the C library's `connect`, for the standard library too. It counts the calls and
/// passes them on.
// SAFETY: it has the same signature and meaning as the function it replaces.
#[unsafe(no_mangle)]
extern "C" fn connect(
    socket: libc::c_int,
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> libc::c_int {
    CONNECTS.set(CONNECTS.get() + 1);
    // SAFETY: passes the caller's arguments to the system call unchanged.
    let result = unsafe { libc::syscall(libc::SYS_connect, socket, address, length) };
    if result == 0 { 0 } else { -1 }
}

/// A UDP socket on a port of 127.0.0.1 that can be bound again later: no system assigns
/// these ports by itself.
#[track_caller]
pub(crate) fn udp_on_reusable_port() -> UdpSocket {
    let start = std::process::id() % 8_000;
    (0..8_000_u32)
        .map(|step| 20_000 + (start + step) % 8_000)
        .find_map(|port| UdpSocket::bind(format!("127.0.0.1:{port}")).ok())
        .expect("a free port")
}

/// The shared key of these tests.
pub(crate) const SHARED_KEY: [u8; 32] = [0x5a; 32];

/// The master key of these tests.
pub(crate) const MASTER_KEY: [u8; 32] = [0xa5; 32];

/// Opens datagrams that were sealed with the two keys.
pub(crate) struct Opener {
    shared: Cipher,
    master: Key,
    agents: HashMap<u32, Cipher>,
}

/// An opened datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    /// The agent whose key was used; None for the shared key.
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
            length => panic!("{length} bytes are not a sealed frame"),
        };
        let frame = Frame::decode(&frame.expect("it opens with its key")).unwrap();
        assert!(agent.is_none_or(|pid| pid == frame.pid));
        let (_, iv) = datagram.split_at(datagram.len() - 60);
        Opened { agent, iv: Iv::from_bytes(*iv.first_chunk().unwrap()), frame }
    }
}

/// The variable that names the part of a test that is run again.
const PART: &str = "VARTA_TEST_PART";

/// The part to run, if this process was started by `run_again`.
pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Runs a test of this program again in its own process, where `part()` returns the given
/// part; `change` may change the command. Panics unless the test passes there. Returns the
/// output.
#[track_caller]
pub(crate) fn run_again(
    test: &str,
    part: &str,
    change: impl FnOnce(&mut Command) -> &mut Command,
) -> String {
    run_program_again(std::env::current_exe().unwrap(), test, part, change)
}

/// As `run_again`, with a copy of this program.
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
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{part}: {text}");
    // With a wrong name no test would run, and that would pass.
    assert!(text.contains("1 passed"), "{part}: there is no test {test}");
    text
}
