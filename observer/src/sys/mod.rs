//! System calls: receiving datagrams in batches with the kernel's information about their
//! senders, readiness, timers, pidfds. All of the crate's `unsafe` code is in this folder.

#![allow(unsafe_code, reason = "all unsafe code is in this folder")]

mod batch;
mod clock;
mod connection;
mod control;
mod discard;
mod entries;
mod epoll;
mod folder;
mod foreign;
mod lock;
mod memory;
mod notification;
mod options;
mod owner;
mod page;
mod pidfd;
mod process;
mod socket;
mod thread;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub(crate) use batch::{BATCH, Batch, Message};
pub(crate) use clock::{Timer, boottime_ns, monotonic_ns, process_cpu_ns, thread_cpu_ns};
pub(crate) use connection::{
    Received, accept, listen, peer, peer_pidfd, receive, receive_discarding, send, send_bytes,
    shut_down,
};
#[cfg(fuzzing)]
pub(crate) use control::{Item, items as control_items};
pub(crate) use discard::{Attached, Discarder};
pub(crate) use entries::{Entries, link_target};
pub(crate) use epoll::{Epoll, Interest, Ready};
pub(crate) use folder::{FileId, Folder};
pub(crate) use foreign::read_if_present;
pub(crate) use lock::{lock, unlock};
pub(crate) use memory::zeros;
pub(crate) use notification::NotificationBuffer;
pub(crate) use options::{
    accept_descriptors, count_overflows, is_bound_unix_datagram_socket, is_for_connections,
    is_listening_for_connections, pass_credentials, pass_only_what_is_asked, pass_pidfds,
    receive_buffer, refuse_descriptors, set_receive_buffer,
};
pub(crate) use owner::Owner;
pub(crate) use page::{CommonPage, Pages, page_file};
pub(crate) use pidfd::{ExitInformation, exit_information};
pub(crate) use pidfd::{ExitStatus, Life, life, open_pidfd, process_number, status_of_child};
pub(crate) use process::{descriptor_limit, effective_uid};
pub(crate) use socket::{
    bind_udp, bind_unix, close_on_exec, connect_unix, connection_socket, never_block, set_mode,
    shut_down_reading, unix_socket,
};
pub(crate) use thread::{Run, start_thread};

/// The result of a call that returns -1 if it failed.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

/// The descriptor that a call has just created, or its error.
///
/// # Safety
///
/// A returned descriptor must be new and not owned by anything else.
unsafe fn new_fd(answer: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the caller promises that it is new.
    past_the_standard_streams(unsafe { OwnedFd::from_raw_fd(checked(answer)?) })
}

/// Moves a new descriptor out of the range of the three standard streams, in case the program
/// has closed those: otherwise the descriptor could be mistaken for one of them.
pub(crate) fn past_the_standard_streams(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: libc::c_int = 3;
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    // SAFETY: takes numbers alone, of which one is an open descriptor.
    let moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) };
    // SAFETY: made just now.
    checked(moved).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The size of a type, as the socket calls expect it.
#[allow(clippy::cast_possible_truncation, reason = "no such type is that large")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}
