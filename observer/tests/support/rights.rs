//! Datagrams with descriptors attached. No agent sends these.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

/// Sends a datagram with descriptors of this process attached.
pub(crate) fn send_with_descriptors(
    socket: &UnixDatagram,
    bytes: &[u8],
    attached: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    let header = size_of::<libc::cmsghdr>();
    let data = attached.len() * size_of::<i32>();
    let mut control = (header + data).to_ne_bytes().to_vec();
    control.extend(libc::SOL_SOCKET.to_ne_bytes());
    control.extend(libc::SCM_RIGHTS.to_ne_bytes());
    control.extend(attached.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()));
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
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}
