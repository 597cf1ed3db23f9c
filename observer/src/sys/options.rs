//! Setting and reading socket options.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{checked, length_of};

/// Not in libc yet. The numbers differ on SPARC, where the options count as unknown.
const NUMBERS_ARE_KNOWN: bool = !cfg!(any(target_arch = "sparc", target_arch = "sparc64"));
const SO_PASSPIDFD: libc::c_int = 76;
const SO_PASSRIGHTS: libc::c_int = 83;

/// Makes each datagram carry its sender's pid, uid and gid. Must be set before the first one
/// is queued.
pub(crate) fn pass_credentials(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SO_PASSCRED, 1)
}

/// Sets whether each datagram carries a pidfd of its sender, including those that are queued
/// already.
pub(crate) fn pass_pidfds(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    if !NUMBERS_ARE_KNOWN {
        return Err(io::ErrorKind::Unsupported.into());
    }
    set(socket, SO_PASSPIDFD, on.into()).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => io::ErrorKind::Unsupported.into(),
        _ => error,
    })
}

/// Makes the kernel refuse datagrams with attached descriptors. Returns whether it can (since
/// Linux 6.16); datagrams that are queued already keep theirs.
pub(crate) fn refuse_descriptors(socket: BorrowedFd<'_>) -> bool {
    NUMBERS_ARE_KNOWN && set(socket, SO_PASSRIGHTS, 0).is_ok()
}

/// Makes the kernel deliver datagrams with attached descriptors, in case an inherited socket
/// refuses them. A kernel before Linux 6.16 always delivers them.
pub(crate) fn accept_descriptors(socket: BorrowedFd<'_>) {
    if NUMBERS_ARE_KNOWN {
        let _ = set(socket, SO_PASSRIGHTS, 1);
    }
}

/// Turns off options of an inherited socket whose data would take the room of the data that is
/// needed here.
pub(crate) fn pass_only_what_is_asked(socket: BorrowedFd<'_>) {
    for option in
        [libc::SO_PASSSEC, libc::SO_TIMESTAMP, libc::SO_TIMESTAMPNS, libc::SO_TIMESTAMPING]
    {
        // A kernel without an option does not send its data either.
        let _ = set(socket, option, 0);
    }
}

/// Makes datagrams carry the number of datagrams that the queue has dropped.
pub(crate) fn count_overflows(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SO_RXQ_OVFL, 1)
}

/// Requests a receive buffer. Only a privileged process gets more than the system's limit.
pub(crate) fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = bytes.try_into().unwrap_or(libc::c_int::MAX);
    set(socket, libc::SO_RCVBUFFORCE, bytes).or_else(|_| set(socket, libc::SO_RCVBUF, bytes))
}

/// The size of the receive buffer, including the kernel's own bookkeeping.
pub(crate) fn receive_buffer(socket: BorrowedFd<'_>) -> io::Result<usize> {
    get(socket, libc::SO_RCVBUF).map(|bytes| bytes.try_into().unwrap_or(0))
}

/// Whether this is a socket like those of [`bind_unix`](super::bind_unix): a datagram socket
/// that is bound and accepts all senders.
pub(crate) fn is_bound_unix_datagram_socket(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let is_one = get(socket, libc::SO_DOMAIN)? == libc::AF_UNIX
        && get(socket, libc::SO_TYPE)? == libc::SOCK_DGRAM;
    // The name of an unbound socket consists of its family only.
    let unnamed = size_of::<libc::sa_family_t>();
    Ok(is_one
        && name_length(socket, libc::getsockname)? > unnamed
        && name_length(socket, libc::getpeername).is_err())
}

/// Whether this is a Unix socket that accepts connections which keep the boundaries of
/// messages.
pub(crate) fn is_listening_for_connections(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(is_for_connections(socket)? && get(socket, libc::SO_ACCEPTCONN)? != 0)
}

/// Whether this is a Unix socket for such connections, listening or not.
pub(crate) fn is_for_connections(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(get(socket, libc::SO_DOMAIN)? == libc::AF_UNIX
        && get(socket, libc::SO_TYPE)? == libc::SOCK_SEQPACKET)
}

type NameOf =
    unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn name_length(socket: BorrowedFd<'_>, name_of: NameOf) -> io::Result<usize> {
    let mut family: libc::sa_family_t = 0;
    let mut length = length_of::<libc::sa_family_t>();
    // SAFETY: `name_of` is getsockname or getpeername. It writes no more than the length
    // says, and then how long the whole name is.
    checked(unsafe { name_of(socket.as_raw_fd(), (&raw mut family).cast(), &raw mut length) })?;
    Ok(length as usize)
}

pub(super) fn set(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    set_at(socket, libc::SOL_SOCKET, option, value)
}

pub(super) fn set_at(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: reads a number of the given size.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&value).cast(),
            length_of::<libc::c_int>(),
        )
    })?;
    Ok(())
}

fn get(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = length_of::<libc::c_int>();
    // SAFETY: writes a number no larger than the given size.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}
