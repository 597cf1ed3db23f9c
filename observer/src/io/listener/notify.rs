//! Listening on the socket at which programs speak the protocol of sd_notify.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::socket_path::SocketFile;
use super::uds::{check_bound, check_path, queue_bound};
use super::{RECEIVE_BUFFER, cannot_bind_for, cannot_listen_on};
use crate::io::identity;
use crate::sys::{self, Attached, Discarder, Message, NotificationBuffer};

/// Unlike a socket for beats it accepts descriptors, which senders attach to wait until their
/// messages have been processed.
#[derive(Debug)]
pub(crate) struct NotifyListener {
    /// Dropped first: while the socket exists, no other observer takes its file for dead.
    file: Option<SocketFile>,
    socket: OwnedFd,
    queue_bound: usize,
    buffer: NotificationBuffer,
    discarder: Discarder,
    /// The process of a pidfd that was attached to the last message.
    attached_pid: Option<u32>,
}

impl NotifyListener {
    /// Listens at a path.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let place = check_path(path, mode)?;
        let opened = || {
            let socket = sys::unix_socket()?;
            sys::set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)?;
            Self::on(socket)
        };
        let mut listener = opened().map_err(|error| cannot_bind_for(path.display(), error))?;
        listener.file = Some(place.take(listener.as_fd(), mode)?);
        Ok(listener)
    }

    /// Listens on a socket that a service manager has bound. A sender that connected to it before
    /// a restart of the observer is still heard.
    pub(crate) fn inherit(socket: OwnedFd) -> io::Result<Self> {
        let number = socket.as_raw_fd();
        let fail = |error: io::Error| cannot_listen_on(number, &error);
        check_bound(socket.as_fd()).map_err(fail)?;
        sys::pass_only_what_is_asked(socket.as_fd());
        sys::accept_descriptors(socket.as_fd());
        sys::close_on_exec(socket.as_fd()).and_then(|()| Self::on(socket)).map_err(fail)
    }

    /// Must be called before the socket is bound: a queued message keeps only the information
    /// about its sender that was requested by then.
    fn on(socket: OwnedFd) -> io::Result<Self> {
        sys::pass_credentials(socket.as_fd())?;
        // Before Linux 6.5 this fails, and senders are known by pid.
        let _ = sys::pass_pidfds(socket.as_fd(), true);
        Ok(Self {
            file: None,
            socket,
            queue_bound: queue_bound(),
            buffer: NotificationBuffer::new(),
            discarder: Discarder::new(),
            attached_pid: None,
        })
    }

    /// Receives at most one message: what was received before has been processed by then.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        let attached_pid = &mut self.attached_pid;
        *attached_pid = None;
        let look = |message: &[u8], attached: &Attached| {
            const NAMES: &[u8] = b"MAINPIDFD=1";
            if let Some(descriptor) = attached.only() {
                let names = message.windows(NAMES.len()).any(|part| part == NAMES);
                *attached_pid = names.then(|| identity::pid_of_pidfd(descriptor)).flatten();
            }
        };
        self.buffer.receive(self.socket.as_fd(), &self.discarder, look).map(usize::from)
    }

    pub(super) fn take(&mut self) -> Option<Message<'_>> {
        self.buffer.take()
    }

    pub(super) const fn attached_pid(&self) -> Option<u32> {
        self.attached_pid
    }

    pub(super) const fn queue_bound(&self) -> usize {
        self.queue_bound
    }
}

impl Drop for NotifyListener {
    /// Reads what is queued first, as a socket for beats does: closing it would drop queued
    /// descriptors in this thread. What is queued at an inherited socket is left to the next
    /// observer.
    fn drop(&mut self) {
        let own = self.file.take().is_some();
        if own && self.discarder.is_here() {
            let _ = sys::shut_down_reading(self.socket.as_fd());
            while self.receive().is_ok_and(|read| read > 0) {}
        }
    }
}

impl AsFd for NotifyListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
