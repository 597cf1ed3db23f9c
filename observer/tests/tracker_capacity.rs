//! The capacity, and which agents make room for others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod tracker_world;

use tracker_world::*;
use varta_observer::judge::Exits;
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{ExitCause, Uids};

const A: &str = "10.0.0.1";

fn of_capacity(capacity: usize) -> World {
    World::with(|settings| settings.capacity = capacity)
}

#[test]
fn an_agent_beyond_the_capacity_is_refused_and_counted() {
    let mut world = of_capacity(3);
    for pid in 10..20 {
        world.local(0, pid, 1);
    }
    assert_eq!(world.judge.followed(), 3);
    assert_eq!(world.judge.drain_capacity_exceeded(), 7);
    assert_eq!(world.judge.drain_capacity_exceeded(), 0);
    assert_eq!(words(&world.local(1, 12, 2)), ["beat 3"], "a followed agent stays");
    world.exited(2, 2, ExitCause::Code(0));
    assert_eq!(words(&world.local(3, 13, 1)), ["beat 4"], "an exit makes room");
    world.assert_accounted();
}

#[test]
fn a_stalled_agent_whose_exit_would_be_seen_is_not_evicted() {
    for exits in [Exits::Reported, Exits::LookedUp] {
        let mut world = of_capacity(1);
        world.environment.exits = exits;
        world.local(0, 10, 1);
        world.judge(1000 * THRESHOLD);
        assert_eq!(world.local(1000 * THRESHOLD, 11, 1), [], "{exits:?}");
        assert_eq!(words(&world.local(1001 * THRESHOLD, 10, 2)), ["recovered 1", "beat 1"]);
        assert_eq!(world.judge.drain_evictions(), 0);
    }
}

#[test]
fn without_exit_detection_ten_thresholds_of_silence_make_room() {
    let mut world = of_capacity(3);
    world.environment.exits = Exits::Unseen;
    world.local(0, 10, 1);
    world.local(5, 11, 1);
    world.local(9, 12, 1);
    world.judge.set_threshold(2, 2 * THRESHOLD);
    let all = world.judge(10 * THRESHOLD - 1);
    assert_eq!(words(&all), ["stall 1", "stall 3", "stall 2"]);
    assert_eq!(world.local(10 * THRESHOLD - 1, 13, 1), [], "not yet");
    assert_eq!(
        world.judge(10 * THRESHOLD + 9),
        [],
        "there is no event when an agent counts as gone"
    );
    assert_eq!(
        words(&world.local(10 * THRESHOLD + 9, 13, 1)),
        ["beat 4"],
        "the one that is gone longest makes room"
    );
    assert_eq!(world.environment.calls[3], "released 1");
    assert_eq!(words(&world.local(10 * THRESHOLD + 10, 12, 2)), ["recovered 3", "beat 3"]);
    assert_eq!(
        world.local(10 * THRESHOLD + 11, 14, 1),
        [],
        "3 has recovered, 2 has its own threshold"
    );
    assert_eq!(words(&world.judge(12 * THRESHOLD)), ["stall 4", "stall 3"]);
    assert_eq!(world.judge(20 * THRESHOLD + 5), []);
    assert_eq!(words(&world.local(20 * THRESHOLD + 5, 14, 1)), ["beat 5"]);
    assert_eq!(world.environment.calls[5], "released 2");
    assert_eq!(world.judge.drain_evictions(), 2);
    assert_eq!(world.judge.drain_evictions(), 0);
    world.assert_accounted();
}

#[test]
fn a_pause_does_not_count_towards_ten_thresholds() {
    let away = 100 * THRESHOLD;
    // Once before the Stall, and once after it.
    for paused_at in [1, THRESHOLD] {
        let mut world = of_capacity(1);
        world.environment.exits = Exits::Unseen;
        world.local(0, 10, 1);
        world.judge(paused_at);
        world.judge.pause(paused_at + away, away);
        while world.judge.next_event().is_some() {}
        world.judge(10 * THRESHOLD + away - 1);
        assert_eq!(world.local(10 * THRESHOLD + away - 1, 11, 1), [], "{paused_at}");
        world.judge(10 * THRESHOLD + away);
        assert_eq!(words(&world.local(10 * THRESHOLD + away, 11, 1)), ["beat 2"]);
    }
}

#[test]
fn an_agent_that_counts_as_gone_can_still_exit() {
    let mut world = of_capacity(2);
    world.environment.exits = Exits::Unseen;
    world.local(0, 10, 1);
    world.local(0, 11, 1);
    world.judge(20 * THRESHOLD);
    world.exited(20 * THRESHOLD, 1, ExitCause::Unknown);
    world.judge.exiting(world.slot(2));
    assert_eq!(words(&world.local(21 * THRESHOLD, 12, 1)), ["beat 3"]);
    assert_eq!(world.local(21 * THRESHOLD, 13, 1), [], "2 still waits for its exit code");
    world.exited(21 * THRESHOLD, 2, ExitCause::Code(1));
    assert_eq!(words(&world.local(21 * THRESHOLD, 13, 1)), ["beat 4"]);
}

#[test]
fn the_way_an_exit_is_detected_can_change_at_any_time() {
    let mut world = of_capacity(1);
    world.local(0, 10, 1);
    world.judge(THRESHOLD);
    assert_eq!(world.judge.next_deadline(), None, "there is nothing to look up");
    world.judge.set_exits(world.slot(1), Exits::Unseen);
    assert!(world.judge.next_deadline().is_some());
    world.judge(10 * THRESHOLD);
    // It counts as gone, but then its exit is reported after all.
    world.judge.set_exits(world.slot(1), Exits::Reported);
    assert_eq!(world.local(20 * THRESHOLD, 11, 1), []);
    world.judge.set_exits(world.slot(1), Exits::LookedUp);
    world.environment.gone.insert(10, ExitCause::Signal(9));
    assert_eq!(words(&world.judge(20 * THRESHOLD)), ["exit 1"]);
}

#[test]
fn a_threshold_per_agent_decides_when_it_makes_room() {
    let mut world = of_capacity(1);
    world.environment.exits = Exits::Unseen;
    world.local(0, 10, 1);
    world.judge(10 * THRESHOLD);
    world.judge.set_threshold(1, 5 * THRESHOLD);
    world.judge(50 * THRESHOLD - 1);
    assert_eq!(world.local(50 * THRESHOLD - 1, 11, 1), []);
    world.judge(50 * THRESHOLD);
    assert_eq!(words(&world.local(50 * THRESHOLD, 11, 1)), ["beat 2"]);
}

#[test]
fn forged_network_agents_leave_half_the_capacity_to_local_agents() {
    let mut world = of_capacity(10);
    for pid in 100..200 {
        world.udp(0, A, pid, 1);
    }
    assert_eq!(world.judge.followed(), 5);
    for pid in 10..15 {
        assert_eq!(world.local(0, pid, 1).len(), 1);
    }
    assert_eq!(world.local(0, 15, 1), []);
    // Network agents that are gone make room for other network agents at the bound.
    world.judge(10 * THRESHOLD);
    assert_eq!(words(&world.udp(10 * THRESHOLD, A, 300, 1)), ["beat 11"]);
    assert_eq!(world.judge.agents(0).filter(|(_, agent)| agent.pid == 0).count(), 5);
    // When the table is full, they make room for local agents.
    assert_eq!(words(&world.local(10 * THRESHOLD, 15, 1)), ["beat 12"]);
    assert_eq!(world.judge.agents(0).filter(|(_, agent)| agent.pid == 0).count(), 4);
    assert_eq!(world.judge.drain_evictions(), 2);
    world.assert_accounted();
}

#[test]
fn a_local_agent_that_is_gone_makes_no_room_for_network_agents_beyond_half() {
    let mut world = of_capacity(2);
    world.environment.exits = Exits::Unseen;
    world.local(0, 10, 1);
    world.judge(10 * THRESHOLD);
    world.udp(10 * THRESHOLD, A, 50, 1);
    assert_eq!(world.udp(10 * THRESHOLD, A, 51, 1), [], "half of the capacity is used");
    assert_eq!(words(&world.local(10 * THRESHOLD, 11, 1)), ["beat 3"]);
    world.assert_accounted();
}

#[test]
fn slots_are_reused() {
    let mut world = of_capacity(64);
    for round in 0..5_000_u64 {
        let pid = u32::try_from(round).unwrap() + 2;
        assert_eq!(world.local(round, pid, 1).len(), 1);
        let slot = world.judge.find_pid(pid).unwrap();
        assert!(slot.index() < 64);
        if round >= 50 {
            world.exited(round, round + 1 - 50, ExitCause::Code(0));
        }
    }
    assert_eq!(world.judge.followed(), 50);
    assert_eq!(words(&world.judge(u64::MAX)).len(), 50);
}

/// A beat of a process of a given user.
fn local_of(world: &mut World, uid: u32, now: u64, pid: u32) -> Vec<varta_observer::Event> {
    let sender = Sender::Kernel { pid, uid, process: None };
    world.receive(now, &Datagram::new(0, sender, &frame(pid, 1)))
}

fn for_any_user(capacity: usize) -> World {
    World::with(|settings| {
        settings.capacity = capacity;
        settings.policy.uids = Uids::Any;
    })
}

#[test]
fn stalled_agents_of_one_user_make_room_for_others_up_to_an_equal_share() {
    const SITTER: u32 = 65_534;
    let mut world = for_any_user(16);
    for pid in 100..120 {
        local_of(&mut world, SITTER, 0, pid);
    }
    assert_eq!(world.judge.followed(), 14, "an eighth is left to others");
    assert_eq!(world.judge.drain_refused().iter().collect::<Vec<_>>(), [(SITTER, 6)]);
    for pid in 10..12 {
        assert_eq!(local_of(&mut world, 0, 0, pid).len(), 1);
    }
    assert_eq!(local_of(&mut world, 0, 0, 12), [], "a live agent is not evicted");
    world.judge(THRESHOLD);
    for pid in 12..18 {
        assert_eq!(local_of(&mut world, 0, THRESHOLD, pid).len(), 1);
    }
    assert_eq!(
        world.environment.calls[16], "released 1",
        "the one that stalled first makes room"
    );
    assert_eq!(local_of(&mut world, 0, THRESHOLD, 18), [], "its user has an equal share, half");
    assert_eq!(
        local_of(&mut world, SITTER, THRESHOLD, 200),
        [],
        "its user has more than an equal share"
    );
    assert_eq!(world.judge.drain_refused().iter().collect::<Vec<_>>(), [(0, 2), (SITTER, 1)]);
    assert_eq!(world.judge.drain_evictions(), 6);
    world.assert_accounted();
}

#[test]
fn live_agents_of_one_user_leave_an_eighth_to_others() {
    let mut world = for_any_user(16);
    for at in [0, THRESHOLD / 2, THRESHOLD] {
        for pid in 100..120 {
            local_of(&mut world, 65_534, at, pid);
        }
        world.judge(at);
    }
    assert_eq!(words(&local_of(&mut world, 0, THRESHOLD, 10)), ["beat 15"]);
    // An agent that is gone makes room for agents of its own user.
    world.judge(3 * THRESHOLD);
    for slot in 1..=15 {
        world.judge.set_exits(world.slot(slot), Exits::Unseen);
    }
    world.judge(20 * THRESHOLD);
    assert_eq!(words(&local_of(&mut world, 65_534, 20 * THRESHOLD, 300)), ["beat 16"]);
    world.assert_accounted();
}
