//! Beats may be lost while a queue is full: Stalls are put off, and marked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod tracker_world;

use tracker_world::*;
use varta_observer::judge::Exits;
use varta_observer::{Event, ExitCause, What};

/// When each Stall was reported, and whether it is marked.
fn stalls(events: &[Event]) -> Vec<(u64, bool)> {
    let stall = |event: &Event| match event.what {
        What::Stall { deaf, .. } => Some((event.observer_ns, deaf)),
        _ => None,
    };
    events.iter().filter_map(stall).collect()
}

/// Polls every tenth of a threshold. The queue is full at the times for which `full` is true.
fn poll_between(
    world: &mut World,
    from: u64,
    to: u64,
    full: impl Fn(u64) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    for now in (from..=to).step_by(usize::try_from(THRESHOLD / 10).unwrap()) {
        world.judge.looked(now, full(now));
        events.extend(world.judge(now));
    }
    events
}

#[test]
fn a_stall_waits_for_one_threshold_without_a_full_queue_and_for_ten_at_most() {
    for (full_until, stalled_at, deaf) in [
        (0, 1, false),
        // Full during the silence, but not when the Stall was due: put off, but not marked.
        (THRESHOLD / 2, 15, false),
        (3 * THRESHOLD, 40, true),
        (8 * THRESHOLD, 90, true),
        // Ten thresholds after it was due.
        (30 * THRESHOLD, 110, true),
    ] {
        let mut world = World::new();
        world.local(0, 10, 1);
        let events =
            poll_between(&mut world, 0, 40 * THRESHOLD, |now| now > 0 && now <= full_until);
        let stalled_at = if stalled_at == 1 { THRESHOLD } else { stalled_at * THRESHOLD / 10 };
        assert_eq!(stalls(&events), [(stalled_at, deaf)], "full until {full_until}");
        let counters = world.judge.counters();
        assert_eq!((counters.stalls, counters.stalls_deaf), (1, deaf.into()));
        // It recovers as from any other silence.
        let back = world.local(41 * THRESHOLD, 10, 2);
        assert_eq!(words(&back), ["recovered 1", "beat 1"]);
    }
}

#[test]
fn a_beat_that_gets_through_starts_a_new_silence() {
    let mut world = World::new();
    world.local(0, 10, 1);
    assert_eq!(poll_between(&mut world, 0, 5 * THRESHOLD, |_| true), []);
    world.local(5 * THRESHOLD, 10, 2);
    let events = poll_between(&mut world, 5 * THRESHOLD, 7 * THRESHOLD, |_| false);
    assert_eq!(stalls(&events), [(6 * THRESHOLD, false)]);
}

#[test]
fn an_exit_is_not_put_off() {
    let mut world = World::new();
    world.environment.exits = Exits::LookedUp;
    world.local(0, 10, 1);
    world.local(0, 11, 1);
    assert_eq!(poll_between(&mut world, 0, THRESHOLD / 2, |_| true), []);
    assert_eq!(words(&world.exited(THRESHOLD / 2, 2, ExitCause::Signal(9))), ["exit 2"]);
    world.environment.gone.insert(10, ExitCause::Code(1));
    assert_eq!(
        words(&poll_between(&mut world, THRESHOLD / 2, THRESHOLD, |_| true)),
        ["exit 1"]
    );
}

#[test]
fn kernel_drops_of_udp_put_off_only_stalls_of_network_agents() {
    let mut world = World::new();
    world.local(0, 10, 1);
    world.udp(0, "10.0.0.1", 11, 1);
    let mut events = Vec::new();
    for now in 1..=20 {
        world.judge.looked(now * THRESHOLD, false);
        world.judge.kernel_dropped(3);
        events.extend(world.judge(now * THRESHOLD));
    }
    assert_eq!(words(&events), ["stall 1", "stall 2"]);
    assert_eq!(stalls(&events), [(THRESHOLD, false), (11 * THRESHOLD, true)]);
}

#[test]
fn senders_are_counted_by_uid_while_the_queue_is_full() {
    let mut world = World::new();
    world.local(0, 10, 1);
    assert_eq!(world.judge.drain_flood().full_looks, 0);
    world.judge.looked(1, true);
    for _ in 0..3 {
        world.local(1, 10, 2);
    }
    world.judge.looked(2, false);
    world.local(2, 10, 3);
    let flood = world.judge.drain_flood();
    assert_eq!(flood.full_looks, 1);
    assert_eq!(flood.senders.iter().collect::<Vec<_>>(), [(UID, 3)]);
    assert!(world.judge.drain_flood().senders.is_empty());
}

/// Many agents can fill a short queue for a moment.
#[test]
fn a_queue_that_is_rarely_full_puts_off_no_stall() {
    for (one_in, stalled_at, deaf) in [(20, 10, false), (10, 110, true)] {
        let mut world = World::new();
        world.local(0, 10, 1);
        let mut events = Vec::new();
        for look in 1..=20_000 {
            let now = look * THRESHOLD / 1_000;
            world.judge.looked(now, look % one_in == 0);
            events.extend(world.judge(now));
        }
        assert_eq!(stalls(&events), [(stalled_at * THRESHOLD / 10, deaf)], "one in {one_in}");
    }
}
