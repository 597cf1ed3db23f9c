//! Many agents at once: each beat that the kernel accepts is reported, and no live agent
//! stalls.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use support::{
    Child, Folder, assert_accounted, count, is, ms, poll_all, shared_numbers, text_of,
    wait_until,
};
use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Event, Observer};

/// Has `agents` processes beat ten times a second for over two seconds, each `apart` after the
/// one before. Returns how many beats the kernel accepted and refused, and the longest time
/// without an accepted beat of one agent.
fn crowd(agents: u32, apart: Duration) -> (u64, u64, Duration) {
    const ROUNDS: u32 = 25;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer =
        Builder::new().listen(path.to_str().unwrap().parse().unwrap()).bind().unwrap();
    let [sent, refused, longest] = shared_numbers();
    // By then all of them have been started.
    let start = Instant::now() + ms(1_000);
    let crowd = (0..agents).map(|nth| {
        Child::start(|| {
            let mut agent = Varta::connect(&path).unwrap();
            let mut last_taken = start;
            for round in 0..ROUNDS {
                let at = start + ms(100) * round + apart * nth;
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                let taken = agent.beat(Status::Ok, 0) == BeatOutcome::Sent;
                let gap = last_taken.elapsed().as_nanos().try_into().unwrap();
                longest.fetch_max(gap, SeqCst);
                if taken {
                    last_taken = Instant::now();
                }
                let counter = if taken { &sent } else { &refused };
                counter.fetch_add(1, SeqCst);
            }
            wait_until(|| false);
        })
    });
    let crowd: Vec<_> = crowd.collect();
    let mut events = Vec::new();
    while sent.load(SeqCst) + refused.load(SeqCst) < u64::from(agents * ROUNDS) {
        events.extend(observer.poll().unwrap());
    }
    events.extend(poll_all(&mut observer));
    drop(crowd);
    assert_exits_are_named(&mut observer, agents);
    let [sent, refused, longest] = [sent, refused, longest].map(|number| number.load(SeqCst));
    let longest = Duration::from_nanos(longest);
    assert_eq!(count(&events, "beat") as u64, sent, "each accepted beat is reported");
    assert_accounted(&observer, sent);
    // On a very busy machine no agent beats in time.
    if longest < ms(1_500) {
        let crowd: HashSet<_> = events.iter().filter_map(|event| event.about).collect();
        assert_eq!(crowd.len(), agents as usize);
        assert_eq!(observer.stats().unwrap().stalls, 0, "{}", text_of(&events));
    }
    (sent, refused, longest)
}

/// All of them end at once: each exit can be named after the poll that returned it.
fn assert_exits_are_named(observer: &mut Observer, agents: u32) {
    let mut events = [Event::NOTHING; 512];
    let mut exits = 0;
    wait_until(|| {
        let count = observer.poll_many(&mut events, ms(10)).unwrap();
        for event in events.iter().take(count) {
            let label = event.about.map(|about| observer.label(about.agent));
            assert!(label.is_none_or(|label| !label.is_empty()), "{event}");
            exits += u32::from(is("exit")(event));
        }
        exits == agents
    });
}

/// The default settings must suffice for 300 agents at 10 Hz.
#[test]
fn beats_of_three_hundred_agents_at_ten_hertz_are_received() {
    let (sent, refused, longest) = crowd(300, ms(100) / 300);
    assert!(refused < sent || longest > ms(500), "{refused} refused, {sent} accepted");
}

/// How many sends are refused depends on the scheduler; each accepted beat must be reported.
#[test]
fn beats_of_sixty_four_agents_in_the_same_instant_are_received() {
    crowd(64, Duration::ZERO);
}
