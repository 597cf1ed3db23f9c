//! The sockets that an observer listens on.

mod lane;
mod notify;
mod socket_path;
mod udp;
mod uds;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::thread;
use std::time::Duration;

pub(crate) use lane::{LaneListener, path_beside};
pub(crate) use notify::NotifyListener;
pub(crate) use udp::UdpListener;
pub(crate) use uds::UdsListener;

use crate::sys::{BATCH, Message};

/// The receive buffer that is requested, so that a burst fits. It is filled mostly by the
/// kernel's own bookkeeping, some 700 bytes per datagram.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket that beats or notifications arrive on.
#[derive(Debug)]
pub(crate) enum Listener {
    Uds(UdsListener),
    Udp(UdpListener),
    Notify(Box<NotifyListener>),
}

impl Listener {
    /// Receives the datagrams that are there, at most [`most`](Self::most), and discards those of
    /// the last receive. An empty queue is not an error.
    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        match self {
            Self::Uds(listener) => listener.receive(),
            Self::Udp(listener) => listener.receive(),
            Self::Notify(listener) => listener.receive(),
        }
    }

    /// A datagram of the last receive, together with its pidfd.
    pub(crate) fn take(&mut self, index: usize) -> Option<Message<'_>> {
        match self {
            Self::Uds(listener) => listener.batch().take(index),
            Self::Udp(listener) => listener.batch().take(index),
            Self::Notify(listener) => listener.take(),
        }
    }

    /// The most datagrams that are received at a time.
    pub(crate) const fn most(&self) -> usize {
        match self {
            Self::Uds(_) | Self::Udp(_) => BATCH,
            Self::Notify(_) => 1,
        }
    }

    /// Whether it receives notifications, and of a pidfd that is attached to the last one, its
    /// process.
    pub(crate) const fn notification(&self) -> Option<Option<u32>> {
        match self {
            Self::Uds(_) | Self::Udp(_) => None,
            Self::Notify(listener) => Some(listener.attached_pid()),
        }
    }

    /// The most datagrams that can be queued at one moment. A reader that has received this
    /// many since then has seen all of them.
    pub(crate) fn queue_bound(&self) -> usize {
        match self {
            Self::Uds(listener) => listener.queue_bound(),
            Self::Udp(listener) => listener.queue_bound(),
            Self::Notify(listener) => listener.queue_bound(),
        }
    }

    /// Requests a receive buffer, and returns its actual size.
    pub(crate) fn set_receive_buffer(&mut self, bytes: usize) -> io::Result<usize> {
        match self {
            Self::Uds(listener) => listener.set_receive_buffer(bytes),
            Self::Udp(listener) => listener.set_receive_buffer(bytes),
            // The length of its queue is the limit.
            Self::Notify(_) => Ok(0),
        }
    }

    /// Whether beats arrive from senders that the kernel names.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Uds(_))
    }

    pub(crate) fn udp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Uds(_) | Self::Notify(_) => None,
            Self::Udp(listener) => Some(listener.local_address()),
        }
    }

    pub(crate) fn uds(&mut self) -> Option<&mut UdsListener> {
        match self {
            Self::Uds(listener) => Some(listener),
            Self::Udp(_) | Self::Notify(_) => None,
        }
    }
}

impl From<UdsListener> for Listener {
    fn from(listener: UdsListener) -> Self {
        Self::Uds(listener)
    }
}

impl From<NotifyListener> for Listener {
    fn from(listener: NotifyListener) -> Self {
        Self::Notify(Box::new(listener))
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
            Self::Notify(listener) => listener.as_fd(),
        }
    }
}

/// An error that names what could not be bound, and why: `why` replaces the text of `error`.
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

/// An error that names the inherited descriptor.
fn cannot_listen_on(number: RawFd, error: &io::Error) -> io::Error {
    varta::internal::with_message(
        error,
        format!("cannot listen on descriptor {number}: {error}"),
    )
}

/// How often binding is tried while the address is in use, and the wait in between: 100 ms in
/// all.
const TRIES: u32 = 50;
const WAIT: Duration = Duration::from_millis(2);

/// Binds as soon as the address is free; returns false if that takes too long. An observer
/// that was killed may have been starting a process, which holds copies of its sockets from
/// fork to exec.
fn bind_soon(mut bind: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    for _ in 0..TRIES {
        if bind()? {
            return Ok(true);
        }
        thread::sleep(WAIT);
    }
    bind()
}

/// Another kind of listener cannot be distinguished from an observer here.
const TAKEN: &str = "an observer is already listening there";
