//! Who an agent is, beyond its pid: a pid is given away again, a process is not.

mod namespace;
mod proc;
mod process_handle;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

pub(crate) use namespace::{Namespace, namespace_of, namespace_of_pid};
pub(crate) use proc::program_name;
pub(crate) use process_handle::{Ending, ProcessHandle};

use crate::sys::{self, Batch, ExitStatus, Life};

/// By what this system lets processes be followed. Found out once, by trying; each part
/// can be taken away, as on an older kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KernelFeatures {
    pub(crate) descriptors: Descriptors,
    /// Processes have numbers that are never given away again (6.9).
    pub(crate) numbers: bool,
    /// A pidfd can be asked how its process ended (6.15; from 6.13 on it can be asked, and
    /// never knows).
    pub(crate) exit_information: bool,
    /// The process table in /proc is that of this pid namespace: in another a pid is
    /// somebody else's.
    pub(crate) table: bool,
}

/// Where pidfds come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descriptors {
    /// With a datagram: of the process that sent it and no other (6.5).
    WithDatagram,
    /// By pid: of the process that has it by then (5.3).
    Opened,
    /// From nowhere; silence does the work.
    None,
}

impl KernelFeatures {
    /// As of this system, but no process is followed by them.
    pub(crate) fn unused() -> Self {
        Self {
            descriptors: Descriptors::None,
            numbers: false,
            exit_information: false,
            table: namespace::is_the_tables(),
        }
    }

    /// Of this system.
    pub(crate) fn detect() -> Self {
        let (descriptors, pidfd) = match pidfd_by_datagram() {
            Ok(pidfd) => (Descriptors::WithDatagram, Some(pidfd)),
            Err(_) => match sys::open_pidfd(std::process::id()) {
                Ok(pidfd) => (Descriptors::Opened, Some(pidfd)),
                Err(_) => (Descriptors::None, None),
            },
        };
        let asked = |ask: fn(BorrowedFd<'_>) -> bool| {
            pidfd.as_ref().is_some_and(|pidfd| ask(pidfd.as_fd()))
        };
        Self {
            descriptors,
            numbers: asked(|pidfd| sys::process_number(pidfd).is_some()),
            exit_information: asked(|pidfd| sys::exit_information(pidfd).is_ok()),
            table: namespace::is_the_tables(),
        }
    }
}

/// A pidfd of this process, passed to itself.
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

/// How many pidfds an observer holds unless it is told otherwise: half of what its host
/// may have open.
pub(crate) fn default_descriptor_bound() -> usize {
    usize::try_from(sys::descriptor_limit() / 2).unwrap_or(usize::MAX)
}

/// Tells a process from all others that have had its pid or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// There was no way to find out.
    Unknown,
    /// The number that the kernel gives each process.
    Number(u64),
    /// When it started, in ticks since boot. A pid is not given away twice in one tick.
    Started(u64),
}

impl Identity {
    /// None when that can't be told.
    pub(crate) fn same_process(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Number(one), Self::Number(other))
            | (Self::Started(one), Self::Started(other)) => Some(one == other),
            _ => None,
        }
    }

    /// Of the process behind a pidfd that has this pid.
    fn of(features: KernelFeatures, pidfd: BorrowedFd<'_>, pid: u32) -> Self {
        if features.numbers {
            return sys::process_number(pidfd).map_or(Self::Unknown, Self::Number);
        }
        if !features.table {
            return Self::Unknown;
        }
        let started = proc::stat(pid).map(|stat| stat.started);
        // While it runs, its pid is nobody else's; so whose start this was is known only
        // now.
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
    /// Nobody has its pid.
    Gone,
    /// Somebody else has.
    Replaced,
    CannotTell,
}

/// Looks whether a process is still there that there was no descriptor to spare for.
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
        Err(error) if is_nobody(&error) => Presence::Gone,
        Err(_) => Presence::CannotTell,
    }
}

/// Opens a process that there was no descriptor to spare for. None if it can't be said of
/// who has its pid now that it is the one.
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
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether that is why there is no pidfd of a pid.
fn is_nobody(error: &io::Error) -> bool {
    // The latter two of a pid that a thread has by now.
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL | libc::ENOENT))
}

#[cfg(test)]
mod tests;
