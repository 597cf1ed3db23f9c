//! Every datagram is counted in exactly one counter, whatever it contains.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod tracker_world;

use proptest::prelude::*;
use tracker_world::*;
use varta_observer::judge::{Datagram, Exits, Namespace, Sender};
use varta_observer::{Rate, Uids, What};

#[derive(Debug, Clone)]
struct Arrival {
    after: u64,
    listener: u16,
    sender: Sender,
    bytes: Vec<u8>,
    truncated: bool,
    control_truncated: bool,
    judged: bool,
}

/// Frames, sealed frames, damaged ones, and random bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let nonce = prop_oneof![0..20_u64, Just(u64::MAX), any::<u64>()];
    let good = (prop_oneof![1 => Just(1), 9 => 50..60_u32], nonce, any::<bool>()).prop_map(
        |(pid, nonce, old)| {
            if old { frame_v1(pid, nonce, 7) } else { frame(pid, nonce) }
        },
    );
    let sealed = (good.clone(), 1..4_u8, 0..4_u8, 0..9_u32, any::<bool>()).prop_map(
        |(frame, with, session, counter, own)| {
            if own {
                let pid = u32::from_le_bytes(*frame[4..].first_chunk().unwrap());
                seal_as(&key(with), pid, (session, counter), &frame)
            } else {
                seal(&key(with), session, counter, &frame)
            }
        },
    );
    let whole = prop_oneof![
        good.prop_map(Vec::from),
        sealed,
        prop::collection::vec(any::<u8>(), 0..70),
        Just(Vec::new()),
    ];
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    (whole, damage).prop_map(|(mut bytes, damage)| {
        if let (Some((at, with)), false) = (damage, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        bytes
    })
}

fn sender() -> impl Strategy<Value = Sender> {
    let process = prop::option::of(0..5_u64);
    let kernel =
        (prop_oneof![3 => Just(0_u32), 1 => Just(1), 4 => 50..60_u32], 999..1002_u32, process)
            .prop_map(|(pid, uid, process)| Sender::Kernel { pid, uid, process });
    let network = (0..3_u8, any::<bool>()).prop_map(|(host, sealed)| {
        let address = [if host == 0 { 127 } else { 10 }, 0, 0, host].into();
        Sender::Network { address, sealed }
    });
    prop_oneof![kernel, network]
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let rare = || prop::bool::weighted(0.05);
    (0..THRESHOLD, 0..3_u16, sender(), bytes(), rare(), rare(), rare()).prop_map(
        |(after, listener, sender, bytes, truncated, control_truncated, judged)| Arrival {
            after: after / 30,
            listener,
            sender,
            bytes,
            truncated,
            control_truncated,
            judged,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let rate =
        || prop::option::of((1..30_u32).prop_map(|per_second| Rate { per_second, burst: 2 }));
    let uids = prop_oneof![Just(Uids::Any), Just(Uids::Only(UID))];
    let exits = prop_oneof![Just(Exits::Reported), Just(Exits::LookedUp), Just(Exits::Unseen)];
    (1..12_usize, uids, any::<[bool; 3]>(), rate(), rate(), 0..4_usize, exits).prop_map(
        |(capacity, uids, [namespaces, version1, keys], per_agent, global, senders, exits)| {
            let mut world = World::with(|settings| {
                settings.capacity = capacity;
                settings.senders = Some(senders);
                settings.policy.uids = uids;
                settings.policy.namespaces = namespaces;
                settings.policy.version1 = version1;
                settings.policy.per_agent = per_agent;
                settings.policy.global = global;
                if keys {
                    settings.shared_keys = vec![key(1), key(2)];
                    settings.master_key = Some(key(2));
                }
            });
            world.environment.exits = exits;
            world
                .environment
                .namespaces
                .extend([(51, Namespace::Other), (52, Namespace::Unknown)]);
            world
        },
    )
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.judge.fmt(f)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_datagram_is_counted_exactly_once(
        mut world in world(),
        arrivals in prop::collection::vec(arrival(), 0..200),
    ) {
        let (mut now, mut events) = (0, Vec::new());
        for arrival in &arrivals {
            now += arrival.after;
            let Arrival { listener, sender, ref bytes, truncated, control_truncated, .. } = *arrival;
            let datagram = Datagram { listener, sender, bytes, truncated, control_truncated };
            let before = world.judge.counters().settled();
            events.extend(world.receive(now, &datagram));
            prop_assert_eq!(world.judge.counters().settled(), before + 1);
            if arrival.judged {
                events.extend(world.judge(now));
            }
        }
        let counters = *world.judge.counters();
        prop_assert_eq!(counters.received, arrivals.len() as u64);
        prop_assert_eq!(counters.settled(), counters.received);
        // Exactly the counted events were emitted.
        let count = |is: fn(&What) -> bool| events.iter().filter(|event| is(&event.what)).count() as u64;
        prop_assert_eq!(counters.beats, count(|what| matches!(what, What::Beat { .. })));
        prop_assert_eq!(counters.decode_errors(), count(|what| matches!(what, What::Decode(_))));
        prop_assert_eq!(counters.auth_failures, count(|what| matches!(what, What::AuthFailure { .. })));
        prop_assert_eq!(counters.stalls, count(|what| matches!(what, What::Stall { .. })));
        prop_assert_eq!(counters.recoveries, count(|what| matches!(what, What::Recovered { .. })));
        prop_assert_eq!(counters.exits, count(|what| matches!(what, What::Exit { .. })));
        prop_assert!(events.is_sorted_by_key(|event| event.observer_ns));
        // Every followed local agent was admitted.
        let admitted = |call: &&String| call.starts_with("admitted");
        let locals = world.judge.agents(now).filter(|(_, agent)| agent.uid.is_some()).count();
        prop_assert!(locals <= world.environment.calls.iter().filter(admitted).count());
    }
}
