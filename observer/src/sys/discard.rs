//! Removes datagrams that carry descriptors from a socket, in threads that may sleep.
//!
//! Before Linux 6.16 a socket cannot refuse descriptors that a sender attaches. The process
//! that receives such a datagram drops them, and dropping the last reference to a file may
//! sleep: a TCP socket with `SO_LINGER` and unsent data does, for as long as its owner has
//! chosen. If there is room for the descriptors, they arrive, and closing them sleeps; if
//! there is none, `recvmsg` itself sleeps when it returns. So the thread that reads beats does
//! neither.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::control::{self, CREDENTIALS_ROOM, Item, NUMBER_ROOM, room_of};
use super::thread::{Run, start_thread};
use super::{Owner, checked, length_of};

/// How many threads may exist (and sleep) for one socket.
const MOST: usize = 64;

/// A thread ends if this many others wait for work.
const SPARE: usize = 2;

/// How often the reader checks whether the kernel has received the datagram, in case the
/// thread that receives it sleeps and cannot report it.
const LOOK: Duration = Duration::from_millis(1);

/// The most descriptors that a datagram can carry (the kernel's `SCM_MAX_FD`).
pub(crate) const MOST_ATTACHED: usize = 253;
const WORDS: usize =
    (CREDENTIALS_ROOM + NUMBER_ROOM + room_of(MOST_ATTACHED * size_of::<RawFd>()))
        .div_ceil(size_of::<usize>());

/// A sender's descriptors that arrived when the datagram was peeked at. They are closed when it
/// is dropped.
pub(crate) struct Attached {
    numbers: [RawFd; MOST_ATTACHED],
    count: usize,
}

impl Attached {
    pub(crate) const NONE: Self = Self { numbers: [-1; MOST_ATTACHED], count: 0 };

    /// Adds a descriptor, for which there is always room.
    pub(crate) fn push(&mut self, descriptor: OwnedFd) {
        if let Some(place) = self.numbers.get_mut(self.count) {
            *place = descriptor.into_raw_fd();
            self.count += 1;
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The descriptor, if there is exactly one.
    pub(crate) fn only(&self) -> Option<BorrowedFd<'_>> {
        let [number] = self.numbers.get(..self.count)? else { return None };
        // SAFETY: it is open and owned here.
        Some(unsafe { BorrowedFd::borrow_raw(*number) })
    }

    fn pop(&mut self) -> Option<OwnedFd> {
        self.count = self.count.checked_sub(1)?;
        let number = *self.numbers.get(self.count)?;
        // SAFETY: `push` has given up this descriptor, and it is not used again.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        while let Some(descriptor) = self.pop() {
            close(descriptor);
        }
    }
}

/// Removes datagrams from one socket without sleeping because of what senders attached.
pub(crate) struct Discarder {
    shared: Arc<Shared>,
    owner: Owner,
}

struct Shared {
    state: Mutex<State>,
    /// Signals a request, or the end.
    requested: Condvar,
    /// Signals that a datagram has been received.
    taken: Condvar,
}

struct State {
    work: Work,
    threads: usize,
    idle: usize,
    ended: bool,
}

#[allow(clippy::large_enum_variant, reason = "there is only one, and it is not allocated")]
enum Work {
    None,
    Requested(RawFd, Attached),
    /// A thread receives into this buffer.
    Started(Arc<Room>),
}

/// A buffer for the control data of one datagram. The kernel writes the credentials before it
/// drops any descriptor, so the first word shows that the datagram was received.
struct Room([AtomicUsize; WORDS]);

impl Discarder {
    /// Starts no thread yet: the first one starts with the first descriptor.
    pub(crate) fn new() -> Self {
        let state = State { work: Work::None, threads: 0, idle: 0, ended: false };
        let shared = Shared {
            state: Mutex::new(state),
            requested: Condvar::new(),
            taken: Condvar::new(),
        };
        Self { shared: Arc::new(shared), owner: Owner::here() }
    }

    /// Removes the next datagram from the socket, and drops its descriptors and those in
    /// `attached`. Returns as soon as the datagram has been received.
    ///
    /// # Errors
    ///
    /// EBUSY if every thread sleeps, EAGAIN if no thread can be started. The datagram and
    /// `attached` are then as before.
    pub(crate) fn discard(
        &self,
        socket: BorrowedFd<'_>,
        attached: &mut Attached,
    ) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.idle == 0 {
            if state.threads >= MOST {
                return Err(io::Error::from_raw_os_error(libc::EBUSY));
            }
            start_thread(&self.shared)?;
            state.threads += 1;
            state.idle += 1;
        }
        let attached = mem::replace(attached, Attached::NONE);
        state.work = Work::Requested(socket.as_raw_fd(), attached);
        self.shared.requested.notify_one();
        loop {
            match &state.work {
                Work::None => return Ok(()),
                Work::Started(room) if room.is_written() => {
                    state.work = Work::None;
                    return Ok(());
                }
                Work::Requested(..) | Work::Started(_) => {}
            }
            let waited = self.shared.taken.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether this process created it. A forked child has none of its threads.
    pub(crate) fn is_here(&self) -> bool {
        self.owner.is_here()
    }
}

impl Drop for Discarder {
    /// Sleeping threads end when they wake up; nothing waits for them.
    fn drop(&mut self) {
        // In a forked child the lock may be held by a thread that does not exist there.
        if self.is_here() {
            self.shared.lock().ended = true;
            self.shared.requested.notify_all();
        }
    }
}

impl fmt::Debug for Discarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discarder").finish_non_exhaustive()
    }
}

impl Run for Shared {
    const NAME: &'static CStr = c"varta-discard";

    fn run(&self) {
        self.answer_requests();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_requests(&self) {
        let room = Arc::new(Room([const { AtomicUsize::new(0) }; WORDS]));
        while let Some((socket, attached)) = self.next_request(&room) {
            let received = room.receive(socket);
            {
                let mut state = self.lock();
                // The reader may have noticed already, and may have requested something else.
                if matches!(&state.work, Work::Started(at) if Arc::ptr_eq(at, &room)) {
                    state.work = Work::None;
                    self.taken.notify_one();
                }
            }
            drop(attached);
            if let Ok(length) = received {
                room.close_descriptors(length);
            }
            let mut state = self.lock();
            if state.idle >= SPARE {
                state.threads -= 1;
                return;
            }
            state.idle += 1;
        }
    }

    /// Waits for a request; `None` when the discarder has been dropped.
    fn next_request(&self, room: &Arc<Room>) -> Option<(RawFd, Attached)> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            match mem::replace(&mut state.work, Work::None) {
                Work::Requested(socket, attached) => {
                    room.clear();
                    state.work = Work::Started(Arc::clone(room));
                    state.idle -= 1;
                    return Some((socket, attached));
                }
                other => state.work = other,
            }
            state = self.requested.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Room {
    fn clear(&self) {
        for word in &self.0 {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// The first word is the length of the credentials' item.
    fn is_written(&self) -> bool {
        self.0.first().is_some_and(|word| word.load(Ordering::Acquire) != 0)
    }

    /// Receives a datagram. Returns the length of its control data.
    fn receive(&self, socket: RawFd) -> io::Result<usize> {
        // SAFETY: a C header of numbers and pointers, all of which may be zero.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_control = self.0.as_ptr().cast_mut().cast();
        message.msg_controllen = size_of_val(&self.0) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the reader keeps the socket open until the kernel has received the datagram.
        // The buffer has the given size, lives longer than the call, and consists of atomics,
        // which may be written while they are read.
        let answer = unsafe { libc::recvmsg(socket, &raw mut message, flags) };
        if answer == -1 {
            return Err(io::Error::last_os_error());
        }
        #[allow(clippy::unnecessary_cast, reason = "narrower with some C libraries")]
        Ok(message.msg_controllen as usize)
    }

    /// Closes the descriptors of the last datagram.
    fn close_descriptors(&self, length: usize) {
        let mut bytes = [0; WORDS * size_of::<usize>()];
        for (to, from) in bytes.chunks_exact_mut(size_of::<usize>()).zip(&self.0) {
            to.copy_from_slice(&from.load(Ordering::Relaxed).to_ne_bytes());
        }
        // SAFETY: the kernel has made them for this thread, which has not shared them.
        let close = |number| close(unsafe { OwnedFd::from_raw_fd(number) });
        for item in control::items(bytes.get(..length).unwrap_or_default()) {
            match item {
                Item::Rights(numbers) => numbers.filter(|number| *number >= 0).for_each(close),
                // The reader may have requested pidfds.
                Item::Pidfd(number @ 0..) => close(number),
                Item::Pidfd(_) | Item::Credentials(_) | Item::Overflow(_) => {}
            }
        }
    }
}

/// Closes a sender's descriptor, which may take as long as the sender likes. If it is a socket
/// that would linger, that is turned off first.
fn close(descriptor: OwnedFd) {
    let linger = libc::linger { l_onoff: 0, l_linger: 0 };
    // SAFETY: reads a structure of the given size. The call fails if it is not a socket.
    unsafe {
        libc::setsockopt(
            descriptor.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            ptr::from_ref(&linger).cast(),
            length_of::<libc::linger>(),
        );
    }
    drop(descriptor);
}

/// Removes the next datagram from a socket. It must not carry descriptors.
pub(super) fn take_off(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no room, so that nothing is written.
    let answer =
        unsafe { libc::recv(socket.as_raw_fd(), ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
    #[allow(clippy::cast_possible_truncation, reason = "of a length of 0, or -1")]
    checked(answer as libc::c_int).map(drop)
}
