//! The connection to an observer, by raw system calls: those of the C library may be where a
//! thread is cancelled, and a thread must not end in the middle of a beat.

use std::ffi::{c_int, c_long};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Duration;

use crate::endpoint::{LONGEST_NAME, UnixSocket};
use crate::lane::message::MESSAGE_BYTES;
use crate::sys::monotonic_ns;

/// The descriptors that a message of this protocol carries.
const DESCRIPTORS: usize = 2;

/// How long a wait does not sleep. An answer takes less, unless the observer's CPU is busy.
const AWAKE_NS: u64 = 200_000;

/// A descriptor that is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Descriptor(RawFd);

impl Descriptor {
    pub(crate) fn number(&self) -> RawFd {
        self.0
    }

    /// Leaves it open.
    pub(crate) fn keep(self) -> RawFd {
        let number = self.0;
        mem::forget(self);
        number
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// What identifies an open file, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileInfo {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
}

/// The address of an observer's second socket.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    address: libc::sockaddr_un,
    length: libc::socklen_t,
}

impl Address {
    /// The address that belongs to a socket for datagrams; None if its path is too long.
    pub(crate) fn beside(socket: &UnixSocket) -> Option<Self> {
        const SUFFIX: &[u8] = b".lane";
        let (start, name, suffix) = match socket {
            UnixSocket::Path(path) => (0, path.as_os_str().as_bytes(), SUFFIX),
            UnixSocket::Abstract(name) => (1, name.as_slice(), &[][..]),
        };
        if name.len() + suffix.len() > LONGEST_NAME {
            return None;
        }
        let mut sun_path = [0; 108];
        let places = sun_path.iter_mut().skip(start);
        for (place, byte) in places.zip(name.iter().chain(suffix)) {
            *place = libc::c_char::from_ne_bytes([*byte]);
        }
        // A path ends with a NUL; an abstract name begins with one.
        let used = mem::offset_of!(libc::sockaddr_un, sun_path) + 1 + name.len() + suffix.len();
        let sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).ok()?;
        Some(Self {
            address: libc::sockaddr_un { sun_family, sun_path },
            length: libc::socklen_t::try_from(used).ok()?,
        })
    }
}

/// Makes a socket that is to connect at once or within the given time.
pub(crate) fn socket(within: Option<Duration>) -> io::Result<Descriptor> {
    let mut kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    if within.is_none() {
        kind |= libc::SOCK_NONBLOCK;
    }
    // SAFETY: all arguments are numbers.
    let socket = number(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }.into())?;
    let socket = past_the_standard_streams(Descriptor(socket))?;
    if let Some(within) = within {
        let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let within = libc::timeval {
            // No time at all would mean forever.
            tv_usec: within.subsec_micros().max(1).into(),
            ..zero
        };
        // SAFETY: the option is a local timeval of the length that is given.
        let set = unsafe {
            libc::setsockopt(
                socket.0,
                libc::SOL_SOCKET,
                libc::SO_SNDTIMEO,
                (&raw const within).cast(),
                libc::socklen_t::try_from(size_of::<libc::timeval>()).unwrap_or_default(),
            )
        };
        number(set.into())?;
    }
    Ok(socket)
}

/// Connects a socket.
pub(crate) fn connect(socket: RawFd, address: &Address) -> io::Result<()> {
    // SAFETY: the address is that of a live struct, of which `length` bytes are valid.
    let connected = unsafe {
        libc::syscall(
            libc::SYS_connect,
            c_long::from(socket),
            &raw const address.address,
            c_long::from(address.length),
        )
    };
    number(connected).map(|_| ())
}

/// As for the agent's other sockets: what a program prints must not go to an observer.
fn past_the_standard_streams(socket: Descriptor) -> io::Result<Descriptor> {
    const FIRST: c_int = 3;
    if socket.0 >= FIRST {
        return Ok(socket);
    }
    // SAFETY: the arguments are numbers.
    let moved = unsafe { libc::fcntl(socket.0, libc::F_DUPFD_CLOEXEC, FIRST) };
    number(moved.into()).map(Descriptor)
}

/// Sends a message at once or not at all.
pub(crate) fn send(socket: RawFd, message: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length describe a live slice, which is only read.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            c_long::from(socket),
            message.as_ptr(),
            message.len(),
            c_long::from(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL),
            ptr::null::<libc::sockaddr>(),
            0 as c_long,
        )
    };
    number(sent).map(|_| ())
}

/// A message and the descriptors that came with it.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: [u8; MESSAGE_BYTES],
    length: usize,
    /// None unless there were exactly two; others have been closed.
    pub(crate) descriptors: Option<[Descriptor; DESCRIPTORS]>,
    /// Whether none came.
    pub(crate) is_bare: bool,
}

impl Received {
    /// The message; empty if it was too long, or if the connection has ended.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Room for one control message with twice the descriptors that are expected. The kernel
/// closes those that do not fit.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    room: [u8; 32],
}

/// Takes a message that has arrived.
pub(crate) fn receive(socket: RawFd) -> io::Result<Received> {
    let mut bytes = [0; MESSAGE_BYTES];
    let mut control = Control { room: [0; 32] };
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: zeroes are a valid msghdr, one without buffers.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    #[allow(clippy::useless_conversion, reason = "its type depends on the C library")]
    {
        header.msg_controllen = size_of::<Control>().try_into().unwrap_or_default();
    }
    // SAFETY: the header describes local buffers, which live until the call returns.
    let length = unsafe {
        libc::syscall(
            libc::SYS_recvmsg,
            c_long::from(socket),
            &raw mut header,
            c_long::from(libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC),
        )
    };
    let length = usize::try_from(number(length)?).unwrap_or_default();
    let (descriptors, is_bare) = descriptors_of(&header);
    let is_whole = header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) == 0;
    Ok(Received {
        bytes,
        length: if is_whole { length } else { 0 },
        descriptors: descriptors.filter(|_| is_whole),
        is_bare: is_bare && is_whole,
    })
}

/// Takes the descriptors out of what was received, and closes them unless they are two.
fn descriptors_of(header: &libc::msghdr) -> (Option<[Descriptor; DESCRIPTORS]>, bool) {
    const NONE: Option<Descriptor> = None;
    let mut found = [NONE; 2 * DESCRIPTORS];
    let mut count = 0_usize;
    // SAFETY: the kernel has filled the control buffer that the header refers to.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or the header of a control message inside that buffer.
    while let Some(control) = unsafe { message.as_ref() } {
        if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: computes a length.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "its type depends on the C library")]
            let bytes = (control.cmsg_len as usize).saturating_sub(empty);
            // SAFETY: the data follows the header inside the buffer.
            let data = unsafe { libc::CMSG_DATA(message) }.cast::<RawFd>();
            for index in 0..bytes / size_of::<RawFd>() {
                // SAFETY: the kernel wrote this many numbers there.
                let place = unsafe { data.add(index) };
                // SAFETY: as above; they may be unaligned.
                let descriptor = Descriptor(unsafe { place.read_unaligned() });
                if let Some(place) = found.get_mut(count) {
                    *place = Some(descriptor);
                }
                count = count.saturating_add(1);
            }
        }
        // SAFETY: `message` is a control message of this header.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    let [first, second, ..] = found;
    match (first, second) {
        (Some(first), Some(second)) if count == DESCRIPTORS => (Some([first, second]), false),
        _ => (None, count == 0),
    }
}

/// Whether the connection still lives: it does if nothing has arrived.
pub(crate) fn is_quiet(socket: RawFd) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the buffer is a local byte.
    let length = unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            c_long::from(socket),
            &raw mut byte,
            1 as c_long,
            c_long::from(libc::MSG_DONTWAIT),
            ptr::null_mut::<libc::sockaddr>(),
            ptr::null_mut::<libc::socklen_t>(),
        )
    };
    match number(length) {
        Ok(_) => false,
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        }
    }
}

/// Waits until something arrives. False when the time is over. For a short while this only lets
/// other threads run: an observer that runs answers sooner than a thread falls asleep and wakes.
pub(crate) fn wait(socket: RawFd, within: Duration) -> bool {
    let begun = monotonic_ns();
    while monotonic_ns().saturating_sub(begun) < AWAKE_NS {
        if has_arrived(socket, 0) {
            return true;
        }
        std::thread::yield_now();
    }
    has_arrived(socket, c_int::try_from(within.as_nanos().div_ceil(1_000_000)).unwrap_or(0))
}

/// Whether something arrives within this time.
fn has_arrived(socket: RawFd, milliseconds: c_int) -> bool {
    let mut polled = libc::pollfd { fd: socket, events: libc::POLLIN, revents: 0 };
    // SAFETY: one local pollfd.
    let ready = unsafe { libc::poll(&raw mut polled, 1, milliseconds) };
    ready == 1
}

/// Ends a connection for both sides.
pub(crate) fn shut_down(socket: RawFd) {
    // SAFETY: the arguments are numbers.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// Makes a descriptor refer to the open file of another one, in one step.
pub(crate) fn replace(descriptor: RawFd, by: RawFd) -> io::Result<()> {
    // SAFETY: the arguments are numbers.
    number(unsafe { libc::dup3(by, descriptor, libc::O_CLOEXEC) }.into()).map(|_| ())
}

/// Closes a descriptor, which the caller owns.
pub(crate) fn close(descriptor: RawFd) {
    // SAFETY: the argument is a number.
    unsafe { libc::syscall(libc::SYS_close, c_long::from(descriptor)) };
}

/// What is known about an open file.
pub(crate) fn info(descriptor: RawFd) -> io::Result<FileInfo> {
    let mut about = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` is a local variable.
    number(unsafe { libc::fstat(descriptor, about.as_mut_ptr()) }.into())?;
    // SAFETY: the call succeeded, so it has filled the struct.
    let about = unsafe { about.assume_init_ref() };
    Ok(FileInfo {
        device: about.st_dev,
        inode: about.st_ino,
        bytes: u64::try_from(about.st_size).unwrap_or_default(),
    })
}

/// The result of a system call that is negative if it failed.
pub(super) fn number(result: c_long) -> io::Result<c_int> {
    match result {
        ..0 => Err(io::Error::last_os_error()),
        result => Ok(c_int::try_from(result).unwrap_or(c_int::MAX)),
    }
}
