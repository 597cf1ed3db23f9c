//! What a host reads about a silent process.

use super::Text;
use crate::memory::{self, OutOfMemory};
use crate::program_name::ProgramName;

/// At most this many threads of a process are read.
pub const MOST_THREADS: usize = 64;

/// At most this many control groups with a quota above a process are read.
pub const MOST_QUOTAS: usize = 8;

/// How much of a process is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only the CPU clock of the process, which needs no permission.
    Clock,
    /// For an agent that has just beaten: the CPU clock, the executable, and its first thread
    /// with its name.
    Program,
    /// For an agent that beats: the CPU clock, the executable, and of each thread what
    /// [`ThreadReading`] lists under `schedstat`.
    Schedule,
    /// For an agent that has been silent for a while: the CPU clock, the quotas, the memory
    /// pressure, and of each thread what is listed under `schedstat` and `stat`.
    Half,
    /// All of [`ProcessReading`], and of each thread what is listed under `schedstat` and
    /// `stat`. What its threads wait in is read for the suspects afterwards.
    Whole,
}

/// What came of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was read, as far as it is permitted.
    Read,
    /// The process or thread has ended.
    Ended,
    /// Nothing can be read: it is in a pid namespace that the host does not see, or there is no
    /// process table.
    Hidden,
    /// The answer takes longer than the host waits. It may be there when it is asked again.
    Late,
    /// The host reads nothing for now, because a reading of this process does not return; 0 if it
    /// cannot read for another reason.
    Stuck(u32),
}

/// A reading: what came of it and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// What came of it.
    pub found: Found,
    /// How many nanoseconds it took the host, waiting included.
    pub spent_ns: u64,
}

/// A reading of a process. Numbers of threads are those of the observer's pid namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What was read of the process.
    pub process: ProcessReading,
    threads: Vec<ThreadReading>,
}

/// What is read of a process as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessReading {
    /// When the reading began, in nanoseconds on the monotonic clock.
    pub read_at: u64,
    /// The boot clock less the monotonic clock then: how long the system was suspended.
    pub asleep_ns: u64,
    /// Its CPU clock in nanoseconds.
    pub clock_ns: Option<u64>,
    /// How many threads it has, including those that were not read.
    pub threads: u32,
    /// What cannot be read without a permission that the host lacks.
    pub lacks: Lacks,
    /// Two numbers that change when it executes a program.
    pub executable: Option<(u64, u64)>,
    /// The name of its first thread.
    pub name: ProgramName,
    /// `status`: `CoreDumping` is 1.
    pub dumping: bool,
    /// `status`: SIGKILL is pending for it.
    pub killed: bool,
    /// `status`: `TracerPid`, 0 for none.
    pub tracer: u32,
    /// Whether its control group or one above it is frozen, or being frozen.
    pub frozen: bool,
    /// Whether its control group of the first version waits for memory that is not there
    /// (`under_oom`). A process that waits for it has a thread in the state D.
    pub under_oom: bool,
    /// The path of the group that is frozen or under OOM.
    pub group: Text<48>,
    /// The groups with a quota of CPU time that it is in.
    pub quotas: Quotas,
    /// How long any process of the system has waited for memory: `some` of the memory pressure,
    /// in nanoseconds.
    pub memory_pressure_ns: Option<u64>,
}

/// What cannot be read without a permission that the host lacks: a set of bits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lacks(pub u8);

impl Lacks {
    /// `wchan`.
    pub const WAIT_CHANNEL: Self = Self(1);
    /// `syscall`.
    pub const CALL: Self = Self(2);
    /// `exe`.
    pub const EXECUTABLE: Self = Self(4);
    /// The files of its control groups.
    pub const GROUPS: Self = Self(8);

    /// Whether all these are lacking.
    #[must_use]
    pub const fn has(self, lacks: Self) -> bool {
        self.0 & lacks.0 == lacks.0
    }

    /// Adds these.
    pub const fn add(&mut self, lacks: Self) {
        self.0 |= lacks.0;
    }
}

/// The counters of a control group with a quota.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// A number that distinguishes the group from others: its inode, or a hash of its path.
    pub group: u64,
    /// `nr_periods`.
    pub periods: u64,
    /// `nr_throttled`.
    pub throttled: u64,
    /// The time for which the quota holds, in nanoseconds; 0 if it is not known.
    pub period_ns: u64,
}

impl Quota {
    const NONE: Self = Self { group: 0, periods: 0, throttled: 0, period_ns: 0 };
}

/// The groups with a quota that a process is in, its own first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    groups: [Quota; MOST_QUOTAS],
    count: u8,
}

impl Quotas {
    /// No group.
    pub const NONE: Self = Self { groups: [Quota::NONE; MOST_QUOTAS], count: 0 };

    /// Adds a group, if there is room.
    pub fn push(&mut self, quota: Quota) {
        if let Some(place) = self.groups.get_mut(usize::from(self.count)) {
            *place = quota;
            self.count += 1;
        }
    }

    /// The groups.
    #[must_use]
    pub fn as_slice(&self) -> &[Quota] {
        self.groups.get(..self.count.into()).unwrap_or_default()
    }
}

/// What is read of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadReading {
    /// Its number in the observer's pid namespace.
    pub thread: u32,
    /// When its `schedstat` was read, in nanoseconds on the monotonic clock.
    pub read_at: u64,
    /// `schedstat`: how long it ran, how long it was ready but did not run, in nanoseconds, and
    /// how often it began to run.
    pub run_ns: u64,
    /// See [`run_ns`](Self::run_ns).
    pub wait_ns: u64,
    /// See [`run_ns`](Self::run_ns).
    pub slices: u64,
    /// `stat`: its state, such as `b'S'`; 0 if that was not read.
    pub state: u8,
    /// `stat`: the flags.
    pub flags: u32,
    /// `stat`: major faults.
    pub major_faults: u64,
    /// `stat`: the time in user mode and in the kernel, in clock ticks.
    pub user_ticks: u64,
    /// See [`user_ticks`](Self::user_ticks).
    pub system_ticks: u64,
    /// `stat`, field 52: while it is stopped, the signal; 0 if it is not known.
    pub stop_signal: u8,
    /// `stat`: its name.
    pub name: ProgramName,
    /// `wchan`: the kernel function in which it waits; empty if it runs or was not read.
    pub wait_channel: Text<40>,
    /// `syscall`.
    pub call: Call,
}

/// The system call in which a thread is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It was not read, or there is no permission.
    #[default]
    Unknown,
    /// It runs.
    Running,
    /// It waits in the kernel, but in no call: for example in a page fault.
    Outside,
    /// It is in this call.
    In {
        /// The number of the call.
        number: u32,
        /// Its name, as in `epoll_pwait`; empty if the host has none for the number.
        name: &'static str,
        /// The first four arguments.
        arguments: [u64; 4],
    },
}

impl Sample {
    /// An empty sample with room for all threads that are read.
    ///
    /// # Errors
    ///
    /// If there is not enough memory.
    pub fn try_new() -> Result<Self, OutOfMemory> {
        Ok(Self { process: ProcessReading::NOTHING, threads: memory::vector(MOST_THREADS)? })
    }

    /// Forgets what was read. A host does this before it reads.
    pub fn clear(&mut self) {
        self.process = ProcessReading::NOTHING;
        self.threads.clear();
    }

    /// Adds a thread. Returns false if there are [`MOST_THREADS`] already.
    pub fn push(&mut self, thread: ThreadReading) -> bool {
        let room = self.threads.len() < MOST_THREADS;
        if room {
            self.threads.push(thread);
        }
        room
    }

    /// The threads that were read.
    #[must_use]
    pub fn threads(&self) -> &[ThreadReading] {
        &self.threads
    }

    pub(crate) fn threads_mut(&mut self) -> &mut [ThreadReading] {
        &mut self.threads
    }

    /// The thread with this number.
    #[must_use]
    pub fn thread(&self, thread: u32) -> Option<&ThreadReading> {
        self.threads.iter().find(|found| found.thread == thread)
    }
}

impl ProcessReading {
    /// Nothing was read.
    pub const NOTHING: Self = Self {
        read_at: 0,
        asleep_ns: 0,
        clock_ns: None,
        threads: 0,
        lacks: Lacks(0),
        executable: None,
        name: ProgramName::UNKNOWN,
        dumping: false,
        killed: false,
        tracer: 0,
        frozen: false,
        under_oom: false,
        group: Text::EMPTY,
        quotas: Quotas::NONE,
        memory_pressure_ns: None,
    };
}

impl ThreadReading {
    /// Whether it was read in what it waits.
    pub(crate) fn knows_wait(&self) -> bool {
        self.call != Call::Unknown || !self.wait_channel.is_empty()
    }

    /// Nothing was read.
    pub const NOTHING: Self = Self {
        thread: 0,
        read_at: 0,
        run_ns: 0,
        wait_ns: 0,
        slices: 0,
        state: 0,
        flags: 0,
        major_faults: 0,
        user_ticks: 0,
        system_ticks: 0,
        stop_signal: 0,
        name: ProgramName::UNKNOWN,
        wait_channel: Text::EMPTY,
        call: Call::Unknown,
    };
}
