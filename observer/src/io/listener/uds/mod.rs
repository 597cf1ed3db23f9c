//! Listening on a Unix datagram socket, where the kernel names the senders.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::socket_path::{SocketFile, SocketPath};
use super::{RECEIVE_BUFFER, TAKEN, bind_soon, cannot_bind, cannot_bind_for, cannot_listen_on};
use crate::sys::{self, BATCH, Batch, Discarder};

/// The longest path or abstract name that fits `sun_path`, without its NUL.
pub(super) const LONGEST_NAME: usize = varta::internal::LONGEST_SOCKET_NAME;

#[derive(Debug)]
pub(crate) struct UdsListener {
    /// Dropped first: while the socket exists, no other observer takes its file for dead.
    file: Option<SocketFile>,
    socket: OwnedFd,
    queue_bound: usize,
    passes_pidfds: bool,
    batch: Batch,
    /// Set while datagrams may carry descriptors.
    discarder: Option<Discarder>,
    /// Whether the kernel now refuses datagrams with descriptors.
    refuses: bool,
    /// Whether the socket was created here, so that nothing else holds it.
    own: bool,
}

impl UdsListener {
    /// Listens at a path. At no moment do others have more access to it than the mode allows.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let place = check_path(path, mode)?;
        let mut listener = Self::unbound().map_err(|e| cannot_bind_for(path.display(), e))?;
        listener.file = Some(place.take(listener.as_fd(), mode)?);
        Ok(listener)
    }

    /// Listens at a name in Linux's abstract namespace, which has no file and no mode: every
    /// process in this network namespace can reach it.
    pub(crate) fn bind_abstract(name: &[u8]) -> io::Result<Self> {
        bind_name(name, Self::unbound)
    }

    /// Listens on a socket that another program, such as a service manager, has bound and will
    /// remove.
    pub(crate) fn inherit(socket: OwnedFd) -> io::Result<Self> {
        let number = socket.as_raw_fd();
        let fail = |error: io::Error| cannot_listen_on(number, &error);
        check_bound(socket.as_fd()).map_err(fail)?;
        sys::pass_only_what_is_asked(socket.as_fd());
        sys::close_on_exec(socket.as_fd()).and_then(|()| Self::on(socket, false)).map_err(fail)
    }

    fn unbound() -> io::Result<Self> {
        let socket = sys::unix_socket()?;
        sys::set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)?;
        Self::on(socket, true)
    }

    /// Must be called before the first datagram is queued, because a queued datagram keeps
    /// only the sender information that was requested by then.
    fn on(socket: OwnedFd, own: bool) -> io::Result<Self> {
        sys::pass_credentials(socket.as_fd())?;
        let refuses = sys::refuse_descriptors(socket.as_fd());
        // An inherited socket may have accepted some before it was set to refuse them.
        let discarder = (!refuses || !own).then(Discarder::new);
        Ok(Self {
            file: None,
            socket,
            queue_bound: queue_bound(),
            passes_pidfds: false,
            batch: Batch::for_unix(),
            discarder,
            refuses,
            own,
        })
    }

    /// Sets whether datagrams carry pidfds of their senders from now on, including those that
    /// are queued already. That doubles the cost of a datagram. Unsupported before Linux 6.5.
    pub(crate) fn pass_pidfds(&mut self, on: bool) -> io::Result<()> {
        if on != self.passes_pidfds {
            sys::pass_pidfds(self.socket.as_fd(), on)?;
            self.batch.expect_pidfds(on);
            self.passes_pidfds = on;
        }
        Ok(())
    }

    pub(super) fn receive(&mut self) -> io::Result<usize> {
        let Some(discarder) = &self.discarder else {
            return self.batch.receive(self.socket.as_fd());
        };
        let read = self.batch.receive_discarding(self.socket.as_fd(), discarder)?;
        if self.refuses && read < BATCH {
            // Everything that was queued before it refused them has been read.
            self.discarder = None;
        }
        Ok(read)
    }

    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    pub(super) fn queue_bound(&self) -> usize {
        self.queue_bound
    }

    /// For a Unix socket the length of the queue is the limit; the buffer size has no effect.
    pub(super) fn set_receive_buffer(&mut self, bytes: usize) -> io::Result<usize> {
        sys::set_receive_buffer(self.as_fd(), bytes)?;
        sys::receive_buffer(self.as_fd())
    }
}

impl Drop for UdsListener {
    /// Reads what is queued first: closing a socket would drop queued descriptors in the
    /// thread that closes it.
    fn drop(&mut self) {
        // While the socket exists, no other observer takes its file for dead.
        self.file = None;
        if self.own && self.discarder.as_ref().is_some_and(Discarder::is_here) {
            let _ = sys::shut_down_reading(self.socket.as_fd());
            while self.receive().is_ok_and(|read| read > 0) {}
        }
    }
}

impl AsFd for UdsListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The place of a socket, if one can be at this path with this mode.
pub(super) fn check_path(path: &Path, mode: u32) -> io::Result<SocketPath<'_>> {
    let refuse = |why: &str| Err(cannot_bind(path.display(), io::ErrorKind::InvalidInput, why));
    let length = path.as_os_str().len();
    match path.as_os_str().as_bytes() {
        [] => return refuse("the path is empty"),
        bytes if bytes.contains(&0) => return refuse("the path holds a NUL byte"),
        _ if length > LONGEST_NAME => return refuse(&too_long("path", length)),
        _ if mode > 0o777 => {
            return refuse(&format!(
                "the mode {mode:#o} is not a set of permissions; use at most 0o777"
            ));
        }
        _ => {}
    }
    SocketPath::new(path)
}

/// Whether a socket from elsewhere can receive datagrams.
pub(super) fn check_bound(socket: BorrowedFd<'_>) -> io::Result<()> {
    match sys::is_bound_unix_datagram_socket(socket)? {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a Unix datagram socket that is bound and not connected",
        )),
    }
}

/// Binds a new socket to a name in the abstract namespace, as soon as that is free.
pub(super) fn bind_name<T: AsFd>(
    name: &[u8],
    unbound: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let what = Path::new(OsStr::from_bytes(name)).display();
    let what = format!("@{what}");
    let length = name.len();
    if name.is_empty() || length > LONGEST_NAME {
        let why = match length {
            0 => "the name after @ is empty".to_owned(),
            _ => too_long("name", length),
        };
        return Err(cannot_bind(what, io::ErrorKind::InvalidInput, why));
    }
    let socket = unbound().map_err(|error| cannot_bind_for(&what, error))?;
    let bound = bind_soon(|| match sys::bind_unix(socket.as_fd(), &[b"\0", name].concat()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        bound => bound.map(|()| true),
    });
    match bound {
        Ok(true) => Ok(socket),
        Ok(false) => {
            Err(cannot_bind(what, io::Error::from_raw_os_error(libc::EADDRINUSE), TAKEN))
        }
        Err(error) => Err(cannot_bind_for(what, error)),
    }
}

fn too_long(what: &str, length: usize) -> String {
    format!("the {what} has {length} bytes; a Unix socket allows at most {LONGEST_NAME}")
}

/// How many datagrams the kernel queues on a socket that is created now.
pub(super) fn queue_bound() -> usize {
    /// If that is unknown: far more than anyone sets.
    const UNKNOWN: usize = 1 << 16;
    let length = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen");
    let length = length.ok().and_then(|length| length.trim().parse::<usize>().ok());
    // A queue counts as full when it is longer than this.
    length.map_or(UNKNOWN, |length| length.saturating_add(1))
}

#[cfg(test)]
mod tests;
