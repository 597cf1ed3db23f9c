//! Agents that beat into shared memory: how they attach, what is reported about them, and how
//! they end.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "seals, forks and exec")]

mod support;

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::null;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::lane::{Answer, LaneAgent, LaneSocket, hello, map, monotonic_ns};
use support::{
    Child, Folder, NEVER, agent_info, become_user, count, frame, in_child,
    in_new_pid_namespace, is, is_about, kill, let_time_pass, limit_descriptors, ms, names,
    needs_root, open_descriptors, poll_all, poll_for, poll_until, shared_numbers, skipped,
    stop_here, text_of, wait_until,
};
use varta::internal::lane::layout::{PAIRS, offset};
use varta::internal::lane::message::{Hello, Message};
use varta::{Endpoint, Status};
use varta_observer::{Builder, Event, ExitCause, Uids, What};

fn at(path: &Path, threshold: Duration) -> Builder {
    Builder::new().listen(Endpoint::Path(path.to_owned())).threshold(threshold).lane(true)
}

fn beats_of(events: &[Event]) -> u32 {
    let count = |event: &Event| match event.what {
        What::Beat { count, .. } => count,
        _ => 0,
    };
    events.iter().map(count).sum()
}

/// Starts a child of this process, which outlives it and holds what it has inherited.
fn leave_child(pid: &AtomicU64) {
    let child = Child::start(stop_here);
    pid.store(child.pid().into(), Ordering::SeqCst);
    std::mem::forget(child);
}

fn kill_child(pid: &AtomicU64) {
    kill(pid.load(Ordering::SeqCst).try_into().unwrap(), libc::SIGKILL);
}

fn seals_of(file: &impl AsRawFd) -> i32 {
    // SAFETY: takes numbers alone.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) }
}

const SIZE: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
const ALL: i32 = SIZE | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

#[test]
fn the_pages_are_sealed_and_the_first_line_is_where_the_index_says() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let agents: Vec<_> = (0..3)
        .map(|_| LaneAgent::attach_with(&path, || drop(poll_all(&mut observer))))
        .collect();
    for (index, agent) in (0..).zip(&agents) {
        let offer = agent.offer;
        assert_eq!((offer.offset, offer.pairs), (offset(index), PAIRS));
        let [page, common] = &agent.files;
        assert_eq!(seals_of(page) & ALL, SIZE);
        assert_eq!(seals_of(common) & ALL, ALL);
        assert_eq!(
            map(common, libc::PROT_WRITE).unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
        assert_eq!(offer.threshold_ns, u64::try_from(NEVER.as_nanos()).unwrap());
        assert_eq!(offer.clock_offset, 0);
        let (last_look, interval) = agent.last_look();
        assert!(last_look <= monotonic_ns() && last_look > 0 && interval == 1_000_000_000);
    }
    let before = agents[0].last_look().0;
    wait_until(|| {
        poll_for(&mut observer, ms(10));
        agents[0].last_look().0 > before
    });
}

#[test]
fn beats_silence_and_recovery_are_found_in_the_page() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, ms(300)).bind().unwrap();
    let mut agent = LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
    let start = Instant::now();
    let mut silent_since = start;
    let mut events = Vec::new();
    while start.elapsed() < ms(900) {
        silent_since = Instant::now();
        agent.beat();
        events.extend(poll_for(&mut observer, ms(5)));
    }
    assert_eq!(count(&events, "stall"), 0, "{}", text_of(&events));
    events.extend(poll_until(&mut observer, is("stall")));
    assert!(silent_since.elapsed() >= ms(290));
    assert_eq!(u64::from(beats_of(&events)), agent.nonce, "{}", text_of(&events));
    let beats = count(&events, "beat");
    assert!(beats < 20, "{beats} events: the looks are as rare as the threshold allows");

    agent.beat_with(Status::Degraded, monotonic_ns());
    agent.socket.bell(0).unwrap();
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(names(&events), ["recovered", "beat"]);
    let status = |event: &Event| match event.what {
        What::Beat { status, .. } => Some(status),
        _ => None,
    };
    assert_eq!(events.last().and_then(status), Some(Status::Degraded));
    let info = agent_info(&observer, std::process::id()).unwrap();
    assert_eq!((info.status, info.beats), (Status::Degraded, agent.nonce));
}

/// A beat that was written in time counts, however late the observer is.
#[test]
fn a_stopped_observer_loses_no_beat_and_reports_no_false_stall() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let [written, seen, stalls, started, longest] = shared_numbers();
    let watcher = Child::start(|| {
        let mut observer = at(&path, ms(500)).bind().unwrap();
        started.store(1, Ordering::SeqCst);
        loop {
            for event in poll_for(&mut observer, ms(50)) {
                match event.what {
                    What::Beat { count, .. } => seen.fetch_add(count.into(), Ordering::SeqCst),
                    What::Stall { .. } => stalls.fetch_add(1, Ordering::SeqCst),
                    _ => 0,
                };
            }
        }
    });
    wait_until(|| started.load(Ordering::SeqCst) == 1);
    let agents: Vec<_> = (0..20)
        .map(|_| {
            Child::start(|| {
                let mut agent = LaneAgent::attach(&path);
                agent.beat();
                loop {
                    let last = Instant::now();
                    std::thread::sleep(ms(20));
                    agent.beat();
                    let gap = last.elapsed().as_nanos().try_into().unwrap();
                    longest.fetch_max(gap, Ordering::SeqCst);
                    written.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    wait_until(|| seen.load(Ordering::SeqCst) > 500);
    kill(watcher.pid(), libc::SIGSTOP);
    std::thread::sleep(ms(3_000));
    kill(watcher.pid(), libc::SIGCONT);
    let at_least = written.load(Ordering::SeqCst);
    wait_until(|| seen.load(Ordering::SeqCst) >= at_least);
    // On a machine that was held for long, an agent may have been late itself.
    let [stalls, longest] = [stalls, longest].map(|number| number.load(Ordering::SeqCst));
    assert!(stalls == 0 || longest > 450_000_000, "{stalls} stalls, {longest} ns");
    drop(agents);
}

#[test]
fn each_exit_has_its_cause_even_if_a_child_holds_the_connection() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    // The first beat may be written after the look at the new page: then the next look, which
    // half of the threshold determines, finds it.
    let mut observer = at(&path, ms(4_000)).bind().unwrap();
    for (with_child, signal) in [(false, true), (true, true), (false, false), (true, false)] {
        let [ready, child_pid] = shared_numbers();
        let mut agent = Child::start(|| {
            let mut agent = LaneAgent::attach(&path);
            if with_child {
                leave_child(child_pid);
            }
            agent.beat();
            ready.store(1, Ordering::SeqCst);
            if signal {
                wait_until(|| false);
            }
            // SAFETY: ends this child at once.
            unsafe { libc::_exit(7) };
        });
        let (pid, mut events) = (agent.pid(), Vec::new());
        wait_until(|| {
            events.extend(poll_all(&mut observer));
            ready.load(Ordering::SeqCst) == 1
        });
        if signal {
            kill(pid, libc::SIGKILL);
        }
        agent.wait();
        wait_until(|| {
            events.extend(poll_for(&mut observer, ms(1)));
            // A pause of this test itself may be reported after it.
            events.iter().any(is("exit"))
        });
        let exit = events.iter().find(|event| is("exit")(event)).unwrap();
        let expected = match signal {
            true => ExitCause::Signal(libc::SIGKILL),
            false => ExitCause::Code(7),
        };
        assert!(is_about(exit, pid), "{exit}");
        assert!(matches!(exit.what, What::Exit { cause, .. } if cause == expected), "{exit}");
        assert_eq!(count(&events, "exit"), 1);
        if with_child {
            kill_child(child_pid);
        }
    }
    assert!(observer.snapshot().unwrap().is_empty());
}

/// The first beat may be written after the last look, and right before the end.
/// Without the end of the connection, only the exit itself tells that there is something to read.
#[test]
fn the_last_beats_come_before_the_exit_even_if_a_child_holds_the_connection() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let [end, child_pid] = shared_numbers();
    let mut agent = Child::start(|| {
        let mut agent = LaneAgent::attach(&path);
        agent.beat();
        agent.socket.bell(0).unwrap();
        leave_child(child_pid);
        wait_until(|| end.load(Ordering::SeqCst) == 1);
        agent.beat();
        agent.beat();
        // SAFETY: ends this child at once.
        unsafe { libc::_exit(0) };
    });
    poll_until(&mut observer, is("beat"));
    wait_until(|| child_pid.load(Ordering::SeqCst) != 0);
    end.store(1, Ordering::SeqCst);
    let events = poll_until(&mut observer, is("exit"));
    agent.wait();
    kill_child(child_pid);
    let beats = events.iter().filter_map(|event| match event.what {
        What::Beat { count, .. } => Some(count),
        _ => None,
    });
    assert_eq!(beats.sum::<u32>(), 2, "{}", text_of(&events));
}

#[test]
fn the_exit_of_a_process_that_beat_once_is_reported() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    for _ in 0..20 {
        let mut agent = Child::start(|| LaneAgent::attach(&path).beat());
        let events = poll_until(&mut observer, is("exit"));
        assert_eq!(names(&events).last(), Some(&"exit"), "{}", text_of(&events));
        assert!(is_about(events.last().unwrap(), agent.pid()));
        agent.wait();
    }
}

/// Beyond the limit of descriptors no pidfd is held, and the connection knows its process.
#[test]
fn an_exit_without_a_held_descriptor_is_reported() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, ms(500)).descriptors(0).bind().unwrap();
    for with_child in [false, true] {
        let [ready, child_pid] = shared_numbers();
        let mut agent = Child::start(|| {
            let mut agent = LaneAgent::attach(&path);
            if with_child {
                leave_child(child_pid);
            }
            agent.beat();
            ready.store(1, Ordering::SeqCst);
            stop_here();
        });
        wait_until(|| {
            poll_all(&mut observer);
            let is_followed = agent_info(&observer, agent.pid()).is_some();
            ready.load(Ordering::SeqCst) == 1 && is_followed
        });
        kill(agent.pid(), libc::SIGKILL);
        agent.wait();
        let events = poll_until(&mut observer, is("exit"));
        assert_eq!(count(&events, "stall"), 0, "{}", text_of(&events));
        if with_child {
            kill_child(child_pid);
        }
    }
}

/// After exec the process is the same one, and has no page any more.
#[test]
fn a_process_that_executes_another_program_is_not_reported_as_exited() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, ms(400)).bind().unwrap();
    let agent = Child::start(|| {
        let mut agent = LaneAgent::attach(&path);
        agent.beat();
        std::thread::sleep(ms(50));
        let (program, time) = (c"/bin/sleep", c"60");
        // SAFETY: C strings, and a null at the end.
        unsafe { libc::execl(program.as_ptr(), program.as_ptr(), time.as_ptr(), null::<u8>()) };
    });
    let events = poll_until(&mut observer, is("stall"));
    assert!(is_about(events.last().unwrap(), agent.pid()));
    assert_eq!(count(&events, "exit"), 0, "{}", text_of(&events));
    kill(agent.pid(), libc::SIGKILL);
    poll_until(&mut observer, is("exit"));
}

#[test]
fn another_version_is_refused_and_anything_else_ends_the_connection() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let mut poll = || drop(poll_all(&mut observer));
    let (good, length) = Message::Hello(hello()).encode();
    let mut other = good;
    other[4] = 2;
    let socket = LaneSocket::connect(&path).unwrap();
    socket.send(&other).unwrap();
    match socket.await_answer(&mut poll) {
        Answer::Refused(refused) => {
            assert_eq!(refused.errno, libc::EPROTONOSUPPORT.unsigned_abs());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(socket.await_answer(&mut poll), Answer::Closed));

    let mapped = Message::Mapped.encode().0;
    let long = [&good[..], &[0]].concat();
    for first in [&good[..length - 1], &long, &mapped, &[], &[0; 128]] {
        let socket = LaneSocket::connect(&path).unwrap();
        socket.send(first).unwrap();
        assert!(matches!(socket.await_answer(&mut poll), Answer::Closed), "{first:?}");
    }
    for second in [&good[..], &[], &[7; 16]] {
        let agent = LaneAgent::attach_with(&path, &mut poll);
        agent.socket.send(second).unwrap();
        assert!(matches!(agent.socket.await_answer(&mut poll), Answer::Closed), "{second:?}");
    }
    let agent = LaneAgent::attach_with(&path, &mut poll);
    agent.socket.bell(PAIRS).unwrap();
    assert!(matches!(agent.socket.await_answer(&mut poll), Answer::Closed));
    assert_eq!(observer.stats().unwrap().lane_bad_messages, 9);
}

#[test]
fn a_silent_connection_is_closed_after_a_second() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let start = Instant::now();
    let silent = LaneSocket::connect(&path).unwrap();
    let unmapped = LaneSocket::connect(&path).unwrap();
    unmapped.hello().unwrap();
    let mut poll = || drop(poll_all(&mut observer));
    assert!(matches!(unmapped.await_answer(&mut poll), Answer::Page(..)));
    for socket in [silent, unmapped] {
        assert!(matches!(socket.await_answer(&mut poll), Answer::Closed));
    }
    assert!(start.elapsed() >= ms(1_000));

    // A host that polls late does not close what has arrived in time.
    let socket = LaneSocket::connect(&path).unwrap();
    socket.hello().unwrap();
    let Answer::Page(offer, files) = socket.await_answer(&mut poll) else { panic!() };
    let agent = LaneAgent::map(socket, offer, files);
    agent.socket.say(&Message::Mapped).unwrap();
    std::thread::sleep(ms(1_100));
    poll_for(&mut observer, ms(20));
    assert!(!agent.is_closed());
}

#[test]
fn a_process_has_at_most_four_connections() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let mut poll = || drop(poll_all(&mut observer));
    let mut agents: Vec<_> = (0..4).map(|_| LaneAgent::attach_with(&path, &mut poll)).collect();
    let fifth = LaneSocket::connect(&path).unwrap();
    fifth.hello().unwrap();
    match fifth.await_answer(&mut poll) {
        Answer::Refused(refused) => assert_eq!(refused.errno, libc::EBUSY.unsigned_abs()),
        other => panic!("{other:?}"),
    }
    // All of them are one agent.
    agents.iter_mut().for_each(LaneAgent::beat);
    agents.iter().for_each(|agent| agent.socket.bell(0).unwrap());
    let events = poll_for(&mut observer, ms(50));
    assert_eq!(observer.snapshot().unwrap().len(), 1, "{}", text_of(&events));
    // Another test may have forked a process that keeps a copy of the socket.
    let ended = agents.pop().unwrap();
    // SAFETY: takes numbers alone.
    unsafe { libc::shutdown(ended.socket.0.as_raw_fd(), libc::SHUT_RDWR) };
    wait_until(|| {
        poll_for(&mut observer, ms(50));
        let socket = LaneSocket::connect(&path).unwrap();
        socket.hello().unwrap();
        matches!(socket.await_answer(|| drop(poll_all(&mut observer))), Answer::Page(..))
    });
}

#[test]
fn a_user_that_is_not_accepted_gets_no_page() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    for (uids, accepted) in [(Uids::Only(0), false), (Uids::Any, true)] {
        let mut observer = at(&path, NEVER).socket_mode(0o666).uids(uids).bind().unwrap();
        let mut agent = Child::start(|| {
            become_user(65_534);
            let socket = LaneSocket::connect(&path).unwrap();
            socket.hello().unwrap();
            match socket.await_answer(|| ()) {
                Answer::Page(..) => assert!(accepted),
                Answer::Refused(refused) => {
                    assert_eq!(refused.errno, libc::EACCES.unsigned_abs());
                    assert!(!accepted);
                }
                Answer::Closed => panic!("closed"),
            }
        });
        let mut ended = None;
        wait_until(|| {
            poll_all(&mut observer);
            ended = agent.ended();
            ended.is_some()
        });
        agent.finish();
    }
}

#[test]
fn beyond_the_limit_of_descriptors_agents_are_refused() {
    in_child(|| {
        limit_descriptors(128);
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = at(&path, NEVER).bind().unwrap();
        let before = open_descriptors();
        let [pages, refused] = shared_numbers();
        let answered = || pages.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst);
        let children: Vec<_> = (1..=9)
            .map(|nth| {
                let child = Child::start(|| {
                    for _ in 0..4 {
                        let socket = LaneSocket::connect(&path).unwrap();
                        socket.hello().unwrap();
                        match socket.await_answer(|| ()) {
                            Answer::Page(offer, files) => {
                                let agent = LaneAgent::map(socket, offer, files);
                                agent.socket.say(&Message::Mapped).unwrap();
                                pages.fetch_add(1, Ordering::SeqCst);
                                std::mem::forget(agent);
                            }
                            Answer::Refused(_) => {
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                            Answer::Closed => panic!("closed"),
                        }
                    }
                    stop_here();
                });
                wait_until(|| {
                    poll_all(&mut observer);
                    answered() == 4 * nth
                });
                child
            })
            .collect();
        assert_eq!(pages.load(Ordering::SeqCst), 32, "a quarter of the limit");
        drop(children);
        poll_for(&mut observer, ms(200));
        assert_eq!(open_descriptors(), before);
    });
}

/// The host may have used up the descriptors.
#[test]
fn without_a_free_descriptor_agents_are_refused_and_the_observer_does_not_spin() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = at(&path, NEVER).bind().unwrap();
        let sockets: Vec<_> = (0..3).map(|_| LaneSocket::connect(&path).unwrap()).collect();
        let most = open_descriptors() + 4;
        limit_descriptors(most.try_into().unwrap());
        let mut held = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            held.push(file);
        }
        sockets.iter().for_each(|socket| socket.hello().unwrap());
        for socket in &sockets {
            match socket.await_answer(|| drop(poll_all(&mut observer))) {
                Answer::Refused(refused) => {
                    assert_eq!(refused.errno, libc::EMFILE.unsigned_abs());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(count(&poll_for(&mut observer, ms(50)), "io"), 0);
        drop(held);
        drop(sockets);
        LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
    });
}

/// A datagram and a page of one process are one agent.
#[test]
fn datagrams_and_the_page_of_a_process_feed_the_same_agent() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    socket.connect(&path).unwrap();
    socket.send(&frame(std::process::id(), 1)).unwrap();
    let first = poll_until(&mut observer, is("beat"))[0];
    let lane = LaneSocket::connect(&path).unwrap();
    lane.say(&Message::Hello(Hello { nonce: 1, ..hello() })).unwrap();
    let mut agent = LaneAgent::with(lane, || drop(poll_all(&mut observer)));
    agent.nonce = 1;
    agent.beat();
    agent.socket.bell(0).unwrap();
    let second = poll_until(&mut observer, is("beat")).pop().unwrap();
    assert_eq!(second.about, first.about);
    socket.send(&frame(std::process::id(), 3)).unwrap();
    let third = poll_until(&mut observer, is("beat")).pop().unwrap();
    assert_eq!(third.about, first.about);
    let info = agent_info(&observer, std::process::id()).unwrap();
    assert_eq!((info.beats, info.missed), (3, 0));
}

/// A process goes on with datagrams until it has mapped its page. They are heard before the page
/// is read, or they would be counted twice.
#[test]
fn datagrams_from_before_the_page_was_mapped_are_counted_once() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = at(&path, NEVER).bind().unwrap();
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    datagrams.connect(&path).unwrap();
    let lane = LaneSocket::connect(&path).unwrap();
    lane.say(&Message::Hello(hello())).unwrap();
    let Answer::Page(offer, files) = lane.await_answer(|| drop(poll_all(&mut observer))) else {
        panic!("there is no page");
    };
    let mut agent = LaneAgent::map(lane, offer, files);
    for nonce in 1..=2 {
        datagrams.send(&frame(std::process::id(), nonce)).unwrap();
    }
    agent.nonce = 2;
    agent.beat();
    agent.socket.say(&Message::Mapped).unwrap();
    let counts = (0..3).map(|_| poll_until(&mut observer, is("beat")).pop().unwrap().what);
    let nonces: Vec<_> = counts
        .map(|what| match what {
            What::Beat { nonce, count: 1, .. } => nonce,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(nonces, [1, 2, 3]);
}

/// The pid that the process claims is the one of its own namespace.
#[test]
fn a_process_in_another_pid_namespace_is_followed_to_its_exit() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for admitted in [false, true] {
        let mut observer = at(&path, NEVER).namespaces(admitted).bind().unwrap();
        let [answered] = shared_numbers();
        let mut agent = in_new_pid_namespace(|| {
            Child::start(|| {
                let socket = LaneSocket::connect(&path).unwrap();
                assert_eq!(hello().pid, 1);
                socket.say(&Message::Hello(Hello { pid: 1, ..hello() })).unwrap();
                match socket.await_answer(|| ()) {
                    Answer::Page(offer, files) => {
                        let mut agent = LaneAgent::map(socket, offer, files);
                        agent.socket.say(&Message::Mapped).unwrap();
                        agent.beat();
                        answered.store(1, Ordering::SeqCst);
                    }
                    _ => answered.store(2, Ordering::SeqCst),
                }
            })
        });
        let mut events = Vec::new();
        wait_until(|| {
            events.extend(poll_for(&mut observer, ms(1)));
            answered.load(Ordering::SeqCst) == 2 || events.last().is_some_and(is("exit"))
        });
        assert_eq!(answered.load(Ordering::SeqCst), if admitted { 1 } else { 2 });
        agent.wait();
        let exit = events.last().map(|exit| exit.about.unwrap().claimed_pid);
        assert_eq!(exit, admitted.then_some(1));
    }
}

/// The monotonic clock, in which lines are written, stands still during a suspend.
#[test]
fn a_suspend_is_a_pause_and_no_silence() {
    if !needs_root() {
        return;
    }
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = at(&path, ms(2_000)).bind().unwrap();
        let mut agent = LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
        agent.beat();
        agent.socket.bell(0).unwrap();
        poll_until(&mut observer, is("beat"));
        if !let_time_pass(1_000, true) {
            return skipped("time namespaces");
        }
        let beaten = monotonic_ns();
        agent.beat_with(Status::Ok, beaten);
        let events = poll_for(&mut observer, ms(50));
        assert_eq!((count(&events, "paused"), count(&events, "stall")), (1, 0));
        let events = poll_until(&mut observer, is("stall"));
        let What::Stall { last_ns, .. } = events.last().unwrap().what else { panic!() };
        assert!(last_ns > 1_000_000_000_000, "the time of events includes suspend");
        assert!(monotonic_ns() - beaten >= 1_900_000_000);
        let info = agent_info(&observer, std::process::id()).unwrap();
        assert_eq!(info.last_ns, last_ns);
    });
}

#[test]
fn a_removed_listening_socket_does_not_stop_the_observer() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let observer = at(&path, NEVER).bind().unwrap();
    std::fs::remove_file(format!("{}.lane", path.display())).unwrap();
    let error = LaneSocket::connect(&path).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    drop(observer);
    assert!(!path.exists());
}
