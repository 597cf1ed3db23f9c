//! Many real agents on the lane at once, and agents and observers that are killed or stopped.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use support::{
    Child, Folder, become_user, in_child, in_new_network_namespace, kill, ms, needs_root,
    poll_for, shared_numbers, wait_until,
};
use varta::{AnyTransport, BeatOutcome, DropReason, Endpoint, Status, Varta};
use varta_observer::{Builder, Observer, What};

fn observer_at(path: &Path, threshold: Duration) -> Observer {
    let builder = Builder::new().listen(Endpoint::Path(path.to_owned())).threshold(threshold);
    builder.lane(true).tasks(true).bind().unwrap()
}

/// An agent that beats into shared memory. It beats until it does.
fn attached(path: &Path) -> Varta<AnyTransport> {
    let mut agent = Varta::open(path).unwrap();
    wait_until(|| {
        let _ = agent.beat(Status::Ok, 0);
        agent.watched().is_some()
    });
    agent
}

/// With datagrams and a queue of 10, most of these beats are refused.
#[test]
fn no_beat_of_sixty_four_agents_in_the_same_instant_is_refused() {
    if !needs_root() {
        return;
    }
    const AGENTS: u64 = 64;
    const ROUNDS: u64 = 50;
    in_child(|| {
        in_new_network_namespace();
        become_user(65_534);
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = observer_at(&path, ms(2_000));
        assert!(observer.queue_length().unwrap() <= 11);
        let [ready, round, sent, other, longest] = shared_numbers();
        let crowd: Vec<_> = (0..AGENTS)
            .map(|_| {
                Child::start(|| {
                    let mut agent = attached(&path);
                    ready.fetch_add(1, SeqCst);
                    let mut last = Instant::now();
                    for nth in 1..=ROUNDS {
                        while round.load(SeqCst) < nth {
                            std::thread::yield_now();
                        }
                        let is_sent = agent.beat(Status::Ok, 0) == BeatOutcome::Sent;
                        let counter = if is_sent { sent } else { other };
                        counter.fetch_add(1, SeqCst);
                        let gap = last.elapsed().as_nanos().try_into().unwrap();
                        longest.fetch_max(gap, SeqCst);
                        last = Instant::now();
                    }
                    wait_until(|| false);
                })
            })
            .collect();
        wait_until(|| {
            poll_for(&mut observer, ms(1));
            ready.load(SeqCst) == AGENTS
        });
        let before = observer.stats().unwrap();
        let mut stalls = 0;
        for nth in 1..=ROUNDS {
            round.store(nth, SeqCst);
            while sent.load(SeqCst) + other.load(SeqCst) < nth * AGENTS {
                for event in poll_for(&mut observer, ms(2)) {
                    stalls += u32::from(matches!(event.what, What::Stall { .. }));
                }
            }
        }
        let [sent, other, longest] = [sent, other, longest].map(|number| number.load(SeqCst));
        assert_eq!((sent, other), (AGENTS * ROUNDS, 0));
        wait_until(|| {
            poll_for(&mut observer, ms(100));
            observer.stats().unwrap().lane_beats - before.lane_beats >= sent
        });
        assert_eq!(observer.stats().unwrap().received, before.received, "no datagram");
        // On a machine that was held for long, an agent may have been late itself.
        assert!(stalls == 0 || longest > 1_900_000_000, "{stalls} stalls");
        drop(crowd);
    });
}

#[test]
fn a_stopped_observer_loses_no_beat_of_many_agents() {
    const AGENTS: u64 = 50;
    const ATTACHING: u64 = 0;
    const QUIET: u64 = 1;
    const BEATING: u64 = 2;
    const OVER: u64 = 3;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let [written, reported, stalls, ready] = shared_numbers();
    let [refused, failed, phase, over] = shared_numbers();
    let watcher = Child::start(|| {
        let mut observer = observer_at(&path, ms(2_000));
        loop {
            for event in poll_for(&mut observer, ms(20)) {
                match event.what {
                    What::Beat { count, .. } => reported.fetch_add(count.into(), SeqCst),
                    What::Stall { .. } => stalls.fetch_add(1, SeqCst),
                    _ => 0,
                };
            }
        }
    });
    wait_until(|| path.exists());
    let agents: Vec<_> = (0..AGENTS)
        .map(|_| {
            Child::start(|| {
                let mut agent = attached(&path);
                ready.fetch_add(1, SeqCst);
                while phase.load(SeqCst) == ATTACHING {
                    let _ = agent.beat(Status::Ok, 0);
                    std::thread::sleep(ms(100));
                }
                wait_until(|| phase.load(SeqCst) == BEATING);
                while phase.load(SeqCst) == BEATING {
                    match agent.beat(Status::Ok, 0) {
                        // The line is written in either case.
                        BeatOutcome::Sent | BeatOutcome::Dropped(DropReason::NoObserver) => {
                            written.fetch_add(1, SeqCst)
                        }
                        BeatOutcome::Dropped(DropReason::KernelQueueFull) => {
                            refused.fetch_add(1, SeqCst)
                        }
                        _ => failed.fetch_add(1, SeqCst),
                    };
                    std::thread::sleep(ms(100));
                }
                over.fetch_add(1, SeqCst);
                wait_until(|| false);
            })
        })
        .collect();
    wait_until(|| ready.load(SeqCst) == AGENTS);
    // What was written until now is reported, and is not counted any more.
    phase.store(QUIET, SeqCst);
    std::thread::sleep(ms(1_500));
    reported.store(0, SeqCst);
    stalls.store(0, SeqCst);
    phase.store(BEATING, SeqCst);
    wait_until(|| written.load(SeqCst) > 2 * AGENTS);
    kill(watcher.pid(), libc::SIGSTOP);
    std::thread::sleep(ms(5_000));
    kill(watcher.pid(), libc::SIGCONT);
    std::thread::sleep(ms(500));
    phase.store(OVER, SeqCst);
    wait_until(|| over.load(SeqCst) == AGENTS);
    assert_eq!((refused.load(SeqCst), failed.load(SeqCst)), (0, 0));
    wait_until(|| reported.load(SeqCst) >= written.load(SeqCst));
    assert_eq!((reported.load(SeqCst), stalls.load(SeqCst)), (written.load(SeqCst), 0));
    drop(agents);
}

/// How often agents and observers are killed: `VARTA_KILLS`, or a number for every day.
fn kills() -> u64 {
    std::env::var("VARTA_KILLS").map_or(25, |kills| kills.parse().unwrap())
}

const AGENTS: usize = 8;

/// What an observer in another process has seen, by pid of the agent; each of them keeps its
/// place.
struct Seen {
    pids: &'static [AtomicU64; AGENTS],
    attached: &'static [AtomicU64; AGENTS],
    exits: &'static [AtomicU64; AGENTS],
    stalls: &'static AtomicU64,
    pages: &'static AtomicU64,
}

impl Seen {
    fn new() -> Self {
        let [stalls, pages] = shared_numbers();
        let (pids, attached) = (shared_numbers(), shared_numbers());
        Self { pids, attached, exits: shared_numbers(), stalls, pages }
    }

    fn watch(&self, path: &Path) -> Child {
        Child::start(|| {
            let mut observer = observer_at(path, ms(4_000));
            loop {
                for event in poll_for(&mut observer, ms(2)) {
                    let pid = event.about.map_or(0, |about| u64::from(about.pid));
                    let place = self.pids.iter().position(|its| its.load(SeqCst) == pid);
                    match (event.what, place) {
                        (What::Beat { .. }, Some(place)) => {
                            self.attached[place].store(pid, SeqCst);
                        }
                        (What::Exit { .. }, Some(place)) => {
                            self.exits[place].store(pid, SeqCst)
                        }
                        (What::Stall { .. }, _) => {
                            self.stalls.fetch_add(1, SeqCst);
                        }
                        _ => {}
                    }
                }
                self.pages.store(observer.stats().unwrap().lane_attached, SeqCst);
            }
        })
    }

    fn agent(&self, place: usize, path: &Path) -> Child {
        let child = Child::start(|| {
            let mut agent = Varta::open(path).unwrap();
            let mut nth = 0;
            loop {
                // Each change of the status has the observer look.
                nth += 1;
                let status = if nth % 16 < 8 { Status::Ok } else { Status::Degraded };
                let _ = agent.beat(status, 0);
                std::thread::sleep(ms(1));
            }
        });
        self.pids[place].store(child.pid().into(), SeqCst);
        child
    }

    /// Waits until the observer has heard of the agent at each place.
    fn wait_for_all(&self) {
        let is_known =
            |place: usize| self.attached[place].load(SeqCst) == self.pids[place].load(SeqCst);
        wait_until(|| (0..AGENTS).all(is_known));
    }
}

#[test]
fn killed_agents_and_observers_cause_no_false_stall_and_lose_no_exit() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let seen = Seen::new();
    let mut watcher = seen.watch(&path);
    let mut agents: Vec<_> = (0..AGENTS).map(|place| seen.agent(place, &path)).collect();
    let mut random = u64::from(std::process::id());
    let mut next = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % most
    };
    for _ in 0..kills() {
        seen.wait_for_all();
        // One after the other, while the others beat.
        let place = next(AGENTS);
        std::thread::sleep(Duration::from_micros(next(5_000).try_into().unwrap()));
        let pid = u64::from(agents[place].pid());
        kill(agents[place].pid(), libc::SIGKILL);
        agents[place].wait();
        wait_until(|| seen.exits[place].load(SeqCst) == pid);
        agents[place] = seen.agent(place, &path);

        seen.wait_for_all();
        kill(watcher.pid(), libc::SIGKILL);
        watcher.wait();
        for place in seen.attached {
            place.store(0, SeqCst);
        }
        seen.pages.store(0, SeqCst);
        watcher = seen.watch(&path);
        wait_until(|| seen.pages.load(SeqCst) >= AGENTS as u64);
    }
    assert_eq!(seen.stalls.load(SeqCst), 0);
}
