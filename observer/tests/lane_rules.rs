//! The rules by which lines of processes in shared memory are judged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod lane_world;
mod tracker_world;

use lane_world::*;
use tracker_world::*;
use varta::Status;
use varta::internal::lane::layout::Hot;
use varta_observer::judge::{Attaching, Exits, Namespace, Refusal};
use varta_observer::{ExitCause, Uids, What};

// The threshold is 100 ms, so pages are looked at every 50 ms.

#[test]
fn beats_are_counted_at_each_look() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(5 * MS, 70);
    for at in [6, 7, 8] {
        process.beat(&world, at * MS);
    }
    assert_eq!(world.judge.next_look(), Some(50 * MS));
    assert_eq!(world.advance(49 * MS), []);
    let events = world.advance(50 * MS);
    assert_eq!(short(&events), ["50000000: beat 1 x3"]);
    assert!(matches!(events[0].what, What::Beat { nonce: 3, missed: 0, .. }));
    let info = world.judge.agent(world.slot(1), 50 * MS).unwrap();
    assert_eq!((info.pid, info.last_ns, info.beats, info.lane), (70, 8 * MS, 3, true));
    assert_eq!(world.advance(100 * MS), []);
    assert_eq!(world.environment.calls, ["admitted 1 pid 70 process None", "joined 0 page 0"]);
    assert_eq!((world.judge.counters().lane_beats, world.judge.counters().lane_looks), (3, 3));
    world.assert_accounted();
}

#[test]
fn a_silent_process_stalls_exactly_at_its_threshold_and_no_timer_runs_while_it_beats() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    for beat in 1..=20 {
        world.live_until(beat * 10 * MS);
        process.beat(&world, beat * 10 * MS);
        let deadline = world.judge.next_deadline();
        assert_eq!(deadline, None, "it is seen again by the next look");
    }
    let last = 200 * MS;
    assert_eq!(short(&world.live_until(249 * MS)), [] as [&str; 0]);
    let events = world.live_until(1_000 * MS);
    let names: Vec<_> = short(&events);
    assert_eq!(
        names,
        [
            "250000000: beat 1 x1".to_owned(),
            format!("{}: stall 1 last {last}", last + THRESHOLD)
        ]
    );
    process.beat(&world, 1_020 * MS);
    let events = world.look(1_021 * MS, process.page);
    assert_eq!(
        short(&events),
        ["1021000000: recovered 1 beat after 820000000", "1021000000: beat 1 x1"]
    );
    assert_eq!((world.judge.counters().stalls, world.judge.counters().recoveries), (1, 1));
}

#[test]
fn a_beat_that_no_look_has_seen_yet_prevents_a_stall() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, 30 * MS);
    world.live_until(129 * MS);
    assert!(world.judge.next_deadline().is_some());
    process.beat(&world, 120 * MS);
    assert_eq!(short(&world.judge(130 * MS)), ["130000000: beat 1 x1"]);
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["220000000: stall 1 last 120000000"]);
}

#[test]
fn an_observer_that_was_stopped_loses_no_beat_and_reports_no_false_stall() {
    let mut world = lane_world(|settings| settings.pages = 1000);
    let mut processes: Vec<_> = (0..1000).map(|pid| world.process(0, 100 + pid)).collect();
    for process in &mut processes {
        for beat in 0..500 {
            process.beat(&world, beat * 10 * MS + 1);
        }
    }
    world.pause(5_000 * MS, 4_990 * MS);
    let events = world.advance(5_000 * MS);
    assert_eq!(events.len(), 1000);
    assert!(events.iter().all(|event| matches!(event.what, What::Beat { count: 500, .. })));
    // One that has died in the pause is found within a threshold after it.
    let events = world.live_until(6_000 * MS);
    assert_eq!(events.len(), 1000);
    assert!(events.iter().all(|event| event.observer_ns == 5_000 * MS + THRESHOLD));
}

#[test]
fn a_pause_is_given_back_once_and_without_the_time_of_a_suspend() {
    let mut world = lane_world(|_| {});
    world.judge.set_clocks(0, 1_000 * MS);
    let mut process = world.process(0, 70);
    process.beat(&world, 1_001 * MS);
    assert_eq!(world.look(2 * MS, process.page).len(), 1);
    // 10 s of suspend, and 40 ms before it in which the observer was not scheduled.
    world.judge.set_clocks(10_042 * MS, 1_042 * MS);
    world.pause(10_042 * MS, 10_040 * MS);
    let events = world.live_until(11_000 * MS);
    let stall = (1 + 100 + 40 + 10_000) * MS;
    assert_eq!(short(&events), [format!("{stall}: stall 1 last {}", 10_001 * MS)]);
    process.beat(&world, 2_000 * MS);
    let events = world.look(11_000 * MS, process.page);
    assert_eq!(
        short(&events)[0],
        format!("{}: recovered 1 beat after {}", 11_000 * MS, 999 * MS)
    );
}

#[test]
fn a_line_written_before_a_suspend_and_read_after_it_has_its_threshold() {
    let mut world = lane_world(|_| {});
    world.judge.set_clocks(0, 0);
    let mut process = world.process(0, 70);
    process.beat(&world, 20 * MS);
    world.judge.set_clocks(60_021 * MS, 21 * MS);
    world.pause(60_021 * MS, 60_000 * MS);
    let events = world.live_until(70_000 * MS);
    let last = 60_020 * MS;
    let beat = format!("{}: beat 1 x1", 60_021 * MS);
    assert_eq!(short(&events), [beat, format!("{}: stall 1 last {last}", last + THRESHOLD)]);
}

#[test]
fn a_process_in_another_time_namespace_is_judged_by_its_own_clock() {
    let mut world = lane_world(|_| {});
    let ahead = 50_000 * MS;
    let attaching = Attaching { clock_offset: 50_000_000_000, ..attaching(70) };
    let mut process = world.process_as(0, &attaching);
    process.beat(&world, ahead + MS);
    let events = world.live_until(200 * MS);
    let stall = format!("{}: stall 1 last {MS}", MS + THRESHOLD);
    assert_eq!(short(&events), ["50000000: beat 1 x1".to_owned(), stall]);
}

#[test]
fn what_no_process_may_write_is_no_news() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, 30 * MS);
    assert_eq!(world.look(31 * MS, process.page).len(), 1);
    let good = Hot { at: 40 * MS, until: 0, info: plain().to_word(), last: 2 };
    for (hot, counted) in [
        (Hot { at: 0, ..good }, 0),
        (Hot { at: 29 * MS, ..good }, 0),
        (Hot { until: 1, ..good }, 1),
        (Hot { info: 0xff, ..good }, 1),
    ] {
        let before = world.judge.counters().lane_invalid;
        process.write(&world, 0, &hot);
        assert_eq!(world.look(41 * MS, process.page), []);
        assert_eq!(world.look(41 * MS, process.page), []);
        assert_eq!(world.judge.counters().lane_invalid - before, counted, "{hot:?}");
    }
    // A time in the future counts as now, and a nonce may be anything.
    process.write(&world, 0, &Hot { at: u64::MAX, last: 1 << 60, ..good });
    let events = world.look(42 * MS, process.page);
    assert_eq!(short(&events), [format!("42000000: beat 1 x{}", u32::MAX)]);
    process.write(&world, 0, &Hot { at: 43 * MS, last: 7, ..good });
    assert_eq!(short(&world.look(43 * MS, process.page)), ["43000000: beat 1 x1"]);
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["143000000: stall 1 last 43000000"]);
}

#[test]
fn datagrams_and_pages_of_a_process_feed_one_agent() {
    let mut world = lane_world(|_| {});
    assert_eq!(short(&world.local(0, 70, 1)), ["0: beat 1 x1"]);
    let mut process = world.process_as(MS, &Attaching { nonce: 1, ..attaching(70) });
    process.beat(&world, 2 * MS);
    assert_eq!(short(&world.local(3 * MS, 70, 3)), ["3000000: beat 1 x1"]);
    process.nonce = 3;
    process.beat(&world, 4 * MS);
    let events = world.look(5 * MS, process.page);
    assert_eq!(short(&events), ["5000000: beat 1 x2"]);
    assert_eq!(short(&world.local(6 * MS, 70, 5)), ["6000000: beat 1 x1"]);
    process.nonce = 6;
    process.beat(&world, 7 * MS);
    assert_eq!(short(&world.look(8 * MS, process.page)), ["8000000: beat 1 x2"]);
    // A datagram that was sent after the last beat in the page is left for the next look.
    process.nonce = 7;
    process.beat(&world, 8 * MS);
    world.local(9 * MS, 70, 9);
    assert_eq!(short(&world.look(10 * MS, process.page)), ["10000000: beat 1 x1"]);
    process.nonce = 9;
    process.beat(&world, 11 * MS);
    assert_eq!(short(&world.look(12 * MS, process.page)), ["12000000: beat 1 x1"]);
    // The newest sign of either kind counts.
    world.local(90 * MS, 70, 11);
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["190000000: stall 1 last 90000000"]);
    assert_eq!(
        short(&world.local(310 * MS, 70, 12))[0],
        "310000000: recovered 1 beat after 220000000"
    );
    assert_eq!(world.judge.counters().missed, 0);
    world.assert_accounted();
}

#[test]
fn a_datagram_is_not_taken_for_the_beat_before_it_in_the_page() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    // The process is known by this datagram before its page is looked at.
    world.local(2 * MS, 70, 2);
    assert_eq!(short(&world.look(3 * MS, process.page)), ["3000000: beat 1 x1"]);
    process.nonce = 2;
    process.beat(&world, 4 * MS);
    assert_eq!(short(&world.look(5 * MS, process.page)), ["5000000: beat 1 x1"]);
}

#[test]
fn datagrams_that_overtake_the_request_for_a_page_are_not_counted_again() {
    let mut world = lane_world(|_| {});
    // The process asks for a page before its first beat, but its datagrams are read first.
    for nonce in 1..=4 {
        world.numbered(nonce * MS, 70, 1234, nonce);
    }
    let asked = Attaching { process: Some(1234), ..attaching(70) };
    let mut process = world.process_as(5 * MS, &asked);
    world.numbered(6 * MS, 70, 1234, 5);
    process.nonce = 5;
    process.beat(&world, 7 * MS);
    assert_eq!(short(&world.look(8 * MS, process.page)), ["8000000: beat 1 x1"]);
    // Another process that has the pid now counts from 1.
    let asked = Attaching { process: Some(5678), ..attaching(70) };
    let mut successor = world.process_as(9 * MS, &asked);
    successor.beat(&world, 10 * MS);
    let events = world.look(11 * MS, successor.page);
    assert_eq!(short(&events).last().unwrap(), "11000000: beat 2 x1");
}

#[test]
fn several_pages_of_one_process_are_one_agent() {
    let mut world = lane_world(|_| {});
    let mut copies: Vec<_> = (0..4).map(|_| world.process(0, 70)).collect();
    for copy in &mut copies {
        copy.beat(&world, MS);
    }
    let events = world.advance(50 * MS);
    assert_eq!(short(&events), ["50000000: beat 1 x1"; 4]);
    let refused = world.try_attach(MS, &attaching(70)).unwrap_err();
    assert_eq!(refused.reason, "the process has as many pages as it may have");
    copies[2].beat(&world, 80 * MS);
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["100000000: beat 1 x1", "180000000: stall 1 last 80000000"]);
    for copy in &copies {
        world.detach(300 * MS, copy);
    }
    assert_eq!((world.judge.followed(), world.judge.next_look()), (1, Some(350 * MS)));
    world.advance(350 * MS);
    assert_eq!(world.judge.next_look(), None);
}

/// A host may prepare it while no process asks.
#[test]
fn the_next_process_gets_the_page_that_was_announced() {
    let mut world = lane_world(|settings| settings.pages = 2);
    let process = world.process(0, 70);
    let next = world.judge.next_page().unwrap();
    world.detach(MS, &process);
    assert_eq!(world.judge.next_page(), Some(next), "although the other page is free again");
    assert_eq!(world.process(2 * MS, 71).page, next);
    assert_eq!(world.process(3 * MS, 72).page, process.page);
    assert_eq!(world.judge.next_page(), None);
}

#[test]
fn a_full_queue_of_datagrams_puts_off_no_stall_of_a_process_with_a_page() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    world.look(2 * MS, process.page);
    world.local(2 * MS, 71, 1);
    for at in (2..100).step_by(2) {
        world.judge.looked(at * MS, true);
    }
    let events = world.live_until(101 * MS);
    assert_eq!(short(&events), ["101000000: stall 1 last 1000000"]);
    assert_eq!(world.judge.counters().stalls_deaf, 0);
}

#[test]
fn an_agent_whose_page_is_gone_is_judged_from_its_last_sign_of_life() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    world.look(2 * MS, process.page);
    process.beat(&world, 30 * MS);
    let events = world.detach(31 * MS, &process);
    assert_eq!(short(&events), ["31000000: beat 1 x1"]);
    assert!(world.judge.next_deadline().is_some());
    // The process goes on with datagrams, whose nonces continue.
    assert_eq!(missed(&world.local(60 * MS, 70, 4)), 1);
    // It attaches again, and brings its last line.
    let attaching = Attaching { nonce: 4, ..attaching(70) };
    let (mut again, events) =
        world.process_with_lines(61 * MS, &attaching, |process, world| {
            process.nonce = 1;
            process.beat(world, 30 * MS);
        });
    assert_eq!(events, []);
    again.nonce = 4;
    again.beat(&world, 62 * MS);
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["100000000: beat 1 x1", "162000000: stall 1 last 62000000"]);
}

#[test]
fn an_exit_takes_the_pages_of_the_process() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    process.declare(&world, 1, "worker", 10 * MS, MS);
    world.look(2 * MS, process.page);
    let events = world.exited(3 * MS, 1, ExitCause::Signal(9));
    assert_eq!(short(&events), ["3000000: exit 1"], "its tasks end silently");
    let calls = &world.environment.calls;
    assert_eq!(calls[calls.len() - 2..], ["page 0 released", "released 1"]);
    assert_eq!(world.judge.tasks(1, 3 * MS, &world.environment).count(), 0);
    assert_eq!(world.live_until(1_000 * MS), []);
    assert_eq!(world.judge.next_deadline(), None);
    let process = world.process(1_000 * MS, 70);
    assert_eq!(process.page.index(), 0, "the page is free again");
}

#[test]
fn a_page_of_a_process_that_reused_a_pid_is_another_agent() {
    let mut world = lane_world(|_| {});
    world.numbered(0, 70, 1, 1);
    let other = Attaching { process: Some(2), ..attaching(70) };
    let mut process = world.process_as(MS, &other);
    assert_eq!((world.judge.counters().exits, world.judge.followed()), (1, 0));
    process.beat(&world, 2 * MS);
    let events = world.look(3 * MS, process.page);
    assert_eq!(short(&events), ["3000000: beat 2 x1"]);
    // A datagram with the number of the process is of the same agent.
    assert_eq!(short(&world.numbered(4 * MS, 70, 2, 2)), ["4000000: beat 2 x1"]);
}

#[test]
fn who_may_have_a_page_is_decided_by_the_policy() {
    let mut world = lane_world(|settings| {
        settings.pages = 2;
        settings.capacity = 2;
        settings.policy.uids = Uids::List([UID, UID + 1].into());
    });
    world.environment.namespaces.insert(77, Namespace::Other);
    let reason = |refused: Result<_, Refusal>| refused.map_or_else(|it| it.reason, |_| "");
    let base = attaching(70);
    for (attaching, expected) in [
        (Attaching { uid: 5, ..base }, "the observer does not accept this user"),
        (Attaching { pid: 0, ..base }, "the observer cannot identify the process"),
        (
            Attaching { pid: 0, process: Some(3), ..base },
            "the observer does not accept other pid namespaces",
        ),
        (
            Attaching { pid: 77, claimed_pid: 7, ..base },
            "the observer does not accept other pid namespaces",
        ),
        (Attaching { claimed_pid: 71, ..base }, "the process claims another pid than its own"),
        (base, ""),
        (Attaching { pid: 71, claimed_pid: 71, uid: UID + 1, ..base }, ""),
        (base, "the observer has no more pages"),
    ] {
        assert_eq!(reason(world.try_attach(0, &attaching)), expected);
    }
    world.local(0, 80, 1);
    world.local(0, 81, 1);
    let refused = world.try_attach(0, &attaching(82));
    assert_eq!(reason(refused), "the observer tracks as many processes as it can");
    let counters = world.judge.counters();
    assert_eq!((counters.lane_attached, counters.lane_refused), (2, 7));

    let mut off = World::new();
    assert_eq!(reason(off.try_attach(0, &base)), "the observer has no more pages");
    let mut open = lane_world(|settings| settings.policy.namespaces = true);
    let page =
        open.try_attach(0, &Attaching { pid: 0, process: Some(3), claimed_pid: 7, ..base });
    assert!(page.is_ok());
}

#[test]
fn a_process_without_room_is_read_again_at_a_later_look() {
    let mut world = lane_world(|settings| settings.capacity = 2);
    let mut process = world.process(0, 70);
    world.local(0, 80, 1);
    world.local(0, 81, 1);
    process.beat(&world, MS);
    assert_eq!(world.look(2 * MS, process.page), []);
    assert_eq!(world.judge.counters().lane_without_room, 1);
    world.exited(3 * MS, 1, ExitCause::Code(0));
    assert_eq!(short(&world.look(4 * MS, process.page)), ["4000000: beat 3 x1"]);
    world.assert_accounted();
}

#[test]
fn an_agent_that_is_looked_up_exits_when_it_is_due() {
    let mut world = lane_world(|_| {});
    world.environment.exits = Exits::LookedUp;
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    world.look(2 * MS, process.page);
    world.environment.gone.insert(70, ExitCause::Signal(9));
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["101000000: exit 1"]);
}

#[test]
fn a_new_threshold_changes_when_pages_are_looked_at() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    world.look(2 * MS, process.page);
    assert!(world.judge.set_threshold(1, 40 * MS));
    assert_eq!(world.judge.next_look(), Some(20 * MS));
    let events = world.live_until(60 * MS);
    assert_eq!(short(&events), ["41000000: stall 1 last 1000000"]);
    world.judge.set_default_threshold(1_000 * MS);
    process.beat_as(&world, 61 * MS, Status::Degraded, 7);
    assert_eq!(world.live_until(80 * MS).len(), 2);
    // 10 ms is the shortest period, however short a threshold is.
    world.judge.set_threshold(1, MS);
    assert_eq!(world.judge.next_look(), Some(90 * MS));
    assert_eq!(world.judge.counters().lane_raised, 1);
    process.beat(&world, 85 * MS);
    let events = world.look(85 * MS, process.page);
    assert_eq!(short(&events), ["85000000: beat 1 x1"]);
    assert_eq!(short(&world.live_until(89 * MS)), ["86000000: stall 1 last 85000000"]);
}

#[test]
fn a_query_reads_the_pages_and_changes_nothing() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    world.look(2 * MS, process.page);
    process.beat(&world, 9 * MS);
    let slot = world.slot(1);
    let info = world.judge.agent_with(slot, 10 * MS, &world.environment).unwrap();
    assert_eq!((info.last_ns, info.age_ns), (9 * MS, MS));
    let old = world.judge.agent(slot, 10 * MS).unwrap();
    assert_eq!((old.last_ns, old.age_ns), (MS, 9 * MS));
    assert_eq!(short(&world.look(11 * MS, process.page)), ["11000000: beat 1 x1"]);
}
