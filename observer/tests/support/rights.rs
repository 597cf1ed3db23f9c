//! Datagrams with control data that no agent sends: descriptors, and the credentials of others.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

/// Sends a datagram with descriptors of this process attached.
pub(crate) fn send_with_descriptors(
    socket: &UnixDatagram,
    bytes: &[u8],
    attached: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let numbers: Vec<i32> = attached.iter().map(AsRawFd::as_raw_fd).collect();
    send_with_control(socket, bytes, libc::SCM_RIGHTS, &numbers)
}

/// Sends a datagram with the pid of another process, as the root of a pid namespace may.
pub(crate) fn send_as(pid: u32, socket: &UnixDatagram, bytes: &[u8]) -> io::Result<()> {
    let credentials = [pid.try_into().unwrap(), 0, 0];
    send_with_control(socket, bytes, libc::SCM_CREDENTIALS, &credentials)
}

fn send_with_control(
    socket: &UnixDatagram,
    bytes: &[u8],
    kind: i32,
    numbers: &[i32],
) -> io::Result<()> {
    let length = size_of::<libc::cmsghdr>() + size_of_val(numbers);
    let mut control = length.to_ne_bytes().to_vec();
    for number in [libc::SOL_SOCKET, kind].iter().chain(numbers) {
        control.extend(number.to_ne_bytes());
    }
    control.resize(control.len().next_multiple_of(8), 0);
    let mut part =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len() as _;
    // SAFETY: everything that the message points to outlives the call and is only read.
    match unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
