//! What is done to a process from outside.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::support::{Child, PATIENCE, kill, ms};

/// Holds a process until it is dropped.
pub(crate) enum Hold {
    /// Ends with the process.
    Signal,
    #[allow(dead_code, reason = "undone when it is dropped")]
    Group(Group),
    #[allow(dead_code, reason = "killed when they are dropped")]
    Others(Vec<Child>),
}

/// Stops a process.
pub(crate) fn stop(pid: u32) -> Hold {
    kill(pid, libc::SIGSTOP);
    Hold::Signal
}

/// Stops all threads of a process as a debugger does.
pub(crate) fn trace(pid: u32) -> Hold {
    let (mut reader, mut writer) = io::pipe().unwrap();
    let tracer = Child::start(|| {
        for thread in threads_of(pid) {
            // SAFETY: takes numbers alone.
            let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0, 0) };
            assert_eq!(seized, 0, "{}", io::Error::last_os_error());
            // SAFETY: as above.
            let stopped = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0) };
            assert_eq!(stopped, 0, "{}", io::Error::last_os_error());
        }
        writer.write_all(b"!").unwrap();
        loop {
            thread::park();
        }
    });
    reader.read_exact(&mut [0]).unwrap();
    Hold::Others(vec![tracer])
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
    let group = Group::new(&mount_of("cgroup", "cpu").unwrap(), pid);
    group.write("cpu.cfs_period_us", "100000");
    group.write("cpu.cfs_quota_us", "1000");
    group.join(pid);
    Hold::Group(group)
}

/// Keeps the CPU busy to which [`on_the_last_cpu`] has bound a process.
pub(crate) fn hog(_: u32) -> Hold {
    let hog = || {
        Child::start(|| {
            on_the_last_cpu();
            loop {
                std::hint::spin_loop();
            }
        })
    };
    Hold::Others((0..3).map(|_| hog()).collect())
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

/// Where a hierarchy of control groups is mounted.
pub(crate) fn mount_of(kind: &str, controller: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut lines = mounts.lines().filter_map(|line| line.split_once(" - "));
    let (before, _) = lines.find(|(_, after)| {
        let mut fields = after.split(' ');
        let is_kind = fields.next() == Some(kind);
        let options = fields.nth(1).unwrap_or_default();
        is_kind && (controller.is_empty() || options.split(',').any(|it| it == controller))
    })?;
    Some(before.split(' ').nth(4).unwrap().into())
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
