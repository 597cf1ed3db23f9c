//! Structs from older and newer headers, and with invalid sizes.

use std::cell::Cell;
use std::ptr;

use super::support::{Agent, Folder, Observer, Task, init};
use crate::agent::*;
use crate::observer::agents::*;
use crate::observer::counters::*;
use crate::observer::options::*;
use crate::observer::varta_observer_bind;
use crate::simulated::lane::*;
use crate::simulated::readings::*;
use crate::simulated::*;
use crate::sized::Sized;
use crate::task::counters::varta_task_counts;
use crate::task::info::varta_agent_tasks;
use crate::task::options::varta_task_options;
use crate::task::*;

const TOO_BIG: i32 = -libc::E2BIG;
const INVALID: i32 = -libc::EINVAL;

/// A struct with more fields, as in a newer header.
#[repr(C)]
#[derive(Clone, Copy)]
struct Newer<T> {
    known: T,
    beyond: [u64; 2],
}

impl<T: Sized> Newer<T> {
    fn new(beyond: u64) -> Self {
        let mut newer = Self { known: T::ZERO, beyond: [0, beyond] };
        newer.set_size(size_of::<Self>());
        newer
    }

    fn set_size(&mut self, size: usize) {
        unsafe { ptr::from_mut(self).cast::<u32>().write(size as u32) };
    }

    fn size(&self) -> u32 {
        unsafe { ptr::from_ref(self).cast::<u32>().read() }
    }
}

/// Calls a function with every kind of size for its struct.
fn try_sizes<T: Sized>(call: impl Fn(*mut T) -> i32, accepted: impl Fn(i32) -> bool) {
    let with = |size: usize, beyond: u64| {
        let mut newer = Newer::<T>::new(beyond);
        newer.set_size(size);
        call((&raw mut newer).cast())
    };
    for tiny in [0, 1, 2, 3] {
        assert_eq!(with(tiny, 0), INVALID, "size {tiny}");
    }
    for huge in [4097, 1 << 20, usize::try_from(i32::MAX).unwrap(), 0xffff_ffff] {
        assert_eq!(with(huge, 0), TOO_BIG, "size {huge}");
    }
    let whole = size_of::<T>();
    for older in (4..=whole).chain([whole + 8, whole + 16]) {
        let code = with(older, 0);
        assert!(accepted(code), "size {older}: {code}");
    }
    assert_eq!(with(whole + 16, 1), TOO_BIG);
    assert!(accepted(with(whole + 8, 1)), "bytes after the struct were read");
}

#[test]
fn options_and_datagrams_of_any_size_are_accepted() {
    let folder = Folder::new();
    let socket = folder.socket();
    let mut options: varta_agent_options = init();
    options.flags = VARTA_AGENT_NO_FOLLOW;
    let connect = |options: *mut varta_agent_options| {
        let mut agent = ptr::null_mut();
        let code = unsafe { varta_connect(&raw mut agent, socket.as_ptr(), options) };
        if code.number() == 0 {
            unsafe { varta_close(agent) };
        }
        code.number()
    };
    try_sizes(connect, |code| code == 0);
    assert_eq!(connect(&raw mut options), -libc::ENOENT);

    let simulate = |options: *mut varta_observer_options| {
        let mut observer = ptr::null_mut();
        let code = unsafe { varta_observer_simulate(&raw mut observer, options) };
        if code.number() == 0 {
            unsafe { crate::observer::varta_observer_close(observer) };
        }
        code.number()
    };
    try_sizes(simulate, |code| code == 0);
    let bind = |options: *mut varta_observer_options| {
        let mut observer = ptr::null_mut();
        let code = unsafe { varta_observer_bind(&raw mut observer, socket.as_ptr(), options) };
        if code.number() == 0 {
            unsafe { crate::observer::varta_observer_close(observer) };
        }
        code.number()
    };
    try_sizes(bind, |code| code == 0);

    let simulated = Observer::simulate(&init());
    let feed = |datagram: *mut varta_datagram| {
        unsafe { varta_observer_feed(simulated.0, 0, datagram) }.number()
    };
    try_sizes(feed, |code| code == 0);
    let attach = |process: *mut varta_attaching| {
        unsafe { varta_observer_feed_attach(simulated.0, 0, process, &mut init()) }.number()
    };
    // An observer without a lane gives no page.
    try_sizes(attach, |code| ![0, INVALID, TOO_BIG].contains(&code));

    let feed_reading = varta_observer_feed_reading;
    let read =
        |reading: *mut varta_reading| unsafe { feed_reading(simulated.0, 2, reading) }.number();
    try_sizes(read, |code| code == 0);
    let feed_thread = varta_observer_feed_thread_reading;
    let thread = |thread: *mut varta_thread_reading| {
        // Without the threads that were added before.
        assert_eq!(read(&mut init()), 0);
        unsafe { feed_thread(simulated.0, 2, thread) }.number()
    };
    try_sizes(thread, |code| code == 0);

    let agent = Agent::connect(&socket);
    let open = |options: *mut varta_task_options| {
        let mut task = ptr::null_mut();
        let open = varta_task_open;
        let code = unsafe {
            open(&raw mut task, agent.0, c"task".as_ptr(), VARTA_NEVER, options).number()
        };
        unsafe { varta_task_close(task) };
        code
    };
    try_sizes(open, |code| code == 0);
}

#[test]
fn results_are_truncated_to_the_callers_struct() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(0, 0), 0);
    observer.wait(|_| true);
    try_sizes(|ret| unsafe { varta_agent_stats(agent.0, ret) }.number(), |code| code == 0);
    try_sizes(
        |ret| unsafe { varta_observer_stats(observer.0, ret) }.number(),
        |code| code == 0,
    );
    let agents = |ret| unsafe { varta_observer_agents(observer.0, ret, 1) }.number();
    try_sizes(agents, |code| code == 1);
    let task = Task::open(&agent, "task", VARTA_NEVER);
    let tasks = |ret| unsafe { varta_agent_tasks(agent.0, ret, 1) }.number();
    try_sizes(tasks, |code| code == 1);
    try_sizes(|ret| unsafe { varta_task_counts(task.0, ret) }.number(), |code| code == 0);
    let mut options: varta_observer_options = init();
    options.flags = VARTA_OBSERVER_LANE;
    let simulated = Observer::simulate(&options);
    let attach = varta_observer_feed_attach;
    let pids = Cell::new(2);
    let page = |ret| {
        let mut process: varta_attaching = init();
        process.pid = pids.replace(pids.get() + 1);
        unsafe { attach(simulated.0, 0, &raw const process, ret) }.number()
    };
    try_sizes(page, |code| code == 0);

    // An older struct, followed by other data.
    let mut counters = Newer::<varta_observer_counters>::new(0);
    counters.set_size(16);
    counters.known.bad_magic = 77;
    let ret = (&raw mut counters).cast();
    assert_eq!(unsafe { varta_observer_stats(observer.0, ret) }.number(), 0);
    assert_eq!((counters.known.beats, counters.known.bad_magic), (1, 77));
    assert_eq!(counters.size(), 16);
}

#[test]
fn the_size_of_the_first_element_is_the_distance_between_elements() {
    let mut options: varta_observer_options = init();
    options.uids = [7].as_ptr();
    options.uid_count = 1;
    let simulated = Observer::simulate(&options);
    for pid in 2..5 {
        super::invented::feed_beat(&simulated, 0, pid, 7);
    }
    let mut newer = [Newer::<varta_agent_info>::new(0); 4];
    newer[3].beyond = [5, 5];
    let code = unsafe { varta_observer_agents(simulated.0, newer.as_mut_ptr().cast(), 4) };
    assert_eq!(code.number(), 3);
    let pids: Vec<_> = newer.iter().map(|newer| newer.known.pid).collect();
    assert_eq!(pids, [2, 3, 4, 0]);
    assert_eq!(newer[2].size() as usize, size_of::<Newer<varta_agent_info>>());
    assert_eq!(newer[3].beyond, [5, 5], "an unused element was written");

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Older {
        size: u32,
        flags: u32,
        agent: u64,
        pid: u32,
        claimed_pid: u32,
    }
    let empty = Older { size: 24, flags: 0, agent: 0, pid: 0, claimed_pid: 0 };
    let mut older = [empty; 3];
    let code = unsafe { varta_observer_agents(simulated.0, older.as_mut_ptr().cast(), 2) };
    assert_eq!(code.number(), 3);
    assert_eq!(older.map(|older| (older.size, older.pid)), [(24, 2), (24, 3), (24, 0)]);
}
