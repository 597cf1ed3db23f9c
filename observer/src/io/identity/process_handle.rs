//! One process, tracked by a pidfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{ExitStatus, Identity, KernelFeatures, Life, proc, sys};
use crate::sys::ExitInformation;

/// A pidfd and the identity of its process. If it was added to an [`Epoll`](sys::Epoll), it
/// must be removed from there before it is dropped.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    pidfd: OwnedFd,
    pid: u32,
    features: KernelFeatures,
    identity: Identity,
}

/// How far the end of a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Running,
    /// It has exited with this status.
    Exited(ExitStatus),
    /// It has exited; the kernel may report how once its parent has reaped it.
    Pending,
    /// It has exited, and it will not become known how.
    Unknown,
}

impl ProcessHandle {
    /// From a pidfd that came with a datagram, which surely refers to the sender. The pid is
    /// the one in this namespace, or 0.
    pub(crate) fn received(features: KernelFeatures, pidfd: OwnedFd, pid: u32) -> Self {
        let identity = Identity::of(features, pidfd.as_fd(), pid);
        Self { pidfd, pid, features, identity }
    }

    /// Opens the process that has this pid now. It may have reused the pid of the process that
    /// is wanted.
    pub(crate) fn opened(features: KernelFeatures, pid: u32) -> io::Result<Self> {
        let pidfd = sys::open_pidfd(pid)?;
        let identity = Identity::of(features, pidfd.as_fd(), pid);
        Ok(Self { pidfd, pid, features, identity })
    }

    /// The pid in this namespace, or 0.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether it has exited, reaped or not.
    pub(crate) fn is_gone(&self) -> bool {
        sys::life(self.as_fd()).is_some_and(|life| life != Life::Running)
    }

    /// Whether it has been reaped, so that another process may have its pid. Before 6.9 that
    /// cannot be told from its exit.
    pub(crate) fn is_reaped(&self) -> bool {
        !matches!(sys::life(self.as_fd()), Some(Life::Running | Life::Exited))
            || !self.features.numbers && self.is_gone()
    }

    /// Whether it has exited, and how, as far as that is known by now.
    pub(crate) fn ending(&self) -> Ending {
        if !self.is_gone() {
            return Ending::Running;
        }
        let information = match self.features.exit_information {
            true => sys::exit_information(self.as_fd()).ok(),
            false => None,
        };
        if let Some(ExitInformation::Known(status)) = information {
            return Ending::Exited(status);
        }
        let status = sys::status_of_child(self.as_fd()).or_else(|| self.status_of_zombie());
        match (status, information) {
            (Some(status), _) => Ending::Exited(status),
            (None, Some(ExitInformation::NotYet)) => Ending::Pending,
            (None, _) => Ending::Unknown,
        }
    }

    /// The exit status from the process table, where an unreaped process is still listed. Only
    /// for processes that this one may trace.
    fn status_of_zombie(&self) -> Option<ExitStatus> {
        let stat = proc::stat(self.pid).filter(|_| self.features.table)?;
        let status = stat.exit_status.filter(|_| stat.is_zombie)?;
        // A reader without permission gets 0.
        if status == ExitStatus::Code(0) && !proc::may_trace(self.pid) {
            return None;
        }
        let still_its_pid = match self.identity {
            // Checked after the table was read.
            Identity::Number(_) => sys::life(self.as_fd()) == Some(Life::Exited),
            Identity::Started(started) => stat.started == started,
            Identity::Unknown => false,
        };
        still_its_pid.then_some(status)
    }
}

impl From<ProcessHandle> for OwnedFd {
    fn from(watch: ProcessHandle) -> Self {
        watch.pidfd
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
