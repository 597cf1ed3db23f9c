//! Creating sockets in steps: options that must be set before other processes can reach the
//! socket are set between creating and binding it.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::options::set_at;
use super::{checked, length_of, new_fd};

/// A Unix datagram socket without a name.
pub(crate) fn unix_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_UNIX, libc::SOCK_DGRAM)
}

/// A Unix socket without a name, for connections that keep the boundaries of messages. It does
/// not block.
pub(crate) fn connection_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK)
}

/// Connects a Unix socket to a name as in [`bind_unix`].
pub(crate) fn connect_unix(socket: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let (address, length) = unix_address(name)?;
    // SAFETY: reads the beginning of `address`, which the length does not exceed.
    checked(unsafe {
        libc::connect(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length)
    })?;
    Ok(())
}

/// Binds a Unix socket to a name: a path, or an abstract name after a zero byte; at most 107
/// bytes without that zero.
pub(crate) fn bind_unix(socket: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let (address, length) = unix_address(name)?;
    // SAFETY: reads the beginning of `address`, which the length does not exceed.
    checked(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) })?;
    Ok(())
}

fn unix_address(name: &[u8]) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: a family and bytes, all of which may be zero.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = family(libc::AF_UNIX);
    // A path ends with a zero byte; an abstract name does not.
    let end = usize::from(name.first() != Some(&0));
    if name.is_empty() || name.len() + end > address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    let length = mem::offset_of!(libc::sockaddr_un, sun_path) + name.len() + end;
    Ok((address, length.try_into().unwrap_or(0)))
}

/// Sets the mode that bind will give the socket's file, minus the umask.
pub(crate) fn set_mode(socket: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::fchmod(socket.as_raw_fd(), mode) })?;
    Ok(())
}

/// A UDP socket bound to an address. An IPv6 socket receives IPv6 only, regardless of the
/// system's default.
pub(crate) fn bind_udp(address: SocketAddr) -> io::Result<OwnedFd> {
    match address {
        SocketAddr::V4(v4) => {
            let fd = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
            // SAFETY: numbers, all of which may be zero.
            let mut name: libc::sockaddr_in = unsafe { mem::zeroed() };
            name.sin_family = family(libc::AF_INET);
            name.sin_port = v4.port().to_be();
            name.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            // SAFETY: an address of the kind of the socket.
            unsafe { bind(fd.as_fd(), &name) }?;
            Ok(fd)
        }
        SocketAddr::V6(v6) => {
            let fd = socket(libc::AF_INET6, libc::SOCK_DGRAM)?;
            set_at(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
            // SAFETY: numbers, all of which may be zero.
            let mut name: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            name.sin6_family = family(libc::AF_INET6);
            name.sin6_port = v6.port().to_be();
            name.sin6_addr.s6_addr = v6.ip().octets();
            name.sin6_scope_id = v6.scope_id();
            // SAFETY: an address of the kind of the socket.
            unsafe { bind(fd.as_fd(), &name) }?;
            Ok(fd)
        }
    }
}

/// Closes a descriptor from elsewhere when this process executes another program.
pub(crate) fn close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: changes a flag of an open descriptor.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

/// Makes all calls on a descriptor from elsewhere return at once.
pub(crate) fn never_block(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers alone.
    let flags = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Makes a socket refuse all further datagrams; those that are queued can still be read.
pub(crate) fn shut_down_reading(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) })?;
    Ok(())
}

#[allow(clippy::cast_possible_truncation, reason = "families are small numbers")]
#[allow(clippy::cast_sign_loss, reason = "and positive")]
const fn family(number: libc::c_int) -> libc::sa_family_t {
    number as libc::sa_family_t
}

fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers alone.
    let answer = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: made just now.
    unsafe { new_fd(answer) }
}

/// # Safety
///
/// The name must be one of the C library's socket addresses.
unsafe fn bind<T>(socket: BorrowedFd<'_>, name: &T) -> io::Result<()> {
    // SAFETY: reads a name of the given size.
    checked(unsafe {
        libc::bind(socket.as_raw_fd(), ptr::from_ref(name).cast(), length_of::<T>())
    })?;
    Ok(())
}
