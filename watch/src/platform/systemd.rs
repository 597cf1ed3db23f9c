//! The service manager: notifications to it, and the sockets that it passes.

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
    /// Sends to `NOTIFY_SOCKET`. If that is not set, all notifications are ignored.
    pub(crate) fn from_env() -> io::Result<Self> {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self { socket: None, stopping: Mutex::new(false) });
        };
        let invalid = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("NOTIFY_SOCKET {}: {error}", Path::new(&path).display()),
            )
        };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        let socket = UnixDatagram::unbound().map_err(invalid)?;
        socket.set_nonblocking(true).map_err(invalid)?;
        let socket = Some((socket, address.map_err(invalid)?));
        Ok(Self { socket, stopping: Mutex::new(false) })
    }

    pub(crate) fn ready(&self, status: &str) {
        self.notify("READY=1\n");
        self.notify(&format!("STATUS={status}\n"));
    }

    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    pub(crate) fn stopping(&self) {
        // Held until both are sent, so that the watchdog thread sends no WATCHDOG after them.
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        *stopping = true;
        self.notify("STATUS=ending\n");
        self.notify("STOPPING=1\n");
    }

    pub(crate) fn watchdog(&self) {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        if !*stopping {
            self.notify("WATCHDOG=1\n");
        }
    }

    fn notify(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::warn!(error = %error, "cannot notify the service manager");
        }
    }
}

/// The interval in which the service manager expects WATCHDOG, if it does.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let for_us = match std::env::var("WATCHDOG_PID") {
        Ok(pid) => pid.parse() == Ok(std::process::id()),
        Err(_) => true,
    };
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok().filter(|_| for_us)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// The number of the first passed descriptor.
const FIRST: i32 = 3;

/// The name of the socket for notifications (FileDescriptorName= of its unit).
const NOTIFY: &str = "notify";

/// Sockets that the service manager has bound.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Sockets that receive beats.
    pub(crate) beats: Vec<OwnedFd>,
    /// The socket with the name "notify", for notifications.
    pub(crate) notify: Option<OwnedFd>,
    /// Listening sockets at which agents ask for shared memory.
    pub(crate) lanes: Vec<OwnedFd>,
    /// Listening sockets for HTTP.
    pub(crate) http: Vec<OwnedFd>,
}

/// Whether the service manager passed sockets.
pub(crate) fn passes_sockets() -> bool {
    sockets_passed().is_some()
}

fn sockets_passed() -> Option<i32> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let pid: u32 = std::env::var("LISTEN_PID").ok()?.parse().ok()?;
    let count: i32 = number("LISTEN_FDS")?;
    (pid == std::process::id() && count > 0).then_some(count)
}

/// Takes the passed sockets. Call this once, before any file is opened or thread is started.
pub(crate) fn take_sockets() -> io::Result<Passed> {
    let mut passed = Passed::default();
    let Some(count) = sockets_passed() else { return Ok(passed) };
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    for number in 0..count {
        let name = names.next().unwrap_or_default();
        let descriptor = FIRST.saturating_add(number);
        let invalid = |why: &dyn std::fmt::Display| {
            let why = format!("LISTEN_FDS promises {count} sockets: {why}");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let socket = passed_fds::take(descriptor).map_err(|error| invalid(&error))?;
        let kind = sockopt::socket_type(&socket)
            .map_err(|error| invalid(&format_args!("descriptor {descriptor}: {error}")))?;
        let domain = sockopt::socket_domain(&socket)?;
        let listens = sockopt::socket_acceptconn(&socket)?;
        match (domain, kind) {
            (AddressFamily::UNIX, SocketType::DGRAM) if name == NOTIFY => {
                if passed.notify.replace(socket).is_some() {
                    return Err(invalid(&"two of them have the name \"notify\""));
                }
            }
            (AddressFamily::UNIX, SocketType::DGRAM) => passed.beats.push(socket),
            (AddressFamily::UNIX, SocketType::SEQPACKET) if listens => {
                passed.lanes.push(socket);
            }
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM) if listens => {
                passed.http.push(socket);
            }
            _ => {
                let why = format!(
                    "passed socket {} (LISTEN_FDS) is neither a Unix datagram socket nor a \
                     listening socket of type SOCK_SEQPACKET (Unix) or SOCK_STREAM (TCP)",
                    number + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_stopping() {
        let name = format!("varta-watch-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        let socket = Some((UnixDatagram::unbound().unwrap(), address));
        let notifier = Notifier { socket, stopping: Mutex::new(false) };
        notifier.watchdog();
        notifier.stopping();
        notifier.watchdog();
        for expected in ["WATCHDOG=1\n", "STATUS=ending\n", "STOPPING=1\n"] {
            let mut message = [0; 64];
            let length = manager.recv(&mut message).unwrap();
            assert_eq!(&message[..length], expected.as_bytes());
        }
        manager.recv(&mut [0; 64]).unwrap_err();
    }
}
