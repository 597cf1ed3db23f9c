//! The identity of a process beyond its pid: a pid is reused, a process is not.

mod namespace;
mod proc;
mod process_handle;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

pub(crate) use namespace::{Namespace, namespace_of, namespace_of_pid, pid_of_pidfd};
pub(crate) use proc::{group, parent, program_name, thread_is_gone, user};
pub(crate) use process_handle::{Ending, ProcessHandle};

use crate::sys::{self, Batch, ExitStatus, Life};

/// The kernel's features for tracking processes. They are detected once, by trying; tests can
/// turn off each one to act as an older kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KernelFeatures {
    pub(crate) descriptors: Descriptors,
    /// Processes have numbers that are never reused (6.9).
    pub(crate) numbers: bool,
    /// A pidfd can be queried for how its process ended (6.15; from 6.13 on the query exists
    /// but never has an answer).
    pub(crate) exit_information: bool,
    /// The process table in /proc is that of this pid namespace. In the table of another
    /// namespace, a pid belongs to a different process.
    pub(crate) table: bool,
}

/// Where pidfds come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descriptors {
    /// With a datagram: they refer to the process that sent it (6.5).
    WithDatagram,
    /// By pid: they refer to the process that has the pid by then (5.3).
    Opened,
    /// Not available: an exit shows only as silence.
    None,
}

impl KernelFeatures {
    /// The features of this system, but without tracking processes.
    pub(crate) fn unused() -> Self {
        Self {
            descriptors: Descriptors::None,
            numbers: false,
            exit_information: false,
            table: namespace::proc_matches_own(),
        }
    }

    /// The features of this system.
    pub(crate) fn detect() -> Self {
        let (descriptors, pidfd) = match pidfd_by_datagram() {
            Ok(pidfd) => (Descriptors::WithDatagram, Some(pidfd)),
            Err(_) => match sys::open_pidfd(std::process::id()) {
                Ok(pidfd) => (Descriptors::Opened, Some(pidfd)),
                Err(_) => (Descriptors::None, None),
            },
        };
        let supports = |ask: fn(BorrowedFd<'_>) -> bool| {
            pidfd.as_ref().is_some_and(|pidfd| ask(pidfd.as_fd()))
        };
        Self {
            descriptors,
            numbers: supports(|pidfd| sys::process_number(pidfd).is_some()),
            exit_information: supports(|pidfd| sys::exit_information(pidfd).is_ok()),
            table: namespace::proc_matches_own(),
        }
    }
}

/// A pidfd of this process, received with a datagram that it sent to itself.
fn pidfd_by_datagram() -> io::Result<std::os::fd::OwnedFd> {
    let (sender, receiver) = UnixDatagram::pair()?;
    sys::pass_credentials(receiver.as_fd())?;
    sys::pass_pidfds(receiver.as_fd(), true)?;
    sender.send(&[0])?;
    let mut batch = Batch::for_unix();
    batch.expect_pidfds(true);
    batch.receive(receiver.as_fd())?;
    let pidfd = batch.take(0).and_then(|message| message.pidfd);
    pidfd.unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into()))
}

/// How many pidfds an observer holds by default: half of the descriptors that its host may
/// open.
pub(crate) fn default_descriptor_bound() -> usize {
    usize::try_from(sys::descriptor_limit() / 2).unwrap_or(usize::MAX)
}

/// Distinguishes a process from all others that have had its pid or will have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// It could not be determined.
    Unknown,
    /// The number that the kernel gives each process.
    Number(u64),
    /// When it started, in ticks since boot. A pid is not reused within one tick.
    Started(u64),
}

impl Identity {
    /// `None` if that cannot be determined.
    pub(crate) fn same_process(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Number(one), Self::Number(other))
            | (Self::Started(one), Self::Started(other)) => Some(one == other),
            _ => None,
        }
    }

    /// The identity of the process behind a pidfd that has this pid.
    fn of(features: KernelFeatures, pidfd: BorrowedFd<'_>, pid: u32) -> Self {
        if features.numbers {
            return sys::process_number(pidfd).map_or(Self::Unknown, Self::Number);
        }
        if !features.table {
            return Self::Unknown;
        }
        let started = proc::stat(pid).map(|stat| stat.started);
        // While it runs, no other process has its pid. So only now is it known whose start
        // time this was.
        match (started, sys::life(pidfd)) {
            (Some(started), Some(Life::Running)) => Self::Started(started),
            _ => Self::Unknown,
        }
    }
}

/// Whether the process of an agent is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    /// No process has its pid.
    Gone,
    /// Another process has its pid.
    Replaced,
    CannotTell,
}

/// Checks whether a process still exists for which there was no descriptor.
pub(crate) fn look_up(features: KernelFeatures, pid: u32, identity: Identity) -> Presence {
    if features.descriptors == Descriptors::None || pid == 0 {
        return Presence::CannotTell;
    }
    match ProcessHandle::opened(features, pid) {
        Ok(watch) if identity.same_process(watch.identity()) == Some(false) => {
            Presence::Replaced
        }
        Ok(watch) if watch.is_gone() => Presence::Gone,
        Ok(_) => Presence::There,
        Err(error) if means_no_process(&error) => Presence::Gone,
        Err(_) => Presence::CannotTell,
    }
}

/// Opens a process for which there was no descriptor. `None` if the process that has its pid
/// now cannot be shown to be the same one.
pub(crate) fn open(
    features: KernelFeatures,
    pid: u32,
    identity: Identity,
) -> io::Result<Option<ProcessHandle>> {
    if features.descriptors == Descriptors::None || pid == 0 {
        return Ok(None);
    }
    match ProcessHandle::opened(features, pid) {
        Ok(watch) => {
            Ok((identity.same_process(watch.identity()) == Some(true)).then_some(watch))
        }
        Err(error) if means_no_process(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether this error means that no process has the pid.
fn means_no_process(error: &io::Error) -> bool {
    // The latter two occur if a thread has the pid by now.
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL | libc::ENOENT))
}

#[cfg(test)]
mod tests;
