//! Receivers: separate processes that receive datagrams, as an observer would.

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

/// How long a receiver may be kept from running.
const PATIENCE: Duration = Duration::from_secs(5);

const BUSY: &str = "busy";
const ASLEEP: &str = "asleep";
const ANY_PORT: &str = "udp";

/// A receiver process that ends when this is dropped.
pub(crate) struct Receiver {
    child: Child,
    address: String,
    taken: &'static AtomicU64,
}

impl Receiver {
    /// A receiver at a path. It never sleeps, so that no sender pays for waking it.
    pub(crate) fn busy(stage: &Stage, path: &Path) -> io::Result<Self> {
        Self::start(stage, BUSY, path.as_os_str())
    }

    /// A receiver at a path. It sleeps until a datagram arrives, as an observer does.
    pub(crate) fn asleep(stage: &Stage, path: &Path) -> io::Result<Self> {
        Self::start(stage, ASLEEP, path.as_os_str())
    }

    /// A receiver on a free port of the loopback interface. It never sleeps.
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
    /// Waits until all datagrams are received, so that every send finds an empty queue and a
    /// running receiver. Then it waits for a varying time, so that no contender is always in
    /// step with the receiver's polling.
    fn settle(&self, sent: u64) -> io::Result<()> {
        let begun = Instant::now();
        while self.taken.load(Ordering::Acquire) < sent {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("the receiver does not receive the datagrams"));
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

/// Pseudo-random numbers below 1024.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // If this fails, the receiver ends by itself when its standard input is closed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the receiving process with the rest of its arguments.
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

/// Reports the address to the sender, and makes this process end when the sender ends.
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
