//! The thread that holds a lock, and what it does.

use std::fmt;

use varta_observer::judge::{Call, Sample, ThreadReading, diagnose};
use varta_observer::{Cause, ProcessReader};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockOwner {
    pub(crate) thread: u32,
    pub(crate) does: Does,
}

/// What the owner of a lock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Runs,
    /// It is in this system call.
    Calls(&'static str),
    /// It waits for a lock too.
    WaitsForLock,
    /// It is the thread that waits for the lock.
    IsWaiting,
    Unknown,
}

/// Finds the owner of the lock for which a thread waits. Only mutexes of glibc record it.
pub(super) fn find(reader: &mut ProcessReader, pid: u32, thread: u32) -> Option<LockOwner> {
    let waiting = reader.read_thread(pid, thread).ok()?;
    let owner = reader.lock_owner(pid, &waiting)?;
    let does = match reader.read_thread(pid, owner) {
        _ if owner == thread => Does::IsWaiting,
        Ok(reading) => describe(&reading),
        Err(_) => Does::Unknown,
    };
    Some(LockOwner { thread: owner, does })
}

fn describe(owner: &ThreadReading) -> Does {
    let waits_for_lock = || {
        let mut sample = Sample::try_new().ok()?;
        sample.push(*owner);
        Some(diagnose(None, &sample, Some(owner.thread)).why.cause == Cause::Lock)
    };
    match owner.call {
        Call::Running => Does::Runs,
        _ if waits_for_lock() == Some(true) => Does::WaitsForLock,
        Call::In { name, .. } if !name.is_empty() => Does::Calls(name),
        _ => Does::Unknown,
    }
}

impl LockOwner {
    /// Whether it waits for a lock too.
    pub(crate) fn waits_for_lock(&self) -> bool {
        self.does == Does::WaitsForLock
    }
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {}", self.thread)?;
        match self.does {
            Does::Runs => f.write_str(", which is running"),
            Does::Calls(call) => write!(f, ", which is in {call}()"),
            Does::WaitsForLock => f.write_str(", which waits for a lock itself"),
            Does::IsWaiting => f.write_str(" itself"),
            Does::Unknown => Ok(()),
        }
    }
}
