//! Child processes, and what the kernel reports about this process.

#![allow(unsafe_code, reason = "fork and other system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU64;

/// A forked child. Dropping it kills and reaps it.
pub(crate) struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Forks a child that runs `what` and exits. It ends with the thread that forked it.
    pub(crate) fn fork(what: impl FnOnce()) -> io::Result<Self> {
        // SAFETY: the children only send, sleep and count. Any other threads of this program
        // wait in the kernel and hold no lock.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let signal = libc::c_ulong::from(libc::SIGKILL.unsigned_abs());
                // SAFETY: only takes numbers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
                what();
                // SAFETY: ends this process without running the parent's exit handlers.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Self { pid }),
        }
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    fn kill(&self) {
        kill(self.pid());
    }

    /// Waits until it has ended.
    pub(crate) fn reap(self) {
        self.wait();
        std::mem::forget(self);
    }

    fn wait(&self) {
        // SAFETY: the status may be null.
        while unsafe { libc::waitpid(self.pid, ptr::null_mut(), 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        self.wait();
    }
}

/// Kills a child that has not been reaped, so that the pid is still its own.
pub(crate) fn kill(pid: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
}

/// Gives this thread, and those it starts from now on, real-time priority, or the normal one
/// again. Only root may do this; returns whether it succeeded.
pub(crate) fn come_first(first: bool) -> bool {
    let policy = if first { libc::SCHED_FIFO } else { libc::SCHED_OTHER };
    let priority = libc::sched_param { sched_priority: libc::c_int::from(first) };
    // SAFETY: 0 is this thread; the priority is ours, and only read.
    unsafe { libc::sched_setscheduler(0, policy, &raw const priority) == 0 }
}

/// Many children. Dropping them kills all before it waits for the first.
#[derive(Default)]
pub(crate) struct Children(pub(crate) Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        self.0.iter().for_each(Child::kill);
    }
}

/// Sleeps forever.
pub(crate) fn sleep_on() {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Numbers that this process shares with the children it forks. They stay mapped.
pub(crate) fn shared_numbers(count: usize) -> io::Result<&'static [AtomicU64]> {
    let length = count * size_of::<AtomicU64>();
    // SAFETY: maps new memory at an address that the kernel chooses.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping has this length, is zeroed, page-aligned and never unmapped, and all
    // processes that share it use it as the same atomics.
    Ok(unsafe { slice::from_raw_parts(memory.cast(), count) })
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the room for the answer is ours.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The CPU time of this thread.
pub(crate) fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The CPU time of all threads of this process.
pub(crate) fn process_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The clock that observers use.
pub(crate) fn boottime_ns() -> u64 {
    clock_ns(libc::CLOCK_BOOTTIME)
}

/// How often this thread has slept.
pub(crate) fn sleeps() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the room for the answer is ours.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: plain numbers, all of which were zeroed.
    let usage = unsafe { usage.assume_init() };
    usage.ru_nvcsw.unsigned_abs()
}

/// The resident memory of this process.
pub(crate) fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    // SAFETY: takes a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs();
    pages.unwrap_or_default() * page
}

/// Raises the limits of descriptors and processes as far as permitted.
pub(crate) fn raise_limits() {
    const MANY: libc::rlim_t = 1 << 16;
    for resource in [libc::RLIMIT_NOFILE, libc::RLIMIT_NPROC] {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the room for the answer is ours.
        if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
            continue;
        }
        let hard = limit.rlim_max;
        for most in [hard.max(MANY), hard] {
            let wanted = libc::rlimit { rlim_cur: most.min(MANY), rlim_max: most };
            // SAFETY: the limit is ours, and only read.
            if unsafe { libc::setrlimit(resource, &raw const wanted) } == 0 {
                break;
            }
        }
    }
}

/// Runs `what` in a new network namespace, where new Unix sockets queue this many datagrams.
/// Only root may do this.
pub(crate) fn with_queue_of<T>(
    datagrams: usize,
    what: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    use std::os::fd::AsRawFd;

    let home = std::fs::File::open("/proc/thread-self/ns/net")?;
    // SAFETY: only takes a number; only this thread changes its namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let result = std::fs::write("/proc/sys/net/unix/max_dgram_qlen", datagrams.to_string())
        .and_then(|()| what());
    // SAFETY: takes numbers; the namespace is that of the descriptor just opened.
    match unsafe { libc::setns(home.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => result,
        _ => Err(io::Error::last_os_error()),
    }
}
