//! An agent of the lane that is written by hand, so that it can do what no real one does.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::Ordering;

use varta::Status;
use varta::internal::lane::layout::{self, Head, Hot, Info, Line, PAGE_BYTES, Page};
use varta::internal::lane::line;
use varta::internal::lane::message::{
    BELL_BYTES, Hello, MESSAGE_BYTES, Message, NAME_BYTES, PageOffer, Refused,
};

use super::wait_until;

/// An open connection that has not said HELLO.
pub(crate) struct LaneSocket(pub(crate) OwnedFd);

/// The answer to HELLO.
#[derive(Debug)]
pub(crate) enum Answer {
    Page(PageOffer, [OwnedFd; 2]),
    Refused(Refused),
    /// The observer closed the connection.
    Closed,
}

impl LaneSocket {
    /// Connects to the second socket of the observer at this path.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().as_bytes().to_vec();
        beside.extend_from_slice(b".lane");
        Self::connect_to(&beside)
    }

    /// Connects to a path, or to an abstract name after a zero byte.
    pub(crate) fn connect_to(name: &[u8]) -> io::Result<Self> {
        // If too many connections wait, it must not wait for an observer in this process.
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes numbers alone.
        let fd = checked(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
        // SAFETY: made just now.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: numbers, all of which may be zero.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap();
        assert!(name.len() < address.sun_path.len());
        for (to, from) in address.sun_path.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        let is_path = usize::from(name[0] != 0);
        let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + name.len() + is_path;
        // SAFETY: the address is at least as long as given.
        checked(unsafe {
            libc::connect(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                length.try_into().unwrap(),
            )
        })?;
        Ok(Self(socket))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the bytes are as long as given.
        let sent = unsafe {
            libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags)
        };
        usize::try_from(sent).map(drop).map_err(|_| io::Error::last_os_error())
    }

    pub(crate) fn say(&self, message: &Message) -> io::Result<()> {
        let (bytes, length) = message.encode();
        self.send(&bytes[..length])
    }

    pub(crate) fn hello(&self) -> io::Result<()> {
        self.say(&Message::Hello(hello()))
    }

    pub(crate) fn bell(&self, pair: u32) -> io::Result<()> {
        assert_eq!(Message::Bell { pair }.encode().1, BELL_BYTES);
        self.say(&Message::Bell { pair })
    }

    /// The observer's answer, if there is one yet.
    pub(crate) fn answer(&self) -> Option<Answer> {
        let (mut bytes, mut control) = ([0_u8; MESSAGE_BYTES + 1], [0_u64; 8]);
        let mut part =
            libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: numbers and pointers, all of which may be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header leads to memory that is as large as it says.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, flags) };
        if length < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => None,
                Some(libc::ECONNRESET) => Some(Answer::Closed),
                _ => panic!("{error}"),
            };
        }
        let length = usize::try_from(length).unwrap();
        if length == 0 {
            return Some(Answer::Closed);
        }
        Some(match Message::decode(&bytes[..length]).unwrap() {
            Message::Refused(refused) => Answer::Refused(refused),
            Message::Page(offer) => {
                // SAFETY: the kernel has filled in the header.
                let item = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
                // SAFETY: as above.
                let data = unsafe { libc::CMSG_DATA(item) };
                // SAFETY: an observer sends two descriptors.
                let numbers: [i32; 2] = unsafe { ptr::read_unaligned(data.cast()) };
                // SAFETY: received just now.
                Answer::Page(offer, numbers.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
            }
            other => panic!("{other:?}"),
        })
    }

    /// Waits for the answer; `poll` has the observer run, if it is in this process.
    #[track_caller]
    pub(crate) fn await_answer(&self, mut poll: impl FnMut()) -> Answer {
        let mut answer = None;
        wait_until(|| {
            poll();
            answer = self.answer();
            answer.is_some()
        });
        answer.unwrap()
    }
}

/// HELLO of this process.
pub(crate) fn hello() -> Hello {
    Hello {
        pid: std::process::id(),
        flags: 0,
        monotonic_ns: monotonic_ns(),
        nonce: 0,
        name: [0; NAME_BYTES],
    }
}

/// An agent that has a page.
pub(crate) struct LaneAgent {
    pub(crate) socket: LaneSocket,
    pub(crate) offer: PageOffer,
    pub(crate) page: &'static Page,
    pub(crate) common: &'static Page,
    /// The agent's page and the observer's.
    pub(crate) files: [OwnedFd; 2],
    sequence: u64,
    pub(crate) nonce: u64,
}

impl LaneAgent {
    /// Attaches to an observer in another process.
    #[track_caller]
    pub(crate) fn attach(path: &Path) -> Self {
        Self::attach_with(path, || {})
    }

    /// Attaches; `poll` has the observer run, if it is in this process.
    #[track_caller]
    pub(crate) fn attach_with(path: &Path, mut poll: impl FnMut()) -> Self {
        let mut connected = None;
        wait_until(|| {
            poll();
            connected = LaneSocket::connect(path).ok();
            connected.is_some()
        });
        let socket = connected.unwrap();
        socket.hello().unwrap();
        Self::with(socket, poll)
    }

    /// Waits for the page after HELLO.
    #[track_caller]
    pub(crate) fn with(socket: LaneSocket, poll: impl FnMut()) -> Self {
        match socket.await_answer(poll) {
            Answer::Page(offer, files) => {
                let agent = Self::map(socket, offer, files);
                agent.socket.say(&Message::Mapped).unwrap();
                agent
            }
            other => panic!("{other:?}"),
        }
    }

    /// Maps the page, and writes its head, but does not say so.
    pub(crate) fn map(socket: LaneSocket, offer: PageOffer, files: [OwnedFd; 2]) -> Self {
        let page = map(&files[0], libc::PROT_READ | libc::PROT_WRITE).unwrap();
        let common = map(&files[1], libc::PROT_READ).unwrap();
        let agent = Self { socket, offer, page, common, files, sequence: 0, nonce: 0 };
        let head = Head { layout: layout::LAYOUT_VERSION, live: 0, thread: 0 };
        for (word, value) in agent.cold().iter().zip(head.to_words()) {
            word.store(value, Ordering::Release);
        }
        agent
    }

    fn cold(&self) -> &'static Line {
        layout::lines(self.page, self.offer.offset, 0).unwrap().0
    }

    pub(crate) fn hot(&self) -> &'static Line {
        layout::lines(self.page, self.offer.offset, 0).unwrap().1
    }

    pub(crate) fn beat(&mut self) {
        self.beat_with(Status::Ok, monotonic_ns());
    }

    /// Beats with a status and a time.
    pub(crate) fn beat_with(&mut self, status: Status, at: u64) {
        let info =
            Info { status, which: None, idle: false, broken: 0, checkpoint: 0, payload: 7 };
        self.nonce += 1;
        let hot = Hot { at, until: 0, info: info.to_word(), last: self.nonce };
        self.sequence = line::write(self.hot(), self.sequence, &hot);
    }

    /// When the observer looked last, on its monotonic clock, and how often it does.
    pub(crate) fn last_look(&self) -> (u64, u64) {
        let word = |index: usize| self.common[index].load(Ordering::Acquire);
        (word(0), word(1))
    }

    /// Whether the observer has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.socket.answer(), Some(Answer::Closed))
    }
}

/// Maps a page of a file. It is never unmapped.
pub(crate) fn map(file: &OwnedFd, access: libc::c_int) -> io::Result<&'static Page> {
    // SAFETY: asks for new memory at an address that the kernel chooses.
    let memory = unsafe {
        let (null, shared) = (ptr::null_mut(), libc::MAP_SHARED);
        libc::mmap(null, PAGE_BYTES, access, shared, file.as_raw_fd(), 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: mapped above, as large as a page and never unmapped.
    Ok(unsafe { &*memory.cast() })
}

pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` may be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

pub(crate) fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
