//! Receivers: a process of their own that takes what is sent, as an observer would.

use std::ffi::{OsStr, OsString};
use std::hint::spin_loop;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::Standing;
use crate::stage::{self, Stage};
use crate::sys;

/// The argument that makes this program a receiver.
pub(crate) const ARGUMENT: &str = "receive";

/// How long the machine may keep a receiver from running.
const PATIENCE: Duration = Duration::from_secs(5);

const BUSY: &str = "busy";
const ASLEEP: &str = "asleep";
const ANY_PORT: &str = "udp";

/// A receiver, there until it is dropped.
pub(crate) struct Receiver {
    child: Child,
    address: String,
    taken: &'static AtomicU64,
}

impl Receiver {
    /// At a path. It never sleeps, so that no sender pays for waking it.
    pub(crate) fn busy(stage: &Stage, path: &Path) -> io::Result<Self> {
        Self::start(stage, BUSY, path.as_os_str())
    }

    /// At a path. It sleeps until something comes, as an observer does.
    pub(crate) fn asleep(stage: &Stage, path: &Path) -> io::Result<Self> {
        Self::start(stage, ASLEEP, path.as_os_str())
    }

    /// On a free port of the loopback interface, never sleeping.
    pub(crate) fn busy_udp(stage: &Stage) -> io::Result<(Self, SocketAddr)> {
        let receiver = Self::start(stage, BUSY, OsStr::new(ANY_PORT))?;
        let address = receiver.address.parse().map_err(io::Error::other)?;
        Ok((receiver, address))
    }

    fn start(stage: &Stage, idle: &str, at: &OsStr) -> io::Result<Self> {
        stage.taken.store(0, Ordering::Relaxed);
        let mut child = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, idle, &stage.receiver_cpu.to_string()])
            .args([stage.taken_file().as_os_str(), at])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let mut receiver = Self { child, address: String::new(), taken: stage.taken };
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut receiver.address)?;
        }
        receiver.address.truncate(receiver.address.trim_end().len());
        if receiver.address.is_empty() {
            return Err(io::Error::other("the receiver did not start"));
        }
        Ok(receiver)
    }
}

impl Standing for Receiver {
    /// Waits until all is taken, so that every send meets an empty queue and a receiver
    /// that is running; and then some more, ever differently, so that no contender is
    /// always just in time to meet the receiver's next look into the queue.
    fn settle(&self, sent: u64) -> io::Result<()> {
        let begun = Instant::now();
        while self.taken.load(Ordering::Acquire) < sent {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("the receiver does not get what is sent"));
            }
            spin_loop();
        }
        let taken = Instant::now();
        let wait = Duration::from_nanos(500 + scattered(sent));
        while taken.elapsed() < wait {
            spin_loop();
        }
        Ok(())
    }
}

/// Numbers below 1024, as if by chance.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Should this fail, the receiver ends by itself: its standard input closes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the receiving process does with the rest of its arguments.
pub(crate) fn run(arguments: &[OsString]) -> io::Result<()> {
    let [idle, cpu, taken, at] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let cpu = cpu.to_string_lossy().parse().map_err(io::Error::other)?;
    let taken = stage::taken(Path::new(taken))?;
    let busy = idle == BUSY;
    let mut buffer = [0; 64];
    if at == ANY_PORT {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(busy)?;
        ready(&socket.local_addr()?.to_string(), cpu)?;
        take_all(taken, || socket.recv(&mut buffer))
    } else {
        let socket = UnixDatagram::bind(at)?;
        socket.set_nonblocking(busy)?;
        ready("bound", cpu)?;
        take_all(taken, || socket.recv(&mut buffer))
    }
}

fn take_all(taken: &AtomicU64, mut take: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match take() {
            Ok(_) => drop(taken.fetch_add(1, Ordering::Release)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tells the sender, and sees to it that the sender's end is this process's too.
fn ready(address: &str, cpu: usize) -> io::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    sys::stay_on(cpu)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}
