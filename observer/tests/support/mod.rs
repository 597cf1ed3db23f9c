//! Shared by the tests: agents in processes of their own, folders, waiting, and events.

#![allow(dead_code, unused_imports, reason = "each test program uses only a part")]
#![allow(unsafe_code, reason = "forking")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod agent;
#[path = "../../../core/tests/support/child.rs"]
mod child;
#[path = "../../../core/tests/support/folder.rs"]
mod folder;
pub(crate) mod lane;
mod lingering;
mod rights;
#[path = "../../../core/tests/support/root.rs"]
mod root;
#[path = "../../../core/tests/support/seccomp.rs"]
mod seccomp;
mod sender;
#[path = "../../../core/tests/support/shared.rs"]
mod shared;
mod system;
#[path = "../../../core/tests/support/trace.rs"]
mod trace;
#[path = "../../../core/tests/support/uninterrupted.rs"]
mod uninterrupted;

use std::time::{Duration, Instant};

pub(crate) use agent::{End, TestAgent};
pub(crate) use child::{Child, Ended, in_child};
pub(crate) use folder::Folder;
pub(crate) use lingering::LingeringSocket;
pub(crate) use rights::{send_as, send_with_descriptors};
pub(crate) use root::{become_user, fork_as, kernel_lacks, needs_root, skipped};
pub(crate) use seccomp::forget_socket_option;
pub(crate) use sender::{Sender, stop};
pub(crate) use shared::shared_numbers;
pub(crate) use system::{
    in_new_network_namespace, in_new_pid_namespace, in_own_namespaces, kill, let_time_pass,
    limit_descriptors, open_descriptors, passes_pidfds, readable_within, stop_here,
    wait_until_stopped,
};
pub(crate) use trace::system_calls_of;
pub(crate) use uninterrupted::uninterrupted;
use varta::{FRAME_BYTES, Frame, Status};
use varta_observer::{AgentInfo, Event, Observer, What};

/// The longest wait of a test. It is reached only when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A threshold that no test reaches.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "the condition did not hold within {PATIENCE:?}");
        std::thread::sleep(ms(1));
    }
}

/// Polls until an event matches. Returns all events up to it.
#[track_caller]
pub(crate) fn poll_until(
    observer: &mut Observer,
    mut is_it: impl FnMut(&Event) -> bool,
) -> Vec<Event> {
    let start = Instant::now();
    let mut events = Vec::new();
    while !events.last().is_some_and(&mut is_it) {
        let waited = start.elapsed();
        assert!(waited < PATIENCE, "{observer:?} did not report it; {}", text_of(&events));
        events.extend(observer.poll().unwrap());
    }
    events
}

/// All events that are due by now.
#[track_caller]
pub(crate) fn poll_all(observer: &mut Observer) -> Vec<Event> {
    std::iter::from_fn(|| observer.poll_timeout(Duration::ZERO).unwrap()).collect()
}

/// All events within a time.
#[track_caller]
pub(crate) fn poll_for(observer: &mut Observer, time: Duration) -> Vec<Event> {
    let start = Instant::now();
    let mut events = Vec::new();
    while start.elapsed() < time {
        events.extend(observer.poll_timeout(time.saturating_sub(start.elapsed())).unwrap());
    }
    events
}

/// The last events, one per line.
pub(crate) fn text_of(events: &[Event]) -> String {
    let last = events.len().saturating_sub(40);
    let lines: Vec<_> = events[last..].iter().map(ToString::to_string).collect();
    format!("{} events, the last:\n{}", events.len(), lines.join("\n"))
}

/// The names of the events, without pauses, which happen at any time on a busy machine.
pub(crate) fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.what.name()).filter(|name| *name != "paused").collect()
}

pub(crate) fn count(events: &[Event], name: &str) -> usize {
    events.iter().filter(|event| event.what.name() == name).count()
}

pub(crate) fn is(name: &str) -> impl Fn(&Event) -> bool + '_ {
    move |event| event.what.name() == name
}

pub(crate) fn is_about(event: &Event, pid: u32) -> bool {
    event.about.is_some_and(|about| about.pid == pid)
}

/// The nonce of a beat.
pub(crate) fn nonce(event: &Event) -> Option<u64> {
    match event.what {
        What::Beat { nonce, .. } => Some(nonce),
        _ => None,
    }
}

/// The agent with this pid, in a snapshot.
pub(crate) fn agent_info(observer: &Observer, pid: u32) -> Option<AgentInfo> {
    observer.snapshot().unwrap().into_iter().find(|agent| agent.pid == pid)
}

/// A frame as an agent with this pid sends it.
pub(crate) fn frame(pid: u32, nonce: u64) -> [u8; FRAME_BYTES] {
    let status = match nonce {
        varta::NONCE_TERMINAL => Status::Critical,
        _ => Status::Ok,
    };
    let mut wire = [0; FRAME_BYTES];
    Frame::new(status, pid, 0, nonce, 0).encode(&mut wire);
    wire
}

/// Asserts that every datagram was counted and that every accepted beat was reported.
#[track_caller]
pub(crate) fn assert_accounted(observer: &Observer, beats: u64) {
    let counters = observer.stats().unwrap();
    assert_eq!(counters.settled(), counters.received, "{counters:?}");
    assert_eq!(counters.beats, beats, "{counters:?}");
}
