//! Helpers that the tests share.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

use crate::agent::{
    varta_agent, varta_agent_counters, varta_agent_options, varta_agent_stats, varta_close,
    varta_connect,
};
use crate::event::varta_event;
use crate::observer::options::varta_observer_options;
use crate::observer::polling::varta_observer_poll;
use crate::observer::{varta_observer, varta_observer_bind, varta_observer_close};
use crate::task::options::varta_task_options;
use crate::task::{VARTA_NEVER, varta_task, varta_task_close, varta_task_open};

/// How long a test waits before it fails; nothing really takes this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

#[allow(dead_code, reason = "shared with the agent's tests")]
#[path = "../../core/tests/support/folder.rs"]
mod folder;

pub(super) use folder::Folder;

impl Folder {
    pub(super) fn socket(&self) -> CString {
        text(self.join("varta.sock").to_str().unwrap())
    }
}

pub(super) fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A struct as its `_INIT` macro makes it.
pub(super) fn init<T: crate::sized::Sized>() -> T {
    let mut value = T::ZERO;
    unsafe { ptr::from_mut(&mut value).cast::<u32>().write(size_of::<T>() as u32) };
    value
}

/// Options of an observer that reports no stall or pause on a slow machine.
pub(super) fn patient() -> varta_observer_options {
    let mut options: varta_observer_options = init();
    options.threshold_ns = PATIENCE.as_nanos() as u64;
    options.pause_after_ns = options.threshold_ns;
    options
}

pub(super) struct Agent(pub(super) *mut varta_agent);

unsafe impl Send for Agent {}
unsafe impl Sync for Agent {}

impl Agent {
    pub(super) fn connect(endpoint: &CString) -> Self {
        let mut agent = ptr::null_mut();
        let code = unsafe { varta_connect(&raw mut agent, endpoint.as_ptr(), ptr::null()) };
        assert_eq!(code.number(), 0);
        Self(agent)
    }

    pub(super) fn connect_with(endpoint: &CString, options: &varta_agent_options) -> Self {
        let mut agent = ptr::null_mut();
        let code = unsafe { varta_connect(&raw mut agent, endpoint.as_ptr(), options) };
        assert_eq!(code.number(), 0);
        Self(agent)
    }

    pub(super) fn raw(&self) -> *mut varta_agent {
        self.0
    }

    /// How long ago the observer looked, or `VARTA_NEVER`.
    pub(super) fn watched_ns(&self) -> u64 {
        let mut counters: varta_agent_counters = init();
        assert_eq!(unsafe { varta_agent_stats(self.0, &raw mut counters) }.number(), 0);
        counters.watched_ns
    }

    pub(super) fn beat(&self, status: u8, payload: u32) -> i32 {
        unsafe { crate::agent::varta_beat(self.0, status, payload) }.number()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        unsafe { varta_close(self.0) };
    }
}

/// Beats until the agent has a page of the observer.
#[track_caller]
pub(super) fn attached(agent: &Agent, observer: &Observer) {
    let start = Instant::now();
    while agent.watched_ns() == VARTA_NEVER {
        assert!(start.elapsed() < PATIENCE, "no page within {PATIENCE:?}");
        assert!(agent.beat(0, 0) >= 0);
        observer.poll(1);
    }
}

pub(super) struct Task(pub(super) *mut varta_task);

unsafe impl Send for Task {}
unsafe impl Sync for Task {}

impl Task {
    pub(super) fn open(agent: &Agent, name: &str, threshold_ns: u64) -> Self {
        Self::open_with(agent, name, threshold_ns, &init())
    }

    pub(super) fn open_with(
        agent: &Agent,
        name: &str,
        threshold_ns: u64,
        options: &varta_task_options,
    ) -> Self {
        let (mut task, name) = (ptr::null_mut(), text(name));
        let code = unsafe {
            varta_task_open(&raw mut task, agent.0, name.as_ptr(), threshold_ns, options)
        };
        assert_eq!(code.number(), 0);
        Self(task)
    }

    /// The handle, which the caller must close.
    pub(super) fn take(self) -> *mut varta_task {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        unsafe { varta_task_close(self.0) };
    }
}

pub(super) struct Observer(pub(super) *mut varta_observer);

unsafe impl Send for Observer {}
unsafe impl Sync for Observer {}

impl Observer {
    pub(super) fn bind(endpoint: &CString) -> Self {
        Self::bind_with(endpoint, &patient())
    }

    pub(super) fn bind_with(endpoint: &CString, options: &varta_observer_options) -> Self {
        let mut observer = ptr::null_mut();
        let code =
            unsafe { varta_observer_bind(&raw mut observer, endpoint.as_ptr(), options) };
        assert_eq!(code.number(), 0);
        Self(observer)
    }

    pub(super) fn simulate(options: &varta_observer_options) -> Self {
        let mut observer = ptr::null_mut();
        let code =
            unsafe { crate::simulated::varta_observer_simulate(&raw mut observer, options) };
        assert_eq!(code.number(), 0);
        Self(observer)
    }

    pub(super) fn raw(&self) -> *mut varta_observer {
        self.0
    }

    /// The next event, or None if there is none within the timeout.
    pub(super) fn poll(&self, timeout_ms: i32) -> Option<varta_event> {
        let mut event = MaybeUninit::uninit();
        match unsafe { varta_observer_poll(self.0, event.as_mut_ptr(), timeout_ms) }.number() {
            0 => None,
            1 => Some(unsafe { event.assume_init() }),
            -4 => self.poll(timeout_ms),
            code => panic!("poll returned {code}"),
        }
    }

    /// Waits for the first event that matches.
    #[track_caller]
    pub(super) fn wait(&self, wanted: impl Fn(&varta_event) -> bool) -> varta_event {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(event) = self.poll(100).filter(|event| wanted(event)) {
                return event;
            }
        }
        panic!("no matching event within {PATIENCE:?}");
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        unsafe { varta_observer_close(self.0) };
    }
}

/// How a forked child ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Killed(i32),
}

/// A forked child that runs `run` and exits with its result.
#[derive(Debug)]
pub(super) struct Child(pub(super) i32);

impl Child {
    pub(super) fn start(run: impl FnOnce() -> i32) -> Self {
        match unsafe { libc::fork() } {
            -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
            0 => {
                // The alarm ends a child that hangs.
                unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                unsafe { libc::_exit(ended.unwrap_or(101)) }
            }
            pid => Self(pid),
        }
    }

    pub(super) fn ended(self) -> Ended {
        let mut status = 0;
        while unsafe { libc::waitpid(self.0, &raw mut status, 0) } != self.0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
        }
        match libc::WIFSIGNALED(status) {
            true => Ended::Killed(libc::WTERMSIG(status)),
            false => Ended::Exited(libc::WEXITSTATUS(status)),
        }
    }
}

/// Runs a test that needs a socket to be gone once it is closed. It runs in a child process, so
/// that no other test can fork a process that keeps the socket open.
#[track_caller]
pub(super) fn alone(test: impl FnOnce()) {
    let child = Child::start(|| {
        test();
        0
    });
    assert_eq!(child.ended(), Ended::Exited(0));
}
