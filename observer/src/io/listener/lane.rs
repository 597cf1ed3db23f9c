//! Listening for agents that ask for shared memory: a second socket beside one for datagrams.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::socket_path::{SocketFile, SocketPath};
use super::uds::{LONGEST_NAME, bind_name};
use super::{cannot_bind_for, cannot_listen_on};
use crate::sys;

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) struct LaneListener {
    /// Dropped first: while the socket exists, no other observer takes its file for dead.
    _file: Option<SocketFile>,
    socket: OwnedFd,
    refuses_descriptors: bool,
}

/// The path of the second socket beside the one at `path`, and whether a socket can be bound
/// there.
pub(crate) fn path_beside(path: &Path) -> (PathBuf, bool) {
    let mut beside = OsString::from(path);
    beside.push(".lane");
    let fits = beside.len() <= LONGEST_NAME;
    (beside.into(), fits)
}

impl LaneListener {
    /// Listens at a path. At no moment do others have more access to it than the mode allows.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let place = SocketPath::for_connections(path)?;
        let mut listener =
            Self::unbound().map_err(|error| cannot_bind_for(path.display(), error))?;
        listener._file = Some(place.take(listener.as_fd(), mode)?);
        Ok(listener)
    }

    /// Listens at a name in Linux's abstract namespace, which has no file and no mode: every
    /// process in this network namespace can reach it.
    pub(crate) fn bind_abstract(name: &[u8]) -> io::Result<Self> {
        let listener = bind_name(name, Self::unbound)?;
        sys::listen(listener.as_fd())?;
        Ok(listener)
    }

    /// Whether an inherited socket is for connections rather than for datagrams.
    pub(crate) fn is_for_one(socket: &OwnedFd) -> bool {
        sys::is_for_connections(socket.as_fd()).unwrap_or(false)
    }

    /// Accepts connections of a socket that another program, such as a service manager, has
    /// bound and will remove. It is an error if none are wanted, because processes that connect
    /// would wait.
    pub(crate) fn inherit(socket: OwnedFd, wanted: bool) -> io::Result<Self> {
        let number = socket.as_raw_fd();
        let fail = |error: io::Error| cannot_listen_on(number, &error);
        let invalid = |why| Err(fail(io::Error::new(io::ErrorKind::InvalidInput, why)));
        if !wanted {
            return invalid("it is a SOCK_SEQPACKET socket, and the lane is off");
        }
        if !sys::is_listening_for_connections(socket.as_fd()).map_err(fail)? {
            return invalid("it is a SOCK_SEQPACKET socket that does not listen");
        }
        sys::close_on_exec(socket.as_fd()).map_err(fail)?;
        sys::never_block(socket.as_fd()).map_err(fail)?;
        let _ = sys::refuse_descriptors(socket.as_fd());
        // Connections that were made before that still accept them.
        Ok(Self { _file: None, socket, refuses_descriptors: false })
    }

    /// Whether the kernel refuses messages with descriptors (since Linux 6.16) on connections
    /// of this socket.
    pub(crate) fn refuses_descriptors(&self) -> bool {
        self.refuses_descriptors
    }

    fn unbound() -> io::Result<Self> {
        let socket = sys::connection_socket()?;
        // Before it listens, so that every connection inherits it.
        let refuses_descriptors = sys::refuse_descriptors(socket.as_fd());
        Ok(Self { _file: None, socket, refuses_descriptors })
    }
}

impl AsFd for LaneListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
