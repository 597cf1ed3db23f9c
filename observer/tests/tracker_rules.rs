//! The rules for local agents, each shown in simulated time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod tracker_world;

use tracker_world::*;
use varta::{NONCE_TERMINAL, Promise, Status};
use varta_observer::judge::{Datagram, Exits, Namespace, Sender};
use varta_observer::{ExitCause, Origin, Rate, Uids, What};

#[test]
fn a_silent_agent_stalls_once_and_recovers_with_its_next_beat() {
    let mut world = World::new();
    assert_eq!(words(&world.local(10, 50, 1)), ["beat 1"]);
    assert_eq!(world.judge(10 + THRESHOLD - 1), []);
    let stall = world.judge(10 + THRESHOLD);
    assert_eq!(words(&stall), ["stall 1"]);
    assert_eq!(stall[0].observer_ns, 10 + THRESHOLD);
    assert_eq!(
        stall[0].what,
        What::Stall { last_nonce: 1, last_ns: 10, deaf: false, late: None, why: None }
    );
    assert_eq!(world.judge(u64::MAX / 2), [], "once per silence");
    let back = world.local(u64::MAX / 2, 50, 2);
    assert_eq!(words(&back), ["recovered 1", "beat 1"]);
    assert_eq!(
        back[0].what,
        What::Recovered { silent_ns: u64::MAX / 2 - 10, promise: Promise::Beat }
    );
    assert_eq!(missed(&back), 0);
    world.assert_accounted();
}

#[test]
fn a_beat_at_the_last_moment_is_in_time() {
    let mut world = World::new();
    world.local(0, 50, 1);
    // It is read after the deadline, but before silence is judged.
    assert_eq!(words(&world.local(THRESHOLD + 5, 50, 2)), ["beat 1"]);
    assert_eq!(world.judge(THRESHOLD + 5), []);
    assert_eq!(words(&world.judge(2 * THRESHOLD + 5)), ["stall 1"]);
}

#[test]
fn stalls_are_ordered_by_deadline_and_then_by_last_beat() {
    let mut world = World::new();
    for pid in [10, 11, 12, 13, 14] {
        world.local(0, pid, 1);
    }
    world.judge.set_threshold(1, 40 * MS);
    world.local(20 * MS, 12, 2);
    world.local(10 * MS, 11, 2); // time does not go back: this counts as 20 ms
    world.local(30 * MS, 10, 2); // due at 70 ms
    world.judge.set_threshold(4, 120 * MS); // due with 2 and 3, but its last beat was earlier
    assert_eq!(
        words(&world.judge(THRESHOLD * 10)),
        ["stall 1", "stall 5", "stall 4", "stall 2", "stall 3"]
    );
}

#[test]
fn an_agent_that_beats_between_two_verdicts_is_not_stalled() {
    let mut world = World::new();
    for pid in [10, 11, 12] {
        world.local(0, pid, 1);
    }
    let now = THRESHOLD + 7;
    assert!(world.judge.expire(now, &mut world.environment));
    assert_eq!(words(&world.events()), ["stall 1"]);
    assert_eq!(words(&world.local(now, 11, 2)), ["beat 2"]);
    assert_eq!(words(&world.judge(now)), ["stall 3"]);
    assert_eq!(words(&world.judge(now + THRESHOLD)), ["stall 2"]);
}

#[test]
fn a_kernel_attested_beat_counts_with_any_nonce() {
    let mut world = World::new();
    let max = NONCE_TERMINAL - 1;
    let mut beat = |nonce| missed(&world.local(1, 50, nonce));
    assert_eq!(beat(7), 0, "first");
    assert_eq!(beat(8), 0);
    assert_eq!(beat(11), 2);
    assert_eq!(beat(1), 0, "a restarted handle");
    assert_eq!(beat(2), 0);
    assert_eq!(beat(2), 0, "a second handle");
    assert_eq!(beat(5_000_000), 4_999_997);
    assert_eq!(beat(NONCE_TERMINAL), 0, "a caught panic");
    assert_eq!(beat(5_000_001), 0, "continues where it was");
    assert_eq!(beat(1), 0);
    assert_eq!(beat(0), 0, "backward");
    assert_eq!(beat(max), 0, "so far ahead that it is backward");
    assert_eq!(beat(0), 0, "wraps past the terminal nonce");
    assert_eq!(beat(max - 1), 0, "backward");
    assert_eq!(beat(3), 4, "max, 0, 1 and 2 never arrived");
    let counters = world.judge.counters();
    assert_eq!((counters.beats, counters.replays), (15, 0));
    assert_eq!(counters.missed, 2 + 4_999_997 + 4);
    assert_eq!(counters.not_forward, 6);
}

#[test]
fn a_nonce_is_forward_up_to_half_the_range() {
    let half = 1 << 63;
    for (from, to, expected) in [
        (1, half, half - 2),
        (1, half + 1, 0),
        (NONCE_TERMINAL - 1, half - 2, half - 2),
        (NONCE_TERMINAL - 1, half - 1, 0),
    ] {
        let mut world = World::new();
        world.local(1, 50, from);
        assert_eq!(missed(&world.local(1, 50, to)), expected, "{from} to {to}");
    }
}

#[test]
fn a_stall_names_the_last_nonce_that_was_not_terminal() {
    let mut world = World::new();
    world.local(0, 50, 9);
    world.local(1, 50, NONCE_TERMINAL);
    world.local(2, 51, NONCE_TERMINAL);
    let events = world.judge(THRESHOLD * 2);
    assert_eq!(
        events[0].what,
        What::Stall { last_nonce: 9, last_ns: 1, deaf: false, late: None, why: None }
    );
    assert_eq!(
        events[1].what,
        What::Stall { last_nonce: 0, last_ns: 2, deaf: false, late: None, why: None }
    );
}

#[test]
fn a_pause_is_given_back_to_every_silence_once() {
    let mut world = World::new();
    world.local(0, 10, 1);
    world.local(10 * MS, 11, 1);
    world.pause(10_050 * MS, 10_000 * MS);
    // This beat is after the pause, so nothing is given back.
    world.local(10_050 * MS, 12, 1);
    assert_eq!(world.judge(10_100 * MS - 1), []);
    assert_eq!(words(&world.judge(10_100 * MS)), ["stall 1"]);
    assert_eq!(words(&world.judge(10_110 * MS)), ["stall 2"]);
    assert_eq!(words(&world.judge(10_150 * MS)), ["stall 3"]);
}

#[test]
fn a_second_pause_in_one_silence_is_not_given_back() {
    let mut world = World::new();
    world.local(0, 10, 1);
    world.pause(150 * MS, 60 * MS);
    assert_eq!(world.judge(159 * MS), []); // put off to 160 ms
    world.pause(400 * MS, 240 * MS);
    assert_eq!(words(&world.judge(400 * MS)), ["stall 1"]);
    // A beat ends the silence; the next silence can be given a pause again.
    world.local(500 * MS, 10, 2);
    world.events();
    world.pause(650 * MS, 60 * MS);
    assert_eq!(world.judge(659 * MS), []);
    assert_eq!(words(&world.judge(660 * MS)), ["stall 1"]);
}

#[test]
fn the_longer_of_two_pauses_before_the_deadline_counts() {
    let mut world = World::new();
    world.local(0, 10, 1);
    world.pause(60 * MS, 50 * MS);
    world.pause(5_070 * MS, 5_000 * MS);
    assert_eq!(world.judge(5_099 * MS), []);
    assert_eq!(words(&world.judge(5_100 * MS)), ["stall 1"]);
}

#[test]
fn a_pause_reported_between_two_verdicts_still_counts() {
    let mut world = World::new();
    world.local(0, 10, 1);
    world.local(0, 11, 1);
    assert!(world.judge.expire(THRESHOLD, &mut world.environment));
    assert_eq!(words(&world.events()), ["stall 1"]);
    world.pause(300 * MS, 250 * MS);
    assert_eq!(world.judge(300 * MS), []);
    assert_eq!(words(&world.judge(350 * MS)), ["stall 2"]);
}

#[test]
fn a_stopped_observer_stalls_none_of_a_thousand_live_agents() {
    let mut world = World::new();
    for pid in 0..1000 {
        world.local(1 + u64::from(pid) * MS / 10, 100 + pid, 1);
    }
    let resumed = 10_100 * MS;
    world.pause(resumed, 10_000 * MS);
    assert_eq!(world.judge(resumed), []);
    // All agents except one beat again within a threshold.
    for pid in 1..1000 {
        assert_eq!(words(&world.local(resumed + 90 * MS, 100 + pid, 2)).len(), 1);
    }
    assert_eq!(words(&world.judge(resumed + THRESHOLD)), ["stall 1"]);
}

#[test]
fn a_reused_pid_ends_one_agent_and_starts_another() {
    let mut world = World::new();
    world.numbered(0, 50, 777, 900);
    world.environment.causes.insert(0, ExitCause::Code(3));
    let events = world.numbered(5, 50, 778, 1);
    assert_eq!(words(&events), ["exit 1", "beat 2"]);
    let cause = ExitCause::Code(3);
    assert_eq!(events[0].what, What::Exit { cause, last_status: Status::Ok });
    assert_eq!(missed(&events), 0, "nothing is inherited");
    assert_eq!(
        world.environment.calls,
        [
            "admitted 1 pid 50 process Some(777)",
            "released 1",
            "admitted 2 pid 50 process Some(778)"
        ]
    );
    assert_eq!(
        words(&world.judge(THRESHOLD * 2)),
        ["stall 2"],
        "nothing is left of the old agent"
    );
}

#[test]
fn an_agent_keeps_its_process_number() {
    let mut world = World::new();
    world.local(0, 50, 1);
    assert_eq!(world.judge.unidentified(), 1);
    assert!(world.judge.agent(world.slot(1), 0).unwrap().unconfirmed);
    assert_eq!(words(&world.numbered(1, 50, 777, 2)), ["beat 1"]);
    assert_eq!(world.judge.unidentified(), 0);
    assert!(!world.judge.agent(world.slot(1), 0).unwrap().unconfirmed);
    assert_eq!(
        words(&world.local(2, 50, 3)),
        ["beat 1"],
        "a frame without a number changes nothing"
    );
    assert_eq!(words(&world.numbered(3, 50, 777, 4)), ["beat 1"]);
    assert_eq!(words(&world.numbered(4, 50, 778, 5)), ["exit 1", "beat 2"]);
    assert_eq!(world.environment.calls[1..3], ["replaced 50", "identified 777"]);
}

#[test]
fn a_process_number_is_unconfirmed_until_a_datagram_carries_it() {
    let mut world = World::new();
    world.local(0, 50, 1);
    world.judge.set_process(world.slot(1), 777);
    assert_eq!(world.judge.unidentified(), 0);
    assert!(world.judge.agent(world.slot(1), 0).unwrap().unconfirmed);
    world.numbered(1, 50, 777, 2);
    assert!(!world.judge.agent(world.slot(1), 0).unwrap().unconfirmed);
}

#[test]
fn an_exited_agent_does_not_stall() {
    let mut world = World::new();
    world.local(0, 50, 1);
    world.local(0, 51, 1);
    let events = world.exited(9, 1, ExitCause::Signal(11));
    assert_eq!(words(&events), ["exit 1"]);
    assert_eq!(world.judge.find(1), None);
    assert_eq!(world.judge.followed(), 1);
    assert_eq!(words(&world.judge(THRESHOLD * 2)), ["stall 2"]);
    assert_eq!(
        words(&world.local(THRESHOLD * 2, 50, 1)),
        ["beat 3"],
        "agent numbers are not reused"
    );
}

#[test]
fn an_agent_that_waits_for_its_exit_code_does_not_stall() {
    let mut world = World::new();
    world.local(0, 50, 1);
    world.judge.exiting(world.slot(1));
    assert_eq!(world.judge(THRESHOLD * 5), []);
    assert_eq!(world.judge.next_deadline(), None);
    assert_eq!(words(&world.exited(THRESHOLD * 5, 1, ExitCause::Code(0))), ["exit 1"]);
}

#[test]
fn a_beat_after_the_last_queued_one_is_from_another_process() {
    let mut world = World::new();
    world.numbered(0, 50, 777, 1);
    world.judge.exiting(world.slot(1));
    assert_eq!(
        words(&world.numbered(1, 50, 777, 2)),
        ["beat 1"],
        "the process number is unchanged"
    );
    assert_eq!(world.judge(THRESHOLD * 5), []);
    assert_eq!(words(&world.local(THRESHOLD * 5, 50, 1)), ["exit 1", "beat 2"]);
}

#[test]
fn a_free_slot_has_no_agent_to_exit() {
    let mut world = World::new();
    world.local(0, 50, 1);
    let slot = world.slot(1);
    world.exited(1, 1, ExitCause::Unknown);
    world.judge.exiting(slot);
    world.judge.set_exits(slot, Exits::LookedUp);
    world.judge.set_process(slot, 7);
    world.judge.exited(2, slot, ExitCause::Unknown, &mut world.environment);
    assert_eq!(world.events(), []);
    assert_eq!((world.judge.followed(), world.judge.counters().exits), (0, 1));
}

#[test]
fn an_agent_without_a_descriptor_is_looked_up_at_its_deadline() {
    let mut world = World::new();
    world.environment.exits = Exits::LookedUp;
    world.local(0, 50, 1);
    world.local(0, 51, 1);
    world.environment.calls.clear();
    world.environment.gone.insert(51, ExitCause::Unknown);
    assert_eq!(words(&world.judge(THRESHOLD)), ["stall 1", "exit 2"]);
    // And again, less often, while it is stalled.
    world.environment.gone.insert(50, ExitCause::Signal(9));
    assert_eq!(world.judge(10 * THRESHOLD - 1), []);
    assert_eq!(words(&world.judge(10 * THRESHOLD)), ["exit 1"]);
    assert_eq!(
        world.environment.calls,
        ["look up 50", "look up 51", "released 2", "look up 50", "released 1"]
    );
}

/// Datagrams sent before the lookup are read first, and belong to the missing process.
#[test]
fn beats_sent_before_a_failed_lookup_still_count() {
    let mut world = World::new();
    world.environment.exits = Exits::LookedUp;
    world.local(0, 50, 1);
    world.environment.gone.insert(50, ExitCause::Unknown);
    world.environment.seen_ns = THRESHOLD + 7;
    world.pause(5, 3 * THRESHOLD);
    assert_eq!(world.judge(THRESHOLD), [], "a pause is given back");
    world.environment.seen_ns = 4 * THRESHOLD + 7;
    assert_eq!(world.judge(4 * THRESHOLD), []);
    assert_eq!(
        world.judge.next_deadline().map(|due| due <= world.environment.seen_ns),
        Some(true)
    );
    assert_eq!(words(&world.local(4 * THRESHOLD + 1, 50, 2)), ["beat 1"]);
    world.judge.set_threshold(1, 80 * THRESHOLD);
    assert_eq!(world.judge(4 * THRESHOLD + 6), []);
    assert_eq!(words(&world.judge(4 * THRESHOLD + 7)), ["exit 1"]);
    assert_eq!(world.judge.followed(), 0);
}

#[test]
fn a_restarted_nonce_may_be_another_process() {
    let mut world = World::new();
    let beat = |world: &mut World, nonce| words(&world.local(0, 50, nonce));
    assert_eq!(beat(&mut world, 900), ["beat 1"]);
    assert_eq!(beat(&mut world, 901), ["beat 1"]);
    assert_eq!(world.environment.calls.len(), 1, "a nonce that moves forward needs no lookup");
    assert_eq!(beat(&mut world, 1), ["beat 1"], "a second handle");
    world.environment.replaced.insert(50);
    assert_eq!(beat(&mut world, 2), ["beat 1"]);
    assert_eq!(beat(&mut world, 1), ["exit 1", "beat 2"]);
    world.environment.replaced.insert(50);
    assert_eq!(beat(&mut world, NONCE_TERMINAL), ["exit 2", "beat 3"]);
    world.environment.replaced.insert(50);
    assert_eq!(beat(&mut world, 5), ["exit 3", "beat 4"], "after last words");
    assert_eq!(
        world.environment.calls.iter().filter(|call| call.starts_with("replaced")).count(),
        4
    );
    // Without exit reports the environment is asked each time; it has to limit the cost
    // itself.
    world.judge.set_exits(world.slot(4), Exits::LookedUp);
    world.environment.replaced.insert(50);
    assert_eq!(beat(&mut world, 6), ["exit 4", "beat 5"]);
    assert!(world.environment.calls.iter().any(|call| call == "replaced 50"));
    // It is also asked when an agent without a process number gets one.
    world.environment.replaced.insert(50);
    assert_eq!(words(&world.numbered(0, 50, 777, 7)), ["exit 5", "beat 6"]);
    world.environment.replaced.insert(50);
    assert_eq!(
        words(&world.numbered(0, 50, 777, 1)),
        ["beat 6"],
        "the process number is unchanged"
    );
    world.assert_accounted();
}

#[test]
fn a_rate_limited_agent_stays_alive() {
    let mut world = World::with(|settings| {
        settings.policy.per_agent = Some(Rate { per_second: 20, burst: 1 });
    });
    assert_eq!(words(&world.local(0, 10, 1)), ["beat 1"]);
    for now in 1..50 {
        assert_eq!(world.local(now * MS, 10, 1 + now), []);
    }
    assert_eq!(words(&world.local(49 * MS, 11, 1)), ["beat 2"], "other agents are not limited");
    let beat = world.local(50 * MS, 10, 52);
    assert_eq!(words(&beat), ["beat 1"]);
    assert_eq!(missed(&beat), 1, "51 never arrived; the others did");
    assert_eq!(world.local(60 * MS, 10, 53), []);
    assert_eq!(words(&world.judge(160 * MS - 1)), ["stall 2"], "the beat at 60 ms proved life");
    assert_eq!(words(&world.judge(160 * MS)), ["stall 1"]);
    let counters = world.judge.counters();
    assert_eq!((counters.rate_limited_agent, counters.beats), (50, 3));
    world.assert_accounted();
}

#[test]
fn a_recovery_is_reported_regardless_of_rate_limits() {
    let mut world = World::with(|settings| {
        settings.policy.per_agent = Some(Rate { per_second: 1, burst: 1 });
        settings.policy.global = Some(Rate { per_second: 1, burst: 1 });
    });
    world.local(0, 10, 1);
    world.judge(THRESHOLD);
    assert_eq!(words(&world.local(THRESHOLD + 1, 10, 2)), ["recovered 1", "beat 1"]);
    assert_eq!(world.local(THRESHOLD + 2, 10, 3), []);
    assert_eq!(
        words(&world.local(THRESHOLD + 3, 11, 1)),
        ["beat 2"],
        "a first beat is reported too"
    );
}

#[test]
fn the_limit_per_agent_applies_before_the_global_limit() {
    let mut world = World::with(|settings| {
        settings.policy.per_agent = Some(Rate { per_second: 10, burst: 2 });
        settings.policy.global = Some(Rate { per_second: 10, burst: 4 });
    });
    for nonce in 0..100 {
        world.local(1, 10, nonce);
    }
    // The first agent used two of the four; two are left.
    assert_eq!(world.judge.counters().rate_limited_agent, 98);
    world.local(1, 11, 1);
    assert_eq!(words(&world.local(1, 11, 2)), ["beat 2"]);
    world.local(1, 12, 1);
    assert_eq!(world.local(1, 12, 2), []);
    assert_eq!(world.judge.counters().rate_limited_global, 1);
    world.assert_accounted();
}

#[test]
fn an_invalid_datagram_is_counted_and_reported_if_it_has_the_length_of_a_frame() {
    let mut world = World::new();
    let sender = process(50, None);
    assert_eq!(world.receive(0, &Datagram::new(0, sender, b"")), []);
    assert_eq!(world.receive(0, &Datagram::new(0, sender, &[0; 31])), []);
    let good = frame(50, 1);
    let cut = Datagram { truncated: true, ..Datagram::new(0, sender, &good) };
    assert_eq!(world.receive(0, &cut), []);
    assert_eq!(world.receive(0, &Datagram { bytes: b"", ..cut }), []);
    let uncertain = Datagram { control_truncated: true, ..Datagram::new(0, sender, &good) };
    assert_eq!(world.receive(0, &uncertain), []);
    let mut bad = good;
    bad[31] ^= 1;
    assert_eq!(words(&world.receive(0, &Datagram::new(0, sender, &bad))), ["decode"]);
    let other = world.receive(0, &Datagram::new(0, sender, &frame(51, 1)));
    assert_eq!(other[0].what, What::AuthFailure { claimed_pid: 51, true_pid: 50 });
    assert_eq!(other[0].about, None);
    let counters = *world.judge.counters();
    assert_eq!((counters.probes, counters.wrong_length, counters.control_truncated), (1, 3, 1));
    assert_eq!((counters.bad_crc, counters.auth_failures), (1, 1));
    assert_eq!((counters.settled(), counters.received), (7, 7));
    assert_eq!(world.judge.followed(), 0);
}

#[test]
fn version_1_is_accepted_if_enabled() {
    let v1 = frame_v1(50, 1, u64::MAX);
    let mut world = World::new();
    assert_eq!(words(&world.receive(0, &Datagram::new(0, process(50, None), &v1))), ["decode"]);
    let mut world = World::with(|settings| settings.policy.version1 = true);
    let events = world.receive(0, &Datagram::new(0, process(50, None), &v1));
    let payload = u64::MAX;
    assert_eq!(
        events[0].what,
        What::Beat { status: Status::Ok, payload, nonce: 1, missed: 0, count: 1 }
    );
    assert_eq!(words(&world.local(1, 50, 2)), ["beat 1"], "the process was upgraded");
}

#[test]
fn only_beats_of_admitted_users_count() {
    let with = |uids| World::with(move |settings| settings.policy.uids = uids);
    let beat = |world: &mut World, uid| {
        let sender = Sender::Kernel { pid: 50, uid, process: None };
        words(&world.receive(0, &Datagram::new(0, sender, &frame(50, 1)))).len()
    };
    let mut same = World::new();
    assert_eq!((beat(&mut same, UID), beat(&mut same, 0)), (1, 0));
    assert_eq!(same.judge.counters().uid_refused, 1);
    assert_eq!(beat(&mut with(Uids::Any), 77), 1);
    let mut some = with(Uids::List([5, 6].into()));
    assert_eq!((beat(&mut some, 6), beat(&mut some, UID)), (1, 0));
}

fn from_namespace(
    pid: u32,
    process: Option<u64>,
    claimed: u32,
    nonce: u64,
) -> (Sender, [u8; 32]) {
    (Sender::Kernel { pid, uid: UID, process }, frame(claimed, nonce))
}

#[test]
fn senders_of_another_namespace_are_refused_unless_allowed() {
    let mut world = World::new();
    world.environment.namespaces.insert(5000, Namespace::Other);
    world.environment.namespaces.insert(5001, Namespace::Unknown);
    for (pid, process) in [(5000, None), (0, Some(9)), (0, None)] {
        let (sender, bytes) = from_namespace(pid, process, 7, 1);
        assert_eq!(world.receive(0, &Datagram::new(0, sender, &bytes)), []);
    }
    assert_eq!(world.judge.counters().namespace_refused, 3);
    let (sender, bytes) = from_namespace(5001, None, 7, 1);
    assert_eq!(words(&world.receive(0, &Datagram::new(0, sender, &bytes))), ["auth-failure"]);
    world.assert_accounted();
}

#[test]
fn senders_of_another_namespace_are_followed_when_allowed() {
    let mut world = World::with(|settings| settings.policy.namespaces = true);
    world.environment.namespaces.insert(5000, Namespace::Other);
    let mut receive = |pid, process, claimed, nonce| {
        let (sender, bytes) = from_namespace(pid, process, claimed, nonce);
        world.receive(0, &Datagram::new(0, sender, &bytes))
    };
    // It has one pid here and another in its own namespace.
    let first = receive(5000, None, 7, 1);
    let about = first[0].about.unwrap();
    assert_eq!((about.agent, about.pid, about.claimed_pid), (1, 5000, 7));
    receive(5000, None, 7, 2);
    assert_eq!(words(&receive(5000, None, 8, 3)), ["auth-failure"], "it claimed pid 7 before");
    // Without a pid here, two senders that claim the same pid are distinguished by process
    // number.
    let second = receive(0, Some(70), 7, 1);
    let about = second[0].about.unwrap();
    assert_eq!((about.agent, about.pid, about.claimed_pid), (2, 0, 7));
    assert_eq!(about.origin, Origin::KernelAttested);
    assert_eq!(words(&receive(0, Some(71), 7, 9)), ["beat 3"]);
    assert_eq!(missed(&receive(0, Some(70), 7, 2)), 0);
    assert_eq!(words(&receive(0, None, 7, 3)), [""; 0], "it could be either of them");
    assert_eq!(world.judge.counters().namespace_refused, 1);
    let asked =
        world.environment.calls.iter().filter(|call| call.starts_with("namespace")).count();
    assert_eq!(asked, 1, "a known namespace is not looked up again");
    world.assert_accounted();
}

/// Whether the claim is looked up, and how often, is what a forger could abuse.
#[test]
fn only_an_unknown_sender_that_names_pid_1_is_looked_up() {
    let mut world = World::with(|settings| settings.policy.namespaces = true);
    world.environment.namespaces.insert(5000, Namespace::Other);
    let mut receive = |pid, claimed, nonce| {
        let (sender, bytes) = from_namespace(pid, None, claimed, nonce);
        words(&world.receive(0, &Datagram::new(0, sender, &bytes)))
    };
    assert_eq!(receive(1, 1, 1), ["beat 1"], "its own pid");
    assert_eq!(receive(5000, 1, 1), ["beat 2"], "its pid in another namespace");
    assert_eq!(receive(5000, 1, 2), ["beat 2"]);
    assert_eq!(receive(5000, 5000, 3), ["auth-failure"], "it named pid 1 before");
    assert_eq!(receive(50, 1, 1), ["decode"]);
    assert_eq!(receive(50, 50, 1), ["beat 3"]);
    assert_eq!(receive(50, 1, 2), ["decode"], "it named pid 50 before");
    let asked = world.environment.calls.iter().filter(|call| call.starts_with("namespace"));
    assert_eq!(asked.collect::<Vec<_>>(), ["namespace of 5000", "namespace of 50"]);
    world.assert_accounted();
}

#[test]
fn a_threshold_per_agent_counts_from_the_last_beat() {
    let mut world = World::new();
    world.local(10 * MS, 50, 1);
    assert!(world.judge.set_threshold(1, 30 * MS));
    assert!(!world.judge.set_threshold(2, 30 * MS));
    assert_eq!(world.judge.shortest_threshold(), 30 * MS);
    assert_eq!(words(&world.judge(40 * MS)), ["stall 1"]);
    world.local(50 * MS, 50, 2);
    assert_eq!(world.judge(80 * MS - 1), []);
    world.judge.set_threshold(1, 60 * MS);
    assert_eq!(world.judge(110 * MS - 1), []);
    assert_eq!(words(&world.judge(110 * MS)), ["stall 1"]);
}

#[test]
fn a_threshold_per_agent_keeps_the_pause_that_was_given_back() {
    let mut world = World::new();
    world.local(0, 50, 1);
    world.pause(200 * MS, 150 * MS);
    assert_eq!(world.judge(200 * MS), []); // put off to 250 ms
    world.judge.set_threshold(1, 80 * MS);
    assert_eq!(world.judge(230 * MS - 1), []);
    assert_eq!(words(&world.judge(230 * MS)), ["stall 1"]);
}

#[test]
fn a_new_default_threshold_applies_to_agents_without_their_own() {
    let mut world = World::new();
    world.local(10 * MS, 50, 1);
    world.local(20 * MS, 51, 1);
    world.judge.set_threshold(2, 400 * MS);
    world.judge.set_default_threshold(30 * MS);
    assert_eq!(world.judge.shortest_threshold(), 30 * MS);
    world.local(30 * MS, 52, 1);
    assert_eq!(world.judge(40 * MS - 1), []);
    assert_eq!(words(&world.judge(40 * MS)), ["stall 1"]);
    world.judge.set_default_threshold(500 * MS);
    assert_eq!(world.judge.shortest_threshold(), 400 * MS);
    assert_eq!(words(&world.judge(420 * MS)), ["stall 2"]);
    assert_eq!(world.judge(530 * MS - 1), []);
    assert_eq!(words(&world.judge(530 * MS)), ["stall 3"]);
}

#[test]
fn times_near_the_maximum_do_not_overflow() {
    let mut world = World::with(|settings| settings.threshold_ns = u64::MAX);
    world.local(1 << 60, 50, 1);
    assert_eq!(world.judge(u64::MAX - 1), []);
    assert_eq!(words(&world.judge(u64::MAX)), ["stall 1"]);
    assert_eq!(words(&world.local(u64::MAX, 50, 2)), ["recovered 1", "beat 1"]);
    let mut world = World::with(|settings| settings.threshold_ns = 0);
    world.local(5, 50, 1);
    assert_eq!(world.judge(5), []);
    assert_eq!(words(&world.judge(6)), ["stall 1"]);
}

#[test]
fn a_snapshot_describes_each_agent() {
    let mut world = World::new();
    world.numbered(0, 50, 777, 1);
    world.numbered(5, 50, 777, 4);
    world.udp(6, "10.0.0.1", 60, 1);
    world.judge(6 + THRESHOLD);
    let agents: Vec<_> = world.judge.agents(10 + THRESHOLD).map(|(_, agent)| agent).collect();
    let [one, two] = agents[..] else { panic!("expected two agents, got {agents:?}") };
    assert_eq!((one.agent, one.pid, one.claimed_pid, one.uid), (1, 50, 50, Some(UID)));
    assert_eq!((one.beats, one.missed, one.last_ns, one.age_ns), (2, 2, 5, 5 + THRESHOLD));
    assert!(one.stalled && !one.unconfirmed);
    assert_eq!((two.pid, two.claimed_pid, two.uid), (0, 60, None));
    assert_eq!((two.address, two.origin), (Some(address("10.0.0.1")), Origin::Network));
    assert_eq!(two.threshold_ns, THRESHOLD);
}
