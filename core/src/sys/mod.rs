//! What only the platform gives: the clock, the process, entropy, and memory with
//! properties of its own. All of the crate's `unsafe` is in this folder.

#![allow(unsafe_code, reason = "this folder is where it lives")]

#[cfg(target_arch = "x86_64")]
pub(crate) mod crc;
mod list;
mod page;
#[cfg(feature = "secure-udp")]
mod wiped;

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
    // SAFETY: `now` is a timespec of ours to be written. With this clock and a good
    // pointer the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    #[allow(clippy::cast_sign_loss, reason = "this clock never shows less than zero")]
    let (seconds, nanoseconds) = (now.tv_sec as u64, now.tv_nsec as u64);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

/// The user whose rights this process has.
#[cfg(feature = "secure-udp")]
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Takes a new descriptor out of the places of the three standard streams, should the
/// program have closed those: what it prints must not go to an observer, and whoever opens
/// them again must not cut an agent off.
pub(crate) fn past_the_standard_streams(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: libc::c_int = 3;
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    // SAFETY: takes numbers alone, of which one is an open descriptor.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: made just now.
        moved => Ok(unsafe { OwnedFd::from_raw_fd(moved) }),
    }
}

/// Sends one datagram on a connected socket, at once or not at all.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, datagram: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live slice, which is only read.
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

/// Whether this program has more rights than whoever started it, who chose its environment:
/// what `secure_getenv` goes by.
pub(crate) fn has_raised_rights() -> bool {
    // SAFETY: takes a number and reads what the kernel gave this program at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// What tells one socket from all others, as long as it is open.
pub(crate) fn inode(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` is ours to be written.
    if unsafe { libc::fstat(socket.as_raw_fd(), about.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a call that succeeds has filled it.
    Ok(unsafe { about.assume_init_ref() }.st_ino)
}

/// Closes a descriptor in the drop of who holds it.
pub(crate) fn close(descriptor: &mut ManuallyDrop<OwnedFd>) {
    // SAFETY: its holder is being dropped, and with it the last one who could use it.
    unsafe { ManuallyDrop::drop(descriptor) };
}

/// Fills a buffer from the operating system's entropy.
#[cfg(feature = "secure-udp")]
pub(crate) fn entropy(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: pointer and length are those of a live slice of ours.
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
