//! A small observer with a lane, whose every step a test takes: it can answer as it must, late,
//! wrongly or not at all.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use varta::Varta;
use varta::internal::lane::layout::{
    Cold, Head, Hot, INTERVAL, Info, LAST_LOOK, Line, PAGE_BYTES, Page, lines, offset,
};
use varta::internal::lane::line;
use varta::internal::lane::message::{
    Hello, MESSAGE_BYTES, Message, PageOffer, Refused, TASKS_WANTED,
};
use varta::{AnyTransport, BeatOutcome, Status};

use super::{PATIENCE, Receiver, wait_until};

/// The threshold that agents are told.
pub(crate) const THRESHOLD_NS: u64 = 3_600_000_000_000;

pub(crate) const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
pub(crate) const ALL_SEALS: libc::c_int = SEALS | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

/// An observer whose two sockets are bound.
pub(crate) struct LaneObserver {
    pub(crate) datagrams: Receiver,
    listener: OwnedFd,
    looks: Memory,
}

impl LaneObserver {
    /// Binds both sockets. Files that are left of another observer are removed.
    #[track_caller]
    pub(crate) fn bind(path: &Path) -> Self {
        let lane = lane_of(path);
        for left in [path, &lane] {
            let _ = fs::remove_file(left);
        }
        let listener = listen(&lane);
        Self { listener, ..Self::around(Receiver::uds(path)) }
    }

    fn around(datagrams: Receiver) -> Self {
        let looks = Memory::new(PAGE_BYTES, 0);
        looks.page()[INTERVAL].store(THRESHOLD_NS, Ordering::Relaxed);
        looks.seal(ALL_SEALS);
        let this = Self { datagrams, listener: socket(), looks };
        this.look();
        this
    }

    /// Publishes that it looked just now.
    pub(crate) fn look(&self) {
        self.looked_at(monotonic_ns());
    }

    pub(crate) fn looked_at(&self, now: u64) {
        self.looks.page()[LAST_LOOK].store(now, Ordering::Release);
    }

    pub(crate) fn set_interval(&self, interval_ns: u64) {
        self.looks.page()[INTERVAL].store(interval_ns, Ordering::Release);
    }

    /// Whether a connection is waiting.
    pub(crate) fn is_asked(&self) -> bool {
        has_input(self.listener.as_raw_fd(), 0)
    }

    /// Waits for a connection and its HELLO.
    #[track_caller]
    pub(crate) fn connection(&self) -> Connection {
        wait_for_input(self.listener.as_raw_fd());
        self.connection_now().expect("a connection")
    }

    /// A connection that is waiting, with its HELLO.
    #[track_caller]
    pub(crate) fn connection_now(&self) -> Option<Connection> {
        let flags = libc::SOCK_CLOEXEC;
        set_nonblocking(&self.listener);
        let (none, no_length) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the peer's address is not asked for.
        let fd = unsafe { libc::accept4(self.listener.as_raw_fd(), none, no_length, flags) };
        if fd < 0 {
            return None;
        }
        // SAFETY: the descriptor is new.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        match next_message(&socket) {
            Some(Message::Hello(hello)) => Some(Connection { socket, hello }),
            other => panic!("{other:?} instead of HELLO"),
        }
    }

    /// Gives a connection its page, as it must be.
    #[track_caller]
    pub(crate) fn give_page(&self, connection: &Connection, index: u32) -> SharedPage {
        self.give_page_as(connection, PageOffer { offset: offset(index), ..good_offer() })
    }

    /// Gives a connection its page with another message.
    #[track_caller]
    pub(crate) fn give_page_as(&self, connection: &Connection, offer: PageOffer) -> SharedPage {
        self.try_to_give_page(connection, offer).unwrap()
    }

    /// An error if the agent has closed the connection.
    pub(crate) fn try_to_give_page(
        &self,
        connection: &Connection,
        offer: PageOffer,
    ) -> io::Result<SharedPage> {
        let memory = Memory::new(PAGE_BYTES, SEALS);
        let (bytes, length) = Message::Page(offer).encode();
        connection.try_to_send(&bytes[..length], &[memory.fd(), self.looks.fd()])?;
        Ok(SharedPage { memory, offset: offer.offset })
    }

    /// Opens an agent and attaches it.
    #[track_caller]
    pub(crate) fn attach(&self, path: &Path) -> (Agent, Connection, SharedPage) {
        self.attach_as(path, good_offer())
    }

    /// As `attach`, with another message.
    #[track_caller]
    pub(crate) fn attach_as(
        &self,
        path: &Path,
        offer: PageOffer,
    ) -> (Agent, Connection, SharedPage) {
        let mut agent = Varta::open(path).unwrap();
        let connection = self.connection();
        let page = self.give_page_as(&connection, offer);
        self.beat_until_attached(&mut agent);
        connection.expect_mapped();
        (agent, connection, page)
    }

    /// Beats until the agent has taken its page.
    #[track_caller]
    pub(crate) fn beat_until_attached(&self, agent: &mut Agent) {
        wait_until(PATIENCE, || {
            let _ = agent.beat(Status::Ok, 0);
            self.datagrams.queued_datagrams();
            agent.watched().is_some()
        });
    }

    /// The descriptor of the page in which it publishes its looks.
    pub(crate) fn looks(&self) -> RawFd {
        self.looks.fd()
    }
}

pub(crate) type Agent = Varta<AnyTransport>;

/// The path of the second socket.
pub(crate) fn lane_of(path: &Path) -> PathBuf {
    let mut lane = path.as_os_str().to_owned();
    lane.push(".lane");
    lane.into()
}

pub(crate) fn good_offer() -> PageOffer {
    PageOffer {
        offset: 0,
        pairs: 32,
        threshold_ns: THRESHOLD_NS,
        clock_offset: 0,
        flags: TASKS_WANTED,
    }
}

/// The connection of an agent.
pub(crate) struct Connection {
    socket: OwnedFd,
    pub(crate) hello: Hello,
}

impl Connection {
    /// Sends a message with descriptors.
    #[track_caller]
    pub(crate) fn answer(&self, message: &Message, descriptors: &[RawFd]) {
        let (bytes, length) = message.encode();
        self.send(&bytes[..length], descriptors);
    }

    #[track_caller]
    pub(crate) fn refuse(&self) {
        let refused = Refused::new(libc::ENOSPC.unsigned_abs(), "no place is left");
        self.answer(&Message::Refused(refused), &[]);
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8], descriptors: &[RawFd]) {
        self.try_to_send(bytes, descriptors).unwrap();
    }

    fn try_to_send(&self, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
        let mut control = [0_u64; 130];
        let mut part =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: zeroes are a header without buffers.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        if !descriptors.is_empty() {
            let length = u32::try_from(size_of_val(descriptors)).unwrap();
            header.msg_control = control.as_mut_ptr().cast();
            // SAFETY: computes a length.
            header.msg_controllen = unsafe { libc::CMSG_SPACE(length) } as _;
            // SAFETY: the header is complete.
            let message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
            // SAFETY: the buffer has room for one control message of this length.
            let message = unsafe { message.as_mut() }.unwrap();

            message.cmsg_level = libc::SOL_SOCKET;
            message.cmsg_type = libc::SCM_RIGHTS;
            // SAFETY: computes a length.
            message.cmsg_len = unsafe { libc::CMSG_LEN(length) } as _;
            // SAFETY: the data of the message above.
            let data = unsafe { libc::CMSG_DATA(message) };
            // SAFETY: the buffer has room for the descriptors.
            unsafe {
                ptr::copy_nonoverlapping(descriptors.as_ptr().cast(), data, length as usize);
            }
        }
        // SAFETY: the header describes live buffers.
        let sent = unsafe {
            libc::sendmsg(self.socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL)
        };
        match sent {
            ..0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// The next message; None at the end of the connection.
    #[track_caller]
    pub(crate) fn next(&self) -> Option<Message> {
        next_message(&self.socket)
    }

    #[track_caller]
    pub(crate) fn expect_mapped(&self) {
        assert_eq!(self.next(), Some(Message::Mapped));
    }

    #[track_caller]
    pub(crate) fn expect_end(&self) {
        assert_eq!(self.next(), None);
    }

    /// Whether a message is waiting, or the connection has ended.
    pub(crate) fn has_input(&self) -> bool {
        has_input(self.socket.as_raw_fd(), 0)
    }

    pub(crate) fn shut_down(&self) {
        // SAFETY: the arguments are numbers.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

/// A page as the observer sees it.
pub(crate) struct SharedPage {
    memory: Memory,
    offset: u32,
}

impl SharedPage {
    fn pair(&self, pair: u32) -> (&Line, &Line) {
        lines(self.memory.page(), self.offset, pair).unwrap()
    }

    /// What the process's own line says.
    pub(crate) fn beat(&self) -> Option<(u64, Hot)> {
        line::read(self.pair(0).1)
    }

    /// The status and payload of the last beat.
    #[track_caller]
    pub(crate) fn last(&self) -> (Status, u32) {
        let (_, hot) = self.beat().expect("a beat");
        let info = Info::from_word(hot.info).expect("a valid word");
        (info.status, info.payload)
    }

    #[track_caller]
    pub(crate) fn head(&self) -> Head {
        Head::from_words(self.pair(0).0.each_ref().map(|word| word.load(Ordering::Acquire)))
            .expect("the line of a process")
    }

    pub(crate) fn task(&self, pair: u32) -> Option<(Cold, Hot)> {
        let (cold, hot) = self.pair(pair);
        let cold = Cold::from_words(cold.each_ref().map(|word| word.load(Ordering::Acquire)))?;
        Some((cold, line::read(hot)?.1))
    }

    pub(crate) fn words(&self) -> Vec<u64> {
        self.memory.page().iter().map(|word| word.load(Ordering::Acquire)).collect()
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.memory.fd()
    }

    pub(crate) fn seals(&self) -> libc::c_int {
        // SAFETY: the arguments are numbers.
        unsafe { libc::fcntl(self.fd(), libc::F_GET_SEALS) }
    }
}

/// A memfd, mapped.
pub(crate) struct Memory {
    file: OwnedFd,
    at: NonNull<Page>,
}

// SAFETY: the memory is mapped until dropped and holds nothing but atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// At least one page is mapped, even if the file is shorter.
    #[track_caller]
    pub(crate) fn new(bytes: usize, seals: libc::c_int) -> Self {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"varta".as_ptr(), flags) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the arguments are numbers.
        assert_eq!(unsafe { libc::ftruncate(fd, bytes.try_into().unwrap()) }, 0);
        // SAFETY: maps new memory at an address that the kernel chooses.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        let memory = Self { file, at: NonNull::new(at.cast()).unwrap() };
        memory.seal(seals);
        memory
    }

    #[track_caller]
    fn seal(&self, seals: libc::c_int) {
        // SAFETY: the arguments are numbers.
        let sealed = unsafe { libc::fcntl(self.fd(), libc::F_ADD_SEALS, seals) };
        assert_eq!(sealed, 0, "{}", io::Error::last_os_error());
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(crate) fn page(&self) -> &Page {
        // SAFETY: mapped until dropped; tests do not touch what is not in the file.
        unsafe { self.at.as_ref() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing borrows from it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), PAGE_BYTES) };
    }
}

fn socket() -> OwnedFd {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the arguments are numbers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Listens at a path; one that begins with `@` is an abstract name.
#[track_caller]
pub(crate) fn listen(path: &Path) -> OwnedFd {
    let socket = socket();
    // SAFETY: zeroes are a valid address.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX.try_into().unwrap();
    let bytes = path.as_os_str().as_bytes();
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    let mut length = mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len();
    match bytes {
        [b'@', ..] => address.sun_path[0] = 0,
        _ => length += 1,
    }
    let length = length.try_into().unwrap();
    // SAFETY: the address is a local struct of which `length` bytes are valid.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(bound, 0, "{}: {}", path.display(), io::Error::last_os_error());
    // SAFETY: the arguments are numbers.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 128) }, 0);
    socket
}

/// An observer at an abstract name.
#[track_caller]
pub(crate) fn bind_abstract(name: &str, datagrams: Receiver) -> LaneObserver {
    LaneObserver { listener: listen(Path::new(name)), ..LaneObserver::around(datagrams) }
}

fn set_nonblocking(socket: &OwnedFd) {
    // SAFETY: the arguments are numbers.
    unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}

#[track_caller]
fn wait_for_input(fd: RawFd) {
    let patience = PATIENCE.as_millis().try_into().unwrap();
    assert!(has_input(fd, patience), "waited in vain");
}

fn has_input(fd: RawFd, milliseconds: libc::c_int) -> bool {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one local pollfd.
    unsafe { libc::poll(&raw mut polled, 1, milliseconds) == 1 }
}

#[track_caller]
fn next_message(socket: &OwnedFd) -> Option<Message> {
    wait_for_input(socket.as_raw_fd());
    let mut bytes = [0_u8; MESSAGE_BYTES + 1];
    // SAFETY: the buffer is a local array.
    let length =
        unsafe { libc::recv(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(length) {
        Ok(0) | Err(_) => None,
        Ok(length) => Some(Message::decode(&bytes[..length]).expect("a message")),
    }
}

pub(crate) fn inode(fd: RawFd) -> u64 {
    let mut about = mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` is a local variable.
    assert_eq!(unsafe { libc::fstat(fd, about.as_mut_ptr()) }, 0);
    // SAFETY: the call succeeded.
    unsafe { about.assume_init() }.st_ino
}

pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The outcome of a beat that tells nothing about the observer's side.
pub(crate) fn is_sent(outcome: BeatOutcome) -> bool {
    outcome == BeatOutcome::Sent
}
