//! Several copies of the library in one process, such as the program's own and those of packages
//! that it loads: each has a page, and together they are one agent.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "functions of libraries that are loaded")]

mod support;

use std::ffi::{CStr, CString, c_char, c_void};
use std::fs;
use std::mem::transmute_copy;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::{
    Child, Folder, agent_info, in_child, is, is_about, ms, open_descriptors, poll_all,
    poll_until, shared_numbers, text_of, wait_until,
};
use varta_observer::{Builder, Event, Observer, What};

const COPIES: usize = 4;

/// It may pass; pages are looked at twice in this time.
const THRESHOLD: Duration = ms(100);

/// A copy of the library, with an agent and a task.
struct Copy {
    itself: *mut c_void,
    call: extern "C" fn(*mut c_void) -> bool,
    beat: extern "C" fn(*mut c_void) -> bool,
}

impl Copy {
    /// Loads the library from a file of its own: loading one file twice would be one copy.
    fn load(folder: &Folder, socket: &Path, name: &str) -> Self {
        let file = folder.join(&format!("{name}.so"));
        fs::copy(built(), &file).unwrap();
        let path = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a C string.
        let library =
            unsafe { libc::dlopen(path(&file).as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "cannot load {}", file.display());
        let function = |name: &CStr| {
            // SAFETY: a loaded library, and a C string.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            assert!(!found.is_null(), "{name:?}");
            found
        };
        type Open = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut c_void;
        type Act = extern "C" fn(*mut c_void) -> bool;
        let name = CString::new(name).unwrap();
        // SAFETY: it has this type in tests/copy/lib.rs.
        let open: Open = unsafe { transmute_copy(&function(c"copy_open")) };
        // SAFETY: they have this type there.
        let [call, beat]: [Act; 2] =
            [c"copy_call", c"copy_beat"].map(|name| unsafe { transmute_copy(&function(name)) });
        // SAFETY: two C strings.
        let itself = unsafe { open(path(socket).as_ptr(), name.as_ptr()) };
        Self { itself, call, beat }
    }

    /// Makes a call of its task, and returns whether it has a page.
    fn call(&self) -> bool {
        (self.call)(self.itself)
    }

    fn beat(&self, times: u64) {
        for _ in 0..times {
            assert!((self.beat)(self.itself));
        }
    }
}

/// The library, which `cargo test` builds next to the tests.
fn built() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.parent().and_then(Path::parent).unwrap().join("examples/libcopy.so");
    assert!(path.exists(), "{} is missing; run cargo build --examples", path.display());
    path
}

fn wait_for(step: &AtomicU64, number: u64) {
    wait_until(|| step.load(Ordering::SeqCst) >= number);
}

fn allow(step: &AtomicU64) {
    step.fetch_add(1, Ordering::SeqCst);
}

/// Polls until this many beats of the processes that are meant were reported.
#[track_caller]
fn poll_beats(
    observer: &mut Observer,
    expected: u64,
    is_meant: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    let mut seen = 0;
    let all = |event: &Event| {
        let What::Beat { count, .. } = event.what else { return false };
        if event.task.is_none() && is_meant(event) {
            seen += u64::from(count);
        }
        assert!(seen <= expected, "{seen} beats instead of {expected}");
        seen == expected
    };
    poll_until(observer, all)
}

fn bound(socket: &Path) -> Observer {
    built();
    let endpoint = socket.to_str().unwrap().parse().unwrap();
    let builder = Builder::new().listen(endpoint).threshold(THRESHOLD).lane(true).tasks(true);
    builder.bind().unwrap()
}

#[test]
fn four_copies_of_the_library_in_a_process_are_one_agent() {
    let folder = Folder::new();
    let socket = folder.join("varta.sock");
    let mut observer = bound(&socket);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let copies: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| {
                let copy = Copy::load(&folder, &socket, name);
                wait_until(|| copy.call());
                copy
            })
            .collect();
        wait_for(step, 1);
        copies.iter().zip(1..).for_each(|(copy, times)| copy.beat(10 * times));
        // The last sign is that of one or another copy.
        for (number, copy) in (2..).zip(&copies) {
            wait_for(step, number);
            copy.beat(1);
        }
        wait_for(step, 6);
        let fifth = Copy::load(&folder, &socket, "e");
        fifth.beat(3);
        assert!(!fifth.call(), "there is no fifth page");
        wait_for(step, 7);
        copies.iter().for_each(|copy| copy.beat(5));
        wait_for(step, 8);
    });
    let pid = child.pid();

    let mut numbers = Vec::new();
    let events = poll_until(&mut observer, |event| {
        if let (What::Task { .. }, Some(task)) = (event.what, event.task) {
            numbers.push((task.number, task.name.as_str().to_owned()));
        }
        numbers.len() == COPIES
    });
    let named = |(number, name): (u32, &str)| (number, name.to_owned());
    let expected = [(1, "a"), (2, "b"), (3, "c"), (4, "d")].map(named);
    assert_eq!(numbers, expected, "{}", text_of(&events));

    let of_child = |event: &Event| is_about(event, pid);
    allow(step);
    poll_beats(&mut observer, 10 + 20 + 30 + 40, of_child);
    assert_eq!(observer.stats().unwrap().received, 0, "no beat was a datagram");
    let agents = observer.snapshot().unwrap();
    let [agent] = &agents[..] else { panic!("{agents:?}") };
    assert_eq!((agent.pid, agent.beats, agent.tasks), (pid, 100, 4));
    assert_eq!(observer.tasks(agent.agent).unwrap().len(), COPIES);
    for _ in 0..COPIES {
        let before = observer.now_ns();
        allow(step);
        poll_beats(&mut observer, 1, of_child);
        assert!(agent_info(&observer, pid).unwrap().last_ns >= before, "the newest counts");
    }

    allow(step);
    poll_beats(&mut observer, 3, of_child);
    let stats = observer.stats().unwrap();
    assert_eq!((stats.lane_attached, stats.received), (4, 3), "the fifth sends datagrams");
    allow(step);
    poll_beats(&mut observer, 20, of_child);
    allow(step);
    let events = poll_until(&mut observer, is("exit"));
    assert!(!events.iter().any(is("ended")), "{}", text_of(&events));
    assert!(is_about(events.last().unwrap(), pid));
    assert!(observer.snapshot().unwrap().is_empty());
    child.finish();
}

#[test]
fn a_child_of_a_process_with_two_copies_leaves_its_parents_pages_alone() {
    let folder = Folder::new();
    let socket = folder.join("varta.sock");
    let mut observer = bound(&socket);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let copies = ["a", "b"].map(|name| {
            let before = open_descriptors();
            let copy = Copy::load(&folder, &socket, name);
            wait_until(|| copy.call());
            assert!(open_descriptors() > before);
            copy
        });
        copies.iter().for_each(|copy| copy.beat(1));
        wait_for(step, 1);
        in_child(|| {
            let before = open_descriptors();
            // The first beats close what was inherited, and are datagrams. There are no more:
            // which copy sent a datagram is not known, so the count would not be exact.
            copies.iter().for_each(|copy| copy.beat(1));
            assert!(open_descriptors() <= before + 2);
            wait_for(step, 2);
        });
        copies.iter().for_each(|copy| copy.beat(1));
        wait_for(step, 3);
    });
    let pid = child.pid();
    poll_beats(&mut observer, 2, |event| is_about(event, pid));
    allow(step);
    let of_grandchild = |event: &Event| !is_about(event, pid);
    let events = poll_beats(&mut observer, 2, of_grandchild);
    let of_its_task = |event: &Event| of_grandchild(event) && event.task.is_some();
    assert!(!events.iter().any(of_its_task), "{}", text_of(&events));
    assert_eq!(agent_info(&observer, pid).unwrap().beats, 2);
    allow(step);
    let mut events = poll_until(&mut observer, is("exit"));
    assert!(of_grandchild(events.last().unwrap()));
    wait_until(|| {
        events.extend(poll_all(&mut observer));
        agent_info(&observer, pid).unwrap().beats == 4
    });
    assert!(!events.iter().any(is("ended")), "{}", text_of(&events));
    allow(step);
    assert!(is_about(poll_until(&mut observer, is("exit")).last().unwrap(), pid));
    child.finish();
}
