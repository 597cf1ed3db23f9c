//! Beats allocate nothing, whatever their outcome. Nine hundred thousand run with an allocator
//! that counts its calls.

#![cfg(all(unix, feature = "secure-udp"))]
#![allow(unsafe_code, reason = "an allocator")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::io::ErrorKind::{InvalidInput, Unsupported, WriteZero};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use support::{Folder, PATIENCE, in_child, refusing_port};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, PeerGone};
use varta::secure::Key;
use varta::{
    BeatOutcome, BeatTransport, Edge, SpanId, SpanLimits, Status, TaskOptions, UdpTransport,
    Varta, classify_send_error, v1,
};

/// The number of beats in each run but the following; all of them together are 900,000 beats.
const BEATS: u32 = 50_000;

/// The number of beats that make a new sealed session each, which takes a debug build long.
const SESSIONS: u32 = 1_000;

/// The minimum time between two attempts to reconnect.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

thread_local! {
    /// Per thread, because the test harness allocates on its own threads.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting every call.
struct Counting;

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed to the system's allocator. The counter itself allocates
// nothing: its initial value is constant and it needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's guarantees are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A transport whose results come from a closure.
struct Returning<F>(F);

impl<F: FnMut() -> io::Result<usize> + Send + 'static> BeatTransport for Returning<F> {
    fn send(&mut self, _: &[u8; 32]) -> io::Result<usize> {
        (self.0)()
    }

    fn reconnect(&mut self) -> io::Result<()> {
        (self.0)().map(|_| ())
    }
}

#[track_caller]
fn assert_nothing_allocated<R>(run: impl FnOnce() -> R) -> R {
    let before = CALLS.get();
    let result = run();
    let calls = CALLS.get() - before;
    assert_eq!(calls, 0, "calls of the allocator");
    result
}

/// Runs `BEATS` beats, each of which must have an expected outcome.
#[track_caller]
fn assert_beats(beat: impl FnMut() -> BeatOutcome, expected: impl FnMut(BeatOutcome) -> bool) {
    assert_some_beats(BEATS, beat, expected);
}

#[track_caller]
fn assert_some_beats(
    count: u32,
    mut beat: impl FnMut() -> BeatOutcome,
    mut expected: impl FnMut(BeatOutcome) -> bool,
) {
    let other = assert_nothing_allocated(|| {
        (0..count).map(|_| beat()).filter(|outcome| !expected(*outcome)).last()
    });
    assert_eq!(other, None, "not as expected");
}

fn key() -> Key {
    Key::from_bytes([7; 32])
}

#[test]
fn the_allocator_counts_its_calls() {
    let before = CALLS.get();
    drop(std::hint::black_box(Box::new(before)));
    assert_eq!(CALLS.get() - before, 2);
}

#[test]
fn beats_sent_over_a_unix_socket_allocate_nothing() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let take = || assert_eq!(receiver.recv(&mut [0; 64]).unwrap(), 32);

    let mut agent = Varta::connect(&path).unwrap();
    assert_beats(|| (agent.beat(Status::Ok, 1), take()).0, |outcome| outcome == Sent);
    let mut agent = Varta::open(&path).unwrap();
    assert_beats(|| (agent.beat(Status::Ok, 1), take()).0, |outcome| outcome == Sent);
    let mut agent = v1::Varta::connect(&path).unwrap();
    assert_beats(|| (agent.beat(Status::Ok, 1), take()).0, |outcome| outcome == Sent);
}

#[test]
fn beats_sent_over_udp_allocate_nothing() {
    // Its queue is never emptied, which is not reported to a sender over UDP.
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();

    let mut agent = Varta::connect_udp(address).unwrap();
    assert_beats(|| agent.beat(Status::Ok, 1), |outcome| outcome == Sent);
    let mut agent = Varta::connect_secure_udp(address, key()).unwrap();
    assert_beats(|| agent.beat(Status::Ok, 1), |outcome| outcome == Sent);
    let mut agent = Varta::connect_secure_udp_with_master(address, key()).unwrap();
    assert_beats(|| agent.beat(Status::Ok, 1), |outcome| outcome == Sent);
}

#[test]
fn beats_dropped_at_a_full_queue_allocate_nothing() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let _receiver = UnixDatagram::bind(&path).unwrap();
    let mut agent = Varta::connect(&path).unwrap();
    while agent.beat(Status::Ok, 1) == Sent {}

    let full = |outcome| outcome == Dropped(KernelQueueFull);
    assert_beats(|| agent.beat(Status::Ok, 1), full);
    // Each beat reconnects, and sends twice.
    agent.set_reconnect_after(1);
    assert_beats(|| agent.beat(Status::Ok, 1), full);
}

#[test]
fn beats_dropped_without_an_observer_allocate_nothing() {
    // In a child, so that no child of another test keeps the closed socket open.
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut agent = Varta::connect(&path).unwrap();
        drop(receiver);

        let absent = |outcome| matches!(outcome, Dropped(NoObserver | PeerGone));
        assert_beats(|| agent.beat(Status::Ok, 1), absent);
        // Each beat fails to reconnect: first the socket is closed, then its file is gone too.
        agent.set_reconnect_after(1);
        assert_beats(|| agent.beat(Status::Ok, 1), absent);
        std::fs::remove_file(&path).unwrap();
        assert_beats(|| agent.beat(Status::Ok, 1), absent);
    });
}

#[test]
fn new_sealed_sessions_allocate_nothing() {
    let refusing = refusing_port();
    let address = refusing.local_addr().unwrap();
    let expected = |outcome| matches!(outcome, Sent | Dropped(NoObserver));

    let mut agent = Varta::connect_secure_udp(address, key()).unwrap();
    agent.set_reconnect_after(1);
    assert_some_beats(SESSIONS, || agent.beat(Status::Ok, 1), expected);
    let mut agent = Varta::connect_secure_udp_with_master(address, key()).unwrap();
    agent.set_reconnect_after(1);
    assert_some_beats(SESSIONS, || agent.beat(Status::Ok, 1), expected);
}

#[test]
fn following_an_observer_that_restarts_allocates_nothing() {
    // In a child, so that no child of another test keeps the closed socket open.
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut agent = Varta::open(&path).unwrap();
        // Never connected at first, then lost.
        for nth in 0..3 {
            let absent = |outcome| match outcome {
                Dropped(NoObserver) => true,
                Dropped(PeerGone) => nth > 0,
                _ => false,
            };
            assert_beats(|| agent.beat(Status::Ok, 1), absent);
            assert_nothing_allocated(|| {
                // Long enough for a failed attempt, even with few beats.
                let start = Instant::now();
                while start.elapsed() < 2 * RETRY_INTERVAL {
                    assert!(absent(agent.beat(Status::Ok, 1)));
                }
                assert!(absent(agent.beat(Status::Ok, 1)));
            });

            let receiver = UnixDatagram::bind(&path).unwrap();
            assert_nothing_allocated(|| {
                let start = Instant::now();
                while agent.beat(Status::Ok, 1) != Sent {
                    assert!(start.elapsed() < PATIENCE, "the agent does not reconnect");
                }
            });
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
        }
    });
}

#[test]
fn beats_with_every_errno_allocate_nothing() {
    let errors = || (1..134).cycle().map(io::Error::from_raw_os_error);
    let (mut error, mut expected) = (errors(), errors());

    let failing = Returning(move || Err(error.next().unwrap()));
    let mut agent = Varta::with_transport(failing).unwrap();
    assert_beats(
        || agent.beat(Status::Ok, 1),
        |outcome| expected.next().is_some_and(|error| outcome == classify_send_error(&error)),
    );
    // Now reconnecting fails with these errors too.
    agent.set_reconnect_after(1);
    assert_beats(|| agent.beat(Status::Ok, 1), |outcome| outcome != Sent);
}

#[test]
fn beats_that_fail_without_an_errno_allocate_nothing() {
    let mut agent = Varta::with_transport(Returning(|| Ok(31))).unwrap();
    let short = |outcome| matches!(outcome, Failed(error) if error.kind == WriteZero);
    assert_beats(|| agent.beat(Status::Ok, 1), short);

    let mut agent = v1::Varta::with_transport(Returning(|| Err(Unsupported.into()))).unwrap();
    let failed = |outcome| matches!(outcome, Failed(error) if error.kind == Unsupported);
    assert_beats(|| agent.beat(Status::Ok, 1), failed);
}

#[test]
fn beats_with_status_stall_allocate_nothing() {
    let mut agent = Varta::with_transport(Returning(|| Ok(32))).unwrap();
    let refused = |outcome| matches!(outcome, Failed(error) if error.kind == InvalidInput);
    assert_beats(|| agent.beat(Status::Stall, 1), refused);
}

#[test]
fn the_calls_of_a_task_allocate_nothing() {
    let ms = Duration::from_millis(1);
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut agent = Varta::connect_udp(receiver.local_addr().unwrap()).unwrap();
    let options = TaskOptions::new(ms)
        .progress(ms)
        .edges([Edge::new(0, 1).max(ms), Edge::new(1, 0).min(ms)])
        .cycle(ms, 1..=1)
        .spans(100);
    let mut task = agent.task_with("quiet", options).unwrap();
    let mut calls = |agent: &mut Varta<UdpTransport>, spans: &mut Vec<SpanId>| {
        for number in 0..BEATS {
            let _ = task.beat(Status::Ok, number);
            // Now and then one is late, too early, out of order, or does not fit.
            let mut block = task.watch(SpanLimits::new(2 * ms).min(ms));
            block.progress(number, number % 3);
            spans.push(block.open_span(number % 50 * ms));
            block.reach(u16::from(number % 5 < 2));
            if spans.len() == 150 {
                spans.drain(..).for_each(|span| _ = block.close_span(span));
                block.idle();
            }
            drop(block);
            let outcome = agent.beat(Status::Ok, number);
            assert!(matches!(outcome, Sent | Dropped(NoObserver)));
            assert!(agent.tasks().count() == 1);
        }
        task.counts()
    };
    let mut spans = Vec::with_capacity(150);
    let counts = assert_nothing_allocated(|| calls(&mut agent, &mut spans));
    assert!(counts.unwatched > 0 && counts.wrong_order > 0 && counts.too_early > 0);
    spans.clear();
    // The first call of a child declares the task anew.
    in_child(|| {
        assert_nothing_allocated(|| calls(&mut agent, &mut spans));
    });
}

/// Those that are sent, that find a full queue or no socket, and the report of late ones.
#[cfg(target_os = "linux")]
#[test]
fn keep_alives_and_notifications_allocate_nothing() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("manager");
        let manager = UnixDatagram::bind(&path).unwrap();
        for (name, value) in [
            ("VARTA_NOTIFY", "1"),
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "1"),
        ] {
            // SAFETY: this child has one thread.
            unsafe { std::env::set_var(name, value) };
        }
        let mut agent = Varta::with_transport(Returning(|| Ok(32))).unwrap();
        let take = || assert!(manager.recv(&mut [0; 512]).unwrap() > 0);
        assert_nothing_allocated(|| {
            let mut sent = 0;
            for _ in 0..1_000 {
                assert_eq!(agent.beat(Status::Ok, 1), Sent);
                sent += u32::from(agent.ready() == Sent);
                sent += u32::from(agent.status("x\n\u{20ac}") == Sent);
                (0..3).for_each(|_| take());
                std::thread::sleep(Duration::from_micros(1));
            }
            assert_eq!(sent, 2_000);
        });
        assert_beats(|| agent.beat(Status::Ok, 1), |outcome| outcome == Sent);
        assert_eq!(agent.status(""), Dropped(KernelQueueFull));
        std::fs::remove_file(&path).unwrap();
        assert_beats(|| agent.beat(Status::Ok, 1), |outcome| outcome == Sent);
        assert_eq!(assert_nothing_allocated(|| agent.stopping()), Dropped(NoObserver));
    });
}

#[test]
fn the_first_beat_of_a_child_allocates_nothing() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let mut agent = Varta::connect_secure_udp_with_master(address, key()).unwrap();
    in_child(|| {
        assert_eq!(assert_nothing_allocated(|| agent.beat(Status::Ok, 1)), Sent);
        assert_eq!(agent.fork_recoveries(), 1);
    });
}

/// Asking for a page, taking it, losing it and asking again happen within beats.
#[cfg(target_os = "linux")]
#[test]
fn beats_through_a_page_allocate_nothing_from_the_attempt_to_the_loss() {
    use support::observer::LaneObserver;

    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut agent = Varta::open(&path).unwrap();
    let mut beat = || assert_nothing_allocated(|| agent.beat(Status::Ok, 1));
    for round in 0..3 {
        let observer = LaneObserver::bind(&path);
        let mut beat_until = |condition: &dyn Fn() -> bool| {
            support::wait_until(PATIENCE, || {
                let _ = beat();
                observer.datagrams.queued_datagrams();
                condition()
            });
        };
        beat_until(&|| observer.is_asked());
        let connection = observer.connection();
        let page = observer.give_page(&connection, round);
        beat_until(&|| connection.has_input());
        connection.expect_mapped();
        assert_beats(&mut beat, |outcome| outcome == Sent);
        assert!(page.beat().is_some_and(|(sequence, _)| sequence >= u64::from(BEATS)));
    }
}
