//! An observer that cannot be trusted: whatever it sends, the agent beats by datagram, writes
//! nothing to what it was given, keeps no descriptor of it, and never waits for it in a beat.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;

use support::observer::{
    ALL_SEALS, Agent, Connection, LaneObserver, Memory, SEALS, good_offer, monotonic_ns,
};
use support::{Folder, PATIENCE, in_child, wait_until};
use varta::BeatOutcome::Sent;
use varta::internal::lane::layout::PAGE_BYTES;
use varta::internal::lane::message::{Hello, Message, PageOffer, Refused};
use varta::{Status, Varta};

/// What the pages hold before the agent gets them.
const PATTERN: u64 = 0xaaaa_aaaa_aaaa_aaaa;

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// An agent that has asked for a page. It and its observer are in a process of their own.
struct Asking {
    observer: LaneObserver,
    agent: Agent,
    connection: Connection,
}

fn with_asking(test: impl FnOnce(Asking)) {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    in_child(|| {
        let observer = LaneObserver::bind(&path);
        let agent = Varta::open(&path).unwrap();
        let connection = observer.connection();
        test(Asking { observer, agent, connection });
    });
}

impl Asking {
    /// Answers, and expects that the agent ends the connection, keeps nothing that it was
    /// given, and does not ask again.
    #[track_caller]
    fn expect_rejection(mut self, case: &str, answer: &[u8], descriptors: &[RawFd]) {
        let before = open_descriptors();
        self.connection.send(answer, descriptors);
        wait_until(PATIENCE, || {
            self.beat(case);
            self.connection.has_input()
        });
        self.connection.expect_end();
        // The two ends of the connection are closed.
        drop(self.connection);
        assert_eq!(open_descriptors(), before - 2, "{case}");
        assert!(!self.observer.is_asked(), "{case}");
    }

    /// Beats by datagram.
    #[track_caller]
    fn beat(&mut self, case: &str) {
        assert_eq!(self.agent.beat(Status::Ok, 1), Sent, "{case}");
        assert_eq!(self.agent.watched(), None, "{case}");
        assert_eq!(self.observer.datagrams.queued_frames().len(), 1, "{case}");
    }
}

fn bytes_of(message: &Message) -> Vec<u8> {
    let (bytes, length) = message.encode();
    bytes.into_iter().take(length).collect()
}

#[test]
fn pages_that_are_not_sealed_or_of_the_wrong_size_are_not_mapped() {
    let cases = [
        ("unsealed", PAGE_BYTES, 0),
        ("may shrink", PAGE_BYTES, !libc::F_SEAL_SHRINK),
        ("may grow", PAGE_BYTES, !libc::F_SEAL_GROW),
        ("may be mapped for writing", PAGE_BYTES, !libc::F_SEAL_FUTURE_WRITE),
        ("may get more seals", PAGE_BYTES, !libc::F_SEAL_SEAL),
        ("empty", 0, -1),
        ("short", PAGE_BYTES / 2, -1),
        ("long", 2 * PAGE_BYTES, -1),
    ];
    for (case, bytes, seals) in cases {
        for (whose, needed) in [("the agent's", SEALS), ("the observer's", ALL_SEALS)] {
            if seals & needed == needed && bytes == PAGE_BYTES {
                continue; // a seal that this page does not need
            }
            with_asking(|asking| {
                let bad = Memory::new(bytes, seals & needed);
                let words = || bad.page().iter().take(bytes / 8);
                words().for_each(|word| word.store(PATTERN, Ordering::Relaxed));
                let good = Memory::new(PAGE_BYTES, SEALS);
                let descriptors = match needed {
                    SEALS => [bad.fd(), asking.observer.looks()],
                    _ => [good.fd(), bad.fd()],
                };
                let offer = bytes_of(&Message::Page(good_offer()));
                asking.expect_rejection(&format!("{whose} page, {case}"), &offer, &descriptors);
                assert!(words().all(|word| word.load(Ordering::Relaxed) == PATTERN), "{case}");
            });
        }
    }
}

#[test]
fn a_page_that_cannot_be_made_the_agents_own_is_not_used() {
    // Everything up to the mapping is in order, so the agent asks again, and not forever.
    with_asking(|mut asking| {
        let page = Memory::new(PAGE_BYTES, SEALS | libc::F_SEAL_SEAL);
        let offer = bytes_of(&Message::Page(good_offer()));
        let descriptors = [page.fd(), asking.observer.looks()];
        for round in 0..3 {
            asking.connection.send(&offer, &descriptors);
            wait_until(PATIENCE, || {
                asking.beat("cannot be sealed");
                asking.observer.is_asked()
            });
            asking.connection.expect_end();
            assert_eq!(page.page()[0].load(Ordering::Relaxed), 0, "round {round}");
            asking.connection = asking.observer.connection();
        }
    });
}

#[test]
fn descriptors_that_are_not_two_pages_are_closed() {
    let folder = Folder::new();
    fs::write(folder.join("file"), vec![0; PAGE_BYTES]).unwrap();
    let file = File::open(folder.join("file")).unwrap();
    for count in [0, 1, 3, 4, 5, 100, 253] {
        with_asking(|asking| {
            let page = Memory::new(PAGE_BYTES, SEALS);
            let mut descriptors = vec![page.fd(), asking.observer.looks()];
            descriptors.resize(count, file.as_raw_fd());
            let offer = bytes_of(&Message::Page(good_offer()));
            asking.expect_rejection(&format!("{count} descriptors"), &offer, &descriptors);
        });
    }
    for case in ["a file", "a socket", "twice the agent's page"] {
        with_asking(|asking| {
            let page = Memory::new(PAGE_BYTES, SEALS);
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let other = match case {
                "a file" => file.as_raw_fd(),
                "a socket" => socket.as_raw_fd(),
                _ => page.fd(),
            };
            let offer = bytes_of(&Message::Page(good_offer()));
            asking.expect_rejection(case, &offer, &[page.fd(), other]);
        });
        with_asking(|asking| {
            let offer = bytes_of(&Message::Page(good_offer()));
            let descriptors = [file.as_raw_fd(), asking.observer.looks()];
            asking.expect_rejection(case, &offer, &descriptors);
        });
    }
}

#[test]
fn places_outside_the_page_and_other_messages_are_refused() {
    let offer = |offset, pairs| Message::Page(PageOffer { offset, pairs, ..good_offer() });
    let hello = Hello { pid: 2, flags: 0, monotonic_ns: 0, nonce: 0, name: [0; 64] };
    let mut cases: Vec<_> = [
        offer(64, 32),
        offer(127, 32),
        offer(4096, 32),
        offer(u32::MAX - 127, 32),
        offer(0, 0),
        offer(0, 31),
        offer(0, 33),
        offer(0, u32::MAX),
        Message::Hello(hello),
        Message::Mapped,
        Message::Bell { pair: 0 },
        Message::Refused(Refused::new(12, "there is no place")),
    ]
    .iter()
    .map(bytes_of)
    .collect();
    let good = bytes_of(&Message::Page(good_offer()));
    cases.push(good[..127].to_vec());
    cases.push([good.as_slice(), &[0]].concat());
    cases.push(vec![0x5a; 128]);
    cases.push(vec![0; 60_000]);
    for at in [0, 4, 6, 127] {
        let mut other = good.clone();
        other[at] ^= 1;
        cases.push(other);
    }
    for (case, bytes) in cases.iter().enumerate() {
        let case = format!("case {case}: {:?}", Message::decode(bytes));
        with_asking(|asking| {
            let page = Memory::new(PAGE_BYTES, SEALS);
            page.page().iter().for_each(|word| word.store(PATTERN, Ordering::Relaxed));
            let descriptors = [page.fd(), asking.observer.looks()];
            asking.expect_rejection(&case, bytes, &descriptors);
            assert!(
                page.page().iter().all(|word| word.load(Ordering::Relaxed) == PATTERN),
                "{case}"
            );
        });
    }
}

#[test]
fn an_agent_beats_by_datagram_until_a_late_answer_comes() {
    with_asking(|mut asking| {
        for _ in 0..1_000 {
            asking.beat("no answer yet");
        }
        assert!(!asking.observer.is_asked(), "one connection is enough");
        let page = asking.observer.give_page(&asking.connection, 31);
        asking.observer.beat_until_attached(&mut asking.agent);
        asking.connection.expect_mapped();
        assert_eq!(asking.agent.beat(Status::Ok, 3), Sent);
        assert_eq!(page.last(), (Status::Ok, 3));
    });
}

#[test]
fn a_silent_observer_delays_opening_but_no_beat() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let observer = LaneObserver::bind(&path);
    let shortest = (0..20)
        .map(|_| {
            let start = monotonic_ns();
            let _agent = Varta::open(&path).unwrap();
            monotonic_ns() - start
        })
        .min();
    // All of them wait for one answer.
    assert!(shortest.unwrap() < 40_000_000, "{shortest:?}");
    let mut agent = Varta::open(&path).unwrap();
    let fastest = (0..1_000)
        .map(|_| {
            let start = monotonic_ns();
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
            let took = monotonic_ns() - start;
            observer.datagrams.queued_datagrams();
            took
        })
        .min();
    assert!(fastest.unwrap() < 5_000_000, "{fastest:?}");
}

#[test]
fn a_connection_that_is_closed_or_talks_too_much_ends_the_lane() {
    with_asking(|mut asking| {
        for round in 0..4 {
            let page = asking.observer.give_page(&asking.connection, round);
            asking.observer.beat_until_attached(&mut asking.agent);
            asking.connection.expect_mapped();
            match round {
                0 => asking.connection.send(&[0x5a], &[]),
                1 => asking.connection.answer(&Message::Mapped, &[page.fd(), page.fd()]),
                2 => asking.connection.send(&[], &[]),
                _ => asking.connection.shut_down(),
            }
            wait_until(PATIENCE, || {
                let _ = asking.agent.beat(Status::Ok, 0);
                asking.observer.datagrams.queued_datagrams();
                asking.observer.is_asked()
            });
            asking.connection.expect_end();
            asking.connection = asking.observer.connection();
        }
    });
}
