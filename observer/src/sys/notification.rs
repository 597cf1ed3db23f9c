//! Receiving one message of sd_notify, with the descriptors that its sender attached.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::batch::{Arrived, Message, own};
use super::control::{CREDENTIALS_ROOM, NUMBER_ROOM, room_of};
use super::discard::{Attached, Discarder, MOST_ATTACHED, take_off};

/// A message may have 4,096 bytes; one more shows that it is longer.
const DATA_ROOM: usize = 4_096 + 1;

/// Room for all that a message can carry: with less, attached descriptors would take the place of
/// the pidfd.
const CONTROL_ROOM: usize =
    CREDENTIALS_ROOM + NUMBER_ROOM + room_of(MOST_ATTACHED * size_of::<libc::c_int>());

const _: () = assert!(CONTROL_ROOM == 1_088 || size_of::<usize>() != 8);

#[repr(C, align(8))]
struct Buffers {
    control: [u8; CONTROL_ROOM],
    data: [u8; DATA_ROOM],
}

/// A buffer for one message, allocated once.
pub(crate) struct NotificationBuffer {
    buffers: Box<Buffers>,
    /// The message that was peeked at, until it has been removed from the socket.
    peeked: Option<Arrived>,
    attached: Attached,
    arrived: Option<Arrived>,
}

impl NotificationBuffer {
    pub(crate) fn new() -> Self {
        let buffers = Buffers { control: [0; CONTROL_ROOM], data: [0; DATA_ROOM] };
        Self {
            buffers: Box::new(buffers),
            peeked: None,
            attached: Attached::NONE,
            arrived: None,
        }
    }

    /// Receives the next message and forgets the last one. Returns false if there is none.
    ///
    /// The message is peeked at first. If nothing is attached to it, it is then removed from the
    /// socket. Otherwise the discarder removes it and closes what is attached, because that may
    /// sleep. A sender that waits for its descriptor to be closed so waits until everything before
    /// this message has been received; `look` sees the descriptors before that.
    ///
    /// # Errors
    ///
    /// Those of the socket and of the discarder. The message is then still there.
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        discarder: &Discarder,
        look: impl FnOnce(&[u8], &Attached),
    ) -> io::Result<bool> {
        self.arrived = None;
        if self.peeked.is_none() {
            match self.peek(socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let Some(peeked) = &self.peeked else { return Ok(false) };
        let data = self.buffers.data.get(..peeked.length).unwrap_or(&self.buffers.data);
        look(data, &self.attached);
        if self.attached.is_empty() && !peeked.is_control_truncated() {
            take_off(socket)?;
        } else {
            discarder.discard(socket, &mut self.attached)?;
        }
        self.arrived = self.peeked.take();
        Ok(true)
    }

    fn peek(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut part =
            libc::iovec { iov_base: self.buffers.data.as_mut_ptr().cast(), iov_len: DATA_ROOM };
        // SAFETY: a C header of numbers and pointers, all of which may be zero.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = self.buffers.control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_ROOM as _;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header leads to buffers of the given sizes, which nothing else uses.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let attached = &mut self.attached;
        let control = &self.buffers.control;
        // SAFETY: the kernel has just filled in this header and its control data.
        let arrived = unsafe { own(&header, control, length, |fd| attached.push(fd)) };
        self.peeked = Some(arrived);
        Ok(())
    }

    /// The message that was received last, together with its pidfd.
    pub(crate) fn take(&mut self) -> Option<Message<'_>> {
        let arrived = self.arrived.as_mut()?;
        Some(arrived.message(&self.buffers.data))
    }
}

impl fmt::Debug for NotificationBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationBuffer").finish_non_exhaustive()
    }
}
