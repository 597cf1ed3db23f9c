//! Connections that keep the boundaries of messages (SOCK_SEQPACKET).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::control::{Credentials, room_of};
use super::discard::{Attached, Discarder};
use super::{checked, length_of, new_fd};

/// Not in libc yet. The number differs on SPARC, where the option counts as unknown.
const SO_PEERPIDFD: libc::c_int = 77;
const NUMBER_IS_KNOWN: bool = !cfg!(any(target_arch = "sparc", target_arch = "sparc64"));

/// What a receive found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message of this length, which may be longer than the buffer.
    Message(usize),
    /// Nothing yet.
    Nothing,
    /// The peer sends no more.
    End,
}

/// Lets a bound socket accept connections. The kernel limits how many wait.
pub(crate) fn listen(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::listen(socket.as_raw_fd(), libc::SOMAXCONN) })?;
    Ok(())
}

/// The next connection, which does not block; `None` if none waits.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    loop {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: asks for no address.
        let answer = unsafe {
            libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
        };
        // SAFETY: made just now.
        match unsafe { new_fd(answer) } {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(None),
                Some(libc::EINTR | libc::ECONNABORTED) => {}
                _ => return Err(error),
            },
        }
    }
}

/// The process that connected, as it was then.
pub(crate) fn peer(connection: BorrowedFd<'_>) -> io::Result<Credentials> {
    // SAFETY: numbers, all of which may be zero.
    let mut peer: libc::ucred = unsafe { mem::zeroed() };
    let mut length = length_of::<libc::ucred>();
    // SAFETY: writes credentials no longer than the given size.
    checked(unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    })?;
    Ok(Credentials { pid: peer.pid.unsigned_abs(), uid: peer.uid, gid: peer.gid })
}

/// A pidfd of the process that connected (since Linux 6.5), even if it has been reaped (since
/// 6.16).
pub(crate) fn peer_pidfd(connection: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    if !NUMBER_IS_KNOWN {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut pidfd: libc::c_int = -1;
    let mut length = length_of::<libc::c_int>();
    // SAFETY: writes a number of the given size.
    let answer = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut pidfd).cast(),
            &raw mut length,
        )
    };
    checked(answer)?;
    // SAFETY: made just now. The kernel sees to it that it is closed on exec.
    unsafe { new_fd(pidfd) }
}

/// Receives a message without waiting. Descriptors that come with it are dropped by the
/// kernel, because there is no room for them.
pub(crate) fn receive(connection: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    let length = loop {
        // SAFETY: the buffer is ours and as long as given.
        let length = unsafe {
            libc::recv(connection.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags)
        };
        if let Ok(length) = usize::try_from(length) {
            break length;
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
            _ => return Err(error),
        }
    };
    // A message may be empty, too.
    if length == 0 && has_ended(connection)? {
        return Ok(Received::End);
    }
    Ok(Received::Message(length))
}

/// As [`receive`], from a process that may attach descriptors. A message that carries some is
/// left to the discarder, and counts as one that is too long.
pub(crate) fn receive_discarding(
    connection: BorrowedFd<'_>,
    buffer: &mut [u8],
    discarder: &Discarder,
) -> io::Result<Received> {
    if carries_descriptors(connection) {
        let mut attached = Attached::NONE;
        discarder.discard(connection, &mut attached)?;
        return Ok(Received::Message(buffer.len() + 1));
    }
    receive(connection, buffer)
}

/// Whether descriptors are attached to the next message.
fn carries_descriptors(connection: BorrowedFd<'_>) -> bool {
    // SAFETY: a C header of numbers and pointers, all of which may be zero.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the header has no room for anything.
    let length = unsafe { libc::recvmsg(connection.as_raw_fd(), &raw mut header, flags) };
    length >= 0 && header.msg_flags & libc::MSG_CTRUNC != 0
}

fn has_ended(connection: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked =
        libc::pollfd { fd: connection.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one entry, which is ours; it does not wait.
    checked(unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(asked.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0)
}

/// Sends a message, and descriptors with it, without waiting.
pub(crate) fn send(
    connection: BorrowedFd<'_>,
    message: &[u8],
    descriptors: [BorrowedFd<'_>; 2],
) -> io::Result<()> {
    #[repr(C, align(8))]
    struct Control([u8; ROOM]);
    const RIGHTS: usize = 2 * size_of::<libc::c_int>();
    const ROOM: usize = room_of(RIGHTS);

    let mut control = Control([0; ROOM]);
    // SAFETY: a C header of numbers and pointers, all of which may be zero.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    let mut part =
        libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = ROOM as _;
    // SAFETY: the header leads to a control buffer that is aligned and has room for one item.
    let item = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: as above.
    let item = unsafe { &mut *item };
    item.cmsg_level = libc::SOL_SOCKET;
    item.cmsg_type = libc::SCM_RIGHTS;
    #[allow(clippy::cast_possible_truncation, reason = "8 bytes")]
    {
        // SAFETY: computes a length.
        item.cmsg_len = unsafe { libc::CMSG_LEN(RIGHTS as libc::c_uint) } as _;
    }
    let numbers = descriptors.map(|descriptor| descriptor.as_raw_fd());
    // SAFETY: computes where the data of the item begins.
    let data = unsafe { libc::CMSG_DATA(item) };
    // SAFETY: the item has room for two numbers; they need not be aligned.
    unsafe { ptr::write_unaligned(data.cast(), numbers) };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the header leads to memory that lives until the call returns.
    let sent = unsafe { libc::sendmsg(connection.as_raw_fd(), &raw const header, flags) };
    usize::try_from(sent).map(drop).map_err(|_| io::Error::last_os_error())
}

/// Sends a message without waiting.
pub(crate) fn send_bytes(connection: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the message is as long as given.
    let sent = unsafe {
        libc::send(connection.as_raw_fd(), message.as_ptr().cast(), message.len(), flags)
    };
    usize::try_from(sent).map(drop).map_err(|_| io::Error::last_os_error())
}

/// Ends a connection for both sides, even if a forked child holds a copy of it.
pub(crate) fn shut_down(connection: BorrowedFd<'_>) {
    // SAFETY: takes numbers alone. An error means that the peer ended it first.
    unsafe { libc::shutdown(connection.as_raw_fd(), libc::SHUT_RDWR) };
}
