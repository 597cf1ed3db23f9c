//! System facilities of Linux: namespaces, clocks, stopped processes, descriptors.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Runs `run` so that its first forked child is the first process of a new pid namespace.
#[track_caller]
pub(crate) fn in_new_pid_namespace<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    // The pid namespace for children is set per thread.
    let run = || {
        // SAFETY: takes a number; affects only children of this thread.
        let moved = unsafe { libc::unshare(libc::CLONE_NEWPID) };
        assert_eq!(moved, 0, "{}", io::Error::last_os_error());
        run()
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap()
}

/// Runs this in the first process of a new pid namespace, with its own /proc.
#[track_caller]
pub(crate) fn in_own_namespaces(run: impl FnOnce() + Send) {
    in_new_pid_namespace(|| {
        super::Child::start(|| {
            // SAFETY: takes a number; affects only this process.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
            mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE);
            mount(Some(c"proc"), c"/proc", 0);
            run();
        })
        .finish();
    });
}

fn mount(kind: Option<&CStr>, at: &CStr, flags: libc::c_ulong) {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: C strings or null, and no data.
    let mounted = unsafe { libc::mount(kind, at.as_ptr(), kind, flags, std::ptr::null()) };
    assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
}

/// Moves this process, which must be a child, to a new network namespace, which has its own
/// limit for the queues of Unix sockets.
#[track_caller]
pub(crate) fn in_new_network_namespace() {
    // SAFETY: takes a number; this process has no other thread.
    let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(moved, 0, "{}", io::Error::last_os_error());
}

/// Moves the clocks of this process forward, which must have one thread: only the boot-time
/// clock, as a suspend does, or the monotonic clock too. Returns false if the kernel has no
/// time namespaces.
#[track_caller]
pub(crate) fn let_time_pass(seconds: u64, suspended: bool) -> bool {
    let checked = |answer| match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: takes a number; affects only children of this process.
    let made = checked(unsafe { libc::unshare(libc::CLONE_NEWTIME) });
    if made.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL)) {
        return false;
    }
    made.unwrap();
    let awake = if suspended { 0 } else { seconds };
    let offsets = format!("boottime {seconds} 0\nmonotonic {awake} 0\n");
    fs::write("/proc/self/timens_offsets", offsets).unwrap();
    let namespace = fs::File::open("/proc/self/ns/time_for_children").unwrap();
    // SAFETY: takes numbers; moves this process to the namespace for its children.
    let moved = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWTIME) };
    checked(moved).unwrap();
    true
}

#[track_caller]
pub(crate) fn kill(pid: u32, signal: i32) {
    // SAFETY: takes only numbers.
    let sent = unsafe { libc::kill(pid.try_into().unwrap(), signal) };
    assert_eq!(sent, 0, "{}", io::Error::last_os_error());
}

/// Stops this process until it gets SIGCONT.
pub(crate) fn stop_here() {
    // SAFETY: takes a number.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Waits until a child of this process has stopped.
#[track_caller]
pub(crate) fn wait_until_stopped(pid: u32) {
    let mut status = 0;
    // SAFETY: `status` may be written.
    let waited =
        unsafe { libc::waitpid(pid.try_into().unwrap(), &raw mut status, libc::WUNTRACED) };
    assert!(waited > 0 && libc::WIFSTOPPED(status), "the child did not stop: {status:#x}");
}

/// Whether a descriptor becomes readable in time, according to poll(2).
pub(crate) fn readable_within(fd: BorrowedFd<'_>, time: Duration) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = libc::c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap();
    // SAFETY: one entry, which may be written.
    let ready = unsafe { libc::poll(&raw mut entry, 1, time) };
    ready == 1 && entry.revents & libc::POLLIN != 0
}

/// Whether the kernel passes a pidfd with each datagram to an observer's first socket.
pub(crate) fn passes_pidfds(observer: &varta_observer::Observer) -> bool {
    const SO_PASSPIDFD: libc::c_int = 76;
    let socket = observer.sockets().next().unwrap().as_raw_fd();
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).unwrap();
    // SAFETY: `value` has the length in `length`.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            SO_PASSPIDFD,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    value != 0
}

/// The number of open descriptors of this process. Call it in a child, because other tests
/// open descriptors too.
#[track_caller]
pub(crate) fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Sets the limit of open descriptors, which is a limit of their numbers.
#[track_caller]
pub(crate) fn limit_descriptors(most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: reads `limit`.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}
