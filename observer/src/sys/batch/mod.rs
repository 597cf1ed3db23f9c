//! Receiving all waiting datagrams in one system call.

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::control::{self, CREDENTIALS_ROOM, Credentials, Item, NUMBER_ROOM};
use super::discard::{Attached, Discarder, take_off};
use super::{length_of, new_fd};

/// The most datagrams that are received at a time.
pub(crate) const BATCH: usize = COUNT as usize;
const COUNT: libc::c_uint = 64;

/// Longer than the longest datagram of the protocol (64 bytes), so that a longer one can be
/// recognized.
const DATA_ROOM: usize = 72;

/// Credentials and a pidfd, or an overflow count. Nothing that a sender attaches fits in
/// addition.
const CONTROL_ROOM: usize = CREDENTIALS_ROOM + NUMBER_ROOM;

/// For an IPv6 address, which is the longest.
const NAME_ROOM: usize = size_of::<libc::sockaddr_in6>().next_multiple_of(8);

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_ROOM]);

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; NAME_ROOM]);

/// A datagram and what the kernel reports about it.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// May be longer than any datagram of the protocol.
    pub(crate) bytes: &'a [u8],
    /// Whether the datagram was longer than `bytes`.
    pub(crate) data_truncated: bool,
    /// Whether there was more control data than requested. The credentials come first; if
    /// present, they are correct.
    pub(crate) control_truncated: bool,
    pub(crate) credentials: Option<Credentials>,
    /// `None` if none was requested; an error if the kernel could not provide one.
    pub(crate) pidfd: Option<io::Result<OwnedFd>>,
    /// `None` on a Unix socket.
    pub(crate) source: Option<SocketAddr>,
    /// How many datagrams the socket has dropped so far, modulo 2^32. `None` means 0.
    pub(crate) overflow: Option<u32>,
}

impl Message<'_> {
    /// Whether the kernel did not record the sender, because the datagram was queued at an
    /// inherited socket before that was requested.
    pub(crate) fn is_unnamed(&self) -> bool {
        let unnamed = self.credentials.is_none_or(Credentials::is_empty);
        unnamed && self.source.is_none() && !matches!(self.pidfd, Some(Ok(_)))
    }
}

/// The parsed control data of a message.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) length: usize,
    flags: libc::c_int,
    credentials: Option<Credentials>,
    pidfd: Option<io::Result<OwnedFd>>,
    overflow: Option<u32>,
}

impl Arrived {
    pub(super) const fn is_control_truncated(&self) -> bool {
        self.flags & libc::MSG_CTRUNC != 0
    }

    /// The message on a Unix socket, together with its pidfd.
    pub(super) fn message<'a>(&mut self, data: &'a [u8]) -> Message<'a> {
        Message {
            bytes: data.get(..self.length).unwrap_or(data),
            data_truncated: self.flags & libc::MSG_TRUNC != 0,
            control_truncated: self.is_control_truncated(),
            credentials: self.credentials,
            pidfd: self.pidfd.take(),
            source: None,
            overflow: self.overflow,
        }
    }
}

/// Buffers for the messages of one receive, allocated once.
pub(crate) struct Batch {
    /// Points into the next four vectors, which are never resized.
    headers: Vec<libc::mmsghdr>,
    parts: Vec<libc::iovec>,
    data: Vec<[u8; DATA_ROOM]>,
    controls: Vec<Control>,
    names: Vec<Name>,

    arrived: Vec<Arrived>,
    count: usize,
    control_room: usize,
    name_room: libc::socklen_t,
}

// SAFETY: the pointers in the headers lead to memory that moves along with them, and to which
// nothing else refers.
unsafe impl Send for Batch {}

impl Batch {
    /// For a Unix socket that passes credentials.
    pub(crate) fn for_unix() -> Self {
        Self::new(CREDENTIALS_ROOM, 0)
    }

    /// For a UDP socket that counts overflows.
    pub(crate) fn for_udp() -> Self {
        Self::new(NUMBER_ROOM, length_of::<Name>())
    }

    fn new(control_room: usize, name_room: libc::socklen_t) -> Self {
        let mut batch = Self {
            headers: Vec::with_capacity(BATCH),
            parts: Vec::with_capacity(BATCH),
            data: vec![[0; DATA_ROOM]; BATCH],
            controls: vec![Control([0; CONTROL_ROOM]); BATCH],
            names: vec![Name([0; NAME_ROOM]); BATCH],
            arrived: std::iter::repeat_with(Arrived::default).take(BATCH).collect(),
            count: 0,
            control_room,
            name_room,
        };
        for index in 0..BATCH {
            let data = batch.data.as_mut_ptr().wrapping_add(index);
            batch.parts.push(libc::iovec { iov_base: data.cast(), iov_len: DATA_ROOM });
        }
        for index in 0..BATCH {
            // SAFETY: a C header of numbers and pointers, all of which may be zero.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            let message = &mut header.msg_hdr;
            message.msg_iov = batch.parts.as_mut_ptr().wrapping_add(index);
            message.msg_iovlen = 1;
            message.msg_control = batch.controls.as_mut_ptr().wrapping_add(index).cast();
            message.msg_controllen = control_room as _;
            if name_room > 0 {
                message.msg_name = batch.names.as_mut_ptr().wrapping_add(index).cast();
            }
            message.msg_namelen = name_room;
            batch.headers.push(header);
        }
        batch
    }

    /// Adds or removes the space for pidfds. The kernel itself drops what does not fit, which
    /// is cheaper and safer than closing a descriptor from a stranger.
    pub(crate) fn expect_pidfds(&mut self, expected: bool) {
        let pidfd = if expected { NUMBER_ROOM } else { 0 };
        self.control_room = CREDENTIALS_ROOM + pidfd;
        for header in &mut self.headers {
            header.msg_hdr.msg_controllen = self.control_room as _;
        }
    }

    /// Receives the datagrams that are there, and discards those of the last receive: pidfds
    /// that were not taken are closed. An empty queue is not an error.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.clear();
        // SAFETY: as many headers as given, each with an exclusive part of the vectors
        // beside them, whose room is what the header says: it was reset after the last
        // receive.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                COUNT,
                (libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as _,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(0),
                _ => Err(error),
            };
        };
        self.count = count;
        let messages = self.headers.iter_mut().zip(&self.controls).zip(&mut self.arrived);
        for ((header, control), arrived) in messages.take(count) {
            let length = header.msg_len as usize;
            // SAFETY: the kernel has just filled in this header and its control data.
            *arrived = unsafe { own(&header.msg_hdr, &control.0, length, drop) };
            header.msg_hdr.msg_controllen = self.control_room as _;
            header.msg_hdr.msg_namelen = self.name_room;
        }
        Ok(count)
    }

    /// As [`receive`](Self::receive), from a Unix socket whose senders may attach descriptors.
    /// Each datagram is peeked at first and removed from the socket afterwards; one that
    /// carries descriptors is left to the discarder.
    pub(crate) fn receive_discarding(
        &mut self,
        socket: BorrowedFd<'_>,
        discarder: &Discarder,
    ) -> io::Result<usize> {
        self.clear();
        let mut attached = Attached::NONE;
        let messages = self.headers.iter_mut().zip(&self.controls).zip(&mut self.arrived);
        for ((header, control), arrived) in messages {
            let message = &mut header.msg_hdr;
            let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
            // SAFETY: a header with an exclusive part of the vectors beside it, whose room
            // is what it says: it was reset after the last receive.
            let length = unsafe { libc::recvmsg(socket.as_raw_fd(), message, flags) };
            let peeked = usize::try_from(length).map_err(|_| io::Error::last_os_error());
            let taken = peeked.and_then(|length| {
                // SAFETY: the kernel has just filled in this header and its control data.
                let mut peeked =
                    unsafe { own(message, &control.0, length, |fd| attached.push(fd)) };
                message.msg_controllen = self.control_room as _;
                if !attached.is_empty() {
                    peeked.flags |= libc::MSG_CTRUNC;
                }
                // There is room for everything that was requested, so only descriptors can
                // truncate it.
                if peeked.is_control_truncated() {
                    discarder.discard(socket, &mut attached)?;
                } else {
                    take_off(socket)?;
                }
                Ok(peeked)
            });
            match taken {
                Ok(taken) => {
                    *arrived = taken;
                    self.count += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It occurs again in the next receive, which has nothing to lose.
                Err(_) if self.count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.count)
    }

    fn clear(&mut self) {
        for arrived in self.arrived.iter_mut().take(self.count) {
            arrived.pidfd = None;
        }
        self.count = 0;
    }

    /// A message of the last receive, together with its pidfd.
    pub(crate) fn take(&mut self, index: usize) -> Option<Message<'_>> {
        let arrived = self.arrived.get_mut(..self.count)?.get_mut(index)?;
        let data = self.data.get(index)?;
        let source = match self.name_room {
            0 => None,
            _ => self.names.get(index).and_then(|name| address(&name.0)),
        };
        Some(Message { source, ..arrived.message(data) })
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Takes ownership of what came with a message: keeps a pidfd, and passes what the sender
/// attached to `attached`.
///
/// # Safety
///
/// The kernel must have filled in the header and the control data, in a receive whose control
/// data is not taken twice: the descriptors in it become ours.
pub(super) unsafe fn own(
    header: &libc::msghdr,
    control: &[u8],
    length: usize,
    mut attached: impl FnMut(OwnedFd),
) -> Arrived {
    let mut arrived = Arrived { length, flags: header.msg_flags, ..Arrived::default() };
    #[allow(clippy::unnecessary_cast, reason = "narrower with some C libraries")]
    let written = header.msg_controllen as usize;
    for item in control::items(control.get(..written).unwrap_or_default()) {
        match item {
            Item::Credentials(credentials) => arrived.credentials = Some(credentials),
            Item::Overflow(count) => arrived.overflow = Some(count),
            Item::Pidfd(errno @ ..0) => {
                let error = io::Error::from_raw_os_error(errno.saturating_neg());
                arrived.pidfd = Some(Err(error));
            }
            // SAFETY: the kernel made it for us, as the caller promises.
            Item::Pidfd(fd) => arrived.pidfd = Some(unsafe { new_fd(fd) }),
            Item::Rights(fds) => {
                for fd in fds.filter(|fd| *fd >= 0) {
                    // SAFETY: as above.
                    attached(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
    }
    arrived
}

/// The address that the kernel has written into a name.
fn address(name: &[u8; NAME_ROOM]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match libc::c_int::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let address: [u8; 4] = *rest.first_chunk()?;
            Some((address, port).into())
        }
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk()?);
            let address = Ipv6Addr::from(*address);
            Some(SocketAddrV6::new(address, port, u32::from_be_bytes(*flow), scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
