//! The service manager: what it is told, and the sockets it passes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};

use crate::platform::passed_fds;

/// Sends the state of the daemon to the service manager.
///
/// READY, WATCHDOG and STOPPING are each the only line of their datagram, because there are
/// receivers that compare whole datagrams; and nothing follows STOPPING.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    stopping: Mutex<bool>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET` says; without it nobody is told.
    pub(crate) fn from_env() -> io::Result<Self> {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self { socket: None, stopping: Mutex::new(false) });
        };
        let unfit = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("NOTIFY_SOCKET {}: {error}", Path::new(&path).display()),
            )
        };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        let socket = UnixDatagram::unbound().map_err(unfit)?;
        socket.set_nonblocking(true).map_err(unfit)?;
        let socket = Some((socket, address.map_err(unfit)?));
        Ok(Self { socket, stopping: Mutex::new(false) })
    }

    pub(crate) fn ready(&self, status: &str) {
        self.tell("READY=1\n");
        self.tell(&format!("STATUS={status}\n"));
    }

    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    pub(crate) fn stopping(&self) {
        // Held until both are sent, so that no WATCHDOG of the keeper's thread comes after them.
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        *stopping = true;
        self.tell("STATUS=ending\n");
        self.tell("STOPPING=1\n");
    }

    pub(crate) fn watchdog(&self) {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        if !*stopping {
            self.tell("WATCHDOG=1\n");
        }
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::warn!(error = %error, "the service manager could not be told");
        }
    }
}

/// How often the service manager wants to hear that this process lives.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let for_us = match std::env::var("WATCHDOG_PID") {
        Ok(pid) => pid.parse() == Ok(std::process::id()),
        Err(_) => true,
    };
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok().filter(|_| for_us)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// The first of those that are passed; the rest follow.
const FIRST: i32 = 3;

/// Sockets that the service manager has bound.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Where agents beat.
    pub(crate) beats: Vec<OwnedFd>,
    /// Where HTTP is served.
    pub(crate) http: Vec<OwnedFd>,
}

/// Whether there are such sockets.
pub(crate) fn passes_sockets() -> bool {
    sockets_passed().is_some()
}

fn sockets_passed() -> Option<i32> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let pid: u32 = std::env::var("LISTEN_PID").ok()?.parse().ok()?;
    let count: i32 = number("LISTEN_FDS")?;
    (pid == std::process::id() && count > 0).then_some(count)
}

/// Takes the sockets. To be called once, before anything is opened or started.
pub(crate) fn take_sockets() -> io::Result<Passed> {
    let mut passed = Passed::default();
    let Some(count) = sockets_passed() else { return Ok(passed) };
    for number in 0..count {
        let descriptor = FIRST.saturating_add(number);
        let unfit = |why: &dyn std::fmt::Display| {
            let why = format!("LISTEN_FDS promises {count} sockets: {why}");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let socket = passed_fds::take(descriptor).map_err(|error| unfit(&error))?;
        let kind = sockopt::socket_type(&socket)
            .map_err(|error| unfit(&format_args!("descriptor {descriptor}: {error}")))?;
        let domain = sockopt::socket_domain(&socket)?;
        let listens = sockopt::socket_acceptconn(&socket)?;
        match (domain, kind) {
            (AddressFamily::UNIX, SocketType::DGRAM) => passed.beats.push(socket),
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM) if listens => {
                passed.http.push(socket);
            }
            _ => {
                let why = format!(
                    "socket {} of those passed (LISTEN_FDS) is neither a Unix datagram socket \
                     nor a TCP socket that listens",
                    number + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
    }
    Ok(passed)
}
