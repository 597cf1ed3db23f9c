//! The sockets that an observer listens on.

mod socket_path;
mod udp;
mod uds;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

pub(crate) use udp::UdpListener;
pub(crate) use uds::UdsListener;

use crate::sys::{Batch, Message};

/// What a receive buffer is asked to hold, so that a burst fits: it is the kernel's
/// bookkeeping, some 700 bytes a datagram, that fills it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket that beats arrive on.
#[derive(Debug)]
pub(crate) enum Listener {
    Uds(UdsListener),
    Udp(UdpListener),
}

impl Listener {
    /// Receives what is there, at most [`BATCH`](crate::sys::BATCH) datagrams, and forgets what
    /// was received before. Nothing there is no error.
    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        match self {
            Self::Uds(listener) => listener.receive(),
            Self::Udp(listener) => listener.receive(),
        }
    }

    /// A datagram of the last receive. Its pidfd goes with it.
    pub(crate) fn take(&mut self, index: usize) -> Option<Message<'_>> {
        self.batch().take(index)
    }

    fn batch(&mut self) -> &mut Batch {
        match self {
            Self::Uds(listener) => listener.batch(),
            Self::Udp(listener) => listener.batch(),
        }
    }

    /// How many datagrams can be waiting at one moment, at most: whoever has received so
    /// many since then has seen all that were.
    pub(crate) fn queue_bound(&self) -> usize {
        match self {
            Self::Uds(listener) => listener.queue_bound(),
            Self::Udp(listener) => listener.queue_bound(),
        }
    }

    /// Asks for a receive buffer, and says how large it has become.
    pub(crate) fn set_receive_buffer(&mut self, bytes: usize) -> io::Result<usize> {
        match self {
            Self::Uds(listener) => listener.set_receive_buffer(bytes),
            Self::Udp(listener) => listener.set_receive_buffer(bytes),
        }
    }

    /// Whether the kernel names the senders.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Uds(_))
    }

    pub(crate) fn udp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Uds(_) => None,
            Self::Udp(listener) => Some(listener.local_address()),
        }
    }

    pub(crate) fn uds(&mut self) -> Option<&mut UdsListener> {
        match self {
            Self::Uds(listener) => Some(listener),
            Self::Udp(_) => None,
        }
    }
}

impl From<UdsListener> for Listener {
    fn from(listener: UdsListener) -> Self {
        Self::Uds(listener)
    }
}

impl From<UdpListener> for Listener {
    fn from(listener: UdpListener) -> Self {
        Self::Udp(listener)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Uds(listener) => listener.as_fd(),
            Self::Udp(listener) => listener.as_fd(),
        }
    }
}

/// Says what could not be bound, and why: in other words than the error's own, or in those.
fn cannot_bind(
    what: impl fmt::Display,
    error: impl Into<io::Error>,
    why: impl fmt::Display,
) -> io::Error {
    varta::internal::with_message(&error.into(), format!("cannot bind {what}: {why}"))
}

fn cannot_bind_for(what: impl fmt::Display, error: io::Error) -> io::Error {
    let why = error.to_string();
    cannot_bind(what, error, why)
}

/// How often it is tried to bind where somebody listens, and how long to wait in between:
/// 100 ms in all.
const TRIES: u32 = 50;
const WAIT: Duration = Duration::from_millis(2);

/// Binds as soon as nobody else listens there; false if that is not soon. An observer that was
/// killed may have been starting a process, which holds copies of its sockets from its fork
/// to its exec.
fn bind_soon(mut bind: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    for _ in 0..TRIES {
        if bind()? {
            return Ok(true);
        }
        thread::sleep(WAIT);
    }
    bind()
}

/// Nobody else can be told from an observer here.
const TAKEN: &str = "an observer is already listening there";
