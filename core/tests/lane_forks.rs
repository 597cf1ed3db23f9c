//! Forked children of an agent with a page: no child writes into the page of its parent or
//! keeps a descriptor of its connection, and each gets a page of its own.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "forking")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::fs;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::observer::{Agent, Connection, LaneObserver, SharedPage, good_offer};
use support::{Child, Folder, PATIENCE, in_child, shared_numbers, wait_until};
use varta::BeatOutcome::Sent;
use varta::internal::lane::layout::offset;
use varta::internal::lane::message::PageOffer;
use varta::{Status, Varta};

/// The payload of beats in children; their parents use others.
const OF_A_CHILD: u32 = 0xc0ff_ee00;

/// The connections that this process has to the second socket of an observer, and the pages
/// that it has open.
fn lane_descriptors() -> Vec<(RawFd, String)> {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let found = descriptors.filter_map(|entry| {
        let entry = entry.unwrap();
        let link = fs::read_link(entry.path()).ok()?.display().to_string();
        let fd: RawFd = entry.file_name().to_str()?.parse().ok()?;
        (link.starts_with("/memfd:") || is_seqpacket(fd)).then_some((fd, link))
    });
    found.collect()
}

fn is_seqpacket(fd: RawFd) -> bool {
    let (mut kind, mut length) =
        (0, libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap());
    // SAFETY: the option and its length are local variables.
    let known = unsafe {
        let kind = (&raw mut kind).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, kind, &raw mut length)
    };
    known == 0 && kind == libc::SOCK_SEQPACKET
}

/// Runs `run` with an agent that has a page, in a child which has no descriptor of the
/// observer, and meanwhile `observe` in this process, with the child's page.
fn with_attached(
    run: impl FnOnce(&Path, Agent),
    observe: impl FnOnce(&LaneObserver, &Connection, &SharedPage),
) {
    let _alone = alone();
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let child = Child::start(|| {
        let mut agent = Varta::open(&path).unwrap();
        beat_until_attached(&mut agent, 1);
        assert_eq!(lane_descriptors().len(), 1, "only the connection is left open");
        run(&path, agent);
    });
    let observer = LaneObserver::bind(&path);
    let (connection, page) = give_page(&observer);
    assert_eq!(connection.hello.pid, child.pid());
    observe(&observer, &connection, &page);
    drain_until(&observer, || child_has_ended(child.pid()));
    child.finish();
    assert_ne!(page.last().1 & 0xffff_ff00, OF_A_CHILD, "a child wrote into the page");
}

/// A child would inherit the observer of a test that runs at the same time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn child_has_ended(pid: u32) -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a local variable.
    assert_eq!(unsafe { libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), flags) }, 0);
    // SAFETY: the call has filled it, or it is zero.
    let info = unsafe { info.assume_init() };
    // SAFETY: as above.
    unsafe { info.si_pid() != 0 }
}

fn drain_until(observer: &LaneObserver, condition: impl Fn() -> bool) {
    wait_until(PATIENCE, || {
        observer.datagrams.queued_datagrams();
        condition()
    });
}

/// Accepts a connection and gives it a page.
fn give_page(observer: &LaneObserver) -> (Connection, SharedPage) {
    drain_until(observer, || observer.is_asked());
    let connection = observer.connection();
    let page = observer.give_page(&connection, 5);
    drain_until(observer, || connection.has_input());
    connection.expect_mapped();
    (connection, page)
}

fn beat_until_attached(agent: &mut Agent, payload: u32) {
    wait_until(PATIENCE, || {
        let _ = agent.beat(Status::Ok, payload);
        agent.watched().is_some()
    });
}

/// The first beat in a child leaves nothing of its parent's lane, and a later one goes into a
/// page of its own.
fn beat_in_child(agent: &mut Agent, payload: u32) {
    let inherited = lane_descriptors();
    assert!(!inherited.is_empty() && agent.watched().is_none());
    let _ = agent.beat(Status::Ok, payload);
    let now = lane_descriptors();
    assert!(!inherited.iter().any(|one| now.contains(one)), "{inherited:?} became {now:?}");
    beat_until_attached(agent, payload);
    assert_eq!(agent.beat(Status::Ok, payload), Sent);
    assert_eq!(lane_descriptors().len(), 1);
}

#[test]
fn children_of_three_generations_have_pages_of_their_own() {
    with_attached(
        |_, mut agent| {
            in_child(|| {
                beat_in_child(&mut agent, OF_A_CHILD | 1);
                in_child(|| {
                    beat_in_child(&mut agent, OF_A_CHILD | 2);
                    in_child(|| beat_in_child(&mut agent, OF_A_CHILD | 3));
                    assert_eq!(agent.beat(Status::Ok, OF_A_CHILD | 2), Sent);
                });
                assert_eq!(agent.beat(Status::Ok, OF_A_CHILD | 1), Sent);
            });
            assert_eq!(agent.beat(Status::Ok, 9), Sent);
        },
        |observer, _, page| {
            let pages: Vec<_> = (0..3).map(|_| give_page(observer)).collect();
            for (generation, (connection, of_child)) in (1..).zip(&pages) {
                drain_until(observer, || of_child.last().1 == OF_A_CHILD | generation);
                assert_eq!(connection.hello.nonce, 0, "the nonces begin anew");
            }
            drain_until(observer, || page.last().1 == 9);
            let pids: Vec<_> = pages.iter().map(|(it, _)| it.hello.pid).collect();
            assert!(pids[0] != pids[1] && pids[1] != pids[2]);
        },
    );
}

#[test]
fn a_child_of_a_raw_clone_has_a_page_of_its_own() {
    with_attached(
        |_, mut agent| {
            let clone = || {
                let flags = libc::c_long::from(libc::SIGCHLD);
                // SAFETY: as fork, without the hooks of the C library; this program has one
                // thread.
                let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
                libc::pid_t::try_from(pid).unwrap()
            };
            Child::start_by(clone, || beat_in_child(&mut agent, OF_A_CHILD)).finish();
        },
        |observer, _, _| drop(give_page(observer)),
    );
}

#[test]
fn a_child_that_settles_by_reconnect_keeps_nothing_either() {
    with_attached(
        |_, mut agent| {
            in_child(|| {
                let inherited = lane_descriptors();
                agent.reconnect().unwrap();
                let now = lane_descriptors();
                assert!(!inherited.iter().any(|one| now.contains(one)), "{now:?}");
            });
        },
        |_, _, _| {},
    );
}

#[test]
fn a_program_that_is_executed_inherits_nothing() {
    with_attached(
        |_, mut agent| {
            // The standard library starts it with vfork or the like.
            let mut list = Command::new("/bin/ls");
            list.args(["-l", "/proc/self/fd"]).stdin(Stdio::null()).stderr(Stdio::null());
            let list = String::from_utf8(list.output().unwrap().stdout).unwrap();
            assert!(list.contains("/dev/null") && !list.contains("memfd"), "{list}");
            assert!(!list.contains("socket:"), "{list}");
            assert_eq!(agent.beat(Status::Ok, 2), Sent);
        },
        |observer, _, page| drain_until(observer, || page.last().1 == 2),
    );
}

#[test]
fn the_parent_goes_on_while_its_children_end_without_a_beat() {
    with_attached(
        |_, mut agent| {
            for payload in 1..50 {
                in_child(|| ());
                assert_eq!(agent.beat(Status::Ok, payload), Sent);
            }
        },
        |_, connection, page| {
            wait_until(PATIENCE, || page.last().1 == 49);
            connection.expect_end();
        },
    );
}

/// The observer ends each connection as soon as it has its page, so that the agent is nearly
/// always attaching, while other threads beat and fork.
#[test]
fn children_forked_while_another_thread_attaches_keep_nothing() {
    /// At least this many, and until this many pages were given to the parent: an agent asks for
    /// ten in a second.
    const FORKS: u64 = 200;
    const PAGES: u64 = 6;
    let _alone = alone();
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let [done, pages] = shared_numbers::<2>();
    let child = Child::start(|| {
        let parent = process::id();
        let mut agent = Varta::open(&path).unwrap();
        beat_until_attached(&mut agent, 1);
        std::thread::scope(|threads| {
            threads.spawn(|| beat_until_done(&path, done));
            // Also after a failure, which the other thread would otherwise never let out.
            let _end = OnDrop(|| done.store(1, Ordering::Release));
            let mut fork = 0;
            while fork < FORKS || pages.load(Ordering::Acquire) < PAGES {
                // Not all at the same point of an attempt.
                for _ in 0..fork % 7 {
                    let _ = agent.beat(Status::Ok, 1);
                }
                in_child(|| first_beat_keeps_nothing(&mut agent, parent));
                fork += 1;
            }
        });
    });
    let observer = LaneObserver::bind(&path);
    while !child_has_ended(child.pid()) {
        observer.look();
        observer.datagrams.queued_datagrams();
        let Some(connection) = observer.connection_now() else { continue };
        // A child may have ended by now.
        let index = u32::try_from(pages.load(Ordering::Relaxed)).unwrap();
        let offer = PageOffer { offset: offset(index), ..good_offer() };
        let Ok(page) = observer.try_to_give_page(&connection, offer) else { continue };
        while !connection.has_input() && !child_has_ended(child.pid()) {
            observer.datagrams.queued_datagrams();
        }
        let _ = connection.has_input() && connection.next().is_some();
        let of_a_child = page.beat().is_some_and(|_| page.last().1 == OF_A_CHILD);
        assert!(!of_a_child || connection.hello.pid != child.pid(), "written by a child");
        pages.fetch_add(u64::from(connection.hello.pid == child.pid()), Ordering::Release);
    }
    child.finish();
}

/// Calls a function when it is dropped.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn beat_until_done(path: &Path, done: &AtomicU64) {
    let mut agent = Varta::open(path).unwrap();
    while done.load(Ordering::Acquire) == 0 {
        let _ = agent.beat(Status::Ok, 1);
    }
}

fn first_beat_keeps_nothing(agent: &mut Agent, parent: u32) {
    let inherited = lane_descriptors();
    let _ = agent.beat(Status::Ok, OF_A_CHILD);
    assert_ne!(process::id(), parent);
    let now = lane_descriptors();
    assert!(!inherited.iter().any(|one| now.contains(one)), "{inherited:?} became {now:?}");
}
