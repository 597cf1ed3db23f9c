//! Beats through a page that is shared with an observer: they reach it without a system call,
//! and go as datagrams whenever there is no page.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::observer::{
    ALL_SEALS, LaneObserver, THRESHOLD_NS, bind_abstract, good_offer, lane_of, monotonic_ns,
};
use support::{Child, Folder, PATIENCE, Receiver, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver};
use varta::internal::lane::message::{Message, PageOffer};
use varta::{Options, Status, Varta, v1};

fn at(folder: &Folder) -> PathBuf {
    folder.join("varta.sock")
}

#[test]
fn beats_go_into_the_page_and_not_to_the_socket() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (mut agent, connection, page) = observer.attach(&at(&folder));
    assert_eq!(connection.hello.pid, std::process::id());
    assert_eq!(page.seals(), ALL_SEALS, "the agent must add seals");

    let (first, hot) = page.beat().unwrap();
    assert_eq!(agent.beat(Status::Critical, 7), Sent);
    let (second, later) = page.beat().unwrap();
    assert_eq!((second, page.last()), (first + 1, (Status::Critical, 7)));
    assert_eq!(later.last, hot.last + 1, "the nonces count the beats");
    assert!(later.at > hot.at && later.at <= monotonic_ns());
    assert_eq!(later.until, 0, "the observer knows the threshold");
    assert_eq!(observer.datagrams.queued_datagrams(), Vec::<Vec<u8>>::new());
    // SAFETY: has no arguments and cannot fail.
    #[allow(unsafe_code, reason = "the id of this thread")]
    let thread = unsafe { libc::gettid() };
    assert_eq!(page.head().thread, thread.unsigned_abs());
    assert!(format!("{agent:?}").contains("beats_go_by: \"lane\""), "{agent:?}");
}

#[test]
fn an_agent_follows_observers_that_come_and_go() {
    let folder = Folder::new();
    let path = at(&folder);
    let mut agent = Varta::open(&path).unwrap();
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));

    let mut last = 0;
    for round in 1..=5 {
        let observer = LaneObserver::bind(&path);
        wait_until(PATIENCE, || {
            let _ = agent.beat(Status::Ok, round);
            observer.datagrams.queued_datagrams();
            observer.is_asked()
        });
        let connection = observer.connection();
        let page = observer.give_page(&connection, round * 7);
        observer.beat_until_attached(&mut agent);
        connection.expect_mapped();
        let (sequence, _) = page.beat().expect("a new page has the last beat");
        assert!(sequence > last, "{sequence} after {last}");
        assert_eq!(agent.beat(Status::Degraded, round), Sent);
        assert_eq!(page.last(), (Status::Degraded, round));
        last = page.beat().unwrap().0;

        // Between its checks the agent cannot know that the observer has ended.
        drop((connection, observer));
        wait_until(PATIENCE, || agent.beat(Status::Ok, 0) != Sent);
        assert_eq!(agent.watched(), None);
        assert!(format!("{agent:?}").contains("beats_go_by: \"datagram\""), "{agent:?}");
    }
}

#[test]
fn observers_that_are_killed_are_followed() {
    let folder = Folder::new();
    let path = at(&folder);
    let mut agent = Varta::open(&path).unwrap();
    for _ in 0..5 {
        // Killed when it is dropped.
        let observer = Child::start(|| serve(&path, || true));
        wait_until(PATIENCE, || {
            let _ = agent.beat(Status::Ok, 0);
            agent.watched().is_some()
        });
        assert_eq!(agent.beat(Status::Ok, 1), Sent);
        drop(observer);
        wait_until(PATIENCE, || agent.beat(Status::Ok, 0) != Sent);
        assert_eq!(agent.watched(), None);
    }
}

/// An observer that gives each connection a page, as long as the condition holds.
fn serve(path: &Path, goes_on: impl Fn() -> bool) {
    let observer = LaneObserver::bind(path);
    let mut given = Vec::new();
    while goes_on() {
        observer.look();
        observer.datagrams.queued_datagrams();
        if let Some(connection) = observer.connection_now() {
            let page = observer.give_page(&connection, 0);
            given.push((connection, page));
        }
    }
}

/// The page is replaced again and again while threads write into it.
#[test]
fn threads_beat_on_while_their_page_is_replaced() {
    const PAGES: u32 = 20;
    let folder = Folder::new();
    let path = at(&folder);
    let observer = LaneObserver::bind(&path);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for thread in 1..=3 {
            let (path, is_over) = (&path, &is_over);
            threads.spawn(move || {
                let mut agent = Varta::open(path).unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    let outcome = agent.beat(Status::Ok, thread);
                    assert!(matches!(outcome, Sent | Dropped(KernelQueueFull)), "{outcome}");
                }
            });
        }
        let _over = SetWhenDropped(&is_over);
        let mut newest = 0;
        let mut mapped = 0;
        while mapped < PAGES {
            let drained = |condition: &dyn Fn() -> bool| {
                wait_until(PATIENCE, || {
                    observer.datagrams.queued_datagrams();
                    condition()
                });
            };
            drained(&|| observer.is_asked());
            let connection = observer.connection();
            let page = observer.give_page(&connection, mapped);
            drained(&|| connection.has_input());
            if connection.next() != Some(Message::Mapped) {
                continue; // A thread was interrupted while it wrote, so the agent asks again.
            }
            mapped += 1;
            for _ in 0..1_000 {
                let (_, hot) = page.beat().expect("a page has the last beat");
                assert!(hot.at >= newest && (1..=3).contains(&page.last().1), "{hot:?}");
                newest = hot.at;
            }
            drained(&|| page.beat().is_some_and(|(_, hot)| hot.at > newest));
        }
    });
}

/// Ends the other threads of a test, also when it panics.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_agent_rests_while_datagrams_are_taken_where_there_is_no_lane() {
    let folder = Folder::new();
    let path = at(&folder);
    let receiver = Receiver::uds(&path);
    let mut agent = Varta::open(&path).unwrap();
    let late = LaneObserver::bind(&folder.join("other"));
    fs::rename(lane_of(&folder.join("other")), lane_of(&path)).unwrap();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(110));
        assert_eq!(agent.beat(Status::Ok, 1), Sent);
        assert_eq!(receiver.queued_frames().len(), 1);
    }
    assert!(!late.is_asked(), "an old observer must cost nothing");

    // `reconnect` ends the rest.
    agent.reconnect().unwrap();
    wait_until(PATIENCE, || {
        assert_eq!(agent.beat(Status::Ok, 1), Sent);
        receiver.queued_datagrams();
        late.is_asked()
    });

    // So does a refused datagram.
    late.connection().refuse();
    wait_until(PATIENCE, || {
        assert_eq!(agent.beat(Status::Ok, 2), Sent);
        receiver.queued_datagrams();
        late.connection_now().is_none()
    });
    drop(receiver);
    wait_until(PATIENCE, || agent.beat(Status::Ok, 3) != Sent && late.is_asked());
}

#[test]
fn datagrams_are_sent_on_request_and_where_a_line_has_no_room() {
    let folder = Folder::new();
    let path = at(&folder);
    let observer = LaneObserver::bind(&path);
    let off = format!("{}?lane=off", path.display());
    let mut agents = [
        Varta::open(&off).unwrap(),
        Varta::open(format!("unix://{off}")).unwrap(),
        Varta::open_with(
            &path.to_str().unwrap().parse().unwrap(),
            Options::default().lane(false),
        )
        .unwrap(),
    ];
    for agent in &mut agents {
        assert_eq!(agent.beat(Status::Ok, 5), Sent);
    }
    assert_eq!(v1::Varta::open(&path).unwrap().beat(Status::Ok, u64::MAX), Sent);
    assert_eq!(Varta::connect(&path).unwrap().beat(Status::Ok, 5), Sent);
    assert_eq!(observer.datagrams.queued_datagrams().len(), 5);
    assert!(!observer.is_asked());

    // Too long with its suffix: only datagrams are left.
    let name = "x".repeat(106 - folder.path().as_os_str().len());
    let receiver = Receiver::uds(folder.join(&name));
    assert_eq!(Varta::open(folder.join(&name)).unwrap().beat(Status::Ok, 5), Sent);
    assert_eq!(receiver.queued_frames().len(), 1);
}

#[test]
fn an_abstract_name_has_a_lane() {
    let folder = Folder::new();
    let name = format!("@varta-lane-{}", folder.path().display());
    let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
    let receiver = Receiver::of(UnixDatagram::bind_addr(&address).unwrap());
    let observer = bind_abstract(&name, receiver);
    let (mut agent, _connection, page) = observer.attach(name.as_ref());
    assert_eq!(agent.beat(Status::Ok, 9), Sent);
    assert_eq!(page.last(), (Status::Ok, 9));

    let mut off = Varta::open(format!("{name}?lane=off")).unwrap();
    assert_eq!(off.beat(Status::Ok, 9), Sent);
    assert_eq!(observer.datagrams.queued_datagrams().len(), 1);
}

#[test]
fn an_observer_that_does_not_look_drops_beats_without_datagrams() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (mut agent, connection, page) = observer.attach(&at(&folder));
    agent.set_reconnect_after(1);
    observer.set_interval(1_000_000);
    observer.looked_at(monotonic_ns() - 2_100_000);
    // Until it looks again the agent need not notice, and then it does with each beat.
    wait_until(PATIENCE, || agent.beat(Status::Ok, 1) == Dropped(NoObserver));
    for payload in 2..50 {
        assert_eq!(agent.beat(Status::Ok, payload), Dropped(NoObserver));
        assert_eq!(page.last().1, payload, "the line is written all the same");
    }
    assert!(agent.watched().unwrap() > Duration::from_millis(2));
    assert_eq!(observer.datagrams.queued_datagrams().len(), 0);
    assert!(!observer.is_asked() && !connection.has_input());

    observer.set_interval(THRESHOLD_NS);
    observer.look();
    assert_eq!(agent.beat(Status::Ok, 51), Sent);
    assert!(agent.watched().unwrap() < PATIENCE);
    // A look in the future was just now.
    observer.looked_at(monotonic_ns() + THRESHOLD_NS);
    assert_eq!((agent.beat(Status::Ok, 52), agent.watched()), (Sent, Some(Duration::ZERO)));
}

#[test]
fn the_bell_rings_when_the_status_changes_or_a_beat_is_late() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (mut agent, connection, _page) = observer.attach(&at(&folder));
    let mut beat = |status| assert_eq!(agent.beat(status, 0), Sent);
    beat(Status::Ok);
    assert!(!connection.has_input());
    for status in [Status::Degraded, Status::Critical, Status::Ok] {
        beat(status);
        assert_eq!(connection.next(), Some(Message::Bell { pair: 0 }));
        beat(status);
        assert!(!connection.has_input(), "{status:?} again");
    }

    let path = folder.join("strict");
    let observer = LaneObserver::bind(&path);
    let offer = PageOffer { threshold_ns: 1_000, ..good_offer() };
    let (mut agent, connection, _page) = observer.attach_as(&path, offer);
    std::thread::sleep(Duration::from_micros(2));
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    assert_eq!(connection.next(), Some(Message::Bell { pair: 0 }));
}

#[test]
fn an_agent_in_a_time_namespace_knows_when_the_observer_looked() {
    let folder = Folder::new();
    let path = at(&folder);
    let observer = LaneObserver::bind(&path);
    let mut agent = Varta::open(&path).unwrap();
    // As if the agent's clock were this much ahead of the observer's.
    let ahead = 1_000_000_000_000;
    let offer = PageOffer { clock_offset: ahead, ..good_offer() };
    observer.set_interval(1_000_000_000);
    // If this process does not run for a while, the answer is too late, and the agent asks again.
    let mut page = None;
    wait_until(PATIENCE, || {
        if observer.is_asked() {
            let connection = observer.connection();
            assert!(connection.hello.monotonic_ns <= monotonic_ns());
            page = Some((observer.give_page_as(&connection, offer), connection));
            observer.looked_at(monotonic_ns().wrapping_sub(ahead.unsigned_abs()));
        }
        let _ = agent.beat(Status::Ok, 0);
        observer.datagrams.queued_datagrams();
        agent.watched().is_some()
    });
    assert!(agent.watched().unwrap() < PATIENCE);

    // A sample of the clock that waited for long says nothing of an offset.
    let path = folder.join("late");
    let observer = LaneObserver::bind(&path);
    let mut agent = Varta::open(&path).unwrap();
    let connection = observer.connection();
    std::thread::sleep(Duration::from_millis(600));
    let _page = observer.give_page_as(&connection, offer);
    wait_until(PATIENCE, || {
        assert_eq!(agent.beat(Status::Ok, 1), Sent);
        observer.datagrams.queued_datagrams();
        observer.is_asked()
    });
    connection.expect_end();
    let connection = observer.connection();
    let _page = observer.give_page(&connection, 0);
    observer.beat_until_attached(&mut agent);
}

#[test]
fn all_handles_of_a_process_share_one_page() {
    let folder = Folder::new();
    let path = at(&folder);
    let observer = LaneObserver::bind(&path);
    let (mut one, _connection, page) = observer.attach(&path);
    let (_, before) = page.beat().unwrap();

    // They share the nonces with datagrams, too.
    let mut two = Varta::open(&path).unwrap();
    let mut datagrams = Varta::connect(&path).unwrap();
    assert!(!observer.is_asked());
    assert_eq!([one.beat(Status::Ok, 1), two.beat(Status::Ok, 2)], [Sent, Sent]);
    assert_eq!(datagrams.beat(Status::Ok, 3), Sent);
    assert_eq!(two.beat(Status::Ok, 4), Sent);
    assert_eq!(observer.datagrams.next_frame().nonce, before.last + 3);
    assert_eq!((page.last().1, page.beat().unwrap().1.last), (4, before.last + 4));
    assert!(!format!("{datagrams:?}").contains("lane"), "{datagrams:?}");

    // Each beat of many threads is counted, be it in the line or a datagram.
    const THREADS: u32 = 4;
    const BEATS: u32 = 20_000;
    std::thread::scope(|threads| {
        let beating: Vec<_> = (0..THREADS)
            .map(|thread| {
                let mut agent = Varta::open(&path).unwrap();
                threads.spawn(move || {
                    for _ in 0..BEATS {
                        assert_ne!(agent.beat(Status::Ok, thread), Dropped(NoObserver));
                    }
                })
            })
            .collect();
        let mut last = 0;
        while !beating.iter().all(|thread| thread.is_finished()) {
            observer.datagrams.queued_datagrams();
            let (_, hot) = page.beat().unwrap();
            assert!(hot.at >= last && hot.at <= monotonic_ns());
            last = hot.at;
        }
    });
    assert_eq!(two.beat(Status::Ok, 4), Sent);
    let beats = u64::from(THREADS * BEATS) + 5;
    assert_eq!(page.beat().unwrap().1.last, before.last + beats);
}

#[test]
fn a_name_in_the_options_precedes_that_in_the_environment() {
    for (option, wanted) in [("indexer", "indexer"), ("", "web")] {
        let folder = Folder::new();
        in_child(|| {
            set_name(Some("web"));
            let observer = LaneObserver::bind(&at(&folder));
            let endpoint = at(&folder).to_str().unwrap().parse().unwrap();
            let options = Options::default().name(option);
            let _agent = Varta::open_with(&endpoint, options).unwrap();
            let name = observer.connection().hello.name;
            assert!(name.starts_with(wanted.as_bytes()) && name[wanted.len()] == 0);
        });
    }
}

#[test]
fn the_name_of_the_service_is_taken_from_the_environment() {
    let longest = "x".repeat(61) + "é";
    for (set, wanted) in [
        (None, ""),
        (Some("web"), "web"),
        (Some(longest.as_str()), longest.as_str()),
        // Cut before what does not fit.
        (Some(&*("x".repeat(62) + "é")), &*"x".repeat(62)),
    ] {
        let folder = Folder::new();
        in_child(|| {
            set_name(set);
            let observer = LaneObserver::bind(&at(&folder));
            let _agent = Varta::open(at(&folder)).unwrap();
            let name = observer.connection().hello.name;
            let end = name.iter().position(|byte| *byte == 0).expect("a NUL");
            assert_eq!(std::str::from_utf8(&name[..end]), Ok(wanted));
            assert!(name[end..].iter().all(|byte| *byte == 0));
        });
    }
}

/// In a child, which has one thread.
#[allow(unsafe_code, reason = "the environment of a child that has one thread")]
fn set_name(name: Option<&str>) {
    match name {
        // SAFETY: no other thread uses the environment.
        Some(name) => unsafe { std::env::set_var("VARTA_NAME", name) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var("VARTA_NAME") },
    }
}
