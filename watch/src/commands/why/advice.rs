//! What an operator should know or do about a process.

use std::fmt;

use varta_observer::{Cause, CauseClass, CauseInfo};

use super::processes;

/// Displays what follows from the cause for the process with this pid and name.
pub(super) struct Advice<'a> {
    pub(super) cause: &'a CauseInfo,
    pub(super) pid: u32,
    pub(super) name: &'a str,
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_cause(f)?;
        if self.cause.why.cause == Cause::Idle {
            // Some runtimes wait for a child in their event loop.
            if let Some(child) = processes::children(self.pid, self.cause.why.thread) {
                write!(f, " It has a child, {child}, for which it may wait.")?;
            }
        }
        match self.cause.why.cause.class() {
            CauseClass::Own => self.by_runtime(f),
            _ => Ok(()),
        }
    }
}

impl Advice<'_> {
    fn by_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.pid;
        match self.cause.why.cause {
        Cause::Stopped => write!(
            f,
            "It does nothing until it is continued, as by `kill -CONT {pid}`. SIGTERM has no \
             effect before that."
        ),
        Cause::Traced => f.write_str(
            "It does nothing until the debugger continues it or ends. SIGTERM has no effect \
             before that.",
        ),
        Cause::Frozen => f.write_str(
            "It does nothing until its group is thawed; in a group of the first version, not \
             even SIGKILL has an effect before that.",
        ),
        Cause::Dumping => {
            f.write_str("Wait: whoever kills it now cuts the core file short.")
        }
        Cause::Dying => f.write_str(
            "Wait for its end. If it does not come, the kernel waits for something on its \
             behalf.",
        ),
        Cause::Throttled => f.write_str(
            "It need not hang: raise the quota of its group, or give it less to do.",
        ),
        Cause::Starved => f.write_str(
            "It need not hang: other processes use the CPU. To restart it makes that worse.",
        ),
        Cause::Io => f.write_str(
            "Look at the disk, the network file system or the FUSE server. Signals may have no \
             effect until that answers.",
        ),
        Cause::Memory => f.write_str(
            "The system or its group is short of memory, or its pages are slow to read.",
        ),
        Cause::Busy => f.write_str("It computes, or is in an endless loop."),
        Cause::Lock => f.write_str("Look at the thread that holds the lock."),
        Cause::Waiting => f.write_str(
            "That is normal for a worker without work. It may also be a wakeup that was lost, \
             or a lock that cannot be told from one.",
        ),
        Cause::Child => f.write_str("Look at the child."),
        Cause::Awake => f.write_str("It polls, or tries the same thing again and again."),
        Cause::Idle => f.write_str(
            "That is normal for a process that has nothing to do. It may also wait for a peer \
             that never answers.",
        ),
        Cause::LeaderExited => f.write_str("Its other threads continue."),
        _ => f.write_str("Nothing else stands out."),
        }
    }

    /// What the kernel does not know, but the runtime does.
    fn by_runtime(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.pid;
        match self.name {
            "java" => write!(
                f,
                " What its Java threads wait for only the JVM knows: `jstack {pid}` shows it."
            ),
            name if name.starts_with("python") => write!(
                f,
                " What its Python threads wait for only Python knows: `py-spy dump --pid {pid}` \
                 shows it."
            ),
            _ => Ok(()),
        }
    }
}
