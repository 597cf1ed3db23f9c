//! The report: a paragraph about the process, and a line for each kind of thread.

use std::fmt;

use varta_observer::judge::{Call, Lacks, Sample, Text, ThreadReading, diagnose};
use varta_observer::{Cause, CauseClass, CauseFlags, CauseInfo, Certainty, ProcessReader};

use super::advice::Advice;
use super::processes;
use crate::output::cause::{Ms, Phrase, per_second};

/// At most this many threads are listed by their numbers in one line.
const LISTED: usize = 6;

/// The same, if each has a name of its own.
const LISTED_BY_NAME: usize = 24;

/// What is known about a process, in words.
pub(super) struct Report {
    pid: u32,
    name: String,
    cause: CauseInfo,
    ran_ns: Option<u64>,
    threads: u32,
    lines: Vec<Line>,
    tracer: Option<String>,
    lacks: Lacks,
    /// The time since its last beat, if it executes another program since then.
    pub(super) unjudged_ms: Option<u64>,
}

/// Threads that do the same, with their names.
struct Line {
    threads: Vec<(u32, String)>,
    does: String,
}

impl Report {
    pub(super) fn new(
        pid: u32,
        before: &Sample,
        now: &Sample,
        reader: &mut ProcessReader,
    ) -> Self {
        let mut cause = diagnose(Some(before), now, None);
        if cause.why.certainty == Certainty::Guess && is_quiet(cause.why.cause) {
            // Any other thread may wait for work.
            cause = diagnose(Some(before), now, Some(first_at_work(pid, now)));
            cause.why.certainty = Certainty::Guess;
        }
        let waiting = now.thread(cause.why.thread).or_else(|| now.thread(pid));
        if cause.why.cause == Cause::Lock && cause.why.other == 0 {
            let owner = waiting.and_then(|waiting| reader.lock_owner(pid, waiting));
            cause.why.other = owner.unwrap_or(0);
        }
        let tracer = now.process.tracer;
        let clocks = (now.process.clock_ns, before.process.clock_ns);
        let mut report = Self {
            pid,
            name: now.process.name.to_string(),
            cause,
            ran_ns: clocks.0.zip(clocks.1).map(|(now, before)| now.saturating_sub(before)),
            threads: now.process.threads,
            lines: Vec::new(),
            tracer: (tracer != 0).then(|| {
                let name = processes::name_of(tracer).unwrap_or_default();
                format!("process {tracer} {name}").trim_end().to_owned()
            }),
            lacks: now.process.lacks,
            unjudged_ms: None,
        };
        if report.is_held() {
            return report;
        }
        // The lines of the threads contain it.
        report.cause.detail = Text::EMPTY;
        for thread in now.threads() {
            let cause = diagnose(Some(before), now, Some(thread.thread));
            let owner = reader.lock_owner(pid, thread);
            let does = Activity { pid, thread, cause: &cause, owner }.to_string();
            report.add(thread, does);
        }
        report
    }

    fn add(&mut self, thread: &ThreadReading, does: String) {
        let thread = (thread.thread, thread.name.to_string());
        match self.lines.iter_mut().find(|line| line.does == does) {
            Some(line) => line.threads.push(thread),
            None => self.lines.push(Line { threads: vec![thread], does }),
        }
    }

    /// What holds the process holds all its threads, so they are not described one by one.
    fn is_held(&self) -> bool {
        let is_outside = self.cause.why.cause.class() == CauseClass::Outside;
        is_outside && !matches!(self.cause.why.cause, Cause::Starved | Cause::Throttled)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.cause.why;
        write!(f, "{} (pid {}) is {}", self.name, self.pid, Phrase::new(&self.cause, None))?;
        if why.thread != 0 && self.threads > 1 && !self.is_held() {
            write!(f, "; that is thread {}", why.thread)?;
        }
        f.write_str(".")?;
        if let Some(ran_ns) = self.ran_ns {
            let window = self.cause.window_ns.max(1);
            write!(f, " It used {} of CPU time in {}.", Ms(ran_ns), Ms(window))?;
        }
        if let Some(tracer) = &self.tracer {
            write!(f, " It is traced by {tracer}.")?;
        }
        write!(f, " {}", Advice { cause: &self.cause, pid: self.pid, name: &self.name })?;
        if let Some(ms) = self.unjudged_ms {
            write!(
                f,
                " It executes another program since its last beat {}.{:03} s ago, and is not \
                 watched for silence before that program beats.",
                ms / 1_000,
                ms % 1_000
            )?;
        }
        if why.flags.has(CauseFlags::NO_PERMISSION) || self.lacks != Lacks::default() {
            f.write_str(
                " Not everything could be read: run this as root, or as the user of the process.",
            )?;
        }
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        let described: usize = self.lines.iter().map(|line| line.threads.len()).sum();
        match usize::try_from(self.threads).unwrap_or(0).saturating_sub(described) {
            more if more > 0 && described > 0 => {
                write!(f, "\n  {more} more threads were not read.")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.threads.len();
        let Some((_, first)) = self.threads.first() else { return Ok(()) };
        let have_one_name = self.threads.iter().all(|(_, name)| name == first);
        let most = if have_one_name { LISTED } else { LISTED_BY_NAME };
        f.write_str(if count == 1 { "Thread " } else { "Threads " })?;
        for (index, (thread, name)) in self.threads.iter().take(most).enumerate() {
            let before = match index {
                0 => "",
                _ if index + 1 == count => " and ",
                _ => ", ",
            };
            write!(f, "{before}{thread}")?;
            if !have_one_name {
                write!(f, " ({name})")?;
            }
        }
        if count > most {
            write!(f, " and {} more", count - most)?;
        }
        if have_one_name {
            write!(f, " ({first})")?;
        }
        write!(f, ": {}{}.", if count == 1 { "" } else { "each " }, self.does)
    }
}

/// What one thread does.
struct Activity<'a> {
    pid: u32,
    thread: &'a ThreadReading,
    cause: &'a CauseInfo,
    owner: Option<u32>,
}

impl fmt::Display for Activity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.cause;
        let (run, window) = (Ms(info.run_ns), Ms(info.window_ns));
        match info.why.cause {
            Cause::Busy => write!(f, "runs, {run} of {window}")?,
            Cause::Starved | Cause::Throttled => {
                let wanted = Ms(info.run_ns.saturating_add(info.wait_ns));
                write!(f, "is ready to run, and ran {run} of the {wanted} it wanted")?;
            }
            Cause::Lock => match self.owner {
                Some(owner) => write!(f, "waits for a lock that thread {owner} holds")?,
                None => f.write_str("waits for a lock")?,
            },
            Cause::Waiting => match joined(self.thread) {
                Some(thread) => write!(f, "waits for thread {thread} to end")?,
                None => {
                    f.write_str("waits to be woken: for a condition, a semaphore or a lock")?
                }
            },
            Cause::Child => match processes::children(self.pid, self.thread.thread) {
                Some(children) => write!(f, "waits for its child {children}")?,
                None => f.write_str("waits for a child process")?,
            },
            Cause::Awake => {
                let per_second = per_second(info.switches, info.window_ns);
                write!(f, "sleeps, and wakes up {per_second} times a second")?;
            }
            Cause::Io => f.write_str("waits in the kernel for a device or a file system")?,
            Cause::Memory => f.write_str("waits in the kernel for memory")?,
            Cause::Idle if info.why.flags.has(CauseFlags::IN_EVENT_WAIT) => {
                f.write_str("waits for events")?;
            }
            Cause::Idle => f.write_str("sleeps")?,
            Cause::Asleep => f.write_str("sleeps")?,
            Cause::LeaderExited if self.thread.state == b'Z' => f.write_str("has ended")?,
            _ if self.thread.state == b'R' => f.write_str("runs")?,
            _ => f.write_str("sleeps")?,
        }
        self.place(f)
    }
}

impl Activity<'_> {
    /// Where in the kernel it is.
    fn place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = &self.thread.wait_channel;
        match self.thread.call {
            Call::In { number, name, arguments: [first, ..] } => {
                match name {
                    "" => write!(f, ", in system call {number}")?,
                    name => write!(f, ", in {name}")?,
                }
                if let Some(target) = uses_descriptor(name)
                    .then(|| processes::descriptor(self.pid, first))
                    .flatten()
                {
                    write!(f, " on descriptor {first}, {target}")?;
                }
            }
            Call::Outside => f.write_str(", in no system call but in a fault")?,
            Call::Running | Call::Unknown => {}
        }
        if !channel.is_empty() {
            write!(f, " ({channel})")?;
        }
        Ok(())
    }
}

/// Whether a thread with this cause may just have nothing to do.
const fn is_quiet(cause: Cause) -> bool {
    matches!(cause, Cause::Idle | Cause::Waiting | Cause::Asleep)
}

/// The first thread of a process, or the one for whose end that waits, as in Java.
fn first_at_work(pid: u32, now: &Sample) -> u32 {
    let joined = now.thread(pid).and_then(joined);
    let joined = joined.and_then(|thread| thread.try_into().ok());
    joined.filter(|thread| now.thread(*thread).is_some()).unwrap_or(pid)
}

/// The thread for whose end `pthread_join` waits: it waits, without a timeout, for a word of
/// the kernel that contains the number of that thread.
fn joined(thread: &ThreadReading) -> Option<u64> {
    const WAIT: u64 = libc::FUTEX_WAIT.unsigned_abs() as u64;
    const WAIT_BITSET: u64 = libc::FUTEX_WAIT_BITSET.unsigned_abs() as u64;
    const FLAGS: u64 = libc::FUTEX_CLOCK_REALTIME.unsigned_abs() as u64;
    let Call::In { name: "futex", arguments: [_, operation, value, timeout], .. } = thread.call
    else {
        return None;
    };
    let waits = matches!(operation & !FLAGS, WAIT | WAIT_BITSET);
    // Another wait for a word that other processes share may have any small value.
    (waits && timeout == 0 && value > 2).then_some(value)
}

/// Whether the first argument of a call is a descriptor.
fn uses_descriptor(name: &str) -> bool {
    matches!(
        name,
        "read"
            | "write"
            | "readv"
            | "writev"
            | "pread64"
            | "pwrite64"
            | "preadv"
            | "pwritev"
            | "recvfrom"
            | "recvmsg"
            | "recvmmsg"
            | "sendto"
            | "sendmsg"
            | "sendmmsg"
            | "connect"
            | "accept"
            | "accept4"
            | "flock"
            | "fcntl"
            | "fsync"
            | "fdatasync"
            | "ioctl"
            | "fallocate"
            | "ftruncate"
            | "getdents64"
            | "close"
            | "fstat"
            | "sync_file_range"
    )
}
