//! Access to the platform: the clock, the process, entropy, sockets and special memory. All
//! of the crate's `unsafe` code is in this folder.

#![allow(unsafe_code, reason = "all of the crate's unsafe code is in this folder")]

pub(crate) mod barrier;
#[cfg(target_arch = "x86_64")]
pub(crate) mod crc;
pub(crate) mod lane;
mod list;
mod page;
pub(crate) mod thread;
#[cfg(feature = "secure-udp")]
mod wiped;

use std::env;
use std::ffi::OsString;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

pub(crate) use list::List;
pub(crate) use page::{Page, SLOTS, Wiping};
#[cfg(feature = "secure-udp")]
pub(crate) use wiped::Wiped;

/// Nanoseconds on the monotonic clock.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a local timespec. With this clock and a valid pointer the call
    // cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    #[allow(clippy::cast_sign_loss, reason = "this clock is never negative")]
    let (seconds, nanoseconds) = (now.tv_sec as u64, now.tv_nsec as u64);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

/// What differs between the threads that run at the same time. A new thread may have what one
/// had that has ended.
#[inline]
pub(crate) fn thread_handle() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let pointer;
        // SAFETY: with the ELF ABI of this architecture, the word at this address holds the
        // thread pointer.
        unsafe {
            std::arch::asm!(
                "mov {}, fs:0",
                out(reg) pointer,
                options(nostack, pure, readonly, preserves_flags)
            );
        }
        pointer
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // SAFETY: has no arguments and cannot fail.
        let handle = unsafe { libc::pthread_self() };
        handle as u64
    }
}

/// Begins to load what is there into this CPU's cache, without waiting for it.
#[inline]
pub(crate) fn prefetch<T>(memory: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it has no effect but on the cache, and every CPU of this architecture has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(memory).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = memory;
}

/// The kernel's id of the calling thread.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: has no arguments and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    u32::try_from(id).unwrap_or_default()
}

/// The effective user id of this process.
#[cfg(feature = "secure-udp")]
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// Moves a new descriptor away from the numbers of the three standard streams, in case the
/// program has closed those: what the program prints must not go to an observer, and opening
/// a standard stream again must not close an agent's socket.
pub(crate) fn past_the_standard_streams(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: libc::c_int = 3;
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    // SAFETY: the arguments are numbers, and the first is an open descriptor.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the descriptor was just created and has no other owner.
        moved => Ok(unsafe { OwnedFd::from_raw_fd(moved) }),
    }
}

/// Sends one datagram on a connected socket, at once or not at all.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, datagram: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length describe a live slice, which is only read.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            datagram.as_ptr().cast(),
            datagram.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Whether this program has more rights than the user who started it and chose its
/// environment. This is the condition that `secure_getenv` checks.
fn has_raised_rights() -> bool {
    // SAFETY: reads a value that the kernel passed to this program when it started.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A variable of the environment. A program that has more rights than the user who started it
/// has none.
pub(crate) fn trusted_variable(name: &str) -> Option<OsString> {
    if has_raised_rights() { None } else { env::var_os(name) }
}

/// A number that no other socket has as long as this one is open.
pub(crate) fn inode(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` is a local variable.
    if unsafe { libc::fstat(socket.as_raw_fd(), about.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled the struct.
    Ok(unsafe { about.assume_init_ref() }.st_ino)
}

/// Closes a descriptor while its owner is being dropped.
pub(crate) fn close(descriptor: &mut ManuallyDrop<OwnedFd>) {
    // SAFETY: the owner is being dropped, so nothing uses the descriptor afterwards.
    unsafe { ManuallyDrop::drop(descriptor) };
}

/// Fills a buffer from the operating system's entropy.
#[cfg(feature = "secure-udp")]
pub(crate) fn entropy(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: pointer and length describe a live slice that is borrowed mutably.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
