//! Reads what the kernel reports about a process, to find out why it is silent.
//!
//! Only files are read that the kernel answers by itself. These are not `cmdline`, `environ` and
//! `maps`, for which a process can keep a reader waiting with its memory; and the executable is
//! identified without asking its file system. One case is left: while a process executes a
//! program, the kernel closes files for it, and the close of a file on FUSE takes as long as its
//! server likes. Until then nobody else can read its `stat`, `wchan`, `syscall` or `exe`. So
//! everything is read in [threads](Readers) that may be lost.

mod calls;
mod groups;
mod parse;
mod pressure;
mod reader;
mod readers;
mod text;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::Arc;

pub(crate) use self::calls::call_named;
use self::groups::{Asked, Groups};
use self::parse::{Stat, Syscall};
use self::pressure::Pressure;
pub use self::reader::ProcessReader;
pub(crate) use self::readers::{NotYet, Readers};
use self::text::{ShortPath, number, read};
use super::clock::Clock;
use crate::judge::{
    Call, Depth, Lacks, MOST_THREADS, ProcessReading, Sample, Text, ThreadReading,
};
use crate::sys::{self, Entries};

/// Room for the longest file: `status` lists the groups of a user.
const LONGEST: usize = 16_384;

/// In what a process waits is read together with the process for its first thread, and for this
/// many of the threads that are wanted, or of all if none is.
const READ_AT_ONCE: usize = 8;

/// Reads processes. It allocates nothing after it is created.
#[derive(Debug)]
struct Reader {
    groups: Arc<Groups>,
    buffer: Box<[u8]>,
    entries: Entries,
    listed: Listed,
    pressure: Pressure,
}

impl Reader {
    fn new(groups: &Arc<Groups>) -> Self {
        Self {
            groups: Arc::clone(groups),
            buffer: vec![0; LONGEST].into_boxed_slice(),
            entries: Entries::new(),
            listed: Listed::default(),
            pressure: Pressure::default(),
        }
    }

    /// Reads a process, and `wanted` of its threads before others. An error if it is not in the
    /// process table, or not visible there; what needs no table was read even so.
    fn read(
        &mut self,
        pid: u32,
        depth: Depth,
        wanted: &[u32],
        sample: &mut Sample,
    ) -> io::Result<()> {
        read_clocks(pid, sample);
        if depth == Depth::Clock {
            return Ok(());
        }
        // What holds a process from outside is read before its threads: if it is let go in
        // between, its threads show that.
        if depth >= Depth::Half {
            self.read_process(pid, depth, &mut sample.process)?;
        }
        self.listed.only(pid);
        let leader = self.read_leader(pid, depth, sample);
        if depth != Depth::Program && leader.is_none_or(|leader| leader.threads != 1) {
            self.list(pid, wanted)?;
        }
        let total = &mut sample.process.threads;
        *total = (*total).max(self.listed.count.try_into().unwrap_or(u32::MAX));
        for index in 1..self.listed.count {
            let Some(thread) = self.listed.threads.get(index).copied() else { break };
            let read = self.schedule(pid, thread, depth >= Depth::Half);
            if let Some((thread, _)) = read {
                sample.push(thread);
            }
        }
        let is_blocked = |thread: &ThreadReading| thread.state == b'D';
        if depth == Depth::Whole && sample.threads().iter().any(is_blocked) {
            self.groups.read_memory(pid, &mut self.buffer, &mut sample.process);
        }
        if depth == Depth::Whole {
            self.read_waits(pid, wanted, sample);
        }
        Ok(())
    }

    /// Reads the first thread, and what its files tell about the process.
    fn read_leader(&mut self, pid: u32, depth: Depth, sample: &mut Sample) -> Option<Stat> {
        let (mut leader, stat) = self.schedule(pid, pid, true)?;
        let stat = stat?;
        // Halfway through a silence it need not be known.
        if depth != Depth::Half {
            self.identify(pid, stat.stack, &mut sample.process);
        }
        sample.process.name = leader.name;
        if leader.state == b'T' {
            leader.stop_signal = self.stop_signal(pid);
        }
        sample.push(leader);
        Some(stat)
    }

    /// Reads in what those threads wait that are most likely to be asked about.
    fn read_waits(&mut self, pid: u32, wanted: &[u32], sample: &mut Sample) {
        let mut lacks = Lacks::default();
        let any = wanted.is_empty();
        let wanted = wanted.get(..wanted.len().min(READ_AT_ONCE)).unwrap_or_default();
        for (place, thread) in sample.threads_mut().iter_mut().enumerate() {
            if place == 0 || any && place < READ_AT_ONCE || wanted.contains(&thread.thread) {
                // One that has ended since is kept as it was.
                let _ = self.read_wait(pid, thread, &mut lacks);
            }
        }
        sample.process.lacks.add(lacks);
    }

    /// Reads in what a thread waits. An error if it has ended.
    fn read_wait(
        &mut self,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> io::Result<()> {
        let task = thread.thread;
        let channel = read(format_args!("/proc/{pid}/task/{task}/wchan"), &mut self.buffer);
        match channel.map(<[u8]>::trim_ascii) {
            // Without permission this file contains a 0, as it does for a thread that runs.
            Ok(b"0" | b"") if thread.state == b'R' => {}
            Ok(b"0" | b"") => {
                let stat =
                    read(format_args!("/proc/{pid}/task/{task}/stat"), &mut self.buffer)?;
                if !parse::stat(stat).is_some_and(|stat| stat.sleeps_visibly) {
                    lacks.add(Lacks::WAIT_CHANNEL);
                }
            }
            Ok(name) => thread.wait_channel = Text::from_bytes(name),
            Err(error) if is_denied(&error) => lacks.add(Lacks::WAIT_CHANNEL),
            Err(error) => return Err(error),
        }
        match read(format_args!("/proc/{pid}/task/{task}/syscall"), &mut self.buffer) {
            Ok(text) => thread.call = call(text),
            Err(error) if is_denied(&error) || error.kind() == ErrorKind::NotFound => {
                lacks.add(Lacks::CALL);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The thread that the process has stored as the owner of a glibc mutex at this address. A
    /// page that is not in memory is not asked for, because a process can keep a reader of it
    /// waiting.
    fn lock_owner(&mut self, pid: u32, address: u64) -> Option<u32> {
        let pagemap = ShortPath::new(format_args!("/proc/{pid}/pagemap")).ok()?;
        let pagemap = File::open(pagemap.as_path()).ok()?;
        let [word, _, owner] = sys::read_if_present(pid, &pagemap, address)?;
        // A lock with priority inheritance has its owner in the word.
        const OWNER: u32 = 0x3fff_ffff;
        let owner = if word & OWNER > 2 { word & OWNER } else { owner };
        // What is no mutex of glibc has something else there.
        self.thread_numbered(pid, owner)
    }

    /// The thread of a process that has this number in the pid namespace of the process.
    fn thread_numbered(&mut self, pid: u32, number: u32) -> Option<u32> {
        let status = read(format_args!("/proc/{pid}/status"), &mut self.buffer).ok()?;
        if parse::pids(status).count() <= 1 {
            let path = ShortPath::new(format_args!("/proc/{pid}/task/{number}")).ok()?;
            return fs::metadata(path.as_path()).is_ok().then_some(number);
        }
        self.list(pid, &[]).ok()?;
        let Listed { threads, count } = self.listed;
        threads.into_iter().take(count).find(|thread| {
            let status =
                read(format_args!("/proc/{pid}/task/{thread}/status"), &mut self.buffer);
            let status = status.unwrap_or_default();
            parse::pids(status).last() == Some(number)
        })
    }

    fn read_process(
        &mut self,
        pid: u32,
        depth: Depth,
        process: &mut ProcessReading,
    ) -> io::Result<()> {
        process.memory_pressure_ns = self.pressure.read(process.read_at, &mut self.buffer);
        let asked =
            if depth == Depth::Whole { Asked::QuotasAndFreezing } else { Asked::Quotas };
        self.groups.read(pid, asked, &mut self.buffer, process);
        if depth == Depth::Whole {
            let status =
                parse::status(read(format_args!("/proc/{pid}/status"), &mut self.buffer)?);
            process.threads = status.threads;
            process.dumping = status.is_dumping;
            process.killed = status.is_killed;
            process.tracer = status.tracer;
        }
        Ok(())
    }

    /// Lists the threads to read: the first one, those that are wanted, then others.
    fn list(&mut self, pid: u32, wanted: &[u32]) -> io::Result<()> {
        self.listed.clear();
        let path = ShortPath::new(format_args!("/proc/{pid}/task"))?;
        let directory = File::open(path.as_path())?;
        self.listed.add(pid);
        for thread in wanted {
            self.listed.add(*thread);
        }
        let mut is_more = true;
        // A process may have a million threads.
        while is_more && !self.listed.is_full() {
            is_more = self.entries.next(directory.as_fd(), |name| {
                if let Some(thread) = number(name).and_then(|thread| thread.try_into().ok()) {
                    self.listed.add(thread);
                }
            })?;
        }
        Ok(())
    }

    /// Reads when a thread ran, and its state if that is asked for. `None` if it has ended.
    fn schedule(
        &mut self,
        pid: u32,
        thread: u32,
        with_stat: bool,
    ) -> Option<(ThreadReading, Option<Stat>)> {
        let mut reading = ThreadReading { thread, ..ThreadReading::NOTHING };
        let mut found = None;
        if with_stat {
            let stat = read(format_args!("/proc/{pid}/task/{thread}/stat"), &mut self.buffer);
            let stat = parse::stat(stat.ok()?)?;
            reading.name = stat.name;
            reading.state = stat.state;
            reading.flags = stat.flags;
            reading.major_faults = stat.major_faults;
            reading.user_ticks = stat.user_ticks;
            reading.system_ticks = stat.system_ticks;
            found = Some(stat);
        }
        let schedule =
            read(format_args!("/proc/{pid}/task/{thread}/schedstat"), &mut self.buffer);
        let schedule = parse::schedstat(schedule.ok()?)?;
        reading.read_at = sys::monotonic_ns();
        reading.run_ns = schedule.run_ns;
        reading.wait_ns = schedule.wait_ns;
        reading.slices = schedule.slices;
        Some((reading, found))
    }

    /// The signal that stopped a process; 0 if it is not known. Only the file of the whole process
    /// has it.
    fn stop_signal(&mut self, pid: u32) -> u8 {
        let stat = read(format_args!("/proc/{pid}/stat"), &mut self.buffer);
        stat.ok().and_then(parse::stat).map_or(0, |stat| stat.signal)
    }

    /// Identifies the program that a process executes, by the path of its file and by where its
    /// stack begins, which each exec changes. Asking for the file itself could wait for its
    /// file system.
    fn identify(&mut self, pid: u32, stack: u64, process: &mut ProcessReading) {
        let Ok(path) = ShortPath::new(format_args!("/proc/{pid}/exe\0")) else { return };
        let Some(path) = path.as_c_str() else { return };
        match sys::link_target(path, &mut self.buffer) {
            Ok(target) => {
                // An upgrade removes the file of a program that goes on running.
                let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
                process.executable = Some((groups::number_of(target), stack));
            }
            Err(error) if is_denied(&error) => process.lacks.add(Lacks::EXECUTABLE),
            // It is ending.
            Err(_) => {}
        }
    }
}

/// Reads what needs no process table, and never waits.
fn read_clocks(pid: u32, sample: &mut Sample) {
    sample.clear();
    sample.process.read_at = sys::monotonic_ns();
    sample.process.asleep_ns = Clock::asleep();
    sample.process.clock_ns = sys::process_cpu_ns(pid);
}

/// The threads to read, each once.
#[derive(Debug, Clone, Copy)]
struct Listed {
    threads: [u32; MOST_THREADS],
    count: usize,
}

impl Default for Listed {
    fn default() -> Self {
        Self { threads: [0; MOST_THREADS], count: 0 }
    }
}

impl Listed {
    fn clear(&mut self) {
        self.count = 0;
    }

    fn only(&mut self, thread: u32) {
        self.clear();
        self.add(thread);
    }

    fn add(&mut self, thread: u32) {
        let (listed, room) = self.threads.split_at_mut(self.count);
        if let Some(place) = room.first_mut().filter(|_| !listed.contains(&thread)) {
            *place = thread;
            self.count += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.count == MOST_THREADS
    }
}

fn call(text: &[u8]) -> Call {
    match parse::syscall(text) {
        None => Call::Unknown,
        Some(Syscall::Running) => Call::Running,
        Some(Syscall::Blocked) => Call::Outside,
        Some(Syscall::Call { number, arguments: [a, b, c, d, ..] }) => {
            Call::In { number, name: calls::name(number), arguments: [a, b, c, d] }
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    // Without permission, `syscall` is opened by its mode, or its content is refused.
    error.kind() == ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests;
