//! The minimum that a receiver must do: `recvmmsg` with credentials, and a count. Also a sender
//! that names other processes as the sender, which only root may do.

#![allow(unsafe_code, reason = "system calls")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

/// The observer receives this many datagrams at a time.
const BATCH: usize = 64;
const DATA_ROOM: usize = 72;
const CONTROL_ROOM: usize = 32;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_ROOM]);

/// Receives datagrams and counts them.
pub(crate) struct Bare {
    socket: UnixDatagram,
    epoll: OwnedFd,
    headers: Vec<libc::mmsghdr>,
    /// The headers point into these, which are never resized.
    _parts: Vec<libc::iovec>,
    _data: Vec<[u8; DATA_ROOM]>,
    _controls: Vec<Control>,
}

impl Bare {
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        let on: libc::c_int = 1;
        let room = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
        // SAFETY: the option is an int, which is ours and only read.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PASSCRED,
                (&raw const on).cast(),
                room,
            )
        };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: only takes a number.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just created and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN.unsigned_abs(), u64: 0 };
        let (add, fd) = (libc::EPOLL_CTL_ADD, socket.as_raw_fd());
        // SAFETY: both descriptors are open; the event is ours, and only read.
        if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), add, fd, &raw mut event) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut data = vec![[0; DATA_ROOM]; BATCH];
        let mut controls = vec![Control([0; CONTROL_ROOM]); BATCH];
        let mut parts: Vec<libc::iovec> = data
            .iter_mut()
            .map(|data| libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: DATA_ROOM })
            .collect();
        let headers = parts.iter_mut().zip(&mut controls).map(|(part, control)| {
            // SAFETY: the struct has only integers and pointers, so all bytes may be zero.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_ROOM as _;
            header
        });
        let headers = headers.collect();
        Ok(Self { socket, epoll, headers, _parts: parts, _data: data, _controls: controls })
    }

    /// Receives until this time or until `most` datagrams, and returns their number.
    pub(crate) fn receive(&mut self, until: Instant, most: u64) -> io::Result<u64> {
        let mut received = 0;
        while received < most && Instant::now() < until {
            match self.receive_batch()? {
                0 => self.wait(Duration::from_millis(5))?,
                count => received += count,
            }
        }
        Ok(received)
    }

    fn receive_batch(&mut self) -> io::Result<u64> {
        // SAFETY: there are this many headers, and their pointers lead to buffers of `self`
        // that nothing else uses.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                64,
                (libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as _,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        };
        for header in self.headers.iter_mut().take(count) {
            header.msg_hdr.msg_controllen = CONTROL_ROOM as _;
        }
        Ok(count as u64)
    }

    fn wait(&self, at_most: Duration) -> io::Result<()> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let limit: [i64; 2] = [0, at_most.subsec_nanos().into()];
        // SAFETY: the room for one event is ours, and so is the limit.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                &raw mut event,
                1,
                limit.as_ptr(),
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        match answer {
            -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => {
                Err(io::Error::last_os_error())
            }
            _ => Ok(()),
        }
    }
}

/// Sends a datagram without waiting, as if the process `pid` had sent it.
pub(crate) fn send_as(
    socket: &UnixDatagram,
    pid: u32,
    uid: u32,
    bytes: &[u8],
) -> io::Result<()> {
    let mut part =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control([0; CONTROL_ROOM]);
    // SAFETY: the struct has only integers and pointers, so all bytes may be zero.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_ROOM as _;
    let credentials = libc::ucred { pid: pid.cast_signed(), uid, gid: 0 };
    // SAFETY: the header's control data has room for one item.
    let item = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: there is room for an item, as above, and it is aligned.
    let item = unsafe { &mut *item };
    item.cmsg_level = libc::SOL_SOCKET;
    item.cmsg_type = libc::SCM_CREDENTIALS;
    // SAFETY: only takes a number.
    item.cmsg_len = unsafe { libc::CMSG_LEN(12) } as _;
    // SAFETY: the item has room for credentials behind its header.
    let room = unsafe { libc::CMSG_DATA(item) };
    // SAFETY: as above; the pointer need not be aligned.
    unsafe { room.cast::<libc::ucred>().write_unaligned(credentials) };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: everything that the header points to lives until the end of this function.
    match unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
