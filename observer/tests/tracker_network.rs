//! The rules for agents over a network, plain and sealed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod tracker_world;

use tracker_world::*;
use varta::{Frame, NONCE_TERMINAL, Status};
use varta_observer::judge::{Datagram, SealedSession, Sender, Settings};
use varta_observer::{ExitCause, Origin, Rate, What};

const HERE: &str = "127.0.0.1";
const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

fn nothing() -> [String; 0] {
    []
}

#[test]
fn plain_frames_must_move_forward() {
    let mut world = World::new();
    let mut beat = |nonce| {
        let events = world.udp(1, A, 50, nonce);
        if events.is_empty() { None } else { Some(missed(&events)) }
    };
    assert_eq!(beat(7), Some(0));
    assert_eq!(beat(7), None, "a replay");
    assert_eq!(beat(6), None, "late");
    assert_eq!(beat(10), Some(2));
    assert_eq!(beat(10 + (1 << 63)), None, "half the range is backward");
    assert_eq!(beat(9 + (1 << 63)), Some((1 << 63) - 2));
    assert_eq!(beat(NONCE_TERMINAL - 1), Some((1 << 63) - 12));
    assert_eq!(beat(0), Some(0), "wraps past the terminal nonce");
    assert_eq!(beat(NONCE_TERMINAL), Some(0));
    assert_eq!(beat(0), None, "the terminal nonce is not remembered");
    assert_eq!(beat(1), Some(0));
    assert_eq!(world.judge.counters().replays, 4);
    assert_eq!(world.judge.counters().not_forward, 0);
    world.assert_accounted();
}

#[test]
fn a_replay_does_not_prove_life() {
    let mut world = World::new();
    world.udp(0, A, 50, 1);
    world.udp(90 * MS, A, 50, 1);
    assert_eq!(words(&world.judge(THRESHOLD)), ["stall 1"]);
}

#[test]
fn after_a_stall_any_nonce_is_accepted() {
    let mut world = World::new();
    world.udp(0, A, 50, 500);
    world.judge(THRESHOLD);
    let back = world.udp(THRESHOLD + 1, A, 50, 1);
    assert_eq!(words(&back), ["recovered 1", "beat 1"]);
    assert_eq!(missed(&back), 0);
    assert_eq!(words(&world.udp(THRESHOLD + 2, A, 50, 1)), nothing());
    assert_eq!(words(&world.udp(THRESHOLD + 2, A, 50, 2)), ["beat 1"]);
}

#[test]
fn an_agent_is_identified_by_listener_address_and_pid() {
    let mut world = World::new();
    let events = world.udp(0, A, 50, 1);
    let about = events[0].about.unwrap();
    assert_eq!((about.pid, about.claimed_pid, about.origin), (0, 50, Origin::Network));
    assert_eq!(words(&world.udp(0, B, 50, 1)), ["beat 2"]);
    assert_eq!(words(&world.udp(0, A, 51, 1)), ["beat 3"]);
    let sender = Sender::Network { address: address(A), sealed: false };
    assert_eq!(
        words(&world.receive(0, &Datagram::new(7, sender, &frame(50, 1)))),
        ["beat 4"],
        "another listener"
    );
    assert_eq!(words(&world.udp(0, "::ffff:10.0.0.1", 50, 2)), ["beat 1"], "the same address");
    assert_eq!(words(&world.udp(0, "fe80::1", 50, 1)), ["beat 5"]);
    assert_eq!(world.environment.calls, nothing(), "the environment is not asked about these");
}

#[test]
fn silence_after_last_words_is_an_exit() {
    let mut world = World::new();
    world.udp(0, A, 50, 3);
    world.udp(5, A, 50, NONCE_TERMINAL);
    assert_eq!(world.judge(4 + THRESHOLD), []);
    let exit = world.judge(5 + THRESHOLD);
    let cause = ExitCause::Unknown;
    assert_eq!(exit[0].what, What::Exit { cause, last_status: Status::Critical });
    assert_eq!((exit.len(), world.judge.followed()), (1, 0));
    assert_eq!(words(&world.udp(6 + THRESHOLD, A, 50, 1)), ["beat 2"]);
    // After a caught panic the beats go on, and their end is a Stall.
    world.udp(7 + THRESHOLD, A, 50, NONCE_TERMINAL);
    world.udp(8 + THRESHOLD, A, 50, 2);
    assert_eq!(words(&world.judge(9 + 2 * THRESHOLD)), ["stall 2"]);
    // Over a Unix socket the kernel reports exits, so that this is a Stall.
    world.local(10 * THRESHOLD, 60, NONCE_TERMINAL);
    assert_eq!(words(&world.judge(11 * THRESHOLD)), ["stall 3"]);
}

#[test]
fn a_frame_from_this_host_cannot_beat_for_a_kernel_attested_process() {
    let mut world = World::new();
    world.local(0, 50, 1);
    assert_eq!(world.udp(1, HERE, 50, 2), []);
    assert_eq!(world.udp(1, "::1", 50, 2), []);
    assert_eq!(world.udp(1, "::ffff:127.0.0.9", 50, 2), []);
    assert_eq!(world.judge.counters().origin_conflicts, 3);
    assert_eq!(
        words(&world.udp(1, A, 50, 2)),
        ["beat 2"],
        "on another host it is another agent"
    );
    assert_eq!(words(&world.udp(1, HERE, 51, 1)), ["beat 3"]);
    // An earlier frame over the network does not shut out a local agent.
    assert_eq!(words(&world.local(2, 51, 1)), ["beat 4"]);
    assert_eq!(world.udp(2, HERE, 51, 2), []);
    assert_eq!(words(&world.judge(THRESHOLD)), ["stall 1"]);
    world.assert_accounted();
}

#[test]
fn a_rate_limited_frame_is_remembered_and_proves_life() {
    let mut world = World::with(|settings| {
        settings.policy.per_agent = Some(Rate { per_second: 10, burst: 1 });
    });
    world.udp(0, A, 50, 1);
    assert_eq!(world.udp(60 * MS, A, 50, 2), []);
    assert_eq!(world.udp(70 * MS, A, 50, 2), [], "a replay");
    assert_eq!(world.judge(160 * MS - 1), []);
    assert_eq!(words(&world.judge(160 * MS)), ["stall 1"]);
    let counters = world.judge.counters();
    assert_eq!((counters.rate_limited_agent, counters.replays), (1, 1));
}

#[test]
fn new_network_agents_are_subject_to_the_global_rate() {
    let mut world = World::with(|settings| {
        settings.policy.global = Some(Rate { per_second: 10, burst: 2 });
    });
    for pid in 10..20 {
        world.udp(0, A, pid, 1);
    }
    assert_eq!(world.judge.followed(), 2);
    assert_eq!(world.judge.counters().rate_limited_global, 8);
    assert_eq!(words(&world.local(0, 99, 1)), ["beat 3"], "a local agent is not limited");
    world.assert_accounted();
}

fn shared(settings: &mut Settings) {
    settings.shared_keys.push(key(1));
}

#[test]
fn a_sealed_session_must_count_up() {
    let mut world = World::with(shared);
    let mut beat = |session, counter, nonce| {
        let bytes = seal(&key(1), session, counter, &frame(50, nonce));
        words(&world.sealed(1, A, &bytes)).len() == 1
    };
    assert!(beat(1, 0, 5), "a first counter of 0 is legal");
    assert!(!beat(1, 0, 5), "a replay");
    assert!(beat(1, 3, 6), "gaps are legal");
    assert!(!beat(1, 2, 7));
    assert!(beat(1, 4, 2), "within a session only the counter matters");
    assert!(!beat(2, 1, 2), "a new session must move forward");
    assert!(beat(2, 1, 3));
    assert!(beat(1, 5, 4), "the first session is remembered");
    assert!(!beat(2, 1, 9));
    assert!(beat(3, 9, 10) && beat(4, 9, 11) && beat(5, 9, 13));
    assert!(!beat(1, 5, 20), "sessions are never forgotten");
    assert!(beat(1, 6, 14));
    assert_eq!(world.judge.counters().replays, 5);
    assert_eq!(world.judge.counters().decrypt_failures, 0);
    world.assert_accounted();
}

#[test]
fn after_a_stall_a_new_session_may_restart_the_nonce_and_a_known_one_may_not() {
    let mut world = World::with(shared);
    let sealed = |session, counter, nonce| seal(&key(1), session, counter, &frame(50, nonce));
    world.sealed(0, A, &sealed(1, 10, 500));
    assert_eq!(words(&world.judge(THRESHOLD)), ["stall 1"]);
    let later = THRESHOLD + 1;
    assert_eq!(world.sealed(later, A, &sealed(1, 10, 500)), [], "still a replay");
    let back = world.sealed(later, A, &sealed(2, 1, 1));
    assert_eq!(words(&back), ["recovered 1", "beat 1"]);
    let about = back[0].about.unwrap();
    assert_eq!((about.origin, about.claimed_pid), (Origin::SecureNetwork, 50));
}

#[test]
fn repeated_last_words_are_a_replay() {
    let mut world = World::with(shared);
    world.sealed(0, A, &seal(&key(1), 1, 1, &frame(50, 1)));
    let last = seal(&key(1), 9, 0, &frame(50, NONCE_TERMINAL));
    assert_eq!(words(&world.sealed(1, A, &last)), ["beat 1"]);
    assert_eq!(world.sealed(2, A, &last), []);
    assert_eq!(world.judge.counters().replays, 1);
}

#[test]
fn old_frames_of_an_exited_agent_are_replays() {
    let mut world = World::with(shared);
    let first = seal(&key(1), 1, 1, &frame(50, 1));
    let last = seal(&key(1), 1, 2, &frame(50, NONCE_TERMINAL));
    world.sealed(0, A, &first);
    world.sealed(0, A, &last);
    assert_eq!(words(&world.judge(THRESHOLD)), ["exit 1"]);
    for old in [&first, &last] {
        assert_eq!(world.sealed(THRESHOLD, A, old), []);
    }
    assert_eq!(world.judge.followed(), 0);
    let reborn = seal(&key(1), 2, 1, &frame(50, 1));
    assert_eq!(words(&world.sealed(THRESHOLD, A, &reborn)), ["beat 2"]);
}

#[test]
fn nothing_is_remembered_from_a_refused_frame() {
    let mut world = World::with(shared);
    world.sealed(0, A, &seal(&key(1), 1, 5, &frame(50, 5)));
    // Backward in a new session: it is refused, and the session stays unknown.
    assert_eq!(world.sealed(0, A, &seal(&key(1), 2, 9, &frame(50, 5))), []);
    assert_eq!(words(&world.sealed(0, A, &seal(&key(1), 2, 1, &frame(50, 6)))), ["beat 1"]);
    // The plaintext is not a frame, so the counter does not change.
    let mut bad = frame(50, 7);
    bad[0] = 0;
    assert_eq!(words(&world.sealed(0, A, &seal(&key(1), 2, 90, &bad))), ["decode"]);
    assert_eq!(words(&world.sealed(0, A, &seal(&key(1), 2, 2, &frame(50, 7)))), ["beat 1"]);
    // There is no room for another agent: nothing is remembered of its frame.
    let mut world = World::with(|settings| {
        shared(settings);
        settings.capacity = 2;
        settings.senders = Some(9);
    });
    world.sealed(0, A, &seal(&key(1), 1, 1, &frame(50, 1)));
    assert_eq!(world.sealed(0, B, &seal(&key(1), 7, 9, &frame(60, 1))), []);
    assert_eq!(world.judge.counters().capacity_exceeded, 1);
    world.exited(1, 1, ExitCause::Unknown);
    let earlier = seal(&key(1), 7, 1, &frame(60, 1));
    assert_eq!(words(&world.sealed(2, B, &earlier)), ["beat 2"]);
}

#[test]
fn a_full_memory_refuses_new_sessions_and_forgets_none() {
    let mut world = World::with(|settings| {
        shared(settings);
        settings.senders = Some(2);
    });
    let sealed = |pid, counter| seal(&key(1), 1, counter, &frame(pid, counter.into()));
    world.sealed(0, A, &sealed(50, 1));
    world.sealed(0, A, &sealed(51, 1));
    for pid in 60..160 {
        assert_eq!(world.sealed(0, B, &sealed(pid, 1)), []);
    }
    let second = seal(&key(1), 2, 1, &frame(50, 2));
    assert_eq!(
        world.sealed(0, A, &second),
        [],
        "a new session of a known agent is refused too"
    );
    assert_eq!(world.judge.counters().sender_memory_full, 101);
    world.exited(1, 2, ExitCause::Unknown);
    assert_eq!(
        world.sealed(2, B, &sealed(60, 1)),
        [],
        "an exited agent makes no room for sessions"
    );
    assert_eq!(world.sealed(2, B, &sealed(51, 1)), [], "its old beats are still replays");
    assert_eq!(
        words(&world.sealed(2, A, &sealed(51, 2))),
        ["beat 3"],
        "a known session continues"
    );
    assert_eq!(world.judge.counters().sender_memory_full, 102);
    world.assert_accounted();
}

#[test]
fn a_sealed_beat_counts_once_from_any_address() {
    let mut world = World::with(|settings| {
        shared(settings);
        settings.capacity = 100;
    });
    let sealed = |counter| seal(&key(1), 1, counter, &frame(50, counter.into()));
    for counter in 1..=20 {
        world.sealed(u64::from(counter), A, &sealed(counter));
    }
    for host in 2..81 {
        let elsewhere = format!("127.0.0.{host}");
        for counter in [1, 20] {
            assert_eq!(world.sealed(30, &elsewhere, &sealed(counter)), []);
        }
    }
    let sender = Sender::Network { address: address(A), sealed: true };
    assert_eq!(
        world.receive(30, &Datagram::new(7, sender, &sealed(20))),
        [],
        "another listener"
    );
    assert_eq!(world.judge.followed(), 1);
    assert_eq!(world.judge.counters().replays, 2 * 79 + 1);
    // There is room for a new agent, and the first one continues from another address.
    assert_eq!(words(&world.sealed(31, B, &seal(&key(1), 9, 1, &frame(60, 1)))), ["beat 2"]);
    assert_eq!(words(&world.sealed(32, B, &sealed(21))), ["beat 1"]);
    let moved = world.judge.agent(world.slot(1), 32).unwrap();
    assert_eq!(moved.address, Some(address(B)));
    assert_eq!(words(&world.judge(33 + THRESHOLD)), ["stall 2", "stall 1"]);
    world.assert_accounted();
}

/// A sealed frame of pid 50, sent at `timestamp` after it had connected.
fn sealed_at(session: u8, counter: u32, timestamp: u64) -> Vec<u8> {
    let mut wire = [0; 32];
    Frame::new(Status::Ok, 50, timestamp, counter.into(), 0).encode(&mut wire);
    seal(&key(1), session, counter, &wire)
}

#[test]
fn a_session_from_before_the_observer_stays_unconfirmed() {
    let unconfirmed = |beats: &[(u64, u32, u64)]| {
        let mut world = World::with(shared);
        let mut states = Vec::new();
        for &(now, counter, timestamp) in beats {
            world.sealed(now, A, &sealed_at(1, counter, timestamp));
            states.push(world.judge.agent(world.slot(1), now).unwrap().unconfirmed);
        }
        states
    };
    let live = [(500 * MS, 1, 0), (600 * MS, 2, 99 * MS), (700 * MS, 3, 200 * MS)];
    assert_eq!(unconfirmed(&live), [true, false, false]);
    let older = [(500 * MS, 9, 501 * MS), (600 * MS, 10, 601 * MS), (990 * MS, 11, 991 * MS)];
    assert_eq!(unconfirmed(&older), [true; 3]);
    let in_a_burst = [(500 * MS, 1, 0), (500 * MS, 2, 100 * MS), (501 * MS, 3, 200 * MS)];
    assert_eq!(unconfirmed(&in_a_burst), [true; 3]);
    let slowly = [(500 * MS, 1, 0), (600 * MS, 2, 10 * MS), (700 * MS, 3, 20 * MS)];
    assert_eq!(unconfirmed(&slowly), [true; 3]);
    // Delayed beats do not confirm a session, but the beats after them do.
    let delayed = [(900 * MS, 1, 0), (900 * MS, 2, 100 * MS), (1000 * MS, 3, 200 * MS)];
    assert_eq!(unconfirmed(&delayed), [true, true, false]);
}

#[test]
fn a_new_session_of_a_confirmed_agent_must_be_confirmed_again() {
    let mut world = World::with(shared);
    world.sealed(500 * MS, A, &sealed_at(1, 1, 0));
    world.sealed(550 * MS, A, &sealed_at(1, 2, 50 * MS));
    let unconfirmed = |world: &World| world.judge.agent(world.slot(1), 0).unwrap().unconfirmed;
    assert!(!unconfirmed(&world));
    world.judge(550 * MS + THRESHOLD);
    world.sealed(800 * MS, A, &sealed_at(2, 1, 5_000 * MS));
    assert!(unconfirmed(&world), "it may be recorded traffic");
    world.sealed(801 * MS, A, &sealed_at(1, 3, 301 * MS));
    assert!(!unconfirmed(&world), "its own session");
}

#[test]
fn sessions_are_recorded_before_their_beats_are_reported() {
    let recording = |recalled: Vec<SealedSession>| {
        World::with(|settings| {
            shared(settings);
            settings.recalled = Some(recalled);
        })
    };
    let mut world = recording(Vec::new());
    for counter in 1..=20 {
        world.sealed(0, A, &seal(&key(1), 1, counter, &frame(50, counter.into())));
    }
    world.sealed(0, B, &seal(&key(1), 2, 0, &frame(60, 1)));
    assert_eq!(world.environment.writes, 4, "there is one write for eight beats");
    let recorded = world.environment.recorded.clone();
    let at = |at: usize| (recorded[at].pid, recorded[at].prefix, recorded[at].counter);
    assert_eq!((recorded.len(), at(0), at(1)), (2, (50, [1; 8], 24), (60, [2; 8], 7)));

    // After a crash no beat counts twice, and the agent soon continues.
    let mut world = recording(recorded);
    for counter in 1..=24 {
        let bytes = seal(&key(1), 1, counter, &frame(50, counter.into()));
        assert_eq!(world.sealed(0, B, &bytes), []);
    }
    assert_eq!(words(&world.sealed(0, A, &seal(&key(1), 1, 25, &frame(50, 25)))), ["beat 1"]);
    assert!(
        !world.judge.agent(world.slot(1), 0).unwrap().unconfirmed,
        "its session was recorded"
    );
    assert_eq!(world.environment.recorded[0].counter, 32);
    // A clean end records exactly what was accepted.
    let exact: Vec<_> = world.judge.sessions_ahead().collect();
    assert_eq!(exact, [(0, SealedSession { pid: 50, prefix: [1; 8], counter: 25 })]);
}

#[test]
fn a_session_that_cannot_be_recorded_is_refused() {
    let mut world = World::with(|settings| {
        shared(settings);
        settings.recalled = Some(Vec::new());
    });
    let sealed = |pid, counter: u32| seal(&key(1), 1, counter, &frame(pid, counter.into()));
    world.sealed(0, A, &sealed(50, 1));
    world.environment.recording_error = Some(28);
    assert_eq!(words(&world.sealed(0, A, &sealed(51, 1))), ["io"]);
    assert_eq!(world.sealed(0, A, &sealed(51, 1)), [], "the error is reported once");
    assert_eq!(world.judge.counters().sender_memory_full, 2);
    assert_eq!(
        words(&world.sealed(0, A, &sealed(50, 9))),
        ["beat 1"],
        "a known session continues"
    );
    world.environment.recording_error = None;
    assert_eq!(words(&world.sealed(0, A, &sealed(51, 1))), ["beat 2"]);
    world.sealed(0, A, &sealed(50, 10));
    assert_eq!(
        world.environment.recorded[0].counter, 17,
        "recording is tried again with each beat"
    );
    world.assert_accounted();
}

#[test]
fn each_of_several_shared_keys_is_accepted() {
    let mut world = World::with(|settings| {
        settings.shared_keys.extend([key(1), key(2), key(3)]);
    });
    for (nonce, with) in [3, 1, 2, 2, 3].into_iter().enumerate() {
        let counter = u32::try_from(nonce).unwrap();
        let bytes = seal(&key(with), 1, counter, &frame(50, nonce as u64));
        assert_eq!(words(&world.sealed(0, A, &bytes)), ["beat 1"]);
    }
    assert_eq!(world.sealed(0, A, &seal(&key(4), 1, 9, &frame(50, 9))), []);
    assert_eq!(world.judge.counters().decrypt_failures, 1);
    // The key that opened the last frame is tried first.
    assert_eq!(world.judge.counters().open_attempts, 3 + 2 + 2 + 1 + 3 + 3);
}

#[test]
fn each_agent_has_its_own_key_under_a_master_key() {
    let mut world = World::with(|settings| settings.master_key = Some(key(8)));
    for counter in 1..4 {
        for pid in [50, 50 + 4096, 51] {
            let bytes = seal_as(&key(8), pid, (1, counter), &frame(pid, counter.into()));
            assert_eq!(world.sealed(0, A, &bytes).len(), 1);
        }
    }
    let wrong_pid = seal_as(&key(8), 50, (1, 9), &frame(51, 9));
    let mut flipped = seal_as(&key(8), 50, (1, 9), &frame(50, 9));
    flipped[0] ^= 1;
    for bytes in [wrong_pid, flipped, seal_as(&key(7), 50, (1, 9), &frame(50, 9))] {
        assert_eq!(world.sealed(0, A, &bytes), []);
    }
    assert_eq!(world.judge.counters().decrypt_failures, 3);
    assert_eq!(
        world.sealed(0, A, &seal(&key(8), 1, 9, &frame(50, 9))),
        [],
        "there is no shared key"
    );
    assert_eq!(world.judge.counters().decrypt_failures, 4);
    assert_eq!(world.judge.counters().open_attempts, 9 + 3, "there is no shared key to try");
    assert_eq!(world.judge.followed(), 3);
    world.assert_accounted();
}

#[test]
fn a_sealed_listener_refuses_plain_frames() {
    let mut world = World::with(shared);
    assert_eq!(world.sealed(0, A, &frame(50, 1)), []);
    let bytes = seal(&key(1), 1, 1, &frame(50, 1));
    let sender = Sender::Network { address: address(A), sealed: true };
    let cut = Datagram { truncated: true, ..Datagram::new(2, sender, &bytes) };
    assert_eq!(world.receive(0, &cut), []);
    assert_eq!(world.judge.counters().wrong_length, 2);
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(world.sealed(0, A, &flipped), []);
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(world.judge.counters().decrypt_failures, 480);
    assert_eq!(words(&world.sealed(0, A, &bytes)), ["beat 1"]);
    world.assert_accounted();
}
