//! A simulated observer decides as a real one does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use varta::{Frame, Status};
use varta_observer::judge::{Datagram, Namespace, Sender};
use varta_observer::{Builder, ExitCause, Simulated, Uids, What};

const MS: u64 = 1_000_000;

fn simulated(change: impl FnOnce(Builder) -> Builder) -> Simulated {
    let builder = Builder::new().threshold(Duration::from_secs(2)).uids(Uids::Any);
    change(builder).simulate().unwrap()
}

fn feed_beat(observer: &mut Simulated, at_ns: u64, pid: u32, claimed_pid: u32) {
    let mut wire = [0; 32];
    Frame::new(Status::Ok, claimed_pid, 0, 1, 0).encode(&mut wire);
    let sender = Sender::Kernel { pid, uid: 0, process: None };
    observer.feed(at_ns, &Datagram::new(0, sender, &wire));
}

fn kinds(observer: &mut Simulated) -> Vec<&'static str> {
    std::iter::from_fn(|| observer.poll()).map(|event| event.what.name()).collect()
}

#[test]
fn the_shortest_threshold_decides_what_counts_as_a_pause() {
    let mut observer = simulated(|builder| builder);
    observer.late(900 * MS, 0);
    assert_eq!(observer.poll(), None);
    feed_beat(&mut observer, 900 * MS, 4321, 4321);
    assert!(observer.set_threshold(1, 200 * MS));
    observer.late(1_001 * MS, 900 * MS);
    let events: Vec<What> = std::iter::from_fn(|| observer.poll()).map(|e| e.what).collect();
    assert_eq!(events.last(), Some(&What::Paused { ns: 101 * MS }));

    let mut fixed = simulated(|builder| builder.pause_after(Duration::from_secs(5)));
    feed_beat(&mut fixed, 0, 4321, 4321);
    assert!(fixed.set_threshold(1, 200 * MS));
    fixed.late(5_000 * MS, 0);
    assert_eq!(kinds(&mut fixed), ["beat"]);
}

#[test]
fn an_exit_is_not_reported_without_exit_detection() {
    let mut observer = simulated(|builder| builder.detect_exits(false).capacity(1));
    feed_beat(&mut observer, 0, 4321, 4321);
    assert!(!observer.exit(MS, 4321, ExitCause::Code(0)));
    observer.advance(2_000 * MS);
    assert_eq!(kinds(&mut observer), ["beat", "stall"]);

    // After ten thresholds of silence there is room for another agent.
    observer.advance(19_999 * MS);
    feed_beat(&mut observer, 19_999 * MS, 77, 77);
    observer.advance(20_000 * MS);
    feed_beat(&mut observer, 20_000 * MS, 77, 77);
    assert_eq!(kinds(&mut observer), ["beat"]);
    assert_eq!((observer.stats().capacity_exceeded, observer.stats().evictions), (1, 1));
}

#[test]
fn a_simulated_process_can_be_in_another_namespace() {
    let mut observer = simulated(|builder| builder.namespaces(true));
    feed_beat(&mut observer, 0, 4321, 7);
    observer.set_namespace(4321, Namespace::Other);
    feed_beat(&mut observer, 0, 4321, 7);
    feed_beat(&mut observer, 0, 4322, 7);
    assert_eq!(kinds(&mut observer), ["auth-failure", "beat", "auth-failure"]);
}

#[test]
fn a_suspend_right_after_a_poll_counts() {
    let mut observer = simulated(|builder| builder);
    observer.late(10_000 * MS, 5_000 * MS);
    observer.suspended(10_000 * MS, 3_000 * MS);
    observer.suspended(10_000 * MS, 2_000 * MS);
    observer.late(11_000 * MS, 11_000 * MS);
    let events: Vec<What> = std::iter::from_fn(|| observer.poll()).map(|e| e.what).collect();
    let pauses = [5_000, 3_000, 2_000].map(|ms| What::Paused { ns: ms * MS });
    assert_eq!(events, pauses);
}
