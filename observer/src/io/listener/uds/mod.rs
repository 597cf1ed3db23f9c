//! Listening on a Unix datagram socket, where the kernel names the senders.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::socket_path::{SocketFile, SocketPath};
use super::{RECEIVE_BUFFER, TAKEN, bind_soon, cannot_bind, cannot_bind_for};
use crate::sys::{self, BATCH, Batch, Discarder};

/// The longest path or abstract name that fits `sun_path`, less its NUL.
const LONGEST_NAME: usize = 107;

#[derive(Debug)]
pub(crate) struct UdsListener {
    /// Dropped first: while the socket lives, no other observer takes its file for dead.
    file: Option<SocketFile>,
    socket: OwnedFd,
    queue_bound: usize,
    passes_pidfds: bool,
    batch: Batch,
    /// While datagrams may carry descriptors.
    discarder: Option<Discarder>,
    /// Whether the kernel refuses further datagrams with descriptors.
    refuses: bool,
    /// Whether this is the only holder of the socket, which ends with it.
    own: bool,
}

impl UdsListener {
    /// Listens at a path, which at no moment can be reached by more than the mode allows.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let refuse =
            |why: &str| Err(cannot_bind(path.display(), io::ErrorKind::InvalidInput, why));
        let length = path.as_os_str().len();
        match path.as_os_str().as_bytes() {
            [] => return refuse("the path is empty"),
            bytes if bytes.contains(&0) => return refuse("the path holds a NUL byte"),
            _ if length > LONGEST_NAME => return refuse(&too_long("path", length)),
            _ if mode > 0o777 => {
                return refuse(&format!("the mode {mode:#o} has more than permissions in it"));
            }
            _ => {}
        }
        let place = SocketPath::new(path)?;
        let mut listener = Self::unbound(path.display())?;
        listener.file = Some(place.take(listener.as_fd(), mode)?);
        Ok(listener)
    }

    /// Listens at a name in Linux's abstract namespace, which has no file and no mode:
    /// whoever is in this network namespace can reach it.
    pub(crate) fn bind_abstract(name: &[u8]) -> io::Result<Self> {
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
        let listener = Self::unbound(&what)?;
        let bound =
            bind_soon(|| match sys::bind_unix(listener.as_fd(), &[b"\0", name].concat()) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
                bound => bound.map(|()| true),
            });
        match bound {
            Ok(true) => Ok(listener),
            Ok(false) => {
                Err(cannot_bind(what, io::Error::from_raw_os_error(libc::EADDRINUSE), TAKEN))
            }
            Err(error) => Err(cannot_bind_for(what, error)),
        }
    }

    /// Listens on a socket that somebody else has bound and will remove, such as a
    /// service manager.
    pub(crate) fn inherit(socket: OwnedFd) -> io::Result<Self> {
        let number = socket.as_raw_fd();
        let fail = |error: io::Error| {
            varta::internal::with_message(
                &error,
                format!("cannot listen on descriptor {number}: {error}"),
            )
        };
        match sys::is_bound_unix_datagram_socket(socket.as_fd()) {
            Ok(true) => {}
            Ok(false) => {
                return Err(fail(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it is no Unix datagram socket that is bound and not connected",
                )));
            }
            Err(error) => return Err(fail(error)),
        }
        sys::pass_only_what_is_asked(socket.as_fd());
        sys::close_on_exec(socket.as_fd()).and_then(|()| Self::on(socket, false)).map_err(fail)
    }

    fn unbound(what: impl std::fmt::Display) -> io::Result<Self> {
        let made = || {
            let socket = sys::unix_socket()?;
            sys::set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)?;
            Self::on(socket, true)
        };
        made().map_err(|error| cannot_bind_for(what, error))
    }

    /// To be called before the first datagram is queued, which keeps of its sender what
    /// was asked for by then.
    fn on(socket: OwnedFd, own: bool) -> io::Result<Self> {
        sys::pass_credentials(socket.as_fd())?;
        let refuses = sys::refuse_descriptors(socket.as_fd());
        // A socket from elsewhere may have taken some before it was told to refuse them.
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

    /// Whether datagrams come with pidfds of their senders from now on, also those that
    /// are queued already. Costs twice the frame. Unsupported before Linux 6.5.
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
            // All that was queued before it refused them has been read.
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

    /// Here the queue's length is what counts, and the buffer holds nothing.
    pub(super) fn set_receive_buffer(&mut self, bytes: usize) -> io::Result<usize> {
        sys::set_receive_buffer(self.as_fd(), bytes)?;
        sys::receive_buffer(self.as_fd())
    }
}

impl Drop for UdsListener {
    /// A socket that is closed drops what is queued, in the thread that closes it.
    fn drop(&mut self) {
        // While the socket lives, no other observer takes its file for dead.
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

fn too_long(what: &str, length: usize) -> String {
    format!("the {what} has {length} bytes; a Unix socket's may have {LONGEST_NAME}")
}

/// How many datagrams the kernel queues on a socket made about now.
fn queue_bound() -> usize {
    /// Where that can't be found out: far more than anybody sets.
    const UNKNOWN: usize = 1 << 16;
    let length = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen");
    let length = length.ok().and_then(|length| length.trim().parse::<usize>().ok());
    // A queue counts as full when it is longer than this.
    length.map_or(UNKNOWN, |length| length.saturating_add(1))
}

#[cfg(test)]
mod tests;
