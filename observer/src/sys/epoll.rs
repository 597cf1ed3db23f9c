//! Waiting for any of many descriptors.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{checked, new_fd};

/// How many ready descriptors one wait returns; the next wait returns the others.
const ROOM: usize = COUNT as usize;
const COUNT: u8 = 64;

/// A level-triggered set of descriptors, which is itself readable while any of them is.
///
/// A registration belongs to the open file, not to the descriptor: if a forked child holds a
/// copy, it outlives the closing of our descriptor, and nothing can remove it any more. So
/// remove every descriptor before closing it. A child must not change the set, because it
/// shares the set with its parent.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
    /// Whether the kernel cannot wait with nanosecond precision.
    coarse: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    /// Only the end. A pidfd hangs up when its process has been reaped (since Linux 6.9).
    HangUp,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a number.
        let answer = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: made just now.
        let fd = unsafe { new_fd(answer) }?;
        Ok(Self { fd, coarse: AtomicBool::new(false) })
    }

    pub(crate) fn add(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a descriptor in the set is waited for.
    pub(crate) fn change(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::HangUp)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let events = match interest {
            Interest::Readable => (libc::EPOLLIN | libc::EPOLLRDHUP).unsigned_abs(),
            Interest::HangUp => 0,
        };
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: both descriptors are open, and `event` is ours, which is only read.
        checked(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Waits until a descriptor is ready or the timeout has passed; without a timeout it waits
    /// forever. A signal ends the wait with an error.
    pub(crate) fn wait(
        &self,
        ready: &mut Ready,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        ready.count = 0;
        if !self.coarse.load(Ordering::Relaxed) {
            match self.wait_fine(ready, timeout) {
                // The filter of an old container returns EPERM for calls it does not know.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) =>
                {
                    self.coarse.store(true, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        self.wait_coarse(ready, timeout)
    }

    fn wait_fine(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<usize> {
        // The kernel's own timespec, which has 64 bits everywhere.
        let limit: Option<[i64; 2]> = timeout.map(|timeout| {
            [timeout.as_secs().try_into().unwrap_or(i64::MAX), timeout.subsec_nanos().into()]
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the buffer is ours and as large as given; the limit is null or lives until
        // the end of this function; there is no signal mask. The C library's function of
        // this name is younger than the systems this must run on.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                ready.events.as_mut_ptr(),
                ROOM,
                limit,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        ready.found(count)
    }

    fn wait_coarse(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<usize> {
        // Rounded up, so that a wait never ends early.
        let limit = timeout.map_or(-1, |timeout| {
            let limit = timeout.as_nanos().div_ceil(1_000_000);
            limit.try_into().unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: the buffer is ours and as large as given.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                ready.events.as_mut_ptr(),
                COUNT.into(),
                limit,
            )
        };
        ready.found(count.into())
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Space for the results of a wait, allocated once.
pub(crate) struct Ready {
    events: Box<[libc::epoll_event; ROOM]>,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadyFd {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) hung_up: bool,
}

impl Ready {
    pub(crate) fn new() -> Self {
        Self { events: Box::new([libc::epoll_event { events: 0, u64: 0 }; ROOM]), count: 0 }
    }

    /// A descriptor that the last wait found ready.
    pub(crate) fn get(&self, index: usize) -> Option<ReadyFd> {
        let event = *self.events.get(..self.count)?.get(index)?;
        let has = |flags: libc::c_int| event.events & flags.unsigned_abs() != 0;
        Some(ReadyFd {
            token: event.u64,
            readable: has(libc::EPOLLIN),
            hung_up: has(libc::EPOLLHUP | libc::EPOLLRDHUP | libc::EPOLLERR),
        })
    }

    fn found(&mut self, count: libc::c_long) -> io::Result<usize> {
        self.count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.count)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.count).filter_map(|index| self.get(index))).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::sys::monotonic_ns;
    use crate::testing::{Child, in_child, kill};

    fn both() -> [Epoll; 2] {
        let coarse = Epoll::new().unwrap();
        coarse.coarse.store(true, Ordering::Relaxed);
        [Epoll::new().unwrap(), coarse]
    }

    #[test]
    fn a_descriptor_is_reported_as_long_as_it_is_ready() {
        for epoll in both() {
            let pairs: Vec<_> = (0..3).map(|_| UnixDatagram::pair().unwrap()).collect();
            for (token, (_, receiver)) in (u64::MAX - 2..=u64::MAX).zip(&pairs) {
                epoll.add(receiver.as_fd(), token, Interest::Readable).unwrap();
            }
            let mut ready = Ready::new();
            let now = Some(Duration::ZERO);
            assert_eq!(epoll.wait(&mut ready, now).unwrap(), 0);
            assert_eq!(ready.get(0), None);
            for index in [0, 2] {
                pairs[index].0.send(&[7]).unwrap();
            }
            for _ in 0..2 {
                assert_eq!(epoll.wait(&mut ready, None).unwrap(), 2);
                let mut tokens: Vec<_> =
                    (0..2).map(|index| ready.get(index).unwrap().token).collect();
                tokens.sort_unstable();
                assert_eq!(tokens, [u64::MAX - 2, u64::MAX]);
                assert!(ready.get(0).unwrap().readable && !ready.get(0).unwrap().hung_up);
                assert_eq!(ready.get(2), None);
            }
            epoll.remove(pairs[0].1.as_fd()).unwrap();
            pairs[2].1.recv(&mut [0]).unwrap();
            assert_eq!(epoll.wait(&mut ready, now).unwrap(), 0);
            assert_eq!(ready.get(0), None);
        }
    }

    #[test]
    fn more_ready_descriptors_than_room_are_reported_in_turn() {
        let epoll = Epoll::new().unwrap();
        let pairs: Vec<_> = (0..ROOM + 10).map(|_| UnixDatagram::pair().unwrap()).collect();
        for (token, (sender, receiver)) in (0..).zip(&pairs) {
            epoll.add(receiver.as_fd(), token, Interest::Readable).unwrap();
            sender.send(&[7]).unwrap();
        }
        let mut ready = Ready::new();
        let mut tokens = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let count = epoll.wait(&mut ready, None).unwrap();
            tokens.extend((0..count).map(|index| ready.get(index).unwrap().token));
        }
        assert_eq!(tokens.len(), pairs.len());
    }

    #[test]
    fn a_wait_lasts_at_least_its_timeout() {
        for epoll in both() {
            for wanted in [Duration::from_nanos(1), Duration::from_micros(1_500)] {
                let start = monotonic_ns();
                assert_eq!(epoll.wait(&mut Ready::new(), Some(wanted)).unwrap(), 0);
                let took = Duration::from_nanos(monotonic_ns() - start);
                assert!(took >= wanted, "{took:?} of {wanted:?}");
            }
        }
    }

    /// Makes a system call fail permanently in this process, as on an older kernel.
    fn refuse(call: libc::c_long, errno: i32) {
        let instruction = |code: u32, k: u32, jf| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt: 0,
            jf,
            k,
        };
        let call = u32::try_from(call).unwrap();
        let answer = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        let mut filter = [
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call, 1),
            instruction(libc::BPF_RET | libc::BPF_K, answer, 0),
            instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        ];
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: takes only numbers.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        // SAFETY: a program of the given length that lives until the call returns.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    }

    #[test]
    fn without_epoll_pwait2_a_coarser_wait_is_used() {
        for errno in [libc::ENOSYS, libc::EPERM] {
            in_child(|| {
                refuse(libc::SYS_epoll_pwait2, errno);
                let epoll = Epoll::new().unwrap();
                let (sender, receiver) = UnixDatagram::pair().unwrap();
                epoll.add(receiver.as_fd(), 3, Interest::Readable).unwrap();
                let mut ready = Ready::new();
                let timeout = Some(Duration::from_micros(10));
                assert_eq!(epoll.wait(&mut ready, timeout).unwrap(), 0);
                assert!(epoll.coarse.load(Ordering::Relaxed));
                sender.send(&[7]).unwrap();
                assert_eq!(epoll.wait(&mut ready, timeout).unwrap(), 1);
            });
        }
    }

    #[test]
    fn a_signal_interrupts_a_wait() {
        extern "C" fn nothing(_: libc::c_int) {}
        for coarse in [false, true] {
            in_child(|| {
                let epoll = Epoll::new().unwrap();
                epoll.coarse.store(coarse, Ordering::Relaxed);
                let handler: extern "C" fn(libc::c_int) = nothing;
                // SAFETY: the handler does nothing.
                unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
                let this = std::process::id();
                // Repeatedly, because the first may arrive before the wait.
                let _sender = Child::start(|| {
                    loop {
                        kill(this, libc::SIGUSR1);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
                let error = epoll.wait(&mut Ready::new(), None).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            });
        }
    }

    #[test]
    fn a_child_that_closes_its_copies_changes_nothing() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let mut epoll = Some(Epoll::new().unwrap());
        let mut receiver = Some(receiver);
        let fd = receiver.as_ref().unwrap().as_fd();
        epoll.as_ref().unwrap().add(fd, 3, Interest::Readable).unwrap();
        in_child(|| {
            drop(receiver.take());
            drop(epoll.take());
        });
        sender.send(&[7]).unwrap();
        let mut ready = Ready::new();
        assert_eq!(epoll.unwrap().wait(&mut ready, None).unwrap(), 1);
        assert_eq!(ready.get(0).unwrap().token, 3);
    }
}
