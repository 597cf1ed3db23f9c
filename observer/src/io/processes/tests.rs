//! Which process a beat without a pidfd is attributed to.

use varta::{Frame, Status};

use super::Processes;
use super::environment::LOOK_NS;
use crate::io::identity::KernelFeatures;
use crate::judge::{Datagram, Judge, Sender, Settings};
use crate::policy::Policy;
use crate::sys;
use crate::testing::{Child, Idle, fork_as, is_root, pause, wait_until};

struct World {
    judge: Judge,
    processes: Processes,
}

impl World {
    fn new(features: KernelFeatures, bound: usize) -> Self {
        let judge = Judge::new(Settings::new(Policy::same_uid(0)));
        Self { judge, processes: Processes::new(features, false, 8, bound).unwrap() }
    }

    /// A beat as on a kernel that passes only the pid.
    fn receive(&mut self, now: u64, pid: u32, nonce: u64) -> Vec<String> {
        let mut wire = [0; 32];
        Frame::new(Status::Ok, pid, 0, nonce, 0).encode(&mut wire);
        let process = self.processes.sent_by(now, pid, None);
        let sender = Sender::Kernel { pid, uid: 0, process };
        self.judge.hear(now, &Datagram::new(0, sender, &wire), &mut self.processes);
        self.processes.heard();
        self.events()
    }

    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.judge.next_event())
            .map(|event| format!("{} {}", event.what.name(), event.about.unwrap().agent))
            .collect()
    }
}

/// Ends a process and starts another with its pid.
fn recycle(first: Idle) -> Child {
    let pid = first.pid();
    end(first);
    // Start times distinguish two processes only if there is a clock tick between them.
    const TICK_NS: u64 = 10_000_000;
    let start = sys::boottime_ns();
    wait_until(|| sys::boottime_ns() > start + 2 * TICK_NS);
    let second = Child::start_by(|| fork_as(pid), pause);
    assert_eq!(second.pid(), pid);
    second
}

fn end(mut process: Idle) {
    process.exit(0);
    process.child.wait();
}

fn kernel_features() -> [KernelFeatures; 2] {
    let here = KernelFeatures::detect();
    [here, KernelFeatures { numbers: false, ..here }]
}

#[test]
fn a_restarted_nonce_after_pid_reuse_is_a_new_agent() {
    if !is_root() {
        return;
    }
    for features in kernel_features() {
        for bound in [8, 0] {
            let mut world = World::new(features, bound);
            let first = Idle::start();
            let pid = first.pid();
            assert_eq!(world.receive(1, pid, 5), ["beat 1"]);
            assert_eq!(world.receive(2, pid, 4), ["beat 1"], "a second handle");
            let second = recycle(first);
            assert_eq!(world.receive(3, pid, 6), ["beat 1"], "a nonce that continues");
            assert_eq!(world.receive(4, pid, 1), ["exit 1", "beat 2"], "{features:?}, {bound}");
            assert_eq!(world.receive(5, pid, 1), ["beat 2"]);
            drop(second);
        }
    }
}

/// Beats that were sent before the exit are read after it, in any order.
#[test]
fn beats_of_an_exited_process_are_its_own_until_its_pid_is_reused() {
    for features in kernel_features() {
        for bound in [8, 0] {
            let mut world = World::new(features, bound);
            let process = Idle::start();
            let pid = process.pid();
            assert_eq!(world.receive(1, pid, 5), ["beat 1"]);
            end(process);
            assert_eq!(world.receive(LOOK_NS * 2, pid, 4), ["beat 1"]);
            assert_eq!(world.receive(LOOK_NS * 4, pid, 6), ["beat 1"]);
        }
    }
}

#[test]
fn a_continued_nonce_after_pid_reuse_is_detected_at_the_next_check() {
    if !is_root() {
        return;
    }
    for features in kernel_features() {
        let mut world = World::new(features, 0);
        let first = Idle::start();
        let pid = first.pid();
        assert_eq!(world.receive(1, pid, 5), ["beat 1"]);
        let second = recycle(first);
        assert_eq!(world.receive(LOOK_NS, pid, 6), ["beat 1"]);
        assert_eq!(world.receive(LOOK_NS + 1, pid, 7), ["exit 1", "beat 2"], "{features:?}");
        drop(second);
    }
}

/// It may have sent a beat between the last read and the lookup.
#[test]
fn beats_sent_before_a_failed_lookup_still_count() {
    for features in kernel_features() {
        let mut world = World::new(features, 0);
        let process = Idle::start();
        let pid = process.pid();
        world.judge.set_default_threshold(1);
        let beat_at = world.processes.clock().now();
        assert_eq!(world.receive(beat_at, pid, 5), ["beat 1"]);
        let read_until = world.processes.clock().now();
        end(process);
        assert!(!world.judge.expire(read_until, &mut world.processes));
        assert_eq!(world.receive(read_until, pid, 6), ["beat 1"]);
        let later = world.processes.clock().now();
        assert!(world.judge.expire(later, &mut world.processes));
        assert_eq!(world.events(), ["exit 1"], "{features:?}");
    }
}
