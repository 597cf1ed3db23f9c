//! Why a process is silent.

use std::fmt;

use crate::text::Text;

/// Why a process or a task is silent. The numbers and names are the same in every language.
///
/// ```
/// use varta_observer::{Cause, CauseClass};
///
/// assert_eq!((Cause::Lock as u8, Cause::Lock.name()), (31, "lock"));
/// assert_eq!(Cause::Starved.class(), CauseClass::Outside);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Cause {
    /// It was not looked at, or could not be seen.
    Unknown = 0,
    /// The system was suspended.
    Suspended = 10,
    /// A signal stopped it.
    Stopped = 11,
    /// A debugger has stopped it.
    Traced = 12,
    /// Its control group is frozen.
    Frozen = 13,
    /// It crashed, and the kernel is writing its core file.
    Dumping = 14,
    /// It is ending, but its end is not complete.
    Dying = 15,
    /// Its control group has used up its share of the CPU.
    Throttled = 16,
    /// It is ready to run, but other processes have the CPU.
    Starved = 17,
    /// The kernel waits for a device or a file system on its behalf.
    Io = 20,
    /// The kernel waits for memory on its behalf: swap, page faults, reclaim.
    Memory = 21,
    /// It uses the CPU but does not beat, as in an endless loop.
    Busy = 30,
    /// It waits for a lock.
    Lock = 31,
    /// It waits for a condition, a semaphore or the end of a thread.
    Waiting = 32,
    /// It waits for a child process.
    Child = 33,
    /// It wakes up again and again, but does not beat.
    Awake = 34,
    /// It sleeps in a system call such as `recv`, `poll` or `nanosleep`.
    Idle = 35,
    /// It sleeps, and the observer has no permission to see on what.
    Asleep = 36,
    /// It reported itself that it does not work, with `WATCHDOG=trigger`.
    SelfReported = 37,
    /// It executes another program since it beat. A Stall has this cause only if its end cannot be
    /// seen; otherwise it is not judged before that program beats.
    Exec = 40,
    /// Its first thread has ended, others have not.
    LeaderExited = 41,
    /// The thread that made the beats has ended.
    ThreadGone = 42,
}

impl Cause {
    /// All causes, in the order of their numbers.
    pub const ALL: [Self; 22] = [
        Self::Unknown,
        Self::Suspended,
        Self::Stopped,
        Self::Traced,
        Self::Frozen,
        Self::Dumping,
        Self::Dying,
        Self::Throttled,
        Self::Starved,
        Self::Io,
        Self::Memory,
        Self::Busy,
        Self::Lock,
        Self::Waiting,
        Self::Child,
        Self::Awake,
        Self::Idle,
        Self::Asleep,
        Self::SelfReported,
        Self::Exec,
        Self::LeaderExited,
        Self::ThreadGone,
    ];

    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Suspended => "suspended",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Frozen => "frozen",
            Self::Dumping => "dumping",
            Self::Dying => "dying",
            Self::Throttled => "throttled",
            Self::Starved => "starved",
            Self::Io => "io",
            Self::Memory => "memory",
            Self::Busy => "busy",
            Self::Lock => "lock",
            Self::Waiting => "waiting",
            Self::Child => "child",
            Self::Awake => "awake",
            Self::Idle => "idle",
            Self::Asleep => "asleep",
            Self::SelfReported => "self-reported",
            Self::Exec => "exec",
            Self::LeaderExited => "leader-exited",
            Self::ThreadGone => "thread-gone",
        }
    }

    /// The class, by which recovery decides: the tens of the number.
    #[must_use]
    pub const fn class(self) -> CauseClass {
        match self as u8 / 10 {
            1 => CauseClass::Outside,
            2 => CauseClass::Kernel,
            3 => CauseClass::Own,
            4 => CauseClass::Changed,
            _ => CauseClass::Unknown,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Classes of causes.
///
/// ```
/// use varta_observer::{Cause, CauseClass};
///
/// assert_eq!(Cause::Frozen.class().name(), "outside");
/// assert_eq!(CauseClass::Own as u8, 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CauseClass {
    /// The cause is not known.
    Unknown = 0,
    /// Something outside holds the process. Waiting does no harm, and killing it does
    /// not help.
    Outside = 1,
    /// The kernel is at work for it.
    Kernel = 2,
    /// The process itself hangs.
    Own = 3,
    /// It is not what it was when it beat.
    Changed = 4,
}

impl CauseClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Unknown, Self::Outside, Self::Kernel, Self::Own, Self::Changed];

    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Outside => "outside",
            Self::Kernel => "kernel",
            Self::Own => "own",
            Self::Changed => "changed",
        }
    }
}

impl fmt::Display for CauseClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How sure a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Certainty {
    /// A guess: it may well be another one.
    Guess = 0,
    /// What was read is typical for it.
    Likely = 1,
    /// The kernel reports it.
    Certain = 2,
}

impl Certainty {
    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What else is known about a cause: a set of bits.
///
/// ```
/// use varta_observer::CauseFlags;
///
/// let flags = CauseFlags::NO_PERMISSION | CauseFlags::MANY_THREADS;
/// assert!(flags.has(CauseFlags::MANY_THREADS));
/// assert_eq!(flags.bits(), 12);
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CauseFlags(u8);

impl CauseFlags {
    /// The thread waits in `poll`, `select`, `epoll` or `io_uring`: its event loop waits for
    /// events, and is not blocked elsewhere.
    pub const IN_EVENT_WAIT: Self = Self(1);
    /// A debugger or tracer is attached.
    pub const TRACER: Self = Self(1 << 1);
    /// The process has more than one thread.
    pub const MANY_THREADS: Self = Self(1 << 2);
    /// The observer has no permission to see everything.
    pub const NO_PERMISSION: Self = Self(1 << 3);
    /// The time between the two readings was too short for a sure answer.
    pub const SHORT_WINDOW: Self = Self(1 << 4);
    /// [`other`](Why::other) is the thread that holds the lock.
    pub const OWNER: Self = Self(1 << 5);
    /// The thread that holds the lock itself waits for a lock.
    pub const CYCLE: Self = Self(1 << 6);

    /// Whether all bits of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// The bits, the same in every language.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// With these bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl std::ops::BitOr for CauseFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for CauseFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Why a process or a task is silent, as far as an event has room for it.
/// [`Observer::cause`](crate::Observer::cause) returns the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Why {
    /// The cause.
    pub cause: Cause,
    /// How sure it is.
    pub certainty: Certainty,
    /// What else is known.
    pub flags: CauseFlags,
    /// The thread that hangs; 0 if it is the whole process, or not known.
    pub thread: u32,
    /// The other process or thread: the tracer, the owner of the lock, the child; 0 if there is
    /// none, or it is not known.
    pub other: u32,
}

impl Why {
    /// The cause is not known.
    pub const UNKNOWN: Self = Self {
        cause: Cause::Unknown,
        certainty: Certainty::Guess,
        flags: CauseFlags(0),
        thread: 0,
        other: 0,
    };
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if self.cause != Cause::Unknown {
            write!(f, " ({})", self.certainty)?;
        }
        match self.thread {
            0 => {}
            thread => write!(f, ", thread {thread}")?,
        }
        match (self.other, self.cause) {
            (0, _) => Ok(()),
            (other, Cause::Lock) => write!(f, ", held by thread {other}"),
            (other, Cause::Traced) => write!(f, ", by process {other}"),
            (other, _) => write!(f, ", process {other}"),
        }
    }
}

/// What was found out about a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CauseInfo {
    /// The cause.
    pub why: Why,
    /// When the process was last read, in the observer's time; 0 if never.
    pub looked_ns: u64,
    /// The signal that stopped the process; 0 if none, or it is not known.
    pub signal: u8,
    /// The time between the two readings that were compared; 0 if there was only one.
    pub window_ns: u64,
    /// How long the thread ran in that time.
    pub run_ns: u64,
    /// How long it was ready to run but did not.
    pub wait_ns: u64,
    /// How often it began to run.
    pub switches: u32,
    /// How often it waited for a page to be read.
    pub major_faults: u32,
    /// Names of what it waits in or is held by, such as `futex_do_wait futex`.
    pub detail: Text<64>,
}

impl CauseInfo {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        why: Why::UNKNOWN,
        looked_ns: 0,
        signal: 0,
        window_ns: 0,
        run_ns: 0,
        wait_ns: 0,
        switches: 0,
        major_faults: 0,
        detail: Text::EMPTY,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tens_of_the_number_are_the_class() {
        for cause in Cause::ALL {
            assert_eq!(cause as u8 / 10, cause.class() as u8, "{cause}");
        }
        assert!(Cause::ALL.is_sorted_by_key(|cause| *cause as u8));
    }

    #[test]
    fn a_cause_is_described_in_words() {
        let lock = Why { cause: Cause::Lock, thread: 7, other: 8, ..Why::UNKNOWN };
        assert_eq!(lock.to_string(), "lock (guess), thread 7, held by thread 8");
        let traced =
            Why { cause: Cause::Traced, certainty: Certainty::Certain, thread: 0, ..lock };
        assert_eq!(traced.to_string(), "traced (certain), by process 8");
        assert_eq!(Why::UNKNOWN.to_string(), "unknown");
    }
}
