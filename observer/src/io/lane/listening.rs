//! The listening sockets of the lane.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::LISTENING;
use crate::io::listener::LaneListener;
use crate::sys::{self, Epoll, Interest};

/// A socket that failed is tried again after this time.
const REST_NS: u64 = 1_000_000_000;

/// The most connections of one socket that are accepted until the kernel is asked again which
/// descriptors are ready.
const ACCEPTS: u32 = 16;

pub(super) struct Listening {
    sockets: Vec<Socket>,
    /// A descriptor that is given up to accept a connection, and to refuse it, when there is no
    /// other.
    spare: Option<OwnedFd>,
}

struct Socket {
    listener: LaneListener,
    /// How many more connections may be accepted at once; 0 if none waits.
    ready: u32,
    /// Whether the observer woke up for the next connection.
    woke: bool,
    /// A time at which none of the connections that may wait did.
    made_after: u64,
    /// Whether more of them may wait than were accepted.
    pending: bool,
    /// Whether none is accepted until the next turn.
    paused: bool,
    /// When a socket that failed is tried again.
    rests_until: Option<u64>,
}

impl Listening {
    pub(super) fn new() -> Self {
        Self { sockets: Vec::new(), spare: None }
    }

    pub(super) fn add(&mut self, listener: LaneListener, epoll: &Epoll) -> io::Result<()> {
        self.keep_spare(&listener);
        epoll.add(listener.as_fd(), token(self.sockets.len()), Interest::Readable)?;
        self.sockets.push(Socket {
            listener,
            ready: 0,
            woke: false,
            made_after: 0,
            pending: false,
            paused: false,
            rests_until: None,
        });
        Ok(())
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|socket| socket.listener.as_fd())
    }

    /// Records that connections wait. At `before`, none did.
    pub(super) fn set_ready(&mut self, index: u32, before: u64) {
        let Some(socket) = self.sockets.get_mut(index as usize) else { return };
        let is_open = !socket.paused && socket.rests_until.is_none();
        socket.ready = if is_open { ACCEPTS } else { 0 };
        socket.woke = true;
        if !std::mem::replace(&mut socket.pending, true) {
            socket.made_after = before;
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|socket| socket.ready > 0)
    }

    /// A socket on which connections may wait.
    pub(super) fn next_ready(&self) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.ready > 0)
    }

    /// Whether the connection that was just accepted is one for which the observer woke up.
    pub(super) fn take_woke(&mut self, index: usize) -> bool {
        self.sockets.get_mut(index).is_some_and(|socket| std::mem::take(&mut socket.woke))
    }

    /// The next connection, and a time at which it did not wait yet.
    pub(super) fn accept(&mut self, index: usize) -> io::Result<Option<(OwnedFd, u64)>> {
        let Some(socket) = self.sockets.get_mut(index) else { return Ok(None) };
        let accepted = sys::accept(socket.listener.as_fd())?;
        socket.pending = accepted.is_some();
        socket.ready = if socket.pending { socket.ready.saturating_sub(1) } else { 0 };
        Ok(accepted.map(|connection| (connection, socket.made_after)))
    }

    /// Takes the connections that wait, as many as can.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = OwnedFd> + '_ {
        self.sockets.iter().flat_map(|socket| {
            let next = || sys::accept(socket.listener.as_fd()).ok().flatten();
            std::iter::from_fn(next).take(libc::SOMAXCONN.unsigned_abs() as usize)
        })
    }

    /// Accepts a connection in place of the spare descriptor, for which there is room again
    /// when the connection is closed. `None` if there is no spare descriptor either.
    pub(super) fn accept_without_descriptors(&mut self, index: usize) -> Option<OwnedFd> {
        drop(self.spare.take()?);
        self.accept(index).ok().flatten().map(|(connection, _)| connection)
    }

    pub(super) fn restore_spare(&mut self) {
        if let (None, Some(socket)) = (&self.spare, self.sockets.first()) {
            self.spare = socket.listener.as_fd().try_clone_to_owned().ok();
        }
    }

    fn keep_spare(&mut self, listener: &LaneListener) {
        if self.spare.is_none() {
            self.spare = listener.as_fd().try_clone_to_owned().ok();
        }
    }

    /// Accepts no more until the next turn.
    pub(super) fn pause(&mut self, index: usize, epoll: &Epoll) {
        let Some(socket) = self.sockets.get_mut(index) else { return };
        socket.ready = 0;
        // If this fails, the kernel reports it at once, and only the count of accepts limits it.
        socket.paused =
            epoll.change(socket.listener.as_fd(), token(index), Interest::HangUp).is_ok();
    }

    /// Accepts no more for some time, because the socket failed.
    pub(super) fn rest(&mut self, index: usize, now: u64, epoll: &Epoll) {
        let Some(socket) = self.sockets.get_mut(index) else { return };
        socket.ready = 0;
        let change = epoll.change(socket.listener.as_fd(), token(index), Interest::HangUp);
        socket.rests_until = change.is_ok().then(|| now.saturating_add(REST_NS));
    }

    pub(super) fn is_paused(&self) -> bool {
        self.sockets.iter().any(|socket| socket.paused)
    }

    /// When the next failed socket is tried again.
    pub(super) fn next_retry(&self) -> Option<u64> {
        self.sockets.iter().filter_map(|socket| socket.rests_until).min()
    }

    /// At the beginning of a turn: accepts again what was paused, and what has rested.
    pub(super) fn resume(&mut self, now: u64, epoll: &Epoll) {
        self.restore_spare();
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            let rested = socket.rests_until.is_some_and(|until| until <= now);
            if socket.paused && socket.rests_until.is_none() || rested {
                let fd = socket.listener.as_fd();
                let back = epoll.change(fd, token(index), Interest::Readable).is_ok();
                socket.paused = !back;
                socket.rests_until = None;
            }
        }
    }
}

fn token(index: usize) -> u64 {
    LISTENING | index as u64
}
