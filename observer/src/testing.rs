//! Shared by the unit tests: processes, folders and waiting.

#![allow(unsafe_code, reason = "forking")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

#[allow(dead_code, reason = "shared with the agent's tests")]
#[path = "../../core/tests/support/child.rs"]
mod child;
#[allow(dead_code, reason = "shared with the agent's tests")]
#[path = "../../core/tests/support/folder.rs"]
mod folder;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../tests/support/rights.rs"]
mod rights;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../../core/tests/support/root.rs"]
mod root;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

pub(crate) use child::{Child, Ended, in_child};
pub(crate) use folder::Folder;
pub(crate) use rights::send_with_descriptors;
pub(crate) use root::{become_user, fork_as, needs_root as is_root};

/// The longest wait of a test. It is reached only when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "the condition did not hold within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A child that does nothing until it is asked to exit or is killed.
pub(crate) struct Idle {
    pub(crate) child: Child,
    end: UnixDatagram,
}

impl Idle {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (end, command) = UnixDatagram::pair().unwrap();
        let child = Child::start(|| exit(receive::<1>(&command)[0].into()));
        Self { child, end }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    #[track_caller]
    pub(crate) fn exit(&self, code: u8) {
        self.end.send(&[code]).unwrap();
    }
}

/// A child of another child of this process, which reaps it on request.
pub(crate) struct Grandchild {
    _parent: Child,
    pub(crate) pid: u32,
    to_parent: UnixDatagram,
    go: UnixDatagram,
}

impl Grandchild {
    /// Runs `before` in its parent before the fork, and `run` in itself after
    /// [`go`](Self::go).
    #[track_caller]
    pub(crate) fn start(before: impl FnOnce(), run: impl FnOnce()) -> Self {
        let (to_parent, from_test) = UnixDatagram::pair().unwrap();
        let (go, start) = UnixDatagram::pair().unwrap();
        let parent = Child::start(|| {
            before();
            let mut child = Child::start(|| {
                receive::<1>(&start);
                run();
            });
            from_test.send(&child.pid().to_ne_bytes()).unwrap();
            receive::<1>(&from_test);
            child.wait();
            from_test.send(&[0]).unwrap();
            receive::<1>(&from_test);
        });
        to_parent.set_read_timeout(Some(PATIENCE)).unwrap();
        let pid = u32::from_ne_bytes(receive(&to_parent));
        Self { _parent: parent, pid, to_parent, go }
    }

    #[track_caller]
    pub(crate) fn go(&self) {
        self.go.send(&[0]).unwrap();
    }

    /// Waits until its parent has reaped it, so it must end.
    #[track_caller]
    pub(crate) fn reap(&self) {
        self.to_parent.send(&[0]).unwrap();
        receive::<1>(&self.to_parent);
    }
}

#[track_caller]
fn receive<const N: usize>(socket: &UnixDatagram) -> [u8; N] {
    let mut bytes = [0; N];
    // A receive with a timeout is interrupted when the process is stopped and continued.
    let received = loop {
        match socket.recv(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            received => break received,
        }
    };
    assert_eq!(received.unwrap(), N);
    bytes
}

/// Ends this process at once.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends a child without running its parent's exit handlers.
    unsafe { libc::_exit(code) }
}

/// Waits to be killed.
pub(crate) fn pause() {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

#[track_caller]
pub(crate) fn kill(pid: u32, signal: i32) {
    // SAFETY: takes only numbers.
    let sent = unsafe { libc::kill(pid.try_into().unwrap(), signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// The number of open descriptors of this process. Call it in a child, because other tests
/// open descriptors too.
#[track_caller]
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Lets this process, which should be a child, open only one more descriptor.
#[track_caller]
pub(crate) fn leave_one_descriptor(like: BorrowedFd<'_>) {
    // The next descriptor is the lowest free number; the limit is one of numbers.
    let next: u64 = like.try_clone_to_owned().unwrap().as_raw_fd().unsigned_abs().into();
    let limit = libc::rlimit { rlim_cur: next + 1, rlim_max: next + 1 };
    // SAFETY: reads `limit`.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// An allocator that counts the allocations of each thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The number of allocations of this thread while it runs `run`.
pub(crate) fn allocations_of(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

// SAFETY: delegates to the system allocator and allocates nothing itself: the counter is a
// thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
