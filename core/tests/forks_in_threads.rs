//! Forks in programs with threads: the child never waits for anything that another thread was
//! doing at the time of the fork, and the child's own threads share a counter.

#![cfg(unix)]
#![allow(unsafe_code, reason = "forking")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use support::{Child, Folder, Receiver, in_child, shared_numbers};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::KernelQueueFull;
use varta::{BeatTransport, Frame, Status, Varta};

const FORKS: usize = 200;

/// The payload of frames that do not come from a child.
const FROM_PARENT: u32 = u32::MAX;

/// Beats until a beat is sent, and returns how many beats that took.
fn send<T: BeatTransport>(agent: &mut Varta<T>, payload: u32) -> u64 {
    for tries in 1.. {
        match agent.beat(Status::Ok, payload) {
            Sent => return tries,
            Dropped(KernelQueueFull) => thread::yield_now(),
            other => panic!("{other}"),
        }
    }
    unreachable!("the alarm ends this process first")
}

/// A transport to a new endpoint, for which the process adds a counter to its list.
struct NewEndpoint(OsString);

impl BeatTransport for NewEndpoint {
    fn send(&mut self, frame: &[u8; 32]) -> io::Result<usize> {
        Ok(frame.len())
    }

    fn reconnect(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn endpoint(&self) -> Option<&OsStr> {
        Some(&self.0)
    }
}

/// Runs `forks` while one thread beats, one connects to the same endpoint, one connects to
/// new endpoints, and one receives. Returns the frames that the children sent.
fn amid_busy_threads(path: &Path, forks: impl FnOnce()) -> Vec<Frame> {
    let receiver = Receiver::uds(path);
    let done = AtomicBool::new(false);
    let until_done = |work: &mut dyn FnMut()| {
        while !done.load(Relaxed) {
            work();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut agent = Varta::connect(path).unwrap();
            until_done(&mut || {
                let _ = agent.beat(Status::Ok, FROM_PARENT);
            });
        });
        scope.spawn(|| until_done(&mut || drop(Varta::connect(path).unwrap())));
        scope.spawn(|| {
            // Their number is limited, because their counters are never freed.
            let mut names = (0..20_000).map(|n| format!("forks_in_threads.rs: {n}"));
            until_done(&mut || match names.next() {
                Some(name) => drop(Varta::with_transport(NewEndpoint(name.into())).unwrap()),
                None => thread::yield_now(),
            });
        });
        let receiving = scope.spawn(|| {
            let mut frames = Vec::new();
            until_done(&mut || match receiver.queued_frames() {
                none if none.is_empty() => thread::yield_now(),
                some => frames.extend(some),
            });
            frames.extend(receiver.queued_frames());
            frames.retain(|frame| frame.payload != FROM_PARENT);
            frames
        });
        // If it panics, the threads must be stopped.
        let forked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(forks));
        done.store(true, Relaxed);
        let frames = receiving.join().unwrap();
        if let Err(panic) = forked {
            std::panic::resume_unwind(panic);
        }
        frames
    })
}

/// The nonces received with each payload; each child has its own payload.
fn nonces_by_payload(frames: &[Frame]) -> BTreeMap<u32, Vec<u64>> {
    let (mut pids, mut nonces) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    for frame in frames {
        assert_eq!(*pids.entry(frame.payload).or_insert(frame.pid), frame.pid);
        nonces.entry(frame.payload).or_default().push(frame.nonce);
    }
    nonces
}

#[test]
fn a_child_forked_amid_busy_threads_beats_and_connects() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let tries = shared_numbers::<{ 2 * FORKS }>();
    let frames = amid_busy_threads(&path, || {
        let mut inherited = Varta::connect(&path).unwrap();
        for (child, tries) in (0..).zip(tries.chunks(2)) {
            in_child(|| {
                tries[0].store(send(&mut inherited, child), Relaxed);
                let mut own = Varta::connect(&path).unwrap();
                tries[1].store(send(&mut own, child), Relaxed);
                assert_eq!((inherited.fork_recoveries(), own.fork_recoveries()), (1, 0));
            });
        }
    });
    // Each try used a nonce, beginning with 1.
    let expected = (0..).zip(tries.chunks(2)).map(|(child, tries)| {
        let [first, second] = [0, 1].map(|n| tries[n].load(Relaxed));
        (child, vec![first, first + second])
    });
    assert_eq!(nonces_by_payload(&frames), expected.collect());
}

/// The C library does not know of such a child, so its allocator may stay locked there. A
/// beat does not need it.
#[test]
#[cfg(target_os = "linux")]
fn a_child_cloned_amid_busy_threads_beats() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let tries = shared_numbers::<FORKS>();
    let frames = amid_busy_threads(&path, || {
        let mut inherited = Varta::connect(&path).unwrap();
        for (child, tries) in (0..).zip(tries) {
            let clone = || {
                // SAFETY: like a fork, with nothing shared; the child beats and exits.
                let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
                pid.try_into().unwrap()
            };
            Child::start_by(clone, || tries.store(send(&mut inherited, child), Relaxed))
                .finish();
        }
    });
    let expected = (0..).zip(tries).map(|(child, tries)| (child, vec![tries.load(Relaxed)]));
    assert_eq!(nonces_by_payload(&frames), expected.collect());
}

#[test]
fn children_of_several_threads_that_fork_at_once_beat() {
    const THREADS: u32 = 4;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let tries = shared_numbers::<FORKS>();
    let frames = amid_busy_threads(&path, || {
        thread::scope(|scope| {
            for first in 0..THREADS {
                let path = &path;
                scope.spawn(move || {
                    let mut inherited = Varta::connect(path).unwrap();
                    for (child, tries) in (0..).zip(tries) {
                        if child % THREADS == first {
                            in_child(|| tries.store(send(&mut inherited, child), Relaxed));
                        }
                    }
                });
            }
        });
    });
    let expected = (0..).zip(tries).map(|(child, tries)| (child, vec![tries.load(Relaxed)]));
    assert_eq!(nonces_by_payload(&frames), expected.collect());
}

/// Each thread detects the fork for itself, and all of them agree on the process.
#[test]
fn each_agent_in_the_childs_threads_recovers_once() {
    let arrived = shared_numbers::<1>();
    let mut agents =
        [(); 2].map(|()| Varta::with_transport(NewEndpoint("one".into())).unwrap());
    for fork in 1..=500 {
        in_child(|| {
            thread::scope(|scope| {
                for agent in &mut agents {
                    scope.spawn(|| {
                        // A spin loop, so that both threads continue at the same moment.
                        arrived[0].fetch_add(1, Relaxed);
                        while arrived[0].load(Relaxed) < 2 * fork {
                            std::hint::spin_loop();
                        }
                        for _ in 0..100 {
                            assert_eq!(agent.beat(Status::Ok, 0), Sent);
                            assert_eq!(agent.fork_recoveries(), 1);
                        }
                    });
                }
            });
        });
    }
}

#[test]
fn the_threads_of_a_child_share_a_counter() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = Receiver::uds(&path);
    let mut agents = [(); 4].map(|()| Varta::connect(&path).unwrap());
    for _ in 0..FORKS / 4 {
        let child = Child::start(|| {
            // All at once, so that they detect the fork at the same time.
            let start = Barrier::new(agents.len());
            thread::scope(|scope| {
                for agent in &mut agents {
                    scope.spawn(|| {
                        start.wait();
                        // Together as many as fit into an empty queue.
                        for _ in 0..2 {
                            assert_eq!(agent.beat(Status::Ok, 0), Sent);
                        }
                        assert_eq!(agent.fork_recoveries(), 1);
                    });
                }
            });
        });
        let pid = child.pid();
        child.finish();
        let frames = receiver.queued_frames();
        assert!(frames.iter().all(|frame| frame.pid == pid));
        let nonces: BTreeSet<_> = frames.iter().map(|frame| frame.nonce).collect();
        assert_eq!((frames.len(), nonces), (8, (1..=8).collect()));
    }
}
