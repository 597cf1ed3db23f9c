//! Why tasks, and processes that beat through shared memory, are silent.

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
use varta::Promise::Beat;
use varta::internal::lane::layout::Cold;
use varta_observer::judge::{Sample, ThreadReading};
use varta_observer::{Cause, Event, What};

const PID: u32 = 70;

/// A world with a process, whose second thread has a task of 100 ms that was declared at 1 ms.
fn with_task(roams: bool) -> (World, Process) {
    let mut world = lane_world(|settings| settings.causes = true);
    let mut process = world.process(0, PID);
    let of_thread = Cold { thread: PID + 1, roams, ..cold("ingest", THRESHOLD) };
    process.declare_as(&world, 1, &of_thread, MS);
    world.look(MS, process.page);
    (world, process)
}

/// Sets the states of the first and second thread of the process.
fn set_states(world: &mut World, at: u64, states: [u8; 2]) {
    let mut sample = Sample::try_new().unwrap();
    sample.process.read_at = at;
    sample.process.threads = 2;
    for (thread, state) in (PID..).zip(states) {
        let read_at = at;
        sample.push(ThreadReading { thread, state, read_at, ..ThreadReading::NOTHING });
    }
    world.environment.readings.insert(PID, sample);
}

fn causes(events: &[Event]) -> Vec<(u64, Option<u32>, &'static str)> {
    let cause = |event: &Event| match event.what {
        What::Cause { why } => why.cause,
        _ => Cause::Unknown,
    };
    let of = |event: &Event| {
        (event.observer_ns / MS, event.task.map(|task| task.number), cause(event).name())
    };
    let is_cause = |event: &&Event| matches!(event.what, What::Cause { .. });
    events.iter().filter(is_cause).map(of).collect()
}

fn reads(world: &World) -> Vec<&str> {
    let reads = world.environment.calls.iter().filter(|call| call.starts_with("read"));
    reads.map(String::as_str).collect()
}

#[test]
fn the_thread_of_a_task_explains_why_it_is_late() {
    let (mut world, _) = with_task(false);
    set_states(&mut world, 0, *b"SD");
    let stall = world.live_until(110 * MS);
    assert_eq!(short(&stall), ["101000000: stall 1/1 beat due 101000000"]);
    // The process has not beaten itself, so only its task is silent.
    assert_eq!(world.judge.cause(1, 0), None);
    let info = world.judge.cause(1, 1).unwrap();
    assert_eq!((info.why.cause, info.why.thread), (Cause::Io, PID + 1));
    assert_eq!(
        reads(&world),
        ["read Half of 70, threads []", "read Whole of 70, threads [71]"]
    );
}

#[test]
fn a_task_that_roams_has_no_thread_of_its_own() {
    let (mut world, _) = with_task(true);
    set_states(&mut world, 0, *b"DS");
    world.live_until(110 * MS);
    let info = world.judge.cause(1, 1).unwrap();
    assert_eq!((info.why.cause, info.why.thread), (Cause::Io, PID));
}

#[test]
fn the_cause_of_a_late_task_is_looked_up_again_until_it_keeps_its_promise() {
    let (mut world, process) = with_task(false);
    set_states(&mut world, 0, *b"TT");
    world.live_until(130 * MS);
    set_states(&mut world, 130 * MS, *b"SD");
    assert_eq!(causes(&world.live_until(300 * MS)), [(151, Some(1), "io")]);
    process.call(&world, 1, 310 * MS, 2_000 * MS, Some(Beat));
    world.look(311 * MS, process.page);
    assert_eq!(world.judge.cause(1, 1), None);
    let before = reads(&world).len();
    assert_eq!(world.live_until(900 * MS), []);
    assert_eq!(reads(&world).len(), before);
}

#[test]
fn a_task_that_goes_on_is_not_read() {
    let (mut world, process) = with_task(false);
    set_states(&mut world, 0, *b"SS");
    for at in (20..600).step_by(20) {
        process.call(&world, 1, at * MS, (at + 100) * MS, Some(Beat));
        world.live_until(at * MS + 19 * MS);
    }
    assert_eq!(reads(&world), [""; 0]);
}

#[test]
fn the_page_of_a_process_tells_which_thread_beat_last() {
    let mut world = lane_world(|settings| settings.causes = true);
    let mut process = world.process(0, PID);
    process.beat(&world, MS);
    process.write_thread(&world, PID + 1);
    world.look(2 * MS, process.page);
    set_states(&mut world, 0, *b"RD");
    let stall = world.live_until(110 * MS);
    assert_eq!(short(&stall), ["101000000: stall 1 last 1000000"]);
    let info = world.judge.cause(1, 0).unwrap();
    assert_eq!((info.why.cause, info.why.thread), (Cause::Io, PID + 1));
}
