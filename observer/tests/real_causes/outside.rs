//! What is done to a process from outside.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::mounts::{disk, mount_of};
use crate::support::{Child, PATIENCE, kill, ms, wait_until};

/// Holds a process until it is dropped.
pub(crate) enum Hold {
    /// Ends with the process.
    Signal,
    #[allow(dead_code, reason = "undone when it is dropped")]
    Group(Group),
    #[allow(dead_code, reason = "killed when they are dropped")]
    Others(Vec<Child>),
    #[allow(dead_code, reason = "killed when it is dropped")]
    Debugger(Debugger),
}

/// Stops a process.
pub(crate) fn stop(pid: u32) -> Hold {
    kill(pid, libc::SIGSTOP);
    Hold::Signal
}

/// Stops all threads of a process as a debugger does.
pub(crate) fn trace(pid: u32) -> Hold {
    seize(pid, true)
}

/// Traces all threads of a process and lets them go on.
pub(crate) fn watch(pid: u32) -> Hold {
    seize(pid, false)
}

fn seize(pid: u32, stop: bool) -> Hold {
    let (mut reader, mut writer) = io::pipe().unwrap();
    let tracer = Child::start(|| {
        for thread in threads_of(pid) {
            // SAFETY: takes numbers alone.
            let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0, 0) };
            assert_eq!(seized, 0, "{}", io::Error::last_os_error());
            if stop {
                // SAFETY: as above.
                let stopped = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0) };
                assert_eq!(stopped, 0, "{}", io::Error::last_os_error());
            }
        }
        writer.write_all(b"!").unwrap();
        loop {
            thread::park();
        }
    });
    reader.read_exact(&mut [0]).unwrap();
    Hold::Others(vec![tracer])
}

/// Attaches a debugger, which stops the process.
pub(crate) fn debug(pid: u32) -> Hold {
    let mut command = Command::new("gdb");
    command.args(["-p", &pid.to_string(), "-nx", "-q"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let debugger = Debugger(command.spawn().unwrap());
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('t'))
    };
    wait_until(is_stopped);
    Hold::Debugger(debugger)
}

pub(crate) struct Debugger(process::Child);

impl Drop for Debugger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn threads_of(pid: u32) -> Vec<libc::pid_t> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries.map(|entry| name(entry).to_str().unwrap().parse().unwrap()).collect()
}

/// Freezes a process in a control group of the first version.
pub(crate) fn freeze_v1(pid: u32) -> Hold {
    let group = Group::new(&mount_of("cgroup", "freezer").unwrap(), pid);
    group.join(pid);
    group.write("freezer.state", "FROZEN");
    Hold::Group(group)
}

/// Freezes a process in a control group of the second version.
pub(crate) fn freeze_v2(pid: u32) -> Hold {
    let group = Group::new(&mount_of("cgroup2", "").unwrap(), pid);
    group.join(pid);
    group.write("cgroup.freeze", "1");
    Hold::Group(group)
}

/// Gives a process 1 of 100 milliseconds of CPU time.
pub(crate) fn throttle(pid: u32) -> Hold {
    limit_cpu(pid, 1_000, 100_000)
}

/// Gives it 1 of 1,000.
pub(crate) fn throttle_for_long(pid: u32) -> Hold {
    limit_cpu(pid, 1_000, 1_000_000)
}

/// Gives it 2 of 100, for several threads.
pub(crate) fn throttle_several(pid: u32) -> Hold {
    limit_cpu(pid, 2_000, 100_000)
}

/// Gives it 20 of 100: enough to beat.
pub(crate) fn throttle_a_little(pid: u32) -> Hold {
    limit_cpu(pid, 20_000, 100_000)
}

fn limit_cpu(pid: u32, quota_us: u32, period_us: u32) -> Hold {
    let group = Group::new(&mount_of("cgroup", "cpu").unwrap(), pid);
    group.write("cpu.cfs_period_us", &period_us.to_string());
    group.write("cpu.cfs_quota_us", &quota_us.to_string());
    group.join(pid);
    Hold::Group(group)
}

/// Gives a process 1 of 100 milliseconds of CPU time, in a control group of the second version.
pub(crate) fn throttle_v2(pid: u32) -> Hold {
    let group = Group::new(&mount_of("cgroup2", "").unwrap(), pid);
    group.write("cpu.max", "1000 100000");
    group.join(pid);
    Hold::Group(group)
}

/// Gives a process 24 MiB of memory and lets it wait for more.
pub(crate) fn limit_memory(pid: u32) -> Hold {
    let group = memory_group(pid);
    group.write("memory.oom_control", "1");
    group.join(pid);
    Hold::Group(group)
}

/// Gives it 24 MiB of memory beside what can be read again or swapped.
pub(crate) fn squeeze(pid: u32) -> Hold {
    let group = memory_group(pid);
    group.join(pid);
    Hold::Group(group)
}

fn memory_group(pid: u32) -> Group {
    let group = Group::new(&mount_of("cgroup", "memory").unwrap(), pid);
    group.write("memory.limit_in_bytes", &(24 << 20).to_string());
    group
}

/// Lets a process read 900 kB a second from the disk.
pub(crate) fn slow_disk(pid: u32) -> Hold {
    let group = Group::new(&mount_of("cgroup", "blkio").unwrap(), pid);
    let limit = format!("{} 900000", disk().unwrap());
    group.write("blkio.throttle.read_bps_device", &limit);
    group.join(pid);
    Hold::Group(group)
}

/// Keeps the CPU busy to which [`on_the_last_cpu`] has bound a process.
pub(crate) fn hog(_: u32) -> Hold {
    hogs(3, || ())
}

/// As [`hog`], by many processes.
pub(crate) fn crowd(_: u32) -> Hold {
    hogs(50, || ())
}

/// As [`hog`], by several processes that leave time enough to beat.
pub(crate) fn overload(_: u32) -> Hold {
    hogs(12, || ())
}

/// As [`hog`], by a process that always comes first.
pub(crate) fn hog_first(_: u32) -> Hold {
    hogs(1, || {
        let parameters = libc::sched_param { sched_priority: 10 };
        // SAFETY: reads the parameters.
        let set =
            unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    })
}

fn hogs(count: usize, prepare: fn()) -> Hold {
    let hog = |_| {
        Child::start(|| {
            set_nice(0);
            on_the_last_cpu();
            prepare();
            loop {
                std::hint::spin_loop();
            }
        })
    };
    Hold::Others((0..count).map(hog).collect())
}

/// Binds this thread to the last CPU that it may use.
pub(crate) fn on_the_last_cpu() {
    bind(0);
}

/// As [`on_the_last_cpu`], and runs only while nothing else wants that CPU.
pub(crate) fn only_when_idle() {
    yield_to_all(0);
}

/// Binds a thread to the last CPU that this one may use; 0 is this one.
fn bind(thread: libc::pid_t) {
    // SAFETY: bits, all of which may be zero.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpus` may be written.
    unsafe { libc::sched_getaffinity(0, size_of_val(&cpus), &raw mut cpus) };
    let most = usize::try_from(libc::CPU_SETSIZE).unwrap();
    // SAFETY: the number is less than the size of the set.
    let last = (0..most).rfind(|cpu| unsafe { libc::CPU_ISSET(*cpu, &cpus) }).unwrap();
    // SAFETY: as above.
    unsafe { libc::CPU_ZERO(&mut cpus) };
    // SAFETY: as above.
    unsafe { libc::CPU_SET(last, &mut cpus) };
    // SAFETY: reads `cpus`.
    let bound = unsafe { libc::sched_setaffinity(thread, size_of_val(&cpus), &raw const cpus) };
    assert_eq!(bound, 0, "{}", io::Error::last_os_error());
}

/// Lets a thread run only while nothing else wants the last CPU; 0 is this one.
pub(crate) fn yield_to_all(thread: libc::pid_t) {
    bind(thread);
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads the parameters.
    let set =
        unsafe { libc::sched_setscheduler(thread, libc::SCHED_IDLE, &raw const parameters) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// Uses the CPU for this long.
pub(crate) fn burn(time: Duration) {
    let used = || {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` may be written.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap())
    };
    let until = used() + time;
    while used() < until {}
}

/// Sets the nice value of this thread.
pub(crate) fn set_nice(nice: libc::c_int) {
    // SAFETY: takes numbers alone.
    let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// As [`on_the_last_cpu`], and others come first.
pub(crate) fn nice() {
    on_the_last_cpu();
    set_nice(19);
}

/// A control group for one process.
pub(crate) struct Group {
    path: PathBuf,
    top: PathBuf,
}

impl Group {
    fn new(mount: &std::path::Path, pid: u32) -> Self {
        let path = mount.join(format!("varta-causes-{pid}"));
        fs::create_dir(&path).unwrap();
        Self { path, top: mount.to_owned() }
    }

    fn join(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string());
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only one of these files exists.
        let _ = fs::write(self.path.join("freezer.state"), "THAWED");
        let _ = fs::write(self.path.join("cgroup.freeze"), "0");
        let members = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for member in members.lines() {
            let _ = fs::write(self.top.join("cgroup.procs"), member);
        }
        let started = std::time::Instant::now();
        while let Err(error) = fs::remove_dir(&self.path) {
            let is_busy = error.kind() == ErrorKind::ResourceBusy;
            assert!(
                is_busy && started.elapsed() < PATIENCE,
                "{}: {error}",
                self.path.display()
            );
            thread::sleep(ms(5));
        }
    }
}
